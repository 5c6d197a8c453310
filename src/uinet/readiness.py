"""Waiting for a socket of a stack, for programs whose tasks wait: who waits is called when it is worth another try.

The engine tells what has happened (edges); who waits wants to know what is so (levels): `ready` asks the socket.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from uinet.errors import InvalidArgument
from uinet.events import EV_ACCEPT, EV_CLOSED, EV_CONNECTED, EV_EOF, EV_ERROR, EV_READABLE, EV_WRITABLE
from uinet.tcp.state import ESTABLISHED

if TYPE_CHECKING:
    from uinet.socket import Socket

ENDS = EV_EOF | EV_ERROR | EV_CLOSED  # wakes everybody, whatever they wait for
LEVELS = EV_READABLE | EV_WRITABLE | EV_ACCEPT | EV_CONNECTED | EV_ERROR | EV_CLOSED

Wake = Callable[[], object]


class Readiness:
    """The `on_event` of a socket that tasks wait for."""

    __slots__ = ("waiting",)

    def __init__(self) -> None:
        self.waiting: list[tuple[int, Wake]] = []

    def __call__(self, sock: Socket, events: int) -> None:
        if not self.waiting:
            return
        waiting, self.waiting = self.waiting, []
        for entry in waiting:
            if events & (entry[0] | ENDS):
                entry[1]()
            else:
                self.waiting.append(entry)

    def add(self, sock: Socket, events: int, wake: Wake) -> None:
        """Has `wake` called, once, when one of `events`, or the socket's end, comes to pass."""
        self.waiting.append((events, wake))
        if events & EV_WRITABLE and sock.tcb is not None:
            sock.tcb.wants_write = True  # the engine tells of room only who has asked for it

    def discard(self, wake: Wake) -> None:
        """Undoes `add`, if `wake` was not called yet."""
        self.waiting = [entry for entry in self.waiting if entry[1] != wake]

    def wake_all(self) -> None:
        """Calls everybody: the socket was closed by its owner, of which the engine tells nobody."""
        waiting, self.waiting = self.waiting, []
        for _, wake in waiting:
            wake()


def readiness_of(sock: Socket) -> Readiness:
    """That of `sock`; InvalidArgument if something else, an upcall of the program's own say, takes its events."""
    known = sock.on_event
    if known is None:
        known = sock.on_event = Readiness()
    if not isinstance(known, Readiness):
        raise InvalidArgument(f"{sock!r} is in use by {known!r}")
    return known


def ready(sock: Socket, wanted: int) -> int:
    """Which of the events `wanted` are so now, and EV_ERROR and EV_CLOSED if there is nothing more to wait for."""
    if sock.closed or sock.stack.closed:
        return EV_CLOSED
    now = 0
    if sock.readable:
        now |= EV_ACCEPT if sock.listener is not None else EV_READABLE
    if wanted & EV_WRITABLE and sock.writable:
        now |= EV_WRITABLE
    if sock.error is not None:
        now |= EV_ERROR
    tcb = sock.tcb
    if wanted & EV_CONNECTED and tcb is not None and tcb.state >= ESTABLISHED:
        now |= EV_CONNECTED
    return now & (wanted | EV_ERROR | EV_CLOSED)


def check_waitable(events: int) -> int:
    """`events` if they can be waited for: EV_READABLE, EV_WRITABLE, EV_ACCEPT, EV_CONNECTED; InvalidArgument."""
    if not events or events & ~LEVELS:
        raise InvalidArgument("what can be waited for is EV_READABLE, EV_WRITABLE, EV_ACCEPT and EV_CONNECTED")
    return events
