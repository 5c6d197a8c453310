"""UDP (RFC 768; RFC 1122 section 4.1; over IPv6 RFC 8200 section 8.1): who gets a datagram, and how one is
sent.

Of the endpoints of a domain the most specific gets a datagram: the connected one, then by local address and
port, an address before any. In a domain above 0 endpoints choose VLANs too, and those that want exactly this
stack come before those that take any. Among equals, which all have said `reuse_port`, the newest wins.
Datagrams to groups and broadcasts go to all that match.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from uinet.errors import (
    AddressError,
    AddressInUse,
    AddressNotAvailable,
    AlreadyConnected,
    BadSocket,
    InvalidArgument,
    MessageTooLong,
    NotConnected,
    PermissionDenied,
)
from uinet.ip import output
from uinet.ip.icmp import PARAMETER_PROBLEM, TIME_EXCEEDED, TOO_BIG, exception_of
from uinet.udp.endpoint import Datagram, UdpEndpoint
from uinet.wire import udp as wire
from uinet.wire.addresses import L2Info, check_port, is_multicast, link_header
from uinet.wire.checksums import transport
from uinet.wire.constants import ETHERTYPE_IPV4, ETHERTYPE_IPV6
from uinet.wire.frame import CHECKSUM_UNKNOWN
from uinet.wire.kernels import checksum, load_u16, take

if TYPE_CHECKING:
    from uinet.ip.interface import Interface
    from uinet.ip.network import Network, Route
    from uinet.wire.packet import Packet

UDP = 17
MAX_PAYLOAD_V4 = 65507
MAX_PAYLOAD_V6 = 65527

FIRST_EPHEMERAL = 32768  # RFC 6056, section 3.2 wants many
LAST_EPHEMERAL = 65535

K = TypeVar("K")

_HEADER = struct.Struct(">HHHH")

BoundKey = tuple[int, bytes | None, bytes, int]  # domain, VIDs, local address, local port
ConnectedKey = tuple[int, bytes | None, bytes, int, bytes, int]  # and remote address, remote port


class Udp:
    """UDP of one stack."""

    def __init__(self, network: Network) -> None:
        self.network = network
        network.handlers[UDP] = self
        self.endpoints: dict[UdpEndpoint, None] = {}  # that are bound
        self.bound: dict[BoundKey, list[UdpEndpoint]] = {}  # the newest last
        self.connected: dict[ConnectedKey, list[UdpEndpoint]] = {}
        # domain 0: port -> local address -> endpoints, connected ones too
        self.ports: dict[int, dict[bytes, list[UdpEndpoint]]] = {}

    # endpoints

    def endpoint(self, *, family: int = 0, cdom: int = 0) -> UdpEndpoint:
        """A new endpoint, not bound yet; `family` 4, 16 or 0 for both."""
        return UdpEndpoint(self.network, family=family, cdom=cdom)

    def bind(self, endpoint: UdpEndpoint, address: bytes = b"", port: int = 0) -> None:
        """Gives `endpoint` its local address (b"": any) and port (0: an ephemeral one; above domain 0: any).

        AddressInUse, AddressNotAvailable, InvalidArgument if it is bound already, BadSocket.
        """
        if endpoint.closed:
            raise BadSocket
        if endpoint.bound:
            raise InvalidArgument("the socket is bound already")
        check_port(port)
        if address and not any(address):
            endpoint.family = endpoint.family or len(address)
            address = b""
        if address and endpoint.family not in (0, len(address)):
            raise AddressError("the address is of another family than the socket")
        if endpoint.cdom == 0:
            if address and not is_multicast(address) and not self._may_have(address):
                raise AddressNotAvailable
            if port == 0:
                port = self._ephemeral(endpoint, address)
            elif self._in_use(endpoint, address, port):
                raise AddressInUse
        endpoint.local = endpoint.bound_local = address
        endpoint.local_port = port
        self._register(endpoint)
        endpoint.bound = True

    def _may_have(self, address: bytes) -> bool:
        if self.network.is_local(address):
            return True
        return any(self.network.is_broadcast(address, interface) for interface in self.network.interfaces)

    def _in_use(self, endpoint: UdpEndpoint, address: bytes, port: int) -> bool:
        """Whether somebody of domain 0 has the port at that address, and they don't both share it."""
        for other_address, users in self.ports.get(port, {}).items():
            if address and other_address and address != other_address:
                continue
            for other in users:
                if other.reuse_port and endpoint.reuse_port:
                    continue
                if other.family and endpoint.family and other.family != endpoint.family:
                    continue
                return True
        return False

    def _ephemeral(self, endpoint: UdpEndpoint, address: bytes, wanted: Callable[[int], bool] | None = None) -> int:
        """A free port, unpredictable (RFC 6056, section 3.3.1), that is `wanted`; AddressInUse if there is none."""
        count = LAST_EPHEMERAL - FIRST_EPHEMERAL + 1
        start = self.network.random.below(count)
        for step in range(count):
            port = FIRST_EPHEMERAL + (start + step) % count
            if port in self.ports and self._in_use(endpoint, address, port):
                continue
            if wanted is None or wanted(port):
                return port
        raise AddressInUse("no ephemeral port is free")

    def connect(self, endpoint: UdpEndpoint, address: bytes, port: int) -> None:
        """Makes `address`, `port` the only peer. Binds if need be, and chooses the local address of a domain
        0 endpoint.

        AddressInUse if another endpoint has exactly these addresses and ports, NetworkUnreachable,
        AlreadyConnected.
        """
        if endpoint.closed:
            raise BadSocket
        if endpoint.connected:
            raise AlreadyConnected
        if check_port(port) == 0:
            raise AddressError("there is no port 0 to connect to")
        if endpoint.family not in (0, len(address)):
            raise AddressError("the address is of another family than the socket")
        local = endpoint.local
        if endpoint.cdom == 0:
            route = self.network.route(address, local or None, self._interface_for(endpoint, address))
            local = route.source
        elif not local or not endpoint.local_port:
            raise InvalidArgument("to connect, a promiscuous socket has to be bound to an address and a port")
        if not endpoint.bound:
            owns = self.network.owns
            chosen = 0
            if owns is not None and endpoint.cdom == 0:  # the answers have to come here, not to another worker
                chosen = self._ephemeral(endpoint, b"", lambda mine: owns(local, mine, address, port))
            self.bind(endpoint, b"", chosen)
        key = (endpoint.cdom, endpoint.vids, local, endpoint.local_port, address, port)
        for other in self.connected.get(key, ()):
            if not (other.reuse_port and endpoint.reuse_port):
                raise AddressInUse
        self._unregister(endpoint)
        endpoint.local = local
        endpoint.remote, endpoint.remote_port = address, port
        endpoint.route = None
        self._register(endpoint)

    def disconnect(self, endpoint: UdpEndpoint) -> None:
        """Undoes `connect`; NotConnected without it."""
        if not endpoint.connected:
            raise NotConnected
        self._unregister(endpoint)
        endpoint.local = endpoint.bound_local
        endpoint.remote, endpoint.remote_port = b"", 0
        endpoint.route = None
        self._register(endpoint)

    def close(self, endpoint: UdpEndpoint) -> None:
        """Ends `endpoint`: what waits in it is gone. A second time does nothing."""
        if endpoint.closed:
            return
        if endpoint.bound:
            self._unregister(endpoint)
        endpoint.closed = True
        endpoint.bound = False
        endpoint.notify = None
        endpoint.route = None
        endpoint.queue.clear()
        endpoint.queued = 0
        for group, interface in list(endpoint.groups):
            endpoint.leave(group, interface)

    def close_all(self) -> None:
        """Closes every bound endpoint."""
        for endpoint in list(self.endpoints):
            self.close(endpoint)

    def _register(self, endpoint: UdpEndpoint) -> None:
        self.endpoints[endpoint] = None
        if endpoint.connected:
            self.connected.setdefault(connected_key(endpoint), []).append(endpoint)
        else:
            key = bound_key(endpoint)
            others = self.bound.setdefault(key, [])
            if endpoint.cdom:
                for other in others:
                    if not (other.reuse_port and endpoint.reuse_port):
                        del self.endpoints[endpoint]
                        raise AddressInUse
            others.append(endpoint)
        if endpoint.cdom == 0:
            users = self.ports.setdefault(endpoint.local_port, {}).setdefault(endpoint.local, [])
            users.append(endpoint)

    def _unregister(self, endpoint: UdpEndpoint) -> None:
        del self.endpoints[endpoint]
        if endpoint.connected:
            drop(self.connected, connected_key(endpoint), endpoint)
        else:
            drop(self.bound, bound_key(endpoint), endpoint)
        if endpoint.cdom == 0:
            by_address = self.ports[endpoint.local_port]
            drop(by_address, endpoint.local, endpoint)
            if not by_address:
                del self.ports[endpoint.local_port]

    # in

    def input(self, packet: Packet) -> None:
        """Takes a UDP datagram at `packet.l4`."""
        stats = self.network.stats
        stats.count("udp_rx")
        data = packet.data
        at = packet.l4
        room = packet.end - at
        length = load_u16(data, at + wire.LENGTH) if room >= wire.HEADER_LENGTH else 0
        if length < wire.HEADER_LENGTH or length > room:
            stats.count("udp_short")
            return
        if packet.checksum == CHECKSUM_UNKNOWN and packet.interface.checksums:
            if not self._checksum_ok(packet, length):
                stats.count("udp_bad_checksum")
                return
        source = packet.src
        if is_multicast(source) or self.network.is_broadcast(source, packet.interface):
            stats.count("ip_martian_source")
            return
        destination = packet.dst
        source_port = load_u16(data, at)
        port = load_u16(data, at + wire.DESTINATION_PORT)
        if is_multicast(destination) or self.network.is_broadcast(destination, packet.interface):
            self._to_group(packet, source, source_port, destination, port, length)
            return
        if packet.group and not packet.interface.promiscuous:
            stats.count("ip_not_ours")  # a unicast address in a group frame: RFC 1122, section 3.3.6
            return
        cdom = packet.interface.cdom
        endpoint = self._lookup(cdom, packet.vids, destination, port, source, source_port)
        if endpoint is None:
            stats.count("udp_no_port")
            if self.network.settings.udp_blackhole:
                stats.count("udp_blackholed")
            elif not packet.interface.promiscuous:
                self.network.icmp.port_unreachable(packet)
            return
        endpoint.deliver(datagram_of(packet, source, source_port, destination, port, length))

    def _checksum_ok(self, packet: Packet, length: int) -> bool:
        if load_u16(packet.data, packet.l4 + wire.CHECKSUM) == 0:
            return packet.version == 4  # none was computed: over IPv6 there has to be one (RFC 8200, 8.1)
        return checksum(packet.data, packet.l4, length, packet.pseudo_sum(length)) == 0xFFFF

    def wanted(self, packet: Packet) -> bool:
        """Whether an endpoint here would get the datagram at `packet.l4`."""
        if packet.end - packet.l4 < wire.HEADER_LENGTH:
            return False
        source_port = load_u16(packet.data, packet.l4)
        port = load_u16(packet.data, packet.l4 + wire.DESTINATION_PORT)
        cdom = packet.interface.cdom
        return self._lookup(cdom, packet.vids, packet.dst, port, packet.src, source_port) is not None

    def _lookup(
        self, cdom: int, vids: bytes, address: bytes, port: int, remote: bytes, remote_port: int
    ) -> UdpEndpoint | None:
        """The endpoint for a datagram from `remote`, `remote_port` to `address`, `port`; the newest of
        equals.
        """
        stacks: tuple[bytes | None, ...] = (vids, None) if cdom else (b"",)
        if self.connected:
            for stack in stacks:
                found = self.connected.get((cdom, stack, address, port, remote, remote_port))
                if found:
                    return found[-1]
        for stack in stacks:
            for local_port in (port, 0) if cdom else (port,):
                for local in (address, b""):
                    found = self.bound.get((cdom, stack, local, local_port))
                    if found:
                        endpoint = newest(found, len(address))
                        if endpoint is not None:
                            return endpoint
        return None

    def _to_group(
        self, packet: Packet, source: bytes, source_port: int, destination: bytes, port: int, length: int
    ) -> None:
        """Gives everybody their datagram; nobody is told that there is nobody (RFC 1122, section 4.1.3.1)."""
        datagram = datagram_of(packet, source, source_port, destination, port, length)
        if not self._spread(datagram, packet.interface.cdom, packet.vids):
            self.network.stats.count("udp_no_port")

    def _spread(self, datagram: Datagram, cdom: int, vids: bytes) -> bool:
        """Gives `datagram` to all that match; whether there was anybody."""
        address, port = datagram.destination, datagram.destination_port
        found: list[UdpEndpoint] = []
        stacks: tuple[bytes | None, ...] = (vids, None) if cdom else (b"",)
        for stack in stacks:
            key = (cdom, stack, address, port, datagram.source, datagram.source_port)
            found.extend(self.connected.get(key, ()))
            for local_port in (port, 0) if cdom else (port,):
                for local in (address, b""):
                    found.extend(self.bound.get((cdom, stack, local, local_port), ()))
        taken = False
        for endpoint in found:
            if endpoint.family in (0, len(address)):
                endpoint.deliver(datagram)
                taken = True
        return taken

    def icmp_error(
        self,
        kind: int,
        code: int,
        info: int,
        quoted_source: bytes,
        quoted_destination: bytes,
        quoted_transport: bytes,
        packet: Packet | None,
    ) -> bool:
        """An ICMP error; believed if a connected endpoint has exactly these addresses and ports.

        Of other endpoints only TOO_BIG is believed, and lowers the path's MTU: the packets of such an
        endpoint go to anybody. Time exceeded and parameter problems are transient (RFC 1122, section 4.1.3.3
        leaves them to us).
        """
        port = load_u16(quoted_transport, 0)
        remote_port = load_u16(quoted_transport, 2)
        cdom = packet.interface.cdom if packet is not None else 0
        vids = packet.vids if packet is not None else b""
        endpoint = self._lookup(cdom, vids, quoted_source, port, quoted_destination, remote_port)
        if endpoint is None:
            return False
        if kind == TOO_BIG:
            if endpoint.connected and endpoint.dont_fragment:
                endpoint.fail(exception_of(kind))
            return True
        if not endpoint.connected:
            return False
        if kind not in (TIME_EXCEEDED, PARAMETER_PROBLEM):
            endpoint.fail(exception_of(kind))
        return True

    # out

    def send(
        self,
        endpoint: UdpEndpoint,
        data: bytes,
        destination: bytes | None = None,
        port: int | None = None,
        *,
        source: bytes = b"",
        source_port: int = 0,
        l2: L2Info | bytes | None = None,
    ) -> int:
        """Sends one datagram to `destination`, `port`, or to the peer of a connected endpoint; its length.

        `source`: instead of the endpoint's own address. In a domain above 0 `l2` (or the endpoint's) makes
        the link header, and an endpoint that has no address or port of its own needs `source` and
        `source_port`. Raises the pending error first; BadSocket, NotConnected, MessageTooLong,
        PermissionDenied for a broadcast that was not asked for, NetworkUnreachable, AddressNotAvailable,
        AddressError.
        """
        if endpoint.closed:
            raise BadSocket
        endpoint.raise_error()
        if not destination:
            destination, port = endpoint.remote, endpoint.remote_port
            if not destination:
                raise NotConnected("the datagram has no destination")
        if port is None or check_port(port) == 0:
            raise AddressError("there is no port 0 to send to")
        if endpoint.family not in (0, len(destination)):
            raise AddressError("the destination is of another family than the socket")
        if len(data) > (MAX_PAYLOAD_V4 if len(destination) == 4 else MAX_PAYLOAD_V6):
            raise MessageTooLong(f"{len(data)} bytes are more than a UDP datagram carries")
        if endpoint.cdom:
            self._send_verbatim(endpoint, data, destination, port, source, source_port, l2)
        else:
            self._send_routed(endpoint, data, destination, port, source)
        endpoint.sent += 1
        self.network.stats.count("udp_tx")
        return len(data)

    def reply(self, endpoint: UdpEndpoint, datagram: Datagram, data: bytes) -> int:
        """Answers `datagram` from where it was sent to: in a domain above 0 with its own link header, turned
        round.
        """
        l2 = datagram.l2info
        return self.send(
            endpoint, data, datagram.source, datagram.source_port, source=datagram.destination,
            source_port=datagram.destination_port, l2=l2.reversed() if l2 is not None else None,
        )

    def _send_routed(
        self, endpoint: UdpEndpoint, data: bytes, destination: bytes, port: int, source: bytes
    ) -> None:
        route = self._route_for(endpoint, destination, source)
        to_broadcast = self.network.is_broadcast(destination, route.interface)
        if to_broadcast and not endpoint.broadcast:
            raise PermissionDenied("a broadcast has to be allowed by SO_BROADCAST")
        if not endpoint.bound:
            self.bind(endpoint)
        ttl = endpoint.ttl
        if is_multicast(destination):
            ttl = endpoint.multicast_ttl
        segment = datagram_bytes(
            route.source, destination, endpoint.local_port, port, data, route.interface.checksums
        )
        whole = endpoint.probes or (endpoint.fragments and len(destination) == 4)
        output.send(
            self.network, route, UDP, segment, ttl=ttl, tos=endpoint.tos, dont_fragment=endpoint.dont_fragment,
            mtu=route.interface.mtu if whole else 0,
        )
        if to_broadcast or (is_multicast(destination) and endpoint.multicast_loop):
            self._loop(route.source, endpoint.local_port, destination, port, data, route.interface, ttl)

    def _route_for(self, endpoint: UdpEndpoint, destination: bytes, source: bytes) -> Route:
        """The route to `destination`; that of a connected endpoint's peer is kept while it is good."""
        to_peer = endpoint.remote == destination and not source
        route = endpoint.route
        if to_peer and route is not None and route.generation == self.network.generation:
            return route
        local = source or endpoint.local
        own = self.network.is_local(local)
        if source and not own:
            raise AddressNotAvailable
        interface = self._interface_for(endpoint, destination)
        route = self.network.route(destination, local if own else None, interface)  # bound to a group: choose
        if to_peer:
            endpoint.route = route
        return route

    def _loop(
        self,
        source: bytes,
        source_port: int,
        destination: bytes,
        port: int,
        data: bytes,
        interface: Interface,
        ttl: int | None,
    ) -> None:
        """Gives what goes to a group to its members here, too (RFC 1112, section 6.1)."""
        if is_multicast(destination) and not interface.in_group(destination):
            return
        datagram = Datagram(
            data, source, source_port, destination, port, interface, b"",
            ttl if ttl is not None else output.DEFAULT_TTL, 0, self.network.now, self.network.now + self.network.epoch,
        )
        self._spread(datagram, 0, b"")

    def _interface_for(self, endpoint: UdpEndpoint, destination: bytes) -> Interface | None:
        if is_multicast(destination) and endpoint.multicast_interface is not None:
            return endpoint.multicast_interface
        return endpoint.tx_interface

    def _send_verbatim(
        self,
        endpoint: UdpEndpoint,
        data: bytes,
        destination: bytes,
        port: int,
        source: bytes,
        source_port: int,
        l2: L2Info | bytes | None,
    ) -> None:
        interface = endpoint.tx_interface or self.network.interface_of_domain(endpoint.cdom)
        if interface is None:
            raise InvalidArgument(f"connection domain {endpoint.cdom} has no interface")
        source = source or endpoint.local
        source_port = source_port or endpoint.local_port
        if len(source) != len(destination) or not source_port:
            raise AddressNotAvailable("the datagram needs a source address and port")
        header = l2 if isinstance(l2, bytes) else self._link_header(interface, l2 or endpoint.l2, destination)
        segment = datagram_bytes(source, destination, source_port, port, data, interface.checksums)
        output.send_verbatim(
            self.network, interface, header, source, destination, UDP, segment,
            ttl=endpoint.ttl, tos=endpoint.tos, dont_fragment=endpoint.dont_fragment,
        )

    def _link_header(self, interface: Interface, l2: L2Info | None, destination: bytes) -> bytes:
        if interface.layer == 3:
            return b""
        if l2 is None:
            raise InvalidArgument("the datagram needs a link header")
        return link_header(l2, ETHERTYPE_IPV4 if len(destination) == 4 else ETHERTYPE_IPV6)


def bound_key(endpoint: UdpEndpoint) -> BoundKey:
    """Where an endpoint that is not connected is filed."""
    return endpoint.cdom, endpoint.vids, endpoint.local, endpoint.local_port


def connected_key(endpoint: UdpEndpoint) -> ConnectedKey:
    """Where a connected endpoint is filed."""
    return (*bound_key(endpoint), endpoint.remote, endpoint.remote_port)


def newest(endpoints: list[UdpEndpoint], family: int) -> UdpEndpoint | None:
    """The newest of `endpoints`, the last, that takes addresses of `family` bytes."""
    for index in range(len(endpoints) - 1, -1, -1):
        if endpoints[index].family in (0, family):
            return endpoints[index]
    return None


def drop(table: dict[K, list[UdpEndpoint]], key: K, endpoint: UdpEndpoint) -> None:
    """Takes `endpoint` out of its list in `table`, and the list with its last."""
    table[key].remove(endpoint)
    if not table[key]:
        del table[key]


def datagram_of(
    packet: Packet, source: bytes, source_port: int, destination: bytes, port: int, length: int
) -> Datagram:
    """The datagram of `length` bytes, header included, at `packet.l4`."""
    interface = packet.interface
    payload = take(packet.data, packet.l4 + wire.HEADER_LENGTH, length - wire.HEADER_LENGTH)
    return Datagram(
        payload, source, source_port, destination, port, interface,
        packet.link_header if interface.promiscuous else b"", packet.ttl, packet.tos, packet.now,
        packet.frame.time or packet.now + interface.network.epoch,
    )


def datagram_bytes(
    source: bytes, destination: bytes, source_port: int, port: int, data: bytes, checksums: bool
) -> bytes:
    """Header and payload; without a checksum, which is then 0, if the link needs none."""
    length = wire.HEADER_LENGTH + len(data)
    segment = _HEADER.pack(source_port, port, length, 0) + data
    if not checksums:
        return segment
    value = transport(source, destination, UDP, segment) or 0xFFFF  # 0 would say that there is none
    return _HEADER.pack(source_port, port, length, value) + data
