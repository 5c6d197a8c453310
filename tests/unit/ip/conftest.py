"""A network layer on a bench: frames are fed to it by hand, in virtual time, and what comes out is taken apart."""

from __future__ import annotations

import pytest

from uinet.ip import extension
from uinet.ip.interface import Interface
from uinet.ip.network import Network
from uinet.ip.reassembly import Reassembled
from uinet.units import SECOND
from uinet.wire.addresses import pack_address
from uinet.wire.build import Dissected, dissect
from uinet.wire.constants import ETHERTYPE_ARP, ETHERTYPE_IPV4
from uinet.wire.frame import Frame
from uinet.wire.packet import Packet

MAC = "02:00:00:00:00:02"  # what the builders of uinet.wire.build send to by default
PEER_MAC = "02:00:00:00:00:01"


class Transport:
    """A transport protocol that remembers what it is given."""

    def __init__(self) -> None:
        self.segments: list[bytes] = []
        self.errors: list[tuple[int, int, int, bytes, bytes, bytes]] = []
        self.believes = True

    def input(self, packet: Packet) -> None:
        self.segments.append(packet.data[packet.l4 : packet.end])

    def icmp_error(
        self, kind: int, code: int, info: int, source: bytes, destination: bytes, transport: bytes,
        packet: Packet | None,
    ) -> bool:
        self.errors.append((kind, code, info, source, destination, transport))
        return self.believes


class Bench:
    """A stack's network layer with one link, 10.0.0.2/24 and 2001:db8::2/64, to 10.0.0.254 and 2001:db8::fe."""

    def __init__(self) -> None:
        self.network = Network(b"bench", now=1000 * SECOND)
        self.stats = self.network.stats
        self.eth0 = self.network.add_interface("eth0", mac=MAC)
        self.eth0.add_address("10.0.0.2/24")
        self.eth0.add_address("2001:db8::2/64")
        self.network.routes.add("0.0.0.0/0", via="10.0.0.254")
        self.network.routes.add("::/0", via="2001:db8::fe")
        self.packet = Packet()
        self.whole: list[Reassembled] = []

    def neighbors(self) -> None:
        """Makes the usual peers known, so that what is sent to them goes out at once."""
        for address in ("10.0.0.1", "10.0.0.254", "2001:db8::1", "2001:db8::fe"):
            self.network.neighbors.add(address, PEER_MAC)

    def parse(self, data: bytes, interface: Interface | None = None) -> Packet:
        """The bench's packet, filled from a frame up to its network header."""
        packet = self.packet
        packet.interface = interface or self.eth0
        packet.now = self.network.now
        assert packet.parse_link(Frame(data), packet.interface.layer) == 0
        if packet.ethertype != ETHERTYPE_ARP:
            parsed = packet.parse_ipv4() if packet.ethertype == ETHERTYPE_IPV4 else packet.parse_ipv6()
            assert parsed == 0
        return packet

    def receive(self, data: bytes, interface: Interface | None = None) -> None:
        """Takes a frame through the network layer to its transport, as the receive path does."""
        packet = self.parse(data, interface)
        if packet.ethertype == ETHERTYPE_ARP:
            self.network.arp.input(packet)
            return
        network = self.network
        if packet.version == 4:
            if packet.fragment:
                offset, more = (packet.fragment & 0x1FFF) * 8, packet.fragment & 0x2000 != 0
                ident = int.from_bytes(packet.data[packet.l3 + 4 : packet.l3 + 6], "big")
                self._fragment(packet, ident, offset, more, packet.l4, packet.proto)
                return
        else:
            walker = network.extensions
            found = walker.walk(packet)
            if found == extension.FRAGMENT:
                self._fragment(
                    packet, walker.ident, walker.offset, walker.more, walker.payload_offset, walker.proto
                )
            if found != extension.TRANSPORT:
                return
        handler = network.handlers.get(packet.proto)
        if handler is None:
            network.icmp.protocol_unreachable(packet)
        else:
            handler.input(packet)

    def _fragment(
        self, packet: Packet, ident: int, offset: int, more: bool, payload_offset: int, proto: int
    ) -> None:
        whole = self.network.reassembler.add(
            packet, ident, offset, more, payload_offset, packet.end, proto
        )
        if whole is not None:
            self.whole.append(whole)
            self.receive(whole.data, packet.interface)

    def sent(self, interface: Interface | None = None) -> list[Dissected]:
        """What has gone out since the last call."""
        link = interface or self.eth0
        return [dissect(frame.data, link.layer) for frame in link.take_output()]

    def advance(self, seconds: float) -> None:
        """Lets time pass, a tenth of a second at a time."""
        target = self.network.now + round(seconds * SECOND)
        while self.network.now < target:
            self.network.now = min(target, self.network.now + SECOND // 10)
            self.network.wheel.advance(self.network.now)

    def handler(self, proto: int) -> Transport:
        """A transport protocol that remembers, installed."""
        transport = Transport()
        self.network.handlers[proto] = transport
        return transport


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def ready() -> Bench:
    """A bench whose peers' MACs are known."""
    made = Bench()
    made.neighbors()
    return made


def packed(address: str) -> bytes:
    return pack_address(address)
