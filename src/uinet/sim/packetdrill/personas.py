"""Whose habits a script was written for.

A script that was recorded on one system has values in it that no RFC fixes: window scales, windows, timers, the order
of options. Without a persona these are not compared; with one the stack starts from that system's defaults, and they
are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from uinet.errors import InvalidArgument
from uinet.sim.packetdrill.config import Rules
from uinet.socket import Socket
from uinet.units import MILLISECOND, SECOND


@dataclass(frozen=True)
class Persona:
    """A system. `defines`: symbols that its scripts know. `settings`: what of the stack's TCP settings is its own."""

    name: str
    defines: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)
    rules: Rules = field(default_factory=Rules)

    def opened(self, sock: Socket) -> None:
        """A socket has been accepted, or is about to connect."""

    def sends(self, sock: Socket) -> None:
        """A program writes to a socket."""

    def buffer(self, sock: Socket, name: str, asked: int | None) -> int:
        """What getsockopt says of a buffer's size. `asked`: what setsockopt was given."""
        config = sock.config
        return config.receive_buffer if name == "SO_RCVBUF" else config.send_buffer


class Linux(Persona):
    """Linux tells twice the buffer size that was asked for, and acknowledges each segment until a connection shows
    that both sides talk."""

    def opened(self, sock: Socket) -> None:
        self._quick(sock, True)

    def sends(self, sock: Socket) -> None:
        tcb = sock.tcb
        if tcb is not None and tcb.bytes_in and tcb.context.now - tcb.last_heard < tcb.context.settings.delayed_ack:
            self._quick(sock, False)

    def _quick(self, sock: Socket, quick: bool) -> None:
        """As the option TCP_QUICKACK, but that it makes nothing be sent."""
        sock.config = sock.config.copy()
        sock.shared = False
        sock.config.quick_ack = quick
        if sock.tcb is not None:
            sock.tcb.quick_ack = quick

    def buffer(self, sock: Socket, name: str, asked: int | None) -> int:
        return 2 * asked if asked is not None else super().buffer(sock, name, asked)


class FreeBsd(Persona):
    """FreeBSD rounds a receive buffer up to a multiple of the MSS once it is known."""

    def buffer(self, sock: Socket, name: str, asked: int | None) -> int:
        size = super().buffer(sock, name, asked)
        if name != "SO_RCVBUF" or sock.tcb is None or sock.tcb.state == 0:
            return size
        mss = sock.tcb.mss
        return -(-size // mss) * mss


PERSONAS: dict[str, Persona] = {
    "none": Persona("none", {"STANDARD": "1"}),
    "rfc": Persona("rfc", {"STANDARD": "1"}, {"rto_min": 1 * SECOND}),
    "linux": Linux(
        "linux", {"Linux": "1", "linux": "1"},
        {
            "receive_buffer": 131072, "send_buffer": 1 << 22, "rto_initial": 1 * SECOND, "rto_min": 200 * MILLISECOND,
            "delayed_ack": 40 * MILLISECOND, "syn_ack_retries": 5, "mtu_probing": 0,
        },
        Rules(order=True, buffers=True, acks=True),
    ),
    "freebsd": FreeBsd(
        "freebsd", {"FreeBSD": "1"},
        {
            "receive_buffer": 65536, "send_buffer": 32768, "rto_initial": 1 * SECOND, "rto_min": 230 * MILLISECOND,
            "delayed_ack": 40 * MILLISECOND, "mtu_probing": 0,
        },
        Rules(buffers=True),
    ),
}


def persona_of(name: str | None) -> Persona:
    """The persona of that name; None: the one that compares only what RFCs fix. InvalidArgument."""
    if name is None:
        return PERSONAS["none"]
    if name not in PERSONAS:
        raise InvalidArgument(f"{name!r} is no persona: want one of {', '.join(sorted(PERSONAS))}")
    return PERSONAS[name]
