"""ACKs without payload in one batch: which the last stands for, and which all count."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import Any

import pytest

from tests.unit.link.packets import Seen, packet, tcp_header
from uinet.link.coalesce import Coalescer
from uinet.wire.frame import CHECKSUM_VALID, Frame, SplitFrame

FIRST = 0xFFFFFF00  # acknowledged by number 0: some go round
STEP = 100
TIMES = bytes.fromhex("0101080a0000000100000002")
LATER = bytes.fromhex("0101080a0000000200000002")
BLOCKS = bytes.fromhex("0101050a0000100000002000")


def ack(number: int, *, window: int = 500, flags: int = 0x10, options: bytes = b"", sport: int = 1025,
        seq: int = 77, payload: bytes = b"", **more: Any) -> Frame:
    """A segment that acknowledges `STEP` bytes more than the one of the number before."""
    acked = (FIRST + STEP * number) % 2**32
    header = tcp_header(seq=seq, ack=acked, flags=flags, window=window, options=options, sport=sport)
    return Frame(packet(header, payload, identification=number & 0xFFFF, **more))


def coalesced(*frames: Frame, layer: int = 2) -> list[Frame]:
    return Coalescer(layer).coalesce(list(frames))


@pytest.mark.parametrize("layer", [2, 3])
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("options", [b"", TIMES, BLOCKS], ids=["plain", "timestamps", "SACK"])
def test_the_last_stands_for_all(layer: int, version: int, options: bytes) -> None:
    frames = [ack(n, window=500 - n, options=options, version=version, layer=layer) for n in range(5)]
    assert coalesced(*frames, layer=layer) == frames[4:]
    assert frames[4].checksum == CHECKSUM_VALID


def test_padding_does_not_matter() -> None:
    frames = [Frame(ack(n).data + bytes(6)) for n in range(2)]
    assert coalesced(*frames) == frames[1:]


DIFFERENT = {
    "the same number again": ack(0),
    "the same, another window": ack(0, window=400),
    "an older one": ack(-1),
    "half of all numbers ahead": ack(2**31 // STEP + 1),
    "SACK blocks": ack(1, options=BLOCKS),
    "timestamps": ack(1, options=TIMES),
    "ECE": ack(1, flags=0x50),
    "accurate ECN": ack(1, flags=0x90),
    "FIN": ack(1, flags=0x11),
    "RST": ack(1, flags=0x14),
    "another sequence number": ack(1, seq=78),
    "another flow": ack(1, sport=1026),
    "data": ack(1, payload=b"x"),
    "IPv6": ack(1, version=6),
    "a bad checksum": Frame(ack(1).data[:-1] + b"\xaa"),
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_what_says_something_else_counts(what: str) -> None:
    first, other = ack(0), DIFFERENT[what]
    assert coalesced(first, other) == [first, other]


def test_each_timestamp_has_one() -> None:
    frames = [ack(0, options=TIMES), ack(1, options=TIMES), ack(2, options=LATER), ack(3, options=LATER)]
    assert coalesced(*frames) == [frames[1], frames[3]]


def test_duplicates_are_all_seen() -> None:
    """Three of one number are what a sender without SACK goes by (RFC 5681, 3.2); one that goes on says more."""
    frames = [ack(n) for n in (0, 1, 1, 1, 1)]
    assert coalesced(*frames) == frames[1:]
    frames.append(ack(2))
    assert coalesced(*frames) == frames[1:4] + frames[5:]


def test_data_is_not_overtaken_by_an_ack_nor_an_ack_by_data() -> None:
    frames = [ack(0), ack(1), ack(1, payload=b"ab"), ack(1, payload=b"cd", seq=79), ack(2, seq=81), ack(3, seq=81)]
    kept = coalesced(*frames)
    assert [type(frame) for frame in kept] == [Frame, SplitFrame, Frame]
    assert kept[0] is frames[1] and kept[1].payload == b"abcd" and kept[2] is frames[5]


@pytest.mark.parametrize("seed", range(20))
def test_of_any_mixture_every_flow_says_the_same(seed: int) -> None:
    """What each flow acknowledged last and its window, and, in order, all options that it sent."""
    rng = random.Random(seed)
    at: dict[int, int] = defaultdict(int)
    frames = []
    for _ in range(200):
        flow = rng.randrange(12)
        at[flow] += rng.random() < 0.8
        options = rng.choice([TIMES, TIMES, TIMES, LATER, BLOCKS])
        frames.append(ack(at[flow], sport=flow, options=options, window=rng.randrange(9), version=4 if flow % 2 else 6))

    def told(kept: list[Frame]) -> tuple[dict[int, bytes], dict[int, list[bytes]]]:
        last: dict[int, bytes] = {}
        options: dict[int, list[bytes]] = defaultdict(list)
        for frame in kept:
            seen = Seen(frame.data)
            last[seen.sport] = frame.data[-len(seen.options) - 20 :]
            if options[seen.sport][-1:] != [seen.options]:
                options[seen.sport].append(seen.options)
        return last, options

    kept = coalesced(*frames)
    assert told(kept) == told(frames)
    assert len(kept) < len(frames)
