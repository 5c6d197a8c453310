"""The rings of a netmap port under attack: by what the kernel's side writes into the shared memory, and by callers.

The memory is a bytearray, so that AddressSanitizer sees each step out of it.
"""

from __future__ import annotations

import random
import struct

from tests.unit.link.netmap_kernel import BUFFER, FakePort, Region, Slot
from uinet.link.slots import Slots

FRONT = 1 << 13  # bytes of interface and rings
SIZES = (1, 60, BUFFER, BUFFER + 1, 3 * BUFFER)


class PlainRegion(Region):
    """One that is no mapping."""

    def __init__(self, buffers: int = 60) -> None:
        self.number = 1
        self.map = bytearray(FRONT + buffers * BUFFER)  # type: ignore[assignment]
        self.at = 0
        self.start = FRONT
        self.next = 2
        self.count = buffers

    def __del__(self) -> None:
        pass


def damage(rng: random.Random, port: FakePort) -> None:
    """What no kernel writes: into a ring, or into one of its slots."""
    _, ring, slots, _ = rng.choice((*port.receive, port.transmit[0]))
    if rng.random() < 0.3:
        ring.tail = rng.choice((0, 7, 8, rng.getrandbits(32)))
        if rng.random() < 0.5:
            setattr(ring, rng.choice(("num_slots", "nr_buf_size", "buf_ofs")), rng.getrandbits(31))
        return
    index = rng.choice((rng.getrandbits(32), rng.randrange(64)))
    length = rng.choice((rng.getrandbits(16), 60, BUFFER))
    flags = rng.choice((0, 1, 0x20, rng.getrandbits(16)))
    slots[rng.randrange(8)] = Slot.from_buffer_copy(struct.pack("=IHHQ", index, length, flags, 0))


def step(rng: random.Random, slots: Slots) -> None:
    """One call, with arguments that a caller may not have. IndexError for those that are wrong."""
    what = rng.randrange(7)
    number = rng.getrandbits(rng.randrange(1, 33))
    if what == 0:
        slots.receive(rng.randrange(12))
    elif what == 1:
        slots.lend(rng.randrange(12))
    elif what == 2:
        slots.send([rng.randbytes(rng.choice(SIZES))] * rng.randrange(10), rng.randrange(3))
    elif what == 3:
        slots.swap(number, rng.choice((0, *SIZES, 1 << 20)))
    elif what == 4:
        slots.give_back(number)
    elif what == 5:
        slots.take_spares(number % 256, rng.randrange(20))
    elif rng.random() < 0.2:
        slots.chain([rng.getrandbits(20) for _ in range(3)])


def attack(seed: int, turns: int) -> int:
    """So many rings, each damaged in between; how many calls there were. What goes wrong is an exception, or worse."""
    rng = random.Random(seed)
    calls = 0
    for _ in range(turns):
        port = FakePort("x", PlainRegion(), rings=2, host=0, slots=8)
        receive, transmit = (tuple(at for at, *_ in rings) for rings in (port.receive, port.transmit[:1]))
        slots = Slots(port.memory.map, receive, transmit, rng.choice((1, 3, 64)))
        for _ in range(60):
            if rng.random() < 0.25:
                damage(rng, port)
                continue
            calls += 1
            try:
                step(rng, slots)
            except IndexError:
                pass
        slots.release()
        field = rng.choice(("num_slots", "nr_buf_size", "buf_ofs", "head"))
        _, ring, _, _ = rng.choice((*port.receive, port.transmit[0]))
        setattr(ring, field, rng.choice((rng.getrandbits(31), rng.randrange(9000))))
        try:
            moved = tuple(at + rng.choice((0, 0, 8, -8, 1 << 20)) for at in receive)
            again = Slots(port.memory.map, moved, transmit, 3)
            again.receive(64)
            again.send([b"x" * 60] * 9, 0)
            again.release()
        except IndexError:
            pass
    return calls
