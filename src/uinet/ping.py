"""Echo requests and their replies (RFC 792, RFC 4443)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from uinet.errors import BadSocket, Error
from uinet.ip.icmp import exception_of
from uinet.wire.addresses import pack_address
from uinet.wire.packet import Packet

if TYPE_CHECKING:
    from uinet.stack import Stack


class Ping:
    """Sends echo requests to one address.

    `on_reply`: ``f(ping, sequence, rtt)``, rtt in ns, for each reply. `on_error`: ``f(ping, sequence, error)`` for each
    ICMP error about a request; both after the batch. `sent`, `received`: how many.
    """

    def __init__(
        self, stack: Stack, destination: Any, payload: bytes, on_reply: Callable[[Ping, int, int], None] | None
    ) -> None:
        self.stack = stack
        self.destination = pack_address(destination)
        self.payload = payload
        self.on_reply = on_reply
        self.on_error: Callable[[Ping, int, Error], None] | None = None
        self.sent = 0
        self.received = 0
        self.times: dict[int, int] = {}
        icmp = stack.network.icmp
        self.ident = stack.network.random.u16()
        while self.ident in icmp.waiters:
            self.ident = (self.ident + 1) & 0xFFFF
        icmp.waiters[self.ident] = self

    def send(self) -> int:
        """Sends one request; its sequence number. NetworkUnreachable, AddressNotAvailable, BadSocket."""
        if self.stack.closed:
            raise BadSocket("the stack is closed")
        self.stack.tcp.refresh()
        sequence = self.sent & 0xFFFF
        self.sent += 1
        if len(self.times) >= 1024:
            del self.times[next(iter(self.times))]
        self.times[sequence] = self.stack.now
        self.stack.network.icmp.send_echo(self.destination, self.ident, sequence, self.payload)
        self.stack.kick()
        return sequence

    def close(self) -> None:
        """Stops listening for replies."""
        self.stack.network.icmp.waiters.pop(self.ident, None)

    def echo_reply(self, packet: Packet, sequence: int, payload: bytes) -> None:
        """A reply has come; one that answers nothing, or not what was sent, is ignored."""
        sent = self.times.get(sequence)
        if sent is None or payload != self.payload or packet.src != self.destination:
            return
        del self.times[sequence]
        self.received += 1
        self.stack.call_later(self.on_reply, self, sequence, self.stack.now - sent)

    def echo_error(self, kind: int, code: int, info: int, destination: bytes, sequence: int) -> None:
        """An ICMP error about a request."""
        if self.times.pop(sequence, None) is not None:
            self.stack.call_later(self.on_error, self, sequence, exception_of(kind))
