"""A link whose other end is test code: routers and hosts that say what a test wants, and what our side answered."""

from __future__ import annotations

from typing import Any

from tests.unit.ip.conftest import Bench
from uinet.ip.interface import Interface
from uinet.ip.network import Network
from uinet.ip.notice import LinkEvent
from uinet.units import SECOND
from uinet.wire import arp, nd
from uinet.wire.addresses import BROADCAST_MAC, Mac, pack_address, unpack_address
from uinet.wire.build import Dissected, nd_message
from uinet.wire.packet import Packet

OURS = "02:00:00:00:00:02"
ROUTER_MAC = Mac("02:00:00:00:00:01")
ROUTER = "fe80::1"
ROUTER2 = "fe80::2"
PREFIX = "2001:db8:1::"


def arp_packet(message: arp.ArpPacket) -> bytes:
    """A broadcast ARP frame."""
    return bytes(BROADCAST_MAC) + message.sha + b"\x08\x06" + arp.emit(message)


def p(address: str) -> bytes:
    return pack_address(address)


class Lan(Bench):
    """A stack with one bare Ethernet interface, `eth0`; `events`: what it told."""

    def __init__(self, seed: bytes = b"lan", mtu: int = 1500) -> None:
        self.network = Network(seed, now=1000 * SECOND)
        self.stats = self.network.stats
        self.events: list[LinkEvent] = []
        self.network.on_link_event = self.events.append
        self.eth0: Interface = self.network.add_interface("eth0", mac=OURS, mtu=mtu)
        self.packet = Packet()
        self.whole = []

    @property
    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]

    def up(self) -> Lan:
        """With autoconfiguration, past the link-local address and the first solicitation."""
        self.eth0.autoconfigure()
        self.advance(3)
        assert self.eth0.link_local() is not None
        self.sent()
        return self

    def advertise(self, *options: nd.Option, source: str = ROUTER, mac: Mac = ROUTER_MAC, **fields: Any) -> None:
        """A router advertisement of a default router, to all nodes."""
        fields.setdefault("router_lifetime", 1800)
        slla = nd.link_layer_option(nd.SOURCE_LINK_LAYER, mac)
        message = nd.RouterAdvertisement(options=(slla, *options), **fields)
        self.receive(nd_message(source, "ff02::1", message))

    def prefix(
        self, prefix: str = PREFIX, *, valid: int = 86400, preferred: int = 14400, flags: int = 0xC0, length: int = 64,
        source: str = ROUTER, **fields: Any,
    ) -> None:
        """The same with a prefix."""
        info = nd.PrefixInformation(p(prefix), length, flags, valid, preferred)
        self.advertise(info.option(), source=source, **fields)

    def answer_for(self, address: str, mac: Mac = ROUTER_MAC, *, router: bool = True) -> None:
        """A solicited advertisement of a neighbour."""
        flags = nd.FLAG_SOLICITED | nd.FLAG_OVERRIDE | (nd.FLAG_ROUTER if router else 0)
        option = nd.link_layer_option(nd.TARGET_LINK_LAYER, mac)
        own = str(unpack_address(self.eth0.link_local() or b""))
        self.receive(nd_message(address, own, nd.NeighborAdvertisement(p(address), flags, (option,))))

    def global_addresses(self) -> list[bytes]:
        return [entry.address for entry in self.eth0.addresses if entry.address[0] != 0xFE]

    def solicitations(self, frames: list[Dissected] | None = None) -> list[Dissected]:
        """Of what was sent: the neighbour solicitations."""
        frames = self.sent() if frames is None else frames
        return [frame for frame in frames if nd.NeighborSolicitation in frame]

    def router_solicitations(self, frames: list[Dissected] | None = None) -> list[Dissected]:
        frames = self.sent() if frames is None else frames
        return [frame for frame in frames if nd.RouterSolicitation in frame]
