"""What the stack gets to see."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uinet import L2Info
from uinet.errors import InvalidArgument
from uinet.honeypot.fingerprint import fingerprint
from uinet.honeypot.running import check_prefixes
from uinet.honeypot.watch import Watch
from uinet.wire import build
from uinet.wire.build import tcp, udp
from uinet.wire.frame import Frame
from uinet.wire.nd import NeighborSolicitation
from uinet.wire.tcp_options import Mss, SackPermitted, Timestamps, WindowScale

US, THEM = "02:00:00:00:00:99", "02:00:00:00:00:01"
L2 = L2Info.make(THEM, US)


def watch() -> Watch:
    return Watch(["10.66.0.0/16", "192.0.2.1/32", "fd66::/64"], mac=bytes.fromhex(US.replace(":", "")))


@pytest.mark.parametrize(("destination", "passes"), [
    ("10.66.255.255", True), ("10.67.0.0", False), ("192.0.2.1", True), ("192.0.2.2", False),
])
def test_only_the_prefixes_pass(destination: str, passes: bool) -> None:
    one = watch()
    frame = Frame(udp("203.0.113.1", destination, 1, 2, b"x", L2))
    assert one.sift([frame], 5) == ([frame] if passes else [])
    assert one.elsewhere == (0 if passes else 1)


def test_ipv6_prefix_ends_at_its_bits() -> None:
    one = watch()
    frames = [Frame(udp("2001:db8::1", to, 1, 2, b"x", L2)) for to in ("fd66::ffff:1", "fd66:0:0:1::1")]
    assert one.sift(frames, 5) == frames[:1]


def test_other_macs_do_not_pass() -> None:
    one = watch()
    l2 = L2Info.make(THEM, "02:00:00:00:00:98")
    assert one.sift([Frame(udp("203.0.113.1", "10.66.0.1", 1, 2, b"x", l2))], 5) == []


def test_groups_pass_only_if_they_ask_for_a_neighbour() -> None:
    one = watch()
    broadcast = L2Info.make(THEM, "ff:ff:ff:ff:ff:ff")
    ask = Frame(
        build.nd_message(
            "fe80::1", "ff02::1:ff00:1", NeighborSolicitation(bytes.fromhex("fd66") + bytes(13) + b"\1"),
            L2Info.make(THEM, "33:33:ff:00:00:01"),
        )
    )
    arp = Frame(build.arp_request("10.66.9.9", "10.66.0.1"))
    frames = [Frame(udp("203.0.113.1", "10.66.0.1", 1, 2, b"x", broadcast)), ask, arp]
    assert one.sift(frames, 5) == [ask, arp]


def test_odd_segments_and_echoes_are_counted() -> None:
    one = watch()
    one.sift([Frame(tcp("203.0.113.1", "10.66.0.1", 1, 2, "FPU", 1, 0, 5, (), b"", L2))], 5)
    one.sift([Frame(tcp("203.0.113.1", "10.66.0.1", 1, 2, "A", 1, 0, 5, (), b"", L2))], 5)
    (source,) = one.report()
    assert (source.odd, source.others, source.syns) == (1, 0, 0)  # an ACK is no news
    assert one.report() == []


@given(st.binary(max_size=120))
def test_nonsense_does_no_harm(data: bytes) -> None:
    one = watch()
    one.sift([Frame(data), Frame(bytes.fromhex(US.replace(":", "")) + data)], 5)
    fingerprint(data)
    fingerprint(data, 3)


@given(st.binary(min_size=20, max_size=60))
def test_nonsense_behind_a_good_header_has_a_fingerprint_or_none(data: bytes) -> None:
    ip = bytes([0x45, 0, 0, 20 + len(data), 0, 0, 0x40, 0, 50, 6, 0, 0, 1, 2, 3, 4, 10, 66, 0, 1])
    found = fingerprint(ip + data, 3)
    assert found is None or found["p0f"].startswith("4:64:0:")


@pytest.mark.parametrize(("frame", "signature"), [
    (tcp("1.2.3.4", "5.6.7.8", 1, 2, "S", 9, 0, 64240,
         (Mss(1460), SackPermitted(), Timestamps(1, 0), WindowScale(7)), b"", L2),
     "mss*44,7:mss,sok,ts,ws"),
    (tcp("1.2.3.4", "5.6.7.8", 1, 2, "S", 0, 7, 1024, (Mss(1460),), b"x", L2), "1024,*:mss:"),
    (tcp("fd00::1", "fd00::2", 1, 2, "SEC", 1, 0, 65535, (), b"", L2), "65535,*::ecn:0"),
])
def test_fingerprints(frame: bytes, signature: str) -> None:
    found = fingerprint(frame)
    assert found is not None and signature in found["p0f"]
    if found["payload"]:
        assert {"seq-", "ack+"} <= set(found["quirks"]) and found["p0f"].endswith(":+")


@pytest.mark.parametrize("text", ["10.66.1.0/16", "224.0.0.0/8", "ff02::/16", "nonsense", "10.0.0.0/33", ""])
def test_what_is_no_prefix_is_told(text: str) -> None:
    with pytest.raises((InvalidArgument, OSError)):
        check_prefixes([text])
