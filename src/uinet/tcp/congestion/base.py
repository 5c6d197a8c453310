"""The interface of congestion control: what is decided about `cwnd` and `ssthresh`, and when.

One object serves a whole stack or one connection, as it likes: everything it may need is on the connection.
"""

from __future__ import annotations

from typing import Any


class CongestionControl:
    """Decides how much may be in flight. `tcb` is the :class:`uinet.tcp.tcb.Tcb`; sizes are in bytes."""

    name = "none"

    def start(self, tcb: Any) -> None:
        """The connection is established: set the initial window (RFC 6928)."""

    def on_ack(self, tcb: Any, acked: int) -> None:
        """`acked` new bytes were acknowledged outside recovery, while the window was in use."""

    def on_loss(self, tcb: Any, flight: int) -> None:
        """Fast recovery begins with `flight` bytes outstanding: set ssthresh and cwnd."""

    def on_timeout(self, tcb: Any, flight: int) -> None:
        """The retransmission timer fired with `flight` bytes outstanding: set ssthresh and cwnd."""

    def on_idle(self, tcb: Any) -> None:
        """The connection was idle for longer than a timeout and sends again (RFC 5681, 4.1)."""
