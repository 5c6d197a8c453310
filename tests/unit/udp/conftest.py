"""A host that speaks UDP alone, on a bench: frames are fed to it by hand, in virtual time."""

from __future__ import annotations

import pytest

from uinet.ip.input import Receiver, SegmentInput
from uinet.ip.interface import Interface
from uinet.ip.network import Network
from uinet.udp.endpoint import UdpEndpoint
from uinet.udp.protocol import Udp
from uinet.units import SECOND
from uinet.wire.addresses import pack_address
from uinet.wire.build import Dissected, dissect
from uinet.wire.frame import CHECKSUM_UNKNOWN, Frame

PEER_MAC = "02:00:00:00:00:01"


class UdpHost:
    """10.0.0.2/24 and 2001:db8::2/64 on eth0, whose peers' MACs are known; and domain 1 behind `wire`."""

    def __init__(self) -> None:
        self.network = Network(b"udp bench", now=1000 * SECOND)
        self.stats = self.network.stats
        self.udp = Udp(self.network)
        self.receiver = Receiver(self.network, SegmentInput())
        self.receiver.udp = self.udp
        self.eth0 = self.network.add_interface("eth0", mac="02:00:00:00:00:02")
        self.eth0.add_address("10.0.0.2/24")
        self.eth0.add_address("2001:db8::2/64")
        self.network.routes.add("0.0.0.0/0", via="10.0.0.254")
        for address in ("10.0.0.1", "10.0.0.254", "2001:db8::1"):
            self.network.neighbors.add(address, PEER_MAC)
        self.wire = self.network.add_interface("wire", mac="02:00:00:00:00:77", cdom=1)

    def receive(self, data: bytes, interface: Interface | None = None, checksum: int = CHECKSUM_UNKNOWN) -> None:
        """Takes a frame in, and what the stack then says to itself."""
        self.receiver.receive(interface or self.eth0, Frame(data, checksum), self.network.now)
        self.loop()

    def loop(self) -> None:
        """Takes in what the stack has said to itself."""
        waiting = self.network.loopback
        while waiting:
            interface, packet = waiting.pop(0)
            self.receiver.receive(interface, Frame(packet), self.network.now)

    def sent(self, interface: Interface | None = None) -> list[Dissected]:
        """What has gone out since the last call."""
        link = interface or self.eth0
        return [dissect(frame.data, link.layer) for frame in link.take_output()]

    def advance(self, seconds: int) -> None:
        """Lets time pass."""
        for _ in range(seconds):
            self.network.now += SECOND
            self.network.wheel.advance(self.network.now)

    def bound(self, address: str = "", port: int = 0, **options: object) -> UdpEndpoint:
        """A new endpoint, bound; `options` are its attributes."""
        endpoint = self.udp.endpoint(cdom=options.pop("cdom", 0), family=options.pop("family", 0))
        for name, value in options.items():
            setattr(endpoint, name, value)
        self.udp.bind(endpoint, pack_address(address) if address else b"", port)
        return endpoint

    def connected(self, address: str, port: int, **options: object) -> UdpEndpoint:
        """A new endpoint, connected."""
        endpoint = self.bound(**options)
        self.udp.connect(endpoint, pack_address(address), port)
        return endpoint


@pytest.fixture
def host() -> UdpHost:
    return UdpHost()
