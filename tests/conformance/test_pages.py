"""docs/conformance says what the tests say: which of them hold the stack to what, and that nothing is left out."""

from __future__ import annotations

import csv
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "rfc9293.tsv"
SCRIPT = runpy.run_path(str(ROOT / "docs" / "list_conformance.py"))
ITEMS = {item["id"]: item for item in SCRIPT["table_of"](SCRIPT["ITEMS"])}
CASES = {case["number"]: case for case in SCRIPT["table_of"](SCRIPT["CASES"])}


@pytest.fixture(scope="module")
def found() -> list[dict[str, Any]]:
    """All tests that name a requirement, each with the outcome that it has when it does what its markers say: whether
    it does is what the test itself tells."""
    records: list[dict[str, Any]] = SCRIPT["records"](run=False)
    return records


def test_pages_are_up_to_date(found: list[dict[str, Any]]) -> None:
    made = SCRIPT["pages"](found)
    there = {path.name: path.read_text() for path in (ROOT / "docs" / "conformance").glob("*.md")}
    stale = sorted(name for name in made.keys() | there.keys() if made.get(name) != there.get(name))
    assert stale == [], "run: python docs/list_conformance.py"
    navigation = (ROOT / "mkdocs.yml").read_text()
    assert SCRIPT["navigation"](made, navigation) == navigation, "run: python docs/list_conformance.py"


def test_every_requirement_of_rfc_9293_has_a_test_or_a_reason_to_have_none(found: list[dict[str, Any]]) -> None:
    named = {entry["section"] for record in found for entry in record["rfc"] if entry["number"] == "9293"}
    bare = [name for name, item in ITEMS.items() if name not in named and not item["note"]]
    assert bare == []
    assert [name for name, item in ITEMS.items() if name in named and item["note"]] == []
    assert [name for name in named if re.match(r"(MUST|SHLD|MAY|REC)-", name) and name not in ITEMS] == []
    for name, item in ITEMS.items():
        if not item["note"]:
            continue
        assert item["level"] == "MAY" or item["note"] == "a rule for applications", name


def test_every_threat_has_a_test_or_a_reason_to_have_none(found: list[dict[str, Any]]) -> None:
    named = {number for record in found for number in record["threat"]}
    assert [number for number, case in CASES.items() if number not in named and not case["note"]] == []
    assert [number for number, case in CASES.items() if number in named and case["note"]] == []
    assert [number for number in named if number not in CASES] == []


def test_the_list_of_requirements_is_the_rfcs() -> None:
    kinds: dict[str, list[int]] = {}
    for name in ITEMS:
        kind, _, number = name.partition("-")
        kinds.setdefault(kind, []).append(int(number))
    for numbers in kinds.values():
        assert sorted(numbers) == list(range(1, len(numbers) + 1))
    assert {kind: len(numbers) for kind, numbers in kinds.items()} == {"MUST": 69, "SHLD": 31, "MAY": 18, "REC": 1}


@pytest.mark.parametrize("path", [path for path in [SHARED] if path.exists()])
def test_the_list_of_requirements_agrees_with_another(path: Path) -> None:
    with path.open(newline="") as file:
        rows = {row["id"]: row["level"] for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)}
    assert {name: item["level"] for name, item in ITEMS.items()} == rows
