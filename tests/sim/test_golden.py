"""The quick rows of the golden tables, computed anew: a change of behaviour shows as another line.

``python -m tests.sim.golden --check`` computes all rows, ``--write`` keeps them, if the change is wanted.
"""

from __future__ import annotations

import pytest

import uinet
from tests.sim.golden.tables import HEADS, Row, file, head, rows

pytestmark = pytest.mark.skipif(not uinet.compiled(), reason="interpreted, this takes hours")

QUICK = [row for row in rows() if row.quick]


@pytest.mark.parametrize("row", QUICK, ids=[f"{row.table} {' '.join(row.label.split())}" for row in QUICK])
def test_a_row_is_as_it_was(row: Row) -> None:
    kept = [line for line in file(row.table).read_text().splitlines() if line.startswith(row.label)]
    assert [row.line()] == kept, "the stack behaves differently: see python -m tests.sim.golden --check"


@pytest.mark.parametrize("table", HEADS)
def test_every_row_is_in_its_table(table: str) -> None:
    text = file(table).read_text()
    assert text.startswith(head(table))
    labels = [row.label for row in rows() if row.table == table]
    lines = text.removeprefix(head(table)).splitlines()
    assert len(lines) == len(labels)
    assert all(line.startswith(label) for line, label in zip(lines, labels, strict=True))
