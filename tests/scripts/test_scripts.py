"""Every script in this folder passes, against our stack on virtual time.

A script says at its top what it is about, and needs no persona: what it asserts is fixed by an RFC, or by the stack's
own documents.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from uinet.sim.packetdrill import PASS, find, run

HERE = Path(__file__).parent
SCRIPTS = find([HERE])


def test_there_are_scripts() -> None:
    assert len(SCRIPTS) >= 12


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(HERE)))
def test_script(path: Path) -> None:
    result = run(path)
    assert result.verdict == PASS, "\n".join([*result.record[-40:], str(result), result.expected, result.found])
