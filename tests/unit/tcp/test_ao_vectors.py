"""TCP-AO's arithmetic against published values: RFC 9235 (segments), RFC 4493 (CMAC), FIPS 197 (AES)."""

from __future__ import annotations

import pytest

from tests.unit.tcp.ao_vectors import CLIENT, CLIENT_ID, MASTER, PORT, SERVER, SERVER_ID, VECTORS, Vector
from uinet.tcp.aes import Aes128, cmac
from uinet.tcp.ao import ALGORITHMS, RECEIVE_OTHER, SEND_OTHER, SEND_SYN, Ao, Mkt
from uinet.tcp.signing import GOOD, WRONG, header_of
from uinet.tcp.table import Entry
from uinet.wire.addresses import pack_address, split
from uinet.wire.frame import Frame
from uinet.wire.packet import Packet
from uinet.wire.segment import Segment

KEY = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
TEXT = bytes.fromhex(
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
    "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
)


def parsed(frame: bytes, v6: bool) -> tuple[Packet, Segment]:
    packet, seg = Packet(), Segment()
    assert packet.parse_link(Frame(frame), 2) == 0
    assert (packet.parse_ipv6() if v6 else packet.parse_ipv4()) == 0
    if v6:
        packet.proto, packet.l4 = 6, 14 + 40
    assert seg.parse(packet) == 0
    return packet, seg


def end(vector: Vector, server: bool) -> tuple[Entry, Ao]:
    """One end's key and signer."""
    here, there = CLIENT[vector.v6], SERVER[vector.v6]
    ports, ids = (vector.port, PORT), (CLIENT_ID, SERVER_ID)
    if server:
        here, there, ports, ids = there, here, ports[::-1], ids[::-1]
    entry = Entry()
    entry.laddr_hi, entry.laddr_lo = split(pack_address(here))
    entry.raddr_hi, entry.raddr_lo = split(pack_address(there))
    entry.lport, entry.rport = ports
    return entry, Ao([Mkt(MASTER, *ids, ALGORITHMS[vector.algorithm], vector.covers, False)])


@pytest.mark.parametrize("server", [False, True], ids=["client", "server"])
@pytest.mark.parametrize("vector", VECTORS, ids=[vector.section for vector in VECTORS])
@pytest.mark.rfc("5926", "3.1", "traffic keys by KDF_HMAC_SHA1 and KDF_AES_128_CMAC")
@pytest.mark.rfc("5926", "3.2", "MACs by HMAC-SHA-1-96 and AES-128-CMAC-96")
def test_segments_of_rfc_9235_are_signed_and_checked_alike(vector: Vector, server: bool) -> None:
    entry, ao = end(vector, server)
    if server:
        ao.begin(vector.server_isn, -1)
    else:
        ao.begin(vector.client_isn, -1)
    for index in range(4):
        packet, seg = parsed(vector.frame(index), vector.v6)
        if (index % 2 == 1) == server:
            options = packet.data[seg.options_offset : seg.signature_at]
            payload = packet.data[seg.offset : seg.offset + seg.length]
            made = ao.option(entry, header_of(packet), options, payload, seg.seq, seg.flags)
            assert made.hex() == packet.data[seg.signature_at : seg.signature_at + 16].hex()
        else:
            assert ao.check(entry, packet, seg) == GOOD
    assert (ao.good, ao.bad) == (2, 0)
    mkt = ao.tuples[0]
    mine, theirs = (vector.keys[1], vector.keys[2]) if server else (vector.keys[2], vector.keys[1])
    assert ao.traffic_key(entry, mkt, SEND_OTHER).hex() == mine
    assert ao.traffic_key(entry, mkt, RECEIVE_OTHER).hex() == theirs
    if not server:
        assert ao.traffic_key(entry, mkt, SEND_SYN).hex() == vector.keys[0]


@pytest.mark.parametrize("vector", VECTORS, ids=[vector.section for vector in VECTORS])
def test_any_bit_changed_in_a_segment_of_rfc_9235_is_found(vector: Vector) -> None:
    """All but the fields that the MAC leaves out: checksum, and the other options where it does not cover them."""
    entry, ao = end(vector, True)
    ao.begin(vector.server_isn, -1)
    assert ao.check(entry, *parsed(vector.frame(0), vector.v6)) == GOOD
    frame = vector.frame(2)
    packet, seg = parsed(frame, vector.v6)
    for at in range(packet.l4 + 4, packet.end, 3):  # ports are of another connection
        left_out = packet.l4 + 16 <= at < packet.l4 + 18 or packet.l4 + 12 <= at < packet.l4 + 14
        if left_out or seg.options_offset <= at < seg.signature_at + 4:
            continue
        changed = bytearray(frame)
        changed[at] ^= 0x10
        broken, other = Packet(), Segment()
        broken.parse_link(Frame(bytes(changed), 1), 2)
        assert (broken.parse_ipv6() if vector.v6 else broken.parse_ipv4()) == 0
        if vector.v6:
            broken.proto, broken.l4 = 6, 54
        broken.checksum = 1
        assert other.parse(broken) == 0
        assert ao.check(entry, broken, other) == WRONG, at
    assert ao.check(entry, packet, seg) == GOOD


@pytest.mark.rfc("5926", "3.1.1.2", "AES-128 and CMAC as their specifications have it")
@pytest.mark.parametrize(
    ("length", "wanted"),
    [
        (0, "bb1d6929e95937287fa37d129b756746"), (16, "070a16b46b4d4144f79bdd9dd04a287c"),
        (40, "dfa66747de9ae63030ca32611497c827"), (64, "51f0bebf7e3b9d92fc49741779363cfe"),
    ],
)
def test_cmac_gives_the_values_of_rfc_4493(length: int, wanted: str) -> None:
    assert cmac(KEY, TEXT[:length]).hex() == wanted


def test_aes_gives_the_values_of_fips_197() -> None:
    cipher = Aes128(bytes.fromhex("000102030405060708090a0b0c0d0e0f"))
    for _ in range(2):
        made = cipher.encrypt(bytes.fromhex("00112233445566778899aabbccddeeff"))
        assert made.hex() == "69c4e0d86a7b0430d8cdb78070b4c55a"
    with pytest.raises(ValueError):
        Aes128(b"short")
