"""What a machine under test offers to the calls of a script. One for our stack, one for the host's kernel.

Handles are whatever a system likes. No method ever blocks: what can't be done yet raises BlockingIOError, and blocking
calls of a script are asked for again. All errors are OSErrors with their errno; what a system has not is Unsupported.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Protocol

Address = tuple[str, int]


class System(Protocol):
    """Sockets of the machine under test. `send_waits`: a blocking send on a socket that connects yet returns when that
    is over (Linux), not when its data is queued."""

    @property
    def send_waits(self) -> bool:
        """See above."""

    def socket(self, v6: bool, kind: str) -> Any:
        """A new socket; `kind` SOCK_STREAM or SOCK_DGRAM."""

    def bind(self, handle: Any, address: Address) -> None:
        """Gives it a local address."""

    def listen(self, handle: Any, backlog: int) -> None:
        """Takes connections from now on."""

    def accept(self, handle: Any) -> tuple[Any, Address]:
        """The oldest connection that waits, and its peer."""

    def connect(self, handle: Any, address: Address) -> None:
        """Begins to connect: BlockingIOError with EINPROGRESS, EALREADY while it goes on, EISCONN once it is over."""

    def connecting(self, handle: Any) -> bool:
        """Whether a connect still goes on."""

    def send(self, handle: Any, data: bytes, flags: set[str], address: Address | None) -> int:
        """Queues bytes to send; how many."""

    def recv(self, handle: Any, limit: int, flags: set[str]) -> bytes:
        """Bytes that have come."""

    def shutdown(self, handle: Any, how: str) -> None:
        """SHUT_RD, SHUT_WR or SHUT_RDWR."""

    def close(self, handle: Any) -> None:
        """Lets go of it."""

    def setsockopt(self, handle: Any, level: str, name: str, value: Any) -> None:
        """Sets an option: an int, bytes, or the fields of a struct."""

    def getsockopt(self, handle: Any, level: str, name: str) -> Any:
        """The value of an option, as `setsockopt` takes it."""

    def error(self, handle: Any) -> int:
        """SO_ERROR: the errno that waits to be told, which it takes away."""

    def queued(self, handle: Any, name: str) -> int:
        """Bytes that wait: SIOCINQ to be read, SIOCOUTQ to be acknowledged, SIOCOUTQNSD to be sent."""

    def poll(self, handle: Any) -> set[str]:
        """What poll says of it: POLLIN, POLLOUT, POLLRDHUP, POLLHUP, POLLERR."""

    def activity(self, handle: Any) -> Hashable:
        """Something that differs once anything has happened that an edge-triggered epoll tells."""

    def tcp_info(self, handle: Any) -> dict[str, int]:
        """The fields of struct tcp_info that are known, by their names."""
