"""One end of UDP: its addresses, its options, and the datagrams that wait to be read."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from uinet.errors import AddressError, BadSocket, Error, InvalidArgument, WouldBlock
from uinet.wire.addresses import L2Info, is_multicast
from uinet.wire.packet import l2info_of

if TYPE_CHECKING:
    from uinet.ip.interface import Interface
    from uinet.ip.network import Network, Route

RECEIVE_LIMIT = 512 * 1024  # bytes, the cost of keeping each datagram included
DATAGRAM_COST = 400  # bytes of memory that a datagram takes beside its payload


class Datagram:
    """A received datagram.

    `link_header`: verbatim, from a promiscuous interface; b"" from others. `time`: ns, when it came in. `captured`: the
    same in ns since 1970, as its device tells, or the stack's driver; on the stack's clock if neither does.
    """

    __slots__ = (
        "captured", "data", "destination", "destination_port", "interface", "link_header", "source", "source_port",
        "time", "tos", "ttl",
    )

    def __init__(
        self,
        data: bytes,
        source: bytes,
        source_port: int,
        destination: bytes,
        destination_port: int,
        interface: Interface,
        link_header: bytes,
        ttl: int,
        tos: int,
        time: int,
        captured: int = 0,
    ) -> None:
        self.data = data
        self.source = source
        self.source_port = source_port
        self.destination = destination
        self.destination_port = destination_port
        self.interface = interface
        self.link_header = link_header
        self.ttl = ttl
        self.tos = tos
        self.time = time
        self.captured = captured or time

    @property
    def l2info(self) -> L2Info | None:
        """MACs and VLAN stack it came with; None unless the interface is promiscuous."""
        return l2info_of(self.link_header)


class UdpEndpoint:
    """A UDP socket's inside. Made, bound, connected and closed by `Udp`.

    `family`: 4 or 16, bytes of an address; 0 takes both. `local`: b"" is any address of ours (any at all in a
    domain above 0). `local_port`: 0 is not bound yet, or in a domain above 0 any port. `remote`: b"" is not
    connected. `vids`: of the VLAN stack it takes, as `wire.addresses.vids` makes them; None is any stack.
    `l2`: the link header to send with in a domain above 0. `error`: what the next call raises. `notify`:
    called with the endpoint when it becomes readable or has an error.
    """

    def __init__(self, network: Network, *, family: int = 0, cdom: int = 0) -> None:
        if family not in (0, 4, 16):
            raise InvalidArgument("a family is 4 or 16 bytes of address, or 0 for both")
        self.network = network
        self.family = family
        self.cdom = cdom
        self.local = b""
        self.local_port = 0
        self.remote = b""
        self.remote_port = 0
        self.bound = False
        self.closed = False
        self.bound_local = b""  # what `bind` said: `connect` may have chosen `local`
        self.vids: bytes | None = b""
        self.l2: L2Info | None = None
        self.reuse_port = False
        self.broadcast = False  # may send to broadcast addresses
        self.dont_fragment = False
        self.fragments = False  # over IPv4 by routers, not here for what the path carries
        self.probes = False  # what is known of the path's MTU does not count
        self.ttl: int | None = None
        self.tos = 0
        self.multicast_ttl = 1
        self.multicast_loop = True
        self.multicast_interface: Interface | None = None
        self.tx_interface: Interface | None = None  # IP_TXIF
        self.groups: list[tuple[bytes, Interface]] = []
        self.route: Route | None = None  # of a connected endpoint
        self.queue: deque[Datagram] = deque()
        self.queued = 0  # bytes, with the cost of keeping them
        self.receive_limit = RECEIVE_LIMIT
        self.error: Error | None = None
        self.notify: Callable[[UdpEndpoint], None] | None = None
        self.received = 0  # datagrams
        self.sent = 0
        self.dropped = 0  # for want of room

    @property
    def connected(self) -> bool:
        """Whether it talks to one peer alone."""
        return self.remote != b""

    @property
    def readable(self) -> bool:
        """Whether `receive` would not raise WouldBlock."""
        return bool(self.queue) or self.error is not None

    def receive(self) -> Datagram:
        """The oldest datagram. Raises the pending error, once, or WouldBlock if nothing is there."""
        self.raise_error()
        if not self.queue:
            if self.closed:
                raise BadSocket
            raise WouldBlock
        datagram = self.queue.popleft()
        self.queued -= DATAGRAM_COST + len(datagram.data)
        return datagram

    def peek(self) -> Datagram:
        """As `receive`, and leaves it there."""
        self.raise_error()
        if not self.queue:
            if self.closed:
                raise BadSocket
            raise WouldBlock
        return self.queue[0]

    def raise_error(self) -> None:
        """Raises the pending error, if there is one, and forgets it."""
        error = self.error
        if error is not None:
            self.error = None
            raise error

    def deliver(self, datagram: Datagram) -> bool:
        """Queues a datagram; whether there was room."""
        cost = DATAGRAM_COST + len(datagram.data)
        if self.queued + cost > self.receive_limit:
            self.dropped += 1
            self.network.stats.count("udp_buffer_full")
            return False
        first = not self.queue
        self.queue.append(datagram)
        self.queued += cost
        self.received += 1
        if first and self.notify is not None:
            self.notify(self)
        return True

    def fail(self, error: Error) -> None:
        """Makes `error` the pending one."""
        self.error = error
        if self.notify is not None:
            self.notify(self)

    def join(self, group: bytes, interface: Interface) -> None:
        """Takes datagrams to the multicast `group` on `interface`; AddressError if it is none or joined
        already.
        """
        if not is_multicast(group) or (group, interface) in self.groups:
            raise AddressError("not a multicast address, or joined already")
        interface.join(group)
        self.groups.append((group, interface))

    def leave(self, group: bytes, interface: Interface) -> None:
        """Undoes `join`; AddressError without it."""
        if (group, interface) not in self.groups:
            raise AddressError("that group was not joined")
        self.groups.remove((group, interface))
        interface.leave(group)
