"""Receive offload in software: what is put together, what is not, and that nothing is lost or overtaken."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import Any

import pytest

from tests.unit.link.packets import MACS, UDP, Seen, csum, packet, tags, tcp_header
from uinet.link.coalesce import Coalescer
from uinet.link.offload import finish
from uinet.wire.frame import CHECKSUM_NEEDED, CHECKSUM_UNKNOWN, CHECKSUM_VALID, Frame, SplitFrame, gathered

MSS = 100
RUNS = 8  # flows of a batch that are looked for at a time
TIMES = bytes.fromhex("0101080a0000000100000002")


def segment(number: int, size: int = MSS, *, flags: int = 0x10, sport: int = 1025, **more: Any) -> Frame:
    """Segment `number` of a flow; its payload tells which octets it has."""
    options = more.pop("options", b"")
    header = tcp_header(seq=(0xFFFFFF80 + MSS * number) % 2**32, flags=flags, sport=sport, options=options)
    payload = bytes((MSS * number + index) % 251 for index in range(size))
    return Frame(packet(header, payload, identification=number & 0xFFFF, **more), more.get("checksum", 0))


def changed(frame: Frame, at: int, value: int) -> Frame:
    """The frame with another byte at `at`, its checksums as they were."""
    return Frame(frame.data[:at] + bytes((value,)) + frame.data[at + 1 :])


def coalesced(*frames: Frame, layer: int = 2, verifies: bool = True) -> list[Frame]:
    return Coalescer(layer, verifies).coalesce(list(frames))


@pytest.mark.parametrize("layer", [2, 3])
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("options", [b"", TIMES], ids=["plain", "timestamps"])
def test_segments_in_order_become_one(layer: int, version: int, options: bytes) -> None:
    sent = [segment(n, options=options, version=version, layer=layer) for n in range(5)]
    sent.append(segment(5, 40, flags=0x18, options=options, version=version, layer=layer))
    (whole,) = coalesced(*sent, layer=layer)
    assert isinstance(whole, SplitFrame)
    assert (whole.gso_size, whole.checksum, len(whole.payload)) == (MSS, CHECKSUM_VALID, 540)
    assert whole.payload == bytes(index % 251 for index in range(540))
    again = finish(gathered(whole), layer)
    for got, was in zip(again, sent, strict=True):
        a, b = Seen(got.data, layer), Seen(was.data, layer)
        assert (a.link, a.payload, a.seq, a.flags, a.options) == (b.link, b.payload, b.seq, b.flags, b.options)
    if version == 4:
        at = 14 if layer == 2 else 0
        assert csum(whole.data[at : at + 20]) == 0xFFFF


def test_ids_and_padding_do_not_matter() -> None:
    one, two = segment(0, 6), segment(0, 6)
    two = Frame(packet(tcp_header(seq=0xFFFFFF86, flags=0x10), b"abcdef", identification=9) + b"\0" * 6)
    (whole,) = coalesced(Frame(one.data + b"\0" * 6), two)
    assert isinstance(whole, SplitFrame)
    assert whole.payload == b"\0\1\2\3\4\5abcdef"


DIFFERENT = {
    "a hole": segment(2),
    "twice": segment(0),
    "longer": segment(1, MSS + 1),
    "empty": segment(1, 0),
    "FIN": segment(1, flags=0x11),
    "SYN": segment(1, flags=0x12),
    "URG": segment(1, flags=0x30),
    "CWR": segment(1, flags=0x90),
    "no ACK": segment(1, flags=0),
    "another port": segment(1, sport=1026),
    "options": segment(1, options=TIMES),
    "a tag": segment(1, vlans=tags((0x8100, 1))),
    "IPv6": segment(1, version=6),
    "a bad checksum": changed(segment(1), -1 % len(segment(1).data), 0xAA),
    "another MAC": changed(segment(1), 11, 9),
    "a bad header": changed(segment(1), 22, 9),
    "UDP": Frame(packet(b"\x04\x01\x00\x50\x00\x6c\x00\x00", b"u" * MSS, protocol=UDP)),
    "nothing": Frame(b""),
    "short": Frame(segment(1).data[:40]),
    "cut off": Frame(segment(1).data[:-1]),
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_what_differs_stays_as_it_is(what: str) -> None:
    first, other = segment(0), DIFFERENT[what]
    assert coalesced(first, other) == [first, other]
    assert coalesced(other, first) == [other, first]


@pytest.mark.parametrize("offset", [15, 20, 22, 14 + 20 + 11, 14 + 20 + 15, 14 + 20 + 19])
def test_each_header_field_has_to_be_the_same(offset: int) -> None:
    """Type of service, flags, lifetime; acknowledgment, window, urgent pointer: with checksums that are right."""
    second = bytearray(segment(1).data)
    second[offset] ^= 0x40 if offset != 15 else 0x04
    second[24:26] = second[14 + 36 : 14 + 38] = bytes(2)
    fixed = finish(Frame(bytes(second), CHECKSUM_NEEDED), 2)[0].data
    total = sum(int.from_bytes(fixed[at : at + 2], "big") for at in range(14, 34, 2))
    total = (total & 0xFFFF) + (total >> 16)
    other = Frame(fixed[:24] + (~total & 0xFFFF).to_bytes(2, "big") + fixed[26:], CHECKSUM_VALID)
    assert coalesced(segment(0), other)[1:] == [other]


def test_marks_of_congestion_are_counted_one_by_one() -> None:
    marked = []
    for number in range(2):
        data = bytearray(segment(number).data)
        data[15] = 3
        total = int.from_bytes(data[24:26], "big") - 3
        data[24:26] = (total % 0xFFFF).to_bytes(2, "big")
        marked.append(Frame(bytes(data)))
    assert coalesced(*marked) == marked


def test_the_order_of_a_flow_stays_whatever_is_between() -> None:
    pushed = segment(1, flags=0x18)
    frames = [segment(0), pushed, segment(2), segment(3), segment(3), segment(4)]
    first, second, third = coalesced(*frames)
    cut = [Seen(piece.data) for frame in (first, second, third) for piece in finish(gathered(frame), 2)]
    assert [(seen.seq + 0x80) % 2**32 // MSS for seen in cut] == [0, 1, 2, 3, 3, 4]
    assert [len(gathered(frame).data) - 54 for frame in (first, second, third)] == [200, 200, 200]


def test_what_is_not_an_ordinary_frame_is_not_overtaken() -> None:
    large = Frame(segment(1).data, CHECKSUM_NEEDED, 0)
    frames = [segment(0), large, segment(2), segment(3)]
    assert [len(gathered(frame).data) for frame in coalesced(*frames)] == [154, 154, 254]


def test_no_packet_is_longer_than_ip_allows() -> None:
    frames = [segment(number) for number in range(700)]
    kept = coalesced(*frames)
    assert [len(gathered(frame).data) - 14 <= 0xFFFF for frame in kept] == [True, True]
    assert sum(len(gathered(frame).data) - 54 for frame in kept) == 700 * MSS


def test_checksums_are_looked_at_once() -> None:
    lone = segment(0)
    other = segment(0, sport=9)
    coalesced(lone, other)
    assert lone.checksum == other.checksum == CHECKSUM_VALID
    bad = changed(segment(1), 60, 0)
    assert coalesced(segment(0), bad)[1].checksum == CHECKSUM_UNKNOWN
    (whole,) = coalesced(segment(0), bad, verifies=False)
    assert isinstance(whole, SplitFrame)


@pytest.mark.parametrize("seed", range(30))
def test_any_mixture_cut_again_is_what_came(seed: int) -> None:
    rng = random.Random(seed)
    numbers: dict[int, int] = defaultdict(int)
    frames = []
    for _ in range(200):
        flow = rng.randrange(2 * RUNS)
        kind = rng.random()
        numbers[flow] += kind > 0.1
        frames.append(segment(
            numbers[flow], MSS if kind < 0.9 else rng.randrange(MSS), flags=0x10 if kind < 0.8 else 0x18, sport=flow,
            version=4 if flow % 2 else 6,
        ))
        if kind > 0.97:
            frames.append(Frame(rng.randbytes(rng.randrange(100))))

    def by_flow(all_frames: list[Frame]) -> dict[int, list[Any]]:
        found: dict[int, list[Any]] = defaultdict(list)
        for frame in all_frames:
            if frame.data[:12] == MACS:
                seen = Seen(frame.data)
                found[seen.sport].append((seen.seq, seen.flags, seen.payload))
            else:
                found[-1].append(frame.data)
        return found

    kept = Coalescer(2).coalesce(list(frames))
    cut = [piece for frame in kept for piece in finish(gathered(frame), 2)]
    assert by_flow(cut) == by_flow(frames)
    assert len(kept) < len(frames)
