"""``python -m bench.curves FILE.svg``: what things cost at 10, 100, ... a million connections, as curves.

`python -m bench scale` leaves the figures in bench/results/scale.json. Each curve is the cost relative to that at the
fewest connections: a flat line is what a stack should have. Both axes are logarithmic.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

from bench.harness import RESULTS

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 380, 62, 190, 24, 46
LEAST, MOST = 0.5, 4.0  # the range of the vertical axis; what is beyond is drawn at its edge
INK, GREY = "#222222", "#C8C8C8"
CURVES = (
    ("connect_us", "connect and accept", "us", "#0072B2"),
    ("trip_us", "round trip of 64 bytes", "us", "#009E73"),
    ("bulk_ns", "segment in bulk", "ns", "#D55E00"),
)


def across(count: float, counts: list[float]) -> float:
    """Where a number of connections lies."""
    low, high = math.log(counts[0]), math.log(counts[-1])
    return LEFT + (math.log(count) - low) / ((high - low) or 1) * (WIDTH - LEFT - RIGHT)


def up(value: float) -> float:
    """Where a relative cost lies."""
    part = (math.log(min(MOST, max(LEAST, value))) - math.log(LEAST)) / (math.log(MOST) - math.log(LEAST))
    return HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)


def frame(counts: list[float]) -> list[str]:
    """Axes and grid."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="DejaVu Sans, sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for value in (0.5, 1.0, 2.0, 4.0):
        y = up(value)
        parts += [
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{GREY}"/>',
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" fill="{INK}">x {value:g}</text>',
        ]
    for count in counts:
        x = across(count, counts)
        parts += [
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="{GREY}"/>',
            f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle" fill="{INK}">{count:,.0f}</text>',
        ]
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 8}" text-anchor="middle" fill="{INK}">open connections</text>')
    return parts


def draw(points: list[dict[str, float]]) -> str:
    """The picture, as SVG."""
    counts = [point["count"] for point in points]
    parts = frame(counts)
    for row, (key, label, unit, colour) in enumerate(CURVES):
        first, last = points[0][key], points[-1][key]
        places = [(across(point["count"], counts), up(point[key] / first)) for point in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        beside, below = WIDTH - RIGHT + 14, TOP + 16 + 44 * row
        parts += [
            f'<text x="{beside}" y="{below}" fill="{colour}">{label}</text>',
            f'<text x="{beside}" y="{below + 16}" fill="{INK}">{first:.3g} to {last:.3g} {unit}</text>',
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: python -m bench.curves FILE.svg", file=sys.stderr)
        return 2
    path = RESULTS / "scale.json"
    record: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    if not record.get("curve"):
        print("bench.curves: no curve in bench/results: run python -m bench scale --only curve first", file=sys.stderr)
        return 1
    Path(sys.argv[1]).write_text(draw(record["curve"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
