"""Filter expressions: libpcap's compiler, and our machine held against libpcap's own."""

from __future__ import annotations

import ctypes
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uinet.errors import FilterError
from uinet.following import libpcap
from uinet.following.filtering import FOLLOWED, Filter
from uinet.following.libpcap import compile_filter
from uinet.link.pcap_file import LAYERS
from uinet.passive.bpf import Program
from uinet.wire.capture import LINKTYPE_ETHERNET, LINKTYPE_LINUX_SLL, LINKTYPE_RAW

try:
    LIBRARY: Any = libpcap._library()
except FilterError:
    LIBRARY = None
needs_libpcap = pytest.mark.skipif(LIBRARY is None, reason="needs libpcap: apt install libpcap0.8")

EXPRESSIONS = [
    "tcp", "tcp port 80", "host 10.0.0.1", "host 10.0.0.1 and tcp port 443", "ip6", "ip6 host fd00::1", "tcp or udp",
    "not tcp", "vlan", "vlan 100", "vlan 100 and vlan 200 and tcp", "vlan and tcp port 80", "net 10.0.0.0/8",
    "src host 10.0.0.1 and dst port 80", "portrange 80-443", "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0",
    "tcp[((tcp[12] & 0xf0) >> 2):4] = 0x47455420", "ip[0] & 0xf != 5", "len > 100", "len = 60", "less 64", "greater 65",
    "ether host 02:00:00:00:00:01", "ether broadcast", "ether proto 0x88b5", "arp", "icmp", "icmp6",
    "ip[2:2] - ((ip[0] & 0xf) << 2) > 20", "ip[6:2] & 0x1fff = 0", "ip proto 47", "ip6 proto 6", "mpls", "pppoes",
    "pppoes and tcp", "tcp[4:4] * 3 > 7", "ip[4:2] % 7 = 1", "ip[4:2] / ip[8] > 3", "ip[4:2] ^ ip[10:2] = 0x1234",
    "-ip[4] + 300 > len", "tcp[13] << ip[8] > 1000", "tcp[4:4] >> 3 & 1 = 1", "ip[4:2] % ip[8] = 1",
    "tcp[20:4] = 0 or udp[8:2] = 1 or tcp[30] | tcp[31] = 255", "ip multicast or ether multicast",
    "port 53 and not arp", "dst net 192.168.0.0 mask 255.255.0.0", "tcp src port 1 or tcp dst port 65535",
    "ether[0] & 1 = 0", "ether[60:4] = 0",
]


def ours(text: str, link_type: int) -> Program:
    return Program(compile_filter(text, link_type))


class Theirs:
    """libpcap's machine with a program of its own compiling."""

    def __init__(self, text: str, link_type: int) -> None:
        self.program = libpcap._Program()
        handle = LIBRARY.pcap_open_dead(libpcap._DLT.get(link_type, link_type), 262144)
        assert LIBRARY.pcap_compile(handle, ctypes.byref(self.program), text.encode(), 1, 0xFFFFFFFF) == 0
        LIBRARY.pcap_close(handle)

    def run(self, data: bytes, length: int) -> int:
        header = struct.pack("@llII", 0, 0, len(data), length)
        return int(LIBRARY.pcap_offline_filter(ctypes.byref(self.program), header, data)) & 0xFFFFFFFF


MACS = [b"\xff" * 6, bytes.fromhex("020000000001"), bytes.fromhex("020000000002")]
ADDRESSES = [bytes([10, 0, 0, 1]), bytes([192, 168, 1, 2]), bytes([224, 0, 0, 1]), b"\xff" * 4]
SIXES = [bytes.fromhex("fd" + "00" * 14 + "01"), bytes.fromhex("fe80" + "00" * 13 + "09")]
PORTS = st.sampled_from([0, 1, 53, 80, 443, 65535])


@st.composite
def transports(draw: st.DrawFn) -> tuple[int, bytes]:
    protocol = draw(st.sampled_from([6, 17, 1, 58, 47]))
    ports = struct.pack(">HH", draw(PORTS), draw(PORTS))
    return protocol, ports + draw(st.binary(max_size=40)) + bytes(draw(st.sampled_from([0, 30])))


@st.composite
def ip_packets(draw: st.DrawFn) -> tuple[int, bytes]:
    protocol, payload = draw(transports())
    if draw(st.booleans()):
        head = struct.pack(">IHBB", 0x60000000, len(payload), protocol, 64)
        return 0x86DD, head + draw(st.sampled_from(SIXES)) + draw(st.sampled_from(SIXES)) + payload
    words = draw(st.sampled_from([5, 5, 6, 15, 0]))
    fragment = draw(st.sampled_from([0, 0, 0x2000, 0x0010, 0x4000]))
    head = struct.pack(
        ">BBHHHBBH", 0x40 | words, 0, 20 + len(payload), draw(st.integers(0, 0xFFFF)), fragment,
        draw(st.integers(0, 255)), protocol, draw(st.integers(0, 0xFFFF)),
    )
    addresses = draw(st.sampled_from(ADDRESSES)) + draw(st.sampled_from(ADDRESSES))
    return 0x0800, head + addresses + bytes(4 * max(0, words - 5)) + payload


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    kind, packet = draw(ip_packets())
    tags = b""
    for _ in range(draw(st.sampled_from([0, 0, 1, 2, 3]))):
        tags += struct.pack(">HH", draw(st.sampled_from([0x8100, 0x88A8])), draw(st.sampled_from([100, 200, 0x6064])))
    shim = draw(st.sampled_from(["", "", "", "mpls", "pppoe", "other"]))
    if shim == "mpls":
        kind, packet = 0x8847, struct.pack(">I", draw(st.sampled_from([0x00064140, 0x00064040]))) + packet
    elif shim == "pppoe":
        kind, packet = 0x8864, struct.pack(">BBHHH", 0x11, 0, 1, len(packet), 0x21) + packet
    elif shim == "other":
        kind = draw(st.sampled_from([0x0806, 0x88B5, 60]))
    return draw(st.sampled_from(MACS)) + draw(st.sampled_from(MACS)) + tags + struct.pack(">H", kind) + packet


@needs_libpcap
@settings(max_examples=200, deadline=None)
@given(frame=st.one_of(frames(), st.binary(max_size=120)), cut=st.one_of(st.just(1000), st.integers(0, 120)),
       more=st.sampled_from([0, 0, 1, 1000, 70_000]), before=st.integers(0, 9))
def test_our_machine_says_what_libpcaps_says(frame: bytes, cut: int, more: int, before: int) -> None:
    captured = frame[:cut]
    data = b"\x45" * before + captured + b"\x45" * 9
    for text, program, other in PAIRS:
        expected = other.run(captured, len(frame) + more)
        assert program.run(data, before, len(captured), len(frame) + more) == expected, text


if LIBRARY is not None:
    LIBRARY.pcap_offline_filter.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p]
    PAIRS = [(text, ours(text, LINKTYPE_ETHERNET), Theirs(text, LINKTYPE_ETHERNET)) for text in EXPRESSIONS]
    BARE = [(text, ours(text, LINKTYPE_RAW), Theirs(text, LINKTYPE_RAW))
            for text in EXPRESSIONS if not any(word in text for word in ("ether", "vlan", "pppoes", "mpls", "arp"))]


@needs_libpcap
@settings(max_examples=60, deadline=None)
@given(packet=ip_packets(), cut=st.one_of(st.just(1000), st.integers(0, 120)))
def test_our_machine_says_what_libpcaps_says_of_bare_packets(packet: tuple[int, bytes], cut: int) -> None:
    captured = packet[1][:cut]
    assert len(BARE) > 25
    for text, program, other in BARE:
        expected = other.run(captured, len(packet[1]))
        assert program.run(captured, 0, len(captured), len(packet[1])) == expected, text


def test_libpcap_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    libpcap._library.cache_clear()
    monkeypatch.setattr(libpcap, "LIBRARIES", ("libnowhere.so.77",))
    monkeypatch.setattr(libpcap.ctypes.util, "find_library", lambda name: None)
    with pytest.raises(FilterError, match=r"a filter needs libpcap, which is not here: apt install libpcap0\.8"):
        compile_filter("tcp", 1)
    libpcap._library.cache_clear()


def test_libpcap_by_another_name_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    libpcap._library.cache_clear()
    known = [name for name in libpcap.LIBRARIES if libpcap._load((name,))]
    if not known:
        pytest.skip("needs libpcap: apt install libpcap0.8")
    monkeypatch.setattr(libpcap, "LIBRARIES", ())
    monkeypatch.setattr(libpcap.ctypes.util, "find_library", lambda name: known[0])
    assert compile_filter("tcp", 1)
    libpcap._library.cache_clear()


@needs_libpcap
@pytest.mark.parametrize(("text", "said"), [
    ("tcp prot 80", "syntax error"),
    ("tcp port", "syntax error"),
    ("host no.such.host.invalid", "unknown host"),
    ("net 10.0.0.1/8", "non-network bits set"),
    ("port 99999", "99999"),
    ("tcp\0", "no zero bytes"),
])
def test_an_expression_that_is_wrong_is_told_in_one_line(text: str, said: str) -> None:
    with pytest.raises(FilterError, match=said) as caught:
        Filter(text)
    assert "\n" not in str(caught.value)


IP = b"\x45" + bytes(8) + b"\x06" + bytes(10) + struct.pack(">HH", 1234, 80) + bytes(16)
ETHERNET = bytes(12) + b"\x08\x00" + IP
COOKED = bytes(14) + b"\x08\x00" + IP


def passes(filter: Filter, link_type: int, data: bytes) -> bool:
    return filter.accepts(link_type, b"??" + data + b"?", 2, len(data), len(data))


@needs_libpcap
def test_filter_has_a_program_for_each_link_type() -> None:
    filter = Filter("tcp port 80")
    for _ in range(2):
        assert passes(filter, LINKTYPE_ETHERNET, ETHERNET)
        assert passes(filter, LINKTYPE_RAW, IP)
        assert passes(filter, 14, IP)
        assert passes(filter, LINKTYPE_LINUX_SLL, COOKED)
        assert not passes(filter, LINKTYPE_LINUX_SLL, ETHERNET)
        assert not passes(filter, LINKTYPE_ETHERNET, COOKED)
    other = Filter("tcp port 81")
    assert not passes(other, LINKTYPE_ETHERNET, ETHERNET)


@needs_libpcap
def test_filter_without_meaning_for_the_link_type_is_told_when_such_a_packet_comes() -> None:
    filter = Filter("ether host 02:00:00:00:00:01")
    assert not passes(filter, LINKTYPE_ETHERNET, ETHERNET)
    with pytest.raises(FilterError, match=r"'ether host 02:00:00:00:00:01': .*\(packets of link type 101\)"):
        passes(filter, LINKTYPE_RAW, IP)


@needs_libpcap
def test_packets_of_a_kind_that_nobody_follows_do_not_pass() -> None:
    assert not passes(Filter("tcp port 80"), 9999, ETHERNET)
    assert frozenset(LAYERS) == FOLLOWED


@needs_libpcap
def test_expressions_for_other_links_than_ethernet_are_right() -> None:
    assert Filter("inbound").program_for(LINKTYPE_LINUX_SLL) is not None


@needs_libpcap
def test_loops_are_refused() -> None:
    with pytest.raises(FilterError, match="jumps out of the program, or back"):
        Filter("ip6 protochain 6")
