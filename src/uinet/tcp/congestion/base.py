"""The interface of congestion control: what is decided about `cwnd` and `ssthresh`, and when.

Each connection that sends has an object of its own. A new algorithm is a subclass; give the class to
``stack.tcp.settings.congestion`` or to the socket option TCP_CONGESTION (see docs/congestion.md, with an example).
"""

from __future__ import annotations

from typing import Any


class CongestionControl:
    """Decides how much may be in flight. `tcb`: the :class:`uinet.tcp.tcb.Tcb`, of which `cwnd`, `ssthresh` (bytes) and
    `pacing_rate` (bytes a second, 0: not paced) are for it to set; `ack`: a :class:`uinet.tcp.flight.Ack`, what an
    ACK has told, good only during the call.

    `owns_window`: cwnd is all its own, but for a timeout, after which it is one segment: `on_ack` is called for every
    ACK that tells something, and `on_lost` for what is lost. Otherwise loss recovery brings cwnd down to the ssthresh
    that `on_loss` sets, by proportional rate reduction (RFC 9937), and `on_ack` is only called outside of it, and only
    if cwnd was what limited. `paces`: it sets `pacing_rate`; otherwise the setting `pacing` does, or nobody.
    """

    name = "none"
    owns_window = False
    paces = False

    def start(self, tcb: Any) -> None:
        """The connection is about to send its first data; cwnd is the initial window (RFC 6928). Or an algorithm is
        changed under way: `cwnd` and `ssthresh` are what the other has left."""

    def on_ack(self, tcb: Any, ack: Any) -> None:
        """`ack.acked` new bytes were acknowledged."""

    def on_loss(self, tcb: Any, ack: Any) -> None:
        """Recovery begins: set ssthresh."""

    def on_lost(self, tcb: Any, start: int, length: int, in_flight: int, lost: int, app_limited: bool) -> None:
        """`length` bytes from sequence number `start`, sent in one go, count as lost. When they were sent `in_flight`
        bytes were, with them, and `lost` were lost since, with them. Called only if `owns_window`, after `on_loss` or
        `on_timeout`."""

    def on_mark(self, tcb: Any, ack: Any) -> None:
        """The network has marked a packet (ECN); at most once a round trip: set ssthresh. A loss, unless said
        otherwise."""
        self.on_loss(tcb, ack)

    def on_timeout(self, tcb: Any, first: bool) -> None:
        """The retransmission timer fired, `first`: for data that no recovery was about. Set ssthresh if `first`; cwnd
        will be one segment."""

    def on_recovered(self, tcb: Any) -> None:
        """Recovery is over."""

    def on_undo(self, tcb: Any) -> None:
        """The last `on_loss` or `on_timeout` was a false alarm; cwnd and ssthresh are what they were."""

    def on_idle(self, tcb: Any, idle: int) -> None:
        """New data goes out after `idle` ns without any in flight, longer than a timeout; cwnd was adapted (RFC
        2861)."""

    def on_send(self, tcb: Any, in_flight: int) -> None:
        """New data is about to be sent while `in_flight` bytes are in the network. Called only if `owns_window`."""
