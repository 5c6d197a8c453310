"""What ``uinet top`` shows, without a screen: rates between two looks, and time-sequence samples of a connection."""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from typing import Any, NamedTuple

from uinet.cli.basics import si
from uinet.cli.canvas import Canvas
from uinet.stats import COUNTERS
from uinet.units import MASK32

HISTORY = 120  # looks of which throughput is remembered
SAMPLES = 600
DROP_WORDS = ("dropped", "not sent")
ORDERS = ("-bytes_in", "-bytes_out", "-retransmits", "-rtt", "-queued", "-unread", "-serial", "serial")
MANY = 50_000  # connections; of more, the list is asked for more seldom
SELDOM = 10
RED, GREEN, BLUE, GREY = "red", "green", "cyan", "bright_black"


class Rates:
    """What changes from one record of totals to the next."""

    def __init__(self) -> None:
        self.before: dict[str, Any] | None = None
        self.at = 0.0
        self.received: deque[float] = deque([0.0] * HISTORY, HISTORY)  # bit/s
        self.sent: deque[float] = deque([0.0] * HISTORY, HISTORY)
        self.per_second: dict[str, float] = {}  # counters that change

    def take(self, totals: dict[str, Any], now: float) -> None:
        """The next record, as of `now` seconds."""
        before, span = self.before, max(now - self.at, 1e-9)
        self.before, self.at = totals, now
        if before is None:
            return
        for name, history in (("rx_bytes", self.received), ("tx_bytes", self.sent)):
            history.append(max(0, octets(totals, name) - octets(before, name)) * 8 / span)
        changes = {name: value - before["counters"].get(name, 0) for name, value in totals["counters"].items()}
        self.per_second = {name: change / span for name, change in changes.items() if change > 0}

    def summary(self) -> str:
        """The lines at the top."""
        totals = self.before
        if totals is None:
            return "..."
        states = ", ".join(f"{count:,} {name}" for name, count in totals["states"].items())
        rate = self.per_second
        opened = rate.get("tcp_accepted", 0.0) + rate.get("tcp_connected", 0.0)
        memory = totals["memory"]
        workers = f"   {totals['workers']} workers" if "workers" in totals else ""
        return (
            f"{totals['connections']:,} connections ({states or 'none'}), {opened:,.0f}/s new, "
            f"{totals['listeners']:,} listeners, {totals['timers']:,} timers{workers}\n"
            f"in {si(self.received[-1], 'bit/s')}   out {si(self.sent[-1], 'bit/s')}   "
            f"segments in {rate.get('tcp_rx', 0.0):,.0f}/s   out {rate.get('tcp_tx', 0.0):,.0f}/s   "
            f"sent again {rate.get('tcp_retransmit', 0.0):,.0f}/s   memory {si(memory['process'], 'B')}, "
            f"buffers {si(memory['receive_buffers'] + memory['send_buffers'], 'B')}"
        )

    def drops(self) -> list[tuple[str, int, float, str]]:
        """(counter, count, a second, meaning) of what was dropped, the most lately first."""
        if self.before is None:
            return []
        found = [
            (name, count, self.per_second.get(name, 0.0), COUNTERS[name])
            for name, count in self.before["counters"].items()
            if count and name in COUNTERS and COUNTERS[name].startswith(DROP_WORDS)
        ]
        return sorted(found, key=lambda row: (-row[2], -row[1]))


def octets(totals: dict[str, Any], name: str) -> int:
    """Of all interfaces."""
    return sum(int(counts[name]) for counts in totals["traffic"].values())


class Sample(NamedTuple):
    """Where a connection was at `time`, seconds: bytes since the first sample."""

    time: float
    acked: int
    sent: int
    window: int  # the right edge of what the peer lets us send
    received: int
    offered: int  # the right edge of what we let the peer send


class Trace:
    """Samples of one connection's sequence numbers, unwrapped."""

    def __init__(self) -> None:
        self.samples: deque[Sample] = deque(maxlen=SAMPLES)
        self._before: tuple[int, int] | None = None
        self._acked = 0
        self._received = 0

    def take(self, row: dict[str, Any], now: float) -> None:
        """A row of the connection; one without sequence numbers (TIME-WAIT, say) says nothing."""
        if "snd_una" not in row:
            return
        una, received = row["snd_una"], row["rcv_nxt"]
        if self._before is not None:
            self._acked += (una - self._before[0]) & MASK32
            self._received += (received - self._before[1]) & MASK32
        self._before = una, received
        sent = self._acked + ((row["snd_nxt"] - una) & MASK32)
        self.samples.append(
            Sample(now, self._acked, sent, self._acked + row["snd_wnd"], self._received,
                   self._received + row["rcv_wnd"])
        )

    def draw(self, width: int, height: int, incoming: bool) -> Canvas:
        """The time-sequence plot: what was sent and acknowledged, or received, over time, and the window's edge."""
        canvas = Canvas(width, height)
        samples = list(self.samples)
        if len(samples) < 2:
            return canvas
        begin, span = samples[0].time, max(samples[-1].time - samples[0].time, 1e-9)
        curves = (("offered", GREY), ("received", BLUE)) if incoming else (
            ("window", GREY), ("sent", RED), ("acked", GREEN),
        )
        main = curves[1][0]
        low = min(getattr(sample, curves[-1][0]) for sample in samples)
        high = max(getattr(sample, main) for sample in samples)
        high += max(1, (high - low) // 20)
        for name, style in curves:
            points = [
                ((sample.time - begin) / span, (getattr(sample, name) - low) / (high - low)) for sample in samples
            ]
            for start, end in pairwise(points):
                canvas.line(start, end, style)
        return canvas

    def caption(self, incoming: bool) -> str:
        """What the plot shows."""
        if len(self.samples) < 2:
            return "waiting for samples"
        first, last = self.samples[0], self.samples[-1]
        span = max(last.time - first.time, 1e-9)
        if incoming:
            return (
                f"received (cyan) {si(last.received, 'B')}, {si(last.received * 8 / span, 'bit/s')} over {span:.0f} s; "
                "our window's edge (grey)"
            )
        return (
            f"acknowledged (green) {si(last.acked, 'B')}, {si(last.acked * 8 / span, 'bit/s')} over {span:.0f} s; "
            "sent (red); the peer's window's edge (grey)"
        )
