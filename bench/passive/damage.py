"""Captures D to G: what an imperfect copy makes of A and B. Seeded, and every deed on record.

Beside each damaged capture lies ``NAME.order``: for each of its packets, the number (from 0) of that packet in the
whole capture, as 32-bit integers. A number that is missing was lost, one that comes late was held back, one that
comes twice was doubled.
"""

from __future__ import annotations

import mmap
import random
import struct
from array import array
from collections.abc import Iterator
from pathlib import Path

FILE_HEADER, PACKET_HEADER = 24, 16
PLACES = 8  # how far a packet is held back at most
MAGIC = b"\xd4\xc3\xb2\xa1"  # pcap, little-endian, microseconds: what all captures here are


def records(data: mmap.mmap) -> Iterator[tuple[int, int]]:
    """Start and end of each packet's record in a capture."""
    if data[:4] != MAGIC:
        raise ValueError("not a pcap file as this bench writes them")
    length_at = struct.Struct("<I").unpack_from
    start, size = FILE_HEADER, len(data)
    while start < size:
        end = start + PACKET_HEADER + int(length_at(data, start + 8)[0])
        yield start, end
        start = end


def lost(count: int, seed: int, share: float) -> array[int]:
    """An order of `count` packets in which a `share` of them is missing."""
    chance = random.Random(seed).random
    return array("I", (i for i in range(count) if chance() >= share))


def disordered(count: int, seed: int, held: float, doubled: float) -> array[int]:
    """An order in which a share is held back by 1 to `PLACES` places, and a share comes twice in a row."""
    source = random.Random(seed)
    chance = source.random
    keys = [i + source.randint(1, PLACES) + 0.5 if chance() < held else float(i) for i in range(count)]
    order = array("I")
    for i in sorted(range(count), key=keys.__getitem__):
        order.append(i)
        if chance() < doubled:
            order.append(i)
    return order


def write(whole: Path, path: Path, order: array[int]) -> None:
    """Writes the packets of `whole` in that order to `path`, and the order beside it.

    A packet that was held back has the time stamp of its new place: a copy is stamped as it arrives.
    """
    with whole.open("rb") as source, mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as data:
        starts = array("Q", [FILE_HEADER])
        starts.extend(end for _, end in records(data))
        with path.open("wb", buffering=1 << 20) as file:
            file.write(data[:FILE_HEADER])
            stamp_at = struct.Struct("<II").unpack_from
            latest, stamp = (0, 0), b""
            for i in order:
                start, end = starts[i], starts[i + 1]
                time = stamp_at(data, start)
                if time >= latest:
                    latest, stamp = time, data[start : start + 8]
                    file.write(data[start:end])
                else:
                    file.write(stamp + data[start + 8 : end])
    path.with_suffix(".order").write_bytes(order.tobytes())


def read_order(path: Path) -> array[int]:
    """The order that `write` has left beside a damaged capture."""
    order = array("I")
    order.frombytes(path.with_suffix(".order").read_bytes())
    return order
