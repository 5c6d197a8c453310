"""What can happen to a socket: bits of the mask that `Stack.events` and upcalls deliver."""

from __future__ import annotations

EV_READABLE = 1  # recv has something to say: bytes, end of stream or an error
EV_WRITABLE = 2  # send takes bytes again
EV_CONNECTED = 4  # the connection is established
EV_ACCEPT = 8  # accept has a connection
EV_EOF = 16  # the peer sends no more
EV_ERROR = 32  # the connection failed; Socket.error tells how
EV_CLOSED = 64  # the connection is gone: nothing more will happen
EV_URGENT = 128  # the peer has announced urgent data, or more of it; Socket.urgent_left tells how much
EV_SOFT_ERROR = 256  # the network reports trouble that may pass; Socket.soft_error tells what. With IP_RECVERR only

NAMES = {
    EV_READABLE: "readable", EV_WRITABLE: "writable", EV_CONNECTED: "connected", EV_ACCEPT: "accept", EV_EOF: "eof",
    EV_ERROR: "error", EV_CLOSED: "closed", EV_URGENT: "urgent", EV_SOFT_ERROR: "soft-error",
}


def describe(events: int) -> str:
    """The names of the bits in `events`, for people."""
    return "|".join(name for bit, name in NAMES.items() if events & bit) or "none"
