"""Whatever arrives, no exception leaves the network layer, and what it holds stays bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uinet.ip.input import Receiver, SegmentInput
from uinet.ip.network import Network
from uinet.udp.protocol import Udp
from uinet.units import SECOND
from uinet.wire import nd
from uinet.wire.addresses import pack_address
from uinet.wire.build import arp_reply, arp_request, fragments, frame, icmp_echo, icmp_message, ip, nd_message, udp
from uinet.wire.checksums import fill_packet
from uinet.wire.frame import Frame
from uinet.wire.ipv6_extensions import FragmentHeader, Option, OptionsHeader, RoutingHeader

if TYPE_CHECKING:
    from tests.unit.ip.conftest import Bench

A4, B4, A6, B6 = "10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8::2"
EXTENSIONS = (
    OptionsHeader(0, 0, (Option(5, b"ab"),)), RoutingHeader(0, 4), OptionsHeader(60, 0, (Option(0x9E, b"ab"),)),
)

SEEDS = [
    arp_request(A4, B4),
    arp_reply(A4, B4),
    icmp_echo(A4, B4, payload=b"abcdef"),
    icmp_echo(A6, B6, payload=b"abcdef"),
    icmp_message(A4, B4, 3, 4, 1000, udp(B4, A4, 53, 53, bytes(40), layer=3)),
    icmp_message(A6, B6, 2, 0, 1300, udp(B6, A6, 53, 53, bytes(40), layer=3)),
    nd_message(A6, "ff02::1:ff00:2", nd.NeighborSolicitation(pack_address(B6), (nd.Option(1, bytes(6)),))),
    nd_message(A6, B6, nd.NeighborAdvertisement(pack_address(A6), nd.FLAG_SOLICITED, (nd.Option(2, bytes(6)),))),
    nd_message("fe80::1", "ff02::1", nd.RouterAdvertisement(options=(nd.mtu_option(1500),))),
    udp(A4, B4, 1, 53, b"query"),
    udp(A6, B6, 1, 53, b"query"),
    frame(ip(A4, B4, 17, bytes(20), options=b"\x07\x07\x04\0\0\0\0\0")),
    frame(ip(A6, B6, 17, bytes(20), extensions=EXTENSIONS)),
    frame(ip(A6, B6, 58, bytes(20), extensions=(EXTENSIONS[0], FragmentHeader(0, 0, True, 5)))),
    *(frame(cut) for cut in fragments(udp(A4, B4, 1, 53, bytes(64), layer=3), 24)),
    *(frame(cut) for cut in fragments(udp(A6, B6, 1, 53, bytes(64), layer=3), 24)),
]


def mended(data: bytes) -> bytes:
    """A frame with its checksums made right again, so that a change behind them is looked at."""
    return data[:14] + fill_packet(data[14:])


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_mutated_frames_are_survived(data: st.DataObject) -> None:
    network = Network(b"s", now=SECOND)
    udp_protocol = Udp(network)
    receiver = Receiver(network, SegmentInput())
    receiver.udp = udp_protocol
    eth0 = network.add_interface("eth0", mac="02:00:00:00:00:02")
    eth0.add_address("10.0.0.2/24")
    eth0.add_address("2001:db8::2/64")
    wire = network.add_interface("wire", cdom=1)
    wire.answer_any = data.draw(st.booleans())
    udp_protocol.bind(udp_protocol.endpoint(), b"", 53)
    for _ in range(data.draw(st.integers(1, 8))):
        seed = bytearray(data.draw(st.sampled_from(SEEDS)))
        for _ in range(data.draw(st.integers(0, 4))):
            seed[data.draw(st.integers(12, len(seed) - 1))] = data.draw(st.integers(0, 255))
        seed = seed[: data.draw(st.integers(14, len(seed)))] if data.draw(st.booleans()) else seed
        made = mended(bytes(seed)) if data.draw(st.booleans()) else bytes(seed)
        receiver.receive(data.draw(st.sampled_from((eth0, wire))), Frame(made), network.now)
        for interface, packet in network.loopback:
            receiver.receive(interface, Frame(packet), network.now)
        network.loopback.clear()
    assert len(eth0.output) + len(wire.output) <= 16
    for _ in range(70):
        network.now += SECOND
        network.wheel.advance(network.now)
    assert network.reassembler.datagrams == {} and network.reassembler.cost == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_every_truncation_is_survived(bench: Bench, seed: bytes) -> None:
    receiver = Receiver(bench.network, SegmentInput())
    for length in range(len(seed)):
        receiver.receive(bench.eth0, Frame(seed[:length]), bench.network.now)
        receiver.receive(bench.eth0, Frame(mended(seed[:length])), bench.network.now)
