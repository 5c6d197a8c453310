"""``python -m bench [NAME...] [--runs N]``: runs benchmarks one after the other."""

from __future__ import annotations

import argparse
import importlib
import sys

import uinet
from bench.harness import Placement, Skipped

NAMES = (
    "receive_path", "idle", "bulk", "offload", "latency", "connections", "http", "proxy", "bridge", "lwip", "packet",
    "threads",
)
# half an hour, some GB, options: only by name; what follows is their own
LONG = ("passive", "recovery", "scale", "control", "honeypot", "codec")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description="uinet's benchmarks")
    known = f"some of: {', '.join(NAMES)} (default: these), {', '.join(LONG)}"
    parser.add_argument("names", nargs="*", metavar="NAME", help=known)
    parser.add_argument("--runs", type=int, default=5, help="runs of each, interleaved (default 5)")
    alone = "each end has a processor for itself, by real-time priority: on a machine that does other work too"
    parser.add_argument("--alone", action="store_true", help=alone)
    words = sys.argv[1:]
    behind = next((i + 1 for i, word in enumerate(words) if word in LONG), len(words))
    arguments = parser.parse_args(words[:behind])
    unknown = [name for name in arguments.names if name not in (*NAMES, *LONG)]
    if unknown or arguments.runs < 1:
        parser.error(f"no benchmark {', '.join(unknown)}" if unknown else "--runs is at least 1")
    Placement.alone = arguments.alone
    if not uinet.compiled():
        print("note: this is the interpreted build; figures are of the compiled one", file=sys.stderr)
    for name in arguments.names or NAMES:
        try:
            options = (words[behind:],) if name in LONG else ()
            importlib.import_module(f"bench.{name}").main(arguments.runs, *options)
        except Skipped as why:
            print(f"{name}: not run: {why}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
