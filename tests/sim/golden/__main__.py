"""``python -m tests.sim.golden --check|--write [TABLE...] [--jobs N]``: computes the golden tables.

--check shows how they differ from what is kept, and fails if they do; --write keeps them.
"""

from __future__ import annotations

import argparse
import difflib
import multiprocessing
import sys
import time

import uinet
from tests.sim.golden.tables import HEADS, Row, file, head, rows


def compute(number: int) -> tuple[int, str]:
    """The line of the row with that number; rows are the same in every process."""
    return number, list(rows())[number].line()


def computed(chosen: list[int], found: list[Row], jobs: int) -> dict[int, str]:
    """The lines of the rows with these numbers, with progress on standard error."""
    began, lines = time.monotonic(), {}
    with multiprocessing.Pool(jobs) as pool:
        for done, (number, line) in enumerate(pool.imap_unordered(compute, chosen), 1):
            lines[number] = line
            text = f"{done}/{len(chosen)} rows, {time.monotonic() - began:.0f} s: {found[number].table:<20}"
            if sys.stderr.isatty():
                print(f"\r{text}", end="" if done < len(chosen) else "\n", file=sys.stderr, flush=True)
            elif done % 20 == 0:
                print(text, file=sys.stderr, flush=True)
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim.golden", description=__doc__)
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=f"some of: {', '.join(HEADS)} (default: all)")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--check", action="store_true", help="compare with what is kept")
    what.add_argument("--write", action="store_true", help="keep what is computed")
    parser.add_argument("--jobs", type=int, default=multiprocessing.cpu_count(), help="processes (default: processors)")
    arguments = parser.parse_args()
    tables = arguments.tables or list(HEADS)
    if unknown := [name for name in tables if name not in HEADS]:
        parser.error(f"no table {', '.join(unknown)}")
    if not uinet.compiled():
        print("note: the interpreted build takes hours for this", file=sys.stderr)
    found = list(rows())
    lines = computed([i for i, row in enumerate(found) if row.table in tables], found, arguments.jobs)
    differ = False
    for table in tables:
        text = head(table) + "".join(f"{lines[i]}\n" for i, row in enumerate(found) if row.table == table)
        if arguments.write:
            file(table).write_text(text)
            continue
        kept = file(table).read_text() if file(table).exists() else ""
        names = f"{table} kept", f"{table} computed"
        for line in difflib.unified_diff(kept.splitlines(), text.splitlines(), *names, n=0, lineterm=""):
            differ = True
            print(line)
    return int(differ)


if __name__ == "__main__":
    sys.exit(main())
