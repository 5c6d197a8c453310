"""A pytest plugin that records which tests hold the stack to which requirement, and how they ended.

``pytest -p tests.conformance.recorder --record FILE``: writes a list of one object a test function as JSON: `test` (its
node's name without parameters), `rfc` and `threat` (the arguments of its markers), `deviation` (why the stack does
something else, if the test shows that), `outcome`: "passed", "failed" or "xfailed", of several parameters the worst.
With ``--collect-only`` nothing runs, and the outcome is the one that a test has when it does what its markers say.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

WORST_LAST = ("passed", "skipped", "xfailed", "failed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", metavar="FILE", help="write which test holds to which requirement, and its outcome")


def pytest_configure(config: pytest.Config) -> None:
    path = config.getoption("--record")
    if path:
        config.pluginmanager.register(Recorder(Path(path), config.getoption("collectonly")), "recorder of outcomes")


class Recorder:
    """Gathers markers at collection, outcomes as tests run, and writes both in the end."""

    def __init__(self, path: Path, collect_only: bool) -> None:
        self.path = path
        self.collect_only = collect_only
        self.records: dict[str, dict[str, Any]] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            rfc = [read_rfc(marker) for marker in item.iter_markers("rfc")]
            threats = [str(marker.args[0]) for marker in item.iter_markers("threat")]
            if not rfc and not threats:
                continue
            record = self.records.setdefault(name_of(item.nodeid), {"rfc": [], "threat": [], "outcome": "passed"})
            record["rfc"] += [entry for entry in rfc if entry not in record["rfc"]]
            record["threat"] += [number for number in threats if number not in record["threat"]]
            expected = item.get_closest_marker("xfail")
            if expected is not None:
                record["reason"] = expected.kwargs.get("reason", "")
                if self.collect_only:
                    record["outcome"] = "xfailed"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        record = self.records.get(name_of(report.nodeid))
        if record is None or (report.when != "call" and report.passed):
            return
        outcome = "xfailed" if report.skipped and hasattr(report, "wasxfail") else report.outcome
        record["outcome"] = max(record["outcome"], outcome, key=WORST_LAST.index)

    def pytest_sessionfinish(self) -> None:
        found = [{"test": name, **record} for name, record in sorted(self.records.items())]
        self.path.write_text(json.dumps(found, indent=1))


def name_of(nodeid: str) -> str:
    """A node's name without its parameters."""
    return nodeid.partition("[")[0]


def read_rfc(marker: pytest.Mark) -> dict[str, str]:
    """The arguments of an ``rfc`` marker."""
    number, section, requirement = (str(argument) for argument in marker.args)
    return {
        "number": number, "section": section, "requirement": requirement,
        "deviation": marker.kwargs.get("deviation", ""),
    }
