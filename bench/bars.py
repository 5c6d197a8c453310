"""``python -m bench.bars FILE.svg``: the ratios that the benchmarks of rates have left in bench/results, as bars.

A bar to the right of the line at 1 is in favour of uinet; the tick on it is what is wanted. Times are turned round, so
that longer is better everywhere.
"""

from __future__ import annotations

import json
import sys
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from bench.harness import RESULTS

ROW, LABEL, WIDTH, MARGIN = 26, 330, 760, 18
MOST = 2.0  # ratios beyond are cut, and written
GOOD, SHORT, INK, GREY = "#009E73", "#D55E00", "#222222", "#8A8A8A"


class Bar(NamedTuple):
    """A ratio, uinet's by the other's, longer is better; `wanted` likewise."""

    label: str
    value: float
    wanted: float


def load(name: str) -> dict[str, Any]:
    """What a benchmark has left; {} if it was not run."""
    path = RESULTS / f"{name}.json"
    record: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return record


def collect() -> list[Bar]:
    """The bars of all benchmarks that were run."""
    bars: list[Bar] = []
    latency = load("latency")
    for name, ratio in latency.get("ratios", {}).items():
        bars.append(Bar(f"round trip of 64 bytes, {name} : kernel", 1 / ratio, 1 / latency["wanted_at_most"]))
    connections = load("connections")
    for name, ratio in connections.get("ratios", {}).items():
        bars.append(Bar(f"connections a second, {name} : kernel", ratio, connections["wanted"]["ratio"]))
    if connections:
        wanted = connections["wanted"]["engine_per_cpu_second"]
        bars.append(Bar(f"connections per CPU-second, engine : {wanted}",
                        connections["engine_per_cpu_second"] / wanted, 1.0))
    http = load("http")
    for name, ratio in http.get("ratios", {}).items():
        bars.append(Bar(f"requests a second, {name} : kernel", ratio, http["wanted"]))
    for name, what in (("proxy", "proxy, {} : HAProxy"), ("lwip", "{} 1500-byte packets per CPU : lwIP")):
        record = load(name)
        for title, found in record.items():
            if isinstance(found, dict) and "ratio" in found:
                bars.append(Bar(what.format(title), found["ratio"], record["wanted"]))
    return bars


def draw(bars: list[Bar]) -> str:
    """The picture, as SVG."""
    scale = (WIDTH - LABEL - MARGIN) / MOST
    height = len(bars) * ROW + 2 * MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        'font-family="DejaVu Sans, sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
    ]
    for row, bar in enumerate(bars):
        top = MARGIN + row * ROW
        length = min(bar.value, MOST) * scale
        tick = LABEL + bar.wanted * scale
        colour = GOOD if bar.value >= bar.wanted else SHORT
        parts += [
            f'<text x="{LABEL - 8}" y="{top + 16}" text-anchor="end" fill="{INK}">{escape(bar.label)}</text>',
            f'<rect x="{LABEL}" y="{top + 4}" width="{length:.1f}" height="{ROW - 10}" fill="{colour}"/>',
            f'<line x1="{tick:.1f}" x2="{tick:.1f}" y1="{top + 1}" y2="{top + ROW - 3}" stroke="{INK}" '
            'stroke-width="2"/>',
            f'<text x="{LABEL + min(length, MOST * scale - 40) + 6:.1f}" y="{top + 16}" fill="{INK}">'
            f"{bar.value:.2f}</text>",
        ]
    one = LABEL + scale
    parts += [
        f'<line x1="{one}" x2="{one}" y1="{MARGIN - 6}" y2="{height - MARGIN + 6}" stroke="{GREY}" '
        'stroke-dasharray="3 3"/>',
        f'<text x="{one}" y="{height - 2}" text-anchor="middle" fill="{GREY}">1.0</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: python -m bench.bars FILE.svg", file=sys.stderr)
        return 2
    bars = collect()
    if not bars:
        print("bench.bars: nothing in bench/results: run python -m bench first", file=sys.stderr)
        return 1
    Path(sys.argv[1]).write_text(draw(bars))
    return 0


if __name__ == "__main__":
    sys.exit(main())
