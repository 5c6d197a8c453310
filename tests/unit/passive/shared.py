"""Where the captures are that are not part of the project: beside the checkout, or where $UINET_SHARED says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("UINET_SHARED") or Path(__file__).parents[3].parent / "shared")


def capture_path(name: str) -> Path:
    """The path of a shared capture or of a file beside it; without it the test is skipped."""
    path = SHARED / "pcaps" / name
    if not path.exists():
        pytest.skip(f"no {path}: the shared captures belong beside the checkout (or $UINET_SHARED says where they are)")
    return path


def shared_captures(table: str) -> list[str]:
    """The captures that a table beside them has rows for, in its order; the table's name alone if it is absent."""
    path = SHARED / "pcaps" / table
    if not path.exists():
        return [table]
    return list(dict.fromkeys(line.split("\t")[0] for line in path.read_text().splitlines()[1:]))
