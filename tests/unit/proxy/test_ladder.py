"""The picture of a connection, and the reading of TCP segments out of frames."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uinet.proxy.ladder import Step, draw, segment_of
from uinet.wire import ethernet, ipv4, ipv6, tcp
from uinet.wire.addresses import L2Info, link_header

L2 = L2Info.make("02:00:00:00:00:01", "02:00:00:00:00:02", (100, 200))


def frame_v4(flags: int, payload: bytes = b"") -> bytes:
    source, destination = ipaddress.ip_address("10.0.0.1").packed, ipaddress.ip_address("10.0.0.2").packed
    segment = tcp.emit(tcp.TcpHeader(4000, 80, 7, 9, flags), payload, source, destination)
    packet = ipv4.emit(ipv4.Ipv4Header(source=source, destination=destination, protocol=ipv4.TCP), segment)
    return link_header(L2, ethernet.IPV4) + packet


def frame_v6(flags: int, payload: bytes = b"") -> bytes:
    source, destination = ipaddress.ip_address("fd00::1").packed, ipaddress.ip_address("fd00::2").packed
    segment = tcp.emit(tcp.TcpHeader(4000, 80, 7, 9, flags), payload, source, destination)
    packet = ipv6.emit(ipv6.Ipv6Header(source=source, destination=destination, next_header=ipv4.TCP), segment)
    return link_header(L2, ethernet.IPV6) + packet


@pytest.mark.parametrize(("make", "address"), [(frame_v4, "10.0.0.1"), (frame_v6, "fd00::1")])
def test_segment_of_a_tcp_frame(make: object, address: str) -> None:
    assert callable(make)
    segment = segment_of(make(tcp.ACK | tcp.PSH, b"hello") + bytes(8))  # padding of the link
    assert segment is not None
    assert segment.l2 == L2
    assert segment.source == (ipaddress.ip_address(address), 4000)
    assert (segment.seq, segment.ack, segment.length) == (7, 9, 5)


@pytest.mark.parametrize(
    ("flags", "payload", "label"),
    [
        (tcp.SYN, b"", "SYN"),
        (tcp.SYN | tcp.ACK, b"", "SYN ACK"),
        (tcp.ACK, b"", "ACK"),
        (tcp.ACK | tcp.PSH, b"x", "1 byte"),
        (tcp.ACK | tcp.FIN, b"xy", "2 bytes, FIN"),
        (tcp.ACK | tcp.FIN, b"", "FIN ACK"),
        (tcp.RST | tcp.ACK, b"", "RST"),
        (0, b"", "no flags"),
    ],
)
def test_label_says_what_the_segment_does(flags: int, payload: bytes, label: str) -> None:
    segment = segment_of(frame_v4(flags, payload))
    assert segment is not None
    assert segment.label == label


@given(st.binary(max_size=80) | st.integers(0, 70).map(lambda n: frame_v4(tcp.SYN)[:n]))
def test_segment_of_anything_else_is_none(data: bytes) -> None:
    segment = segment_of(data)
    assert segment is None or len(data) >= 54


def test_draw_puts_each_packet_between_who_sent_it_and_who_gets_it() -> None:
    steps = [
        Step(5_000_000, 0, True, "SYN"),
        Step(5_000_000, 1, True, "SYN"),
        Step(25_500_000, 1, False, "SYN ACK"),
        Step(25_500_000, 0, False, "a label that is far too long for its lane"),
    ]
    assert draw(steps, ascii_only=True) == [
        "        ms  client                    proxy                     server",
        "     0.000  |--- SYN ---------------->|                         |",
        "     0.000  |                         |--- SYN ---------------->|",
        "    20.500  |                         |<------------ SYN ACK ---|",
        "    20.500  |<- a label that is fa ---|                         |",
    ]
    assert draw([]) == []
    assert {len(line) for line in draw(steps)[1:]} == {65}
