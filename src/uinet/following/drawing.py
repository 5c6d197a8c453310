"""Time-sequence graphs: one connection as a picture, sequence numbers over time, as tcptrace and xplot draw them."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uinet.errors import InvalidArgument
from uinet.following.api import options
from uinet.following.timesequence import (
    DATA,
    KEEPALIVE,
    KINDS,
    OUT_OF_ORDER,
    PROBE,
    RETRANSMISSION,
    Points,
    Side,
    TimeSequence,
    time_sequence,
)

if TYPE_CHECKING:
    import os

    from uinet.following.inputs import Input

NEEDS = "a picture needs the package matplotlib: pip install 'uinet[plot]'"
SUFFIXES = (".svg", ".png")
MOST = 6000  # marks of one kind on one side; with more of them, those that fall on the same spot are one
COLUMNS = 1500  # spots across
ROWS = 750  # and up
REACH = 2  # the window's edge is within the picture if it is no higher than that, in heights of the data
SMALL = 20  # a side that sent one part in so many of the other has a small panel
UNSHADED = ("snaplen", "urgent")  # holes in segments that are there, and drawn
LABELLED = 12  # holes that have words beside them, if there are no more
WIDE = 130  # letters of a title

# Okabe and Ito's colours, which most people can tell apart
BLUE, VERMILLION, ORANGE, PINK, GREEN, SKY = "#0072B2", "#D55E00", "#E69F00", "#CC79A7", "#009E73", "#56B4E9"
INK, GREY, PALE = "#222222", "#8A8A8A", "#E4E4E4"
COLOURS = {DATA: BLUE, RETRANSMISSION: VERMILLION, OUT_OF_ORDER: ORANGE, PROBE: INK, KEEPALIVE: INK}
SIGNS = {"SYN": ("^", GREEN), "FIN": ("s", INK), "RST": ("X", VERMILLION)}
STYLE: Any = {
    "svg.hashsalt": "uinet", "svg.fonttype": "none", "font.family": ["sans-serif"], "font.size": 9.0,
    "font.sans-serif": ["DejaVu Sans"], "axes.edgecolor": GREY, "axes.labelcolor": INK, "text.color": INK,
    "xtick.color": INK, "ytick.color": INK, "axes.linewidth": 0.8, "path.simplify": False, "hatch.linewidth": 0.5,
    "hatch.color": GREY,
}


def plot(
    source: Input, connection: str | int, target: str | os.PathLike[str], *, filter: str | None = None,
    stop: Callable[[], bool] | None = None, **chosen: Any,
) -> TimeSequence:
    """Draws the time-sequence graph of one connection of `source` into the file `target`, SVG or PNG by its suffix.

    `connection`: its serial number, or ``client:port-server:port``. The other options are those of `follow`. Answers
    what was drawn. InvalidArgument (matplotlib is missing, too); NoConnection if it is not there; errors of the source.
    """
    path = Path(target)
    check(path)
    found = time_sequence(source, connection, options(**chosen), filter=filter, stop=stop)
    draw(found, path)
    return found


def check(path: Path) -> None:
    """InvalidArgument if no picture can be drawn, or not into a file of that name."""
    if path.suffix.lower() not in SUFFIXES:
        raise InvalidArgument(f"{path}: a picture's name ends with .svg or .png")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise InvalidArgument(NEEDS) from None


def draw(found: TimeSequence, path: Path) -> None:
    """Draws into a file. The same picture is the same SVG, byte for byte, with one version of matplotlib."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(12, 8.5), facecolor="white")
        FigureCanvasAgg(figure)
        Picture(figure, found).draw()
        kind = path.suffix.lower()[1:]
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        figure.savefig(path, format=kind, dpi=150, metadata=metadata)


class Picture:
    """The picture under work. `drawn` and `marks`: how many marks there are on it, and how many there were to be."""

    def __init__(self, figure: Any, found: TimeSequence) -> None:
        self.figure = figure
        self.found = found
        self.drawn = 0
        self.marks = 0
        self.legend: dict[str, Any] = {}
        last = max([found.end, *(hole.time for side in (found.client, found.server) for hole in side.holes)])
        self.seconds = max((last - found.start) / 1e9, 1e-6)

    def draw(self) -> None:
        """Everything."""
        sides = (self.found.client, self.found.server)
        most = max(self.found.client.length, self.found.server.length)
        heights = [1.0 if side.length and side.length * SMALL >= most else 0.34 for side in sides]
        axes = self.figure.subplots(
            2, 1, sharex=True, height_ratios=heights,
            gridspec_kw={"left": 0.085, "right": 0.965, "top": 0.856, "bottom": 0.12, "hspace": 0.2},
        )
        for axis, side, name, height in zip(axes, sides, ("client", "server"), heights, strict=True):
            Panel(self, axis, side, name, height < 1).draw()
        axes[1].set_xlabel(f"seconds since {moment(self.found.start)}")
        margin = 0.015 * self.seconds
        axes[1].set_xlim(-margin, self.seconds + margin)
        self._title()
        order = sorted(self.legend, key=lambda name: LEGEND.index(name) if name in LEGEND else len(LEGEND))
        self.figure.legend(
            [self.legend[name] for name in order], order, loc="lower center", ncols=min(8, max(1, len(order))),
            frameon=False, fontsize=8.5, bbox_to_anchor=(0.525, 0.005), columnspacing=1.4, handletextpad=0.5,
        )

    def _title(self) -> None:
        found = self.found
        client, server = found.client, found.server
        title = f"{endpoint(client)}  \N{RIGHTWARDS ARROW}  {endpoint(server)}"
        words = [f"connection {found.serial}"]
        if found.vlans:
            words.append("VLAN " + ":".join(map(str, found.vlans)))
        words += [f"{found.segments:,} segments", f"{(found.end - found.start) / 1e9:,.6g} s", ENDS[found.close]]
        if found.round_trip is not None:
            words.append(f"RTT {duration(found.round_trip)}")
        words += found.notes
        self.figure.text(0.085, 0.955, title, fontsize=14, fontweight="bold")
        self.figure.text(0.085, 0.928, "  \N{MIDDLE DOT}  ".join(words), color="#555555")
        if self.drawn < self.marks:
            self.figure.text(
                0.085, 0.905, f"thinned out: {self.marks:,} marks are drawn as {self.drawn:,}, those that would "
                "cover each other as one", color=VERMILLION, fontsize=8.5,
            )


class Panel:
    """One direction: what a side sent, and what the other said of it."""

    def __init__(self, picture: Picture, axis: Any, side: Side, name: str, small: bool) -> None:
        self.picture = picture
        self.axis = axis
        self.side = side
        self.small = small
        self.name = name
        self.start = picture.found.start
        tops = [side.length, 1, *side.marks.columns[2], *side.acks.columns[1]]
        self.top = max(tops)
        self.bottom = min([0, *side.marks.columns[1]])
        self.thin = Thinning(self.start, picture.seconds, self.bottom, max(self.top - self.bottom, 1))

    def draw(self) -> None:
        """Everything of it."""
        self._frame()
        self._holes()
        self._window()
        self._segments()
        self._answers()
        self._signs()

    def _frame(self) -> None:
        from matplotlib.ticker import MaxNLocator

        axis, side = self.axis, self.side
        axis.grid(True, color=PALE, linewidth=0.6)
        axis.set_axisbelow(True)
        for place in ("top", "right"):
            axis.spines[place].set_visible(False)
        edge = max(side.edges.columns[1], default=0)
        top = edge if self.top < edge <= REACH * self.top else self.top
        height = max(top - self.bottom, 1)
        axis.set_ylim(self.bottom - 0.06 * height, top + 0.08 * height)
        axis.set_ylabel("bytes" if self.small else "sequence number (bytes)")
        axis.yaxis.set_major_formatter(amount)
        axis.yaxis.set_major_locator(MaxNLocator(nbins=4 if self.small else 8, integer=True, min_n_ticks=1))
        axis.set_title(
            textwrap.fill(f"{self.name} sends {described(side)}", WIDE), loc="left", fontsize=9.5, color=INK, pad=5,
        )

    # what was sent

    def _segments(self) -> None:
        from matplotlib.collections import LineCollection

        marks = self.side.marks
        for kind in (DATA, OUT_OF_ORDER, RETRANSMISSION):
            lines = self._count(self.thin.bars(marks, kind), marks.columns[3].count(kind))
            if lines:
                width = 1.6 if kind == DATA else 2.2
                self.axis.add_collection(LineCollection(
                    self._vertical(lines), colors=COLOURS[kind], linewidths=width, capstyle="round", zorder=4 + kind,
                ), autolim=False)
                self._explain(KINDS[kind], COLOURS[kind], "|")
        for kind, marker in ((PROBE, "d"), (KEEPALIVE, "*")):
            points = [(time, start) for time, start, _, what in marks if what == kind]
            self._points(points, KINDS[kind] if kind == KEEPALIVE else "zero-window probe", marker, INK, 28, 6)

    def _signs(self) -> None:
        side = self.side
        for name, (marker, colour) in SIGNS.items():
            points = [(time, offset) for time, offset, sign in side.signs if sign == name]
            self._points(points, name, marker, colour, 34, 7)

    # what the other side said of it

    def _answers(self) -> None:
        from matplotlib.collections import LineCollection

        side = self.side
        acks = self._count(self.thin.steps(side.acks), len(side.acks))
        if acks:
            times, offsets = self._line(acks)
            self.axis.step(times, offsets, where="post", color=GREEN, linewidth=1.0, zorder=3)
            self._explain("ACK of the other side", GREEN, "-")
        blocks = self._count(self.thin.bars(side.sacks, None), len(side.sacks))
        if blocks:
            self.axis.add_collection(LineCollection(
                self._vertical(blocks), colors=PINK, linewidths=1.2, capstyle="butt", alpha=0.3, zorder=1.5,
            ), autolim=False)
            self._explain("SACK block", PINK, "|")
        self._points(side.duplicates, "duplicate ACK", 3, GREEN, 9, 3.5)
        self._points(side.zeros, "window closed", "o", VERMILLION, 30, 6, hollow=True)

    def _window(self) -> None:
        side = self.side
        if not side.edges:
            return
        edges = self._count(self.thin.steps(side.edges), len(side.edges))
        times, offsets = self._line(edges)
        if min(offsets) > self.axis.get_ylim()[1]:
            return  # of a side that sent little it is far above: the panel's title says how large it is
        self.axis.step(times, offsets, where="post", color=ORANGE, linewidth=0.9, zorder=2)
        self._explain("window's edge", ORANGE, "-")

    # what is missing

    def _holes(self) -> None:
        from matplotlib.patches import Rectangle

        holes = [hole for hole in self.side.holes if hole.reason not in UNSHADED]
        self.picture.marks += len(holes)
        self.picture.drawn += min(len(holes), MOST)
        for hole in sorted(holes, key=lambda hole: -hole.length)[:MOST]:
            left, right = self._x(hole.since), self._x(hole.time)
            self.axis.add_patch(Rectangle(
                (left, hole.offset), right - left, hole.length, facecolor=VERMILLION, alpha=0.16, hatch=None,
                linewidth=0, zorder=1,
            ))
            self.axis.plot([left, right], [hole.offset] * 2, color=VERMILLION, linewidth=0.8, linestyle=":", zorder=2)
            if len(holes) <= LABELLED:
                self.axis.annotate(
                    f"{hole.length:,} bytes {hole.reason}", (right, hole.offset + hole.length / 2), xytext=(6, 0),
                    textcoords="offset points", fontsize=7.5, color=VERMILLION, va="center", zorder=8,
                )
        self._points([(hole.time, hole.offset) for hole in holes], "hole, declared", "x", VERMILLION, 26, 7)
        if holes:
            self.picture.legend["missing bytes"] = Rectangle((0, 0), 1, 1, facecolor=VERMILLION, alpha=0.2)

    # helpers

    def _points(
        self, points: Iterable[Sequence[int]], label: str, marker: Any, colour: str, size: float, order: float, *,
        hollow: bool = False,
    ) -> None:
        every = list(points)
        kept = self._count(self.thin.spots(every), len(every))
        if kept:
            face = {"facecolors": "none", "edgecolors": colour} if hollow else {"color": colour}
            self.axis.scatter(
                *self._line(kept), s=size, marker=marker, linewidths=1.1, zorder=order, clip_on=marker == 3, **face
            )
            self._explain(label, colour, marker, hollow=hollow)

    def _explain(self, label: str, colour: str, marker: Any, *, hollow: bool = False) -> None:
        """Adds to the legend."""
        from matplotlib.lines import Line2D

        if marker == "-":
            handle = Line2D([], [], color=colour, linewidth=1.6)
        else:
            handle = Line2D(
                [], [], color=colour, linestyle="none", marker=marker, markersize=8 if marker == "|" else 6,
                markeredgewidth=2 if marker == "|" else 1, fillstyle="none" if hollow else "full",
            )
        self.picture.legend.setdefault(label, handle)

    def _count(self, drawn: list[tuple[int, ...]], marks: int) -> list[tuple[int, ...]]:
        self.picture.drawn += min(len(drawn), marks)
        self.picture.marks += marks
        return drawn

    def _x(self, time: int) -> float:
        return (time - self.start) / 1e9

    def _line(self, rows: Iterable[Sequence[int]]) -> tuple[list[float], list[int]]:
        """The coordinates of (time, offset)."""
        rows = list(rows)
        return [self._x(row[0]) for row in rows], [row[1] for row in rows]

    def _vertical(self, rows: Iterable[Sequence[int]]) -> list[list[tuple[float, int]]]:
        """The lines of (time, start, end)."""
        return [[(self._x(time), start), (self._x(time), end)] for time, start, end in rows]


class Thinning:
    """What is left of too many marks: of those that fall on the same spot of the paper, one that covers them all."""

    def __init__(self, start: int, seconds: float, bottom: int, height: int) -> None:
        self.start = start
        self.wide = max(1, int(seconds * 1e9) // COLUMNS)
        self.bottom = bottom
        self.high = max(1, height // ROWS)

    def bars(self, rows: Points, kind: int | None) -> list[tuple[int, ...]]:
        """(time, start, end) of the rows of that kind; of all if it is None."""
        chosen: Iterator[tuple[int, ...]] = (row[:3] for row in rows if kind is None or row[3] == kind)
        found = list(chosen)
        if len(found) <= MOST:
            return found
        spots: dict[tuple[int, int], tuple[int, int, int]] = {}
        for time, start, end in found:
            spot = self._spot(time, start)
            before = spots.get(spot)
            if before is None:
                spots[spot] = (time, start, end)
            else:
                spots[spot] = (before[0], min(before[1], start), max(before[2], end))
        return list(spots.values())

    def spots(self, rows: list[Sequence[int]]) -> list[tuple[int, ...]]:
        """(time, offset)."""
        if len(rows) <= MOST:
            return [tuple(row) for row in rows]
        return list({self._spot(row[0], row[1]): tuple(row) for row in rows}.values())

    def steps(self, rows: Points) -> list[tuple[int, ...]]:
        """(time, offset) of a line: in each column it is entered, left, and as low and as high as it was."""
        if len(rows) <= MOST:
            return list(rows)
        kept: list[tuple[int, ...]] = []
        column: list[tuple[int, ...]] = []
        number = None
        for row in rows:
            here = (row[0] - self.start) // self.wide
            if here != number and column:
                kept += extremes(column)
                column = []
            number = here
            column.append(row)
        return kept + extremes(column)

    def _spot(self, time: int, offset: int) -> tuple[int, int]:
        return (time - self.start) // self.wide, (offset - self.bottom) // self.high


def extremes(rows: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """The first, the last, the lowest and the highest of (time, offset), in order."""
    if len(rows) <= 4:
        return rows
    numbers = {0, len(rows) - 1}
    by_offset = range(len(rows))
    numbers.add(min(by_offset, key=lambda number: rows[number][1]))
    numbers.add(max(by_offset, key=lambda number: rows[number][1]))
    return [rows[number] for number in sorted(numbers)]


LEGEND = [
    "data", "out of order", "retransmission", "ACK of the other side", "window's edge", "SACK block", "duplicate ACK",
    "window closed", "zero-window probe", "keepalive", "missing bytes", "hole, declared", "SYN", "FIN", "RST",
]
ENDS = {
    "fin": "ended with FIN", "rst": "reset", "timeout": "idle until it was given up",
    "end": "open at the capture's end", "": "still open",
}


def endpoint(side: Side) -> str:
    """``10.0.0.1:80``, ``[fd00::1]:80``."""
    return f"[{side.address}]:{side.port}" if side.address.version == 6 else f"{side.address}:{side.port}"


def described(side: Side) -> str:
    """``63,003 bytes, 12 retransmissions, RTT 10 ms ...``."""
    words = [f"{side.length:,} bytes"]
    again, late = side.count(RETRANSMISSION), side.count(OUT_OF_ORDER)
    if again:
        words.append(f"{again:,} retransmission{'s' * (again > 1)}")
    if late:
        words.append(f"{late:,} segment{'s' * (late > 1)} out of order")
    if side.holes:
        reasons = ", ".join(sorted({hole.reason for hole in side.holes}))
        number = f"{len(side.holes):,} holes" if len(side.holes) > 1 else "one hole"
        words.append(f"{sum(hole.length for hole in side.holes):,} bytes missing in {number} ({reasons})")
    if side.round_trips:
        trips = side.round_trips
        low, middle, high = min(trips), statistics.median(trips), max(trips)
        words.append(f"ACKs after {duration(low)} to {duration(high)}, median {duration(middle)}")
    if side.windows:
        low, high = min(side.windows), max(side.windows)
        words.append(f"windows {size(low)} to {size(high)}" if low < high else f"window {size(high)}")
    return ", ".join(words)


def duration(nanoseconds: float) -> str:
    """``12.3 ms``."""
    for unit, one in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if nanoseconds >= one:
            return f"{nanoseconds / one:.3g} {unit}"
    return f"{nanoseconds:.0f} ns"


def size(value: int) -> str:
    """``1.05 MB``."""
    return f"{amount(float(f'{value:.3g}'))}B"


def amount(value: float, position: object = None) -> str:
    """``1.5 M``."""
    for prefix, one in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= one:
            return f"{value / one:.6g} {prefix}"
    return f"{value:.0f} "


def moment(time: int) -> str:
    """The time of day, UTC."""
    at = datetime.fromtimestamp(time // 10**9, UTC)
    return f"{at:%Y-%m-%d %H:%M:%S}.{time % 10**9 // 1000:06d} UTC"
