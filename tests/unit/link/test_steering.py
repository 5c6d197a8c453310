"""The owner of a packet: the same by the kernel's program and by our function, for both directions and any tags."""

from __future__ import annotations

import random
import struct
from collections import Counter

import pytest

from tests.unit.link.packets import MACS, TCP, UDP, packet, tags, tcp_header
from uinet.link import steering
from uinet.passive.bpf import Program

ETHERNET = Program(steering.program(True))
TAGS = [b"", tags((0x8100, 5)), tags((0x88A8, 1), (0x8100, 2)), tags(*((0x9100, n) for n in range(16)))]


def by_program(data: bytes) -> int:
    return ETHERNET.run(data, 0, len(data), len(data))


def turned(data: bytes, with_ports: bool = True) -> bytes:
    """The packet of the other direction: addresses and ports exchanged, of an untagged frame without extensions."""
    ip = bytearray(data[14:])
    six = ip[0] >> 4 == 6
    first, size, ports = (8, 16, 40) if six else (12, 4, 20)
    a, b = ip[first : first + size], ip[first + size : first + 2 * size]
    ip[first : first + 2 * size] = b + a
    if with_ports:
        ip[ports : ports + 4] = ip[ports + 2 : ports + 4] + ip[ports : ports + 2]
    return data[:14] + bytes(ip)


def tagged(data: bytes, vlans: bytes) -> bytes:
    return data[:12] + vlans + data[12:]


@pytest.mark.parametrize("version", [4, 6])
def test_the_owner_of_a_flow_is_that_of_its_packets(version: int) -> None:
    one, other = (bytes(10 * n + at for at in range(4 if version == 4 else 16)) for n in (1, 7))
    for port in range(1, 60_000, 997):
        data = bytearray(packet(tcp_header(sport=port, dport=443), b"", version=version))
        at = 26 if version == 4 else 22
        data[at : at + 2 * len(one)] = one + other
        assert steering.flow_owner(one, other, port, 443) == by_program(bytes(data))
        assert steering.flow_owner(other, one, 443, port) == by_program(bytes(data))


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("protocol", [TCP, UDP])
def test_owner_is_one_in_both_directions_and_under_any_tags(version: int, protocol: int) -> None:
    seen = set()
    for port in range(200):
        header = tcp_header(sport=1024 + port) if protocol == TCP else struct.pack(">HHHH", 1024 + port, 53, 9, 0)
        data = packet(header, b"x", version=version, protocol=protocol)
        owner = steering.owner(data, 2)
        seen.add(owner)
        assert owner == steering.owner(turned(data), 2) == steering.owner(data[14:], 3)
        for vlans in TAGS:
            assert steering.owner(tagged(data, vlans), 2) == by_program(tagged(data, vlans)) == owner
        assert by_program(turned(data)) == owner
    assert len(seen) > 195
    assert max(seen) < 1 << 16


@pytest.mark.parametrize("workers", [2, 3, 4, 7])
@pytest.mark.parametrize("vary", ["ports", "one address", "both addresses"])
def test_flows_are_shared_out_evenly(workers: int, vary: str) -> None:
    shares: Counter[int] = Counter()
    for n in range(4000):
        data = bytearray(packet(tcp_header(sport=1024 + n if vary == "ports" else 5000), b""))
        if vary != "ports":
            struct.pack_into(">I", data, 26, 0x0A000000 + n)
        if vary == "both addresses":
            struct.pack_into(">I", data, 30, 0x0A010000 + n)
        shares[steering.owner(bytes(data), 2) % workers] += 1
    assert max(shares.values()) < 1.15 * 4000 / workers
    assert min(shares.values()) > 0.85 * 4000 / workers


@pytest.mark.parametrize("version", [4, 6])
def test_icmp_error_belongs_to_the_flow_that_it_is_about(version: int) -> None:
    flow = packet(tcp_header(), b"x", version=version)
    kind, protocol = (3, 1) if version == 4 else (2, 58)
    about = bytes((kind, 4, 0, 0, 0, 0, 5, 0)) + flow[14:]
    error = packet(about, b"", version=version, protocol=protocol, state="none")
    assert steering.owner(error, 2) == by_program(error) == steering.owner(flow, 2)
    request = bytes((8 if version == 4 else 128, 0)) + bytes(6)
    echo = packet(request, b"", version=version, protocol=protocol, state="none")
    assert steering.owner(echo, 2) == by_program(echo) == steering.owner(turned(echo, False), 2) != 0


def test_fragments_between_two_hosts_have_one_owner() -> None:
    first = packet(tcp_header(), bytes(100), fragment=0x2000)
    later = packet(tcp_header(sport=7), bytes(100), fragment=0x0010)
    assert steering.owner(first, 2) == by_program(first) == steering.owner(later, 2) == by_program(later)


def test_what_has_no_flow_is_the_first_workers() -> None:
    solicitation = packet(bytes((135, 0)) + bytes(22), b"", version=6, protocol=58, state="none")
    too_many = packet(tcp_header(), b"", vlans=tags(*((0x8100, n) for n in range(17))))
    for data in (MACS + b"\x08\x06" + bytes(28), solicitation, MACS + b"\x88\xb5" + bytes(50), b"", MACS,
                 packet(tcp_header(), b"")[:30], too_many):
        assert steering.owner(data, 2) == by_program(data) == 0


def test_extension_headers_are_passed_over() -> None:
    plain = packet(tcp_header(), b"x", version=6)
    options = bytes((43, 0)) + bytes(6) + bytes((60, 1)) + bytes(14) + bytes((6, 0)) + bytes(6)
    behind = packet(tcp_header(), b"x", version=6, extensions=options, next_header=0)
    assert steering.owner(behind, 2) == by_program(behind) == steering.owner(plain, 2)


@pytest.mark.slow
def test_program_and_function_agree_on_anything() -> None:
    rng = random.Random(3)
    seeds = [packet(tcp_header(), b"hello", version=version, vlans=vlans) for version in (4, 6) for vlans in TAGS]
    seeds += [
        packet(bytes((kind, 0)) + bytes(6) + seeds[0][14:], b"", protocol=protocol, version=version, state="none")
        for kind, protocol, version in ((3, 1, 4), (11, 1, 4), (1, 58, 6), (129, 58, 6), (134, 58, 6))
    ]
    values = (0, 1, 6, 17, 58, 44, 60, 0x45, 0x60, 0x81)
    owners = set()
    for _ in range(20_000):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.randrange(4)):
            data[rng.randrange(12, len(data))] = rng.choice((*values, rng.getrandbits(8)))
        cut = bytes(data[: rng.choice((len(data), rng.randrange(len(data) + 1)))])
        assert by_program(cut) == steering.owner(cut, 2), cut.hex()
        owners.add(steering.owner(cut, 2))
    assert len(owners) > 1000
