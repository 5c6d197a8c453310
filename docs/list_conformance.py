"""Writes docs/conformance and its part of mkdocs.yml from a run of the tests that name a requirement:
``python docs/list_conformance.py``.

A test names what it holds the stack to by a marker, ``@pytest.mark.rfc(number, section or item, requirement)`` or
``@pytest.mark.threat(number)``. ``deviation="why"`` says that the test shows what the stack does instead.
"""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
TESTS = ROOT / "tests"
ITEMS = TESTS / "conformance" / "rfc9293" / "items.tsv"
CASES = TESTS / "conformance" / "threats" / "cases.tsv"
MADE = "Made from a run of the tests by `docs/list_conformance.py`; a test sees to it that this page is up to date.\n"
TITLES = {
    "768": "UDP", "791": "IPv4", "792": "ICMP", "815": "reassembly", "826": "ARP", "894": "IP over Ethernet",
    "1112": "multicast", "1122": "hosts", "1191": "path MTU, IPv4", "1337": "TIME-WAIT assassination", "2018": "SACK",
    "2131": "DHCP", "2132": "DHCP options", "2236": "IGMPv2", "2385": "MD5 signatures", "2710": "MLD",
    "2883": "duplicate SACK", "3042": "limited transmit", "3168": "ECN", "3203": "DHCP force renew", "3376": "IGMPv3",
    "3442": "classless routes of DHCP", "3465": "appropriate byte counting", "3493": "socket options of IPv6",
    "3522": "Eifel detection", "3590": "source addresses of MLD", "3810": "MLDv2", "4015": "Eifel response",
    "4191": "router preferences", "4291": "IPv6 addresses", "4361": "DHCP client identifiers",
    "4429": "optimistic DAD", "4443": "ICMPv6", "4821": "path MTU by packetization layer",
    "4861": "neighbour discovery", "4862": "SLAAC", "4987": "SYN floods", "5095": "routing header 0",
    "5227": "address conflicts, IPv4", "5453": "reserved interface identifiers", "5461": "soft errors",
    "5482": "user timeout", "5681": "congestion control", "5682": "F-RTO", "5722": "overlapping fragments",
    "5925": "TCP-AO", "5926": "algorithms of TCP-AO", "5927": "ICMP attacks", "5942": "on-link prefixes",
    "5961": "blind attacks", "6056": "ports", "6093": "urgent data", "6104": "rogue routers",
    "6191": "TIME-WAIT and timestamps", "6298": "retransmission timer", "6429": "persist", "6528": "ISNs",
    "6582": "NewReno", "6583": "neighbour tables under attack", "6633": "source quench", "6675": "recovery with SACK",
    "6724": "address selection", "6864": "IPv4 identifications", "6928": "initial window",
    "6937": "proportional rate reduction", "6946": "atomic fragments", "6980": "fragments of ND",
    "7112": "header chains", "7217": "stable opaque addresses", "7323": "window scale, timestamps",
    "7413": "Fast Open", "7527": "looped-back duplicates", "7559": "router solicitations",
    "7661": "use of the congestion window", "7739": "fragment identifications", "8106": "RDNSS and DNSSL",
    "8200": "IPv6", "8201": "path MTU, IPv6", "8504": "IPv6 nodes", "8899": "datagram path MTU",
    "8981": "temporary addresses", "8985": "RACK-TLP", "9293": "TCP", "9406": "HyStart++", "9438": "CUBIC",
    "9768": "accurate ECN", "9937": "PRR",
}

COUNTED = {
    "passes": "pass", "deviates": "deviate on purpose", "not yet": "don't pass yet", "not run": "were not run",
    "**fails**": "fail", "untested": "are rules for applications or options that are not taken",
}


class Held(NamedTuple):
    """One requirement of an RFC and the tests for it."""

    section: str
    requirement: str
    records: list[dict[str, Any]]
    deviation: str


def marked_files() -> list[str]:
    """The test files that name a requirement. Interop tests are left out: what they find depends on the machine."""
    marker = re.compile(r"mark\.(?:rfc|threat)\(")
    found = [
        path for path in sorted(TESTS.rglob("test_*.py"))
        if "interop" not in path.relative_to(TESTS).parts and marker.search(path.read_text())
    ]
    return [str(path.relative_to(ROOT)) for path in found]


def records(*, run: bool) -> list[dict[str, Any]]:
    """What the recorder has found (`tests.conformance.recorder`). Without `run` tests are collected only."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "records.json"
        command = [
            sys.executable, "-m", "pytest", "-p", "tests.conformance.recorder", "--record", str(path), "-m",
            "rfc or threat", "-q", "-p", "no:cacheprovider", *([] if run else ["--collect-only"]), *marked_files(),
        ]
        done = subprocess.run(command, cwd=ROOT, capture_output=not run, text=True)
        if done.returncode not in (0, 1) or not path.exists():
            raise SystemExit(f"pytest failed:\n{done.stdout}\n{done.stderr}")
        found: list[dict[str, Any]] = json.loads(path.read_text())
        return found


def table_of(path: Path) -> list[dict[str, str]]:
    """A table with a header, tabs between columns."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def link(record: dict[str, Any]) -> str:
    """A test as a link to its file, from docs/conformance."""
    path, _, name = record["test"].partition("::")
    return f"[`{name.rpartition('::')[2]}`](../../{path})"


def result(found: list[dict[str, Any]], deviation: str = "") -> str:
    """How the tests of one requirement ended, in words."""
    outcomes = {record["outcome"] for record in found}
    if "failed" in outcomes:
        return "**fails**"
    if "xfailed" in outcomes:
        reasons = {record["reason"] for record in found if record["outcome"] == "xfailed"}
        return "not yet: " + "; ".join(sorted(reasons))
    if "skipped" in outcomes:
        return "not run"
    return f"deviates: {deviation}" if deviation else "passes"


def by_rfc(found: list[dict[str, Any]]) -> dict[str, list[Held]]:
    """RFC number -> its requirements in order of section."""
    grouped: dict[str, dict[tuple[str, str], Held]] = defaultdict(dict)
    for record in found:
        for entry in record["rfc"]:
            key = entry["section"], entry["requirement"]
            held = grouped[entry["number"]].setdefault(key, Held(*key, [], entry["deviation"]))
            held.records.append(record)
    return {number: sorted(rows.values(), key=in_order) for number, rows in grouped.items()}


def in_order(held: Held) -> tuple[list[tuple[int, str]], str]:
    """Sorts sections as numbers, and what has none by name."""
    parts = re.findall(r"\d+|[^\d.]+", held.section)
    return [(int(part), "") if part.isdigit() else (1 << 30, part) for part in parts], held.requirement


def rows_of_rfc(rows: list[Held]) -> str:
    """The table of any RFC."""
    lines = [
        f"| {held.section} | {held.requirement} | {', '.join(link(record) for record in held.records)} "
        f"| {result(held.records, held.deviation)} |"
        for held in rows
    ]
    return "\n".join(["| section | requirement | tests | result |", "|---|---|---|---|", *lines, ""])


def page_of_rfc(number: str, rows: list[Held]) -> str:
    """The page of one RFC."""
    title = f"RFC {number}: {TITLES[number]}" if number in TITLES else f"RFC {number}"
    return f"# {title}\n\n{MADE}\n{rows_of_rfc(rows)}"


def page_of_tcp(rows: list[Held]) -> str:
    """The page of RFC 9293: its numbered requirements first, then whatever else tests name."""
    items = table_of(ITEMS)
    names = {item["id"] for item in items}
    held: dict[str, list[Held]] = defaultdict(list)
    for row in rows:
        held[row.section].append(row)
    lines = []
    counts: dict[str, int] = defaultdict(int)
    for item in items:
        tests = [record for row in held[item["id"]] for record in row.records]
        deviation = next((row.deviation for row in held[item["id"]] if row.deviation), "")
        outcome = result(tests, deviation) if tests else item["note"]
        counts[outcome.partition(":")[0] if tests else "untested"] += 1
        lines.append(
            f"| {item['id']} | {item['level']} | {item['section']} | {item['requirement']} "
            f"| {', '.join(map(link, tests))} | {outcome} |"
        )
    said = [f"{counts[name]} {what}" for name, what in COUNTED.items() if counts[name]]
    others = [row for row in rows if row.section not in names]
    parts = [
        "# RFC 9293: TCP\n", MADE,
        f"The RFC numbers {len(items)} requirements (appendix B). Of these {', '.join(said)}.\n",
        "| item | level | section | requirement | tests | result |", "|---|---|---|---|---|---|", *lines, "",
    ]
    if others:
        parts += ["## Beyond the numbered ones\n", rows_of_rfc(others)]
    return "\n".join(parts)


def page_of_threats(found: list[dict[str, Any]]) -> str:
    """The page of the threats."""
    tests: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in found:
        for number in record["threat"]:
            tests[number].append(record)
    parts = ["# Threats\n", MADE, "Attacks and accidents that the stack survives, and the tests for them.\n"]
    section = ""
    for case in table_of(CASES):
        if case["section"] != section:
            section = case["section"]
            parts += ["", f"## {section}\n", "| case | what | tests | result |", "|---|---|---|---|"]
        mine = tests[case["number"]]
        outcome = result(mine) if mine else case["note"]
        parts.append(f"| {case['number']} | {case['what']} | {', '.join(map(link, mine))} | {outcome} |")
    return "\n".join(parts).replace("\n\n\n", "\n\n") + "\n"


def index(pages: dict[str, list[Held]], found: list[dict[str, Any]]) -> str:
    """The first page: what there is."""
    lines = ["| | requirements | tests |", "|---|---|---|"]
    for number in sorted(pages, key=int):
        tests = {record["test"] for held in pages[number] for record in held.records}
        count = len(pages[number]) if number != "9293" else len({held.section for held in pages[number]})
        lines.append(f"| [RFC {number}](rfc{number}.md) {TITLES.get(number, '')} | {count} | {len(tests)} |")
    numbers = {number for record in found for number in record["threat"]}
    count = sum(bool(record["threat"]) for record in found)
    lines.append(f"| [Threats](threats.md) | {len(numbers)} | {count} |")
    return "\n".join([
        "# What the tests hold the stack to\n", MADE,
        "Each line of these pages is a requirement, the tests that check it, and how they ended. *Deviates*: the stack",
        "does something else on purpose, and the test shows what. *Not yet*: the test fails, for the reason given.",
        "What an RFC asks for and no test names is not here; [RFC by RFC](../rfc/index.md) says what is done.\n",
        "```sh",
        "pytest tests -m 'rfc or threat'       # all of them",
        "python docs/list_conformance.py       # the same, and these pages anew",
        "```\n",
        *lines, "",
    ])


def pages(found: list[dict[str, Any]]) -> dict[str, str]:
    """File name in docs/conformance -> text."""
    rfcs = by_rfc(found)
    made = {f"rfc{number}.md": page_of_rfc(number, rows) for number, rows in rfcs.items() if number != "9293"}
    made["rfc9293.md"] = page_of_tcp(rfcs.get("9293", []))
    made["threats.md"] = page_of_threats(found)
    made["index.md"] = index(rfcs, found)
    return made


def navigation(made: dict[str, str], text: str) -> str:
    """mkdocs.yml, with the pages as they are now."""
    numbers = sorted(int(match.group(1)) for name in made if (match := re.fullmatch(r"rfc(\d+)\.md", name)))
    lines = ["  - Conformance:", "      - Overview: conformance/index.md"]
    lines += [
        f'      - "{number}{": " + TITLES[str(number)] if str(number) in TITLES else ""}": conformance/rfc{number}.md'
        for number in numbers
    ]
    lines.append("      - Threats: conformance/threats.md")
    return re.sub(r"^  - Conformance:\n(?: {6}.*\n)*", "\n".join(lines) + "\n", text, count=1, flags=re.M)


if __name__ == "__main__":
    made = pages(records(run=True))
    folder = Path(__file__).with_name("conformance")
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.md"):
        if old.name not in made:
            old.unlink()
    for name, text in made.items():
        (folder / name).write_text(text)
    site = ROOT / "mkdocs.yml"
    site.write_text(navigation(made, site.read_text()))
