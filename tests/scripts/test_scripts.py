"""Every script in this folder passes, against our stack on virtual time, over IPv4 and over IPv6.

A script says at its top what it is about, and needs no persona: what it asserts is fixed by an RFC, or by the stack's
own documents. One that is about a single version of IP says so (``--ip_version``), and is run with that alone.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from uinet.sim.packetdrill import PASS, find, run

HERE = Path(__file__).parent
SCRIPTS = find([HERE])
ENOUGH = 400  # each state with each event, and each mechanism


def runs() -> list[tuple[Path, str | None]]:
    """Each script with the versions of IP that it is run over; None: the script says it."""
    both: list[tuple[Path, str | None]] = []
    for path in SCRIPTS:
        versions = [None] if "\n--ip_version=" in path.read_text() else ["ipv4", "ipv6"]
        both += [(path, version) for version in versions]
    return both


def name_of(value: object) -> str:
    return str(value.relative_to(HERE)) if isinstance(value, Path) else str(value or "own")


def test_there_are_enough_scripts() -> None:
    assert len(SCRIPTS) >= ENOUGH


@pytest.mark.parametrize("path", SCRIPTS, ids=name_of)
def test_script_says_what_demands_it(path: Path) -> None:
    first = path.read_text().splitlines()[0]
    assert first.startswith("// ") and len(first) > 20


@pytest.mark.parametrize(("path", "version"), runs(), ids=name_of)
def test_script(path: Path, version: str | None) -> None:
    result = run(path, ip_version=version)
    assert result.verdict == PASS, "\n".join([*result.record[-40:], str(result), result.expected, result.found])


@pytest.mark.parametrize("path", [path for path, version in runs() if version != "ipv6"], ids=name_of)
def test_script_with_segmentation_offload(path: Path) -> None:
    """What the device cuts is on the wire as if the stack had."""
    result = run(path, offload=True)
    assert result.verdict == PASS, "\n".join([*result.record[-40:], str(result), result.expected, result.found])
