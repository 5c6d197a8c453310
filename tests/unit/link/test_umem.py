"""The rings of an AF_XDP socket, with a played kernel at their other ends: both twins do the same."""

from __future__ import annotations

import random
import struct
from types import ModuleType
from typing import Any

import pytest

from tests.unit.link.twins import compiled, interpreted
from uinet.link import bpf, umem, xdp

TWINS = [umem, interpreted(umem)] if compiled(umem) else [umem]
twins = pytest.mark.parametrize(
    "twin", TWINS, ids=lambda twin: "compiled" if compiled(umem) and twin is umem else "pure"
)

CHUNK, ENTRIES = 2048, 8
PRODUCER, CONSUMER, FLAGS, SLOTS = 0, 64, 128, 192
RX, TX, FILL, DONE = range(4)


class Kernel:
    """The other side of the four rings. `at`: where the indices begin, near the end of their 32 bits."""

    def __init__(self, at: int = 0xFFFFFFFC) -> None:
        self.memory = bytearray(2 * ENTRIES * CHUNK)
        self.rings = [bytearray(SLOTS + ENTRIES * 16), bytearray(SLOTS + ENTRIES * 16),
                      bytearray(SLOTS + ENTRIES * 8), bytearray(SLOTS + ENTRIES * 8)]  # fmt: skip
        for ring in self.rings:
            struct.pack_into("=I", ring, PRODUCER, at)
            struct.pack_into("=I", ring, CONSUMER, at)

    def areas(self) -> Any:
        return tuple((ring, PRODUCER, CONSUMER, FLAGS, SLOTS) for ring in self.rings)

    def made(self, twin: ModuleType) -> Any:
        made = twin.Umem(self.memory, CHUNK, ENTRIES, self.areas())
        made.start()
        return made

    def word(self, ring: int, at: int) -> int:
        return int(struct.unpack_from("=I", self.rings[ring], at)[0])

    def take(self, ring: int) -> tuple[int, ...] | None:
        """Empties a slot of one of our rings."""
        consumer = self.word(ring, CONSUMER)
        if consumer == self.word(ring, PRODUCER):
            return None
        layout = "=QII" if ring == TX else "=Q"
        slot = SLOTS + consumer % ENTRIES * struct.calcsize(layout)
        struct.pack_into("=I", self.rings[ring], CONSUMER, (consumer + 1) % 2**32)
        return struct.unpack_from(layout, self.rings[ring], slot)

    def put(self, ring: int, address: int, length: int = 0) -> None:
        producer = self.word(ring, PRODUCER)
        if ring == RX:
            struct.pack_into("=QII", self.rings[ring], SLOTS + producer % ENTRIES * 16, address, length, 0)
        else:
            struct.pack_into("=Q", self.rings[ring], SLOTS + producer % ENTRIES * 8, address)
        struct.pack_into("=I", self.rings[ring], PRODUCER, (producer + 1) % 2**32)

    def deliver(self, data: bytes) -> bool:
        """As the kernel does in copy mode: a chunk of the fill ring, with room before the frame."""
        got = self.take(FILL)
        if got is None:
            return False
        address = got[0] + 256
        if address > len(self.memory) - len(data):
            return False  # a damaged ring
        self.memory[address : address + len(data)] = data
        self.put(RX, address, len(data))
        return True

    def transmit(self) -> bytes | None:
        got = self.take(TX)
        if got is None:
            return None
        self.put(DONE, got[0])
        return bytes(self.memory[got[0] : got[0] + got[1]])


@twins
def test_frames_come_in_and_their_chunks_go_back(twin: ModuleType) -> None:
    kernel = Kernel()
    made = kernel.made(twin)
    for turn in range(5):
        sent = [bytes([turn, n]) * 30 for n in range(ENTRIES)]
        assert all(kernel.deliver(data) for data in sent)
        assert not kernel.deliver(b"no chunk is left")
        assert [frame.data for frame in made.receive(3)] == sent[:3]
        assert made.octets == 180
        assert [frame.data for frame in made.receive(64)] == sent[3:]
        assert made.receive(64) == []
        assert made.octets == 0


@twins
def test_packets_go_out_and_their_chunks_come_back(twin: ModuleType) -> None:
    kernel = Kernel()
    made = kernel.made(twin)
    packets = [bytes([n]) * (n + 60) for n in range(20)]
    assert made.send(packets, 0) == ENTRIES
    assert made.send(packets, ENTRIES) == 0
    assert made.flying == ENTRIES
    assert [kernel.transmit() for _ in range(3)] == packets[:3]
    assert made.collect() == ENTRIES - 3
    assert made.send(packets, 8) == 3
    out = []
    while (data := kernel.transmit()) is not None:
        out.append(data)
    assert out == packets[3:11]
    assert made.send(packets, 20) == 0
    assert made.flying == 0


@twins
def test_packet_longer_than_a_chunk_is_an_error_before_any_goes(twin: ModuleType) -> None:
    kernel = Kernel()
    made = kernel.made(twin)
    with pytest.raises(IndexError):
        made.send([b"x", bytes(CHUNK + 1)], 0)
    with pytest.raises(IndexError):
        made.send([b"x"], -1)
    assert kernel.transmit() is None
    assert made.send([bytes(CHUNK)], 0) == 1


@twins
def test_flags_of_the_rings_ask_for_a_call(twin: ModuleType) -> None:
    kernel = Kernel()
    made = kernel.made(twin)
    assert (made.tx_wakeup(), made.rx_wakeup()) == (False, False)
    struct.pack_into("=I", kernel.rings[TX], FLAGS, 1)
    assert (made.tx_wakeup(), made.rx_wakeup()) == (True, False)
    struct.pack_into("=I", kernel.rings[FILL], FLAGS, 1)
    assert (made.tx_wakeup(), made.rx_wakeup()) == (True, True)


@twins
def test_released_it_does_nothing(twin: ModuleType) -> None:
    kernel = Kernel()
    made = kernel.made(twin)
    kernel.deliver(b"x" * 60)
    made.release()
    made.release()
    made.start()
    assert made.receive(64) == []
    assert made.send([b"x"], 0) == 0
    assert made.collect() == 0
    assert (made.tx_wakeup(), made.rx_wakeup()) == (False, False)
    for memory in (kernel.memory, *kernel.rings):
        memory.clear()  # nobody holds it any more


@twins
@pytest.mark.parametrize(("address", "length"), [
    (0, CHUNK + 1), (CHUNK + 1, CHUNK), (2**63, 60), (ENTRIES * CHUNK, 60), (2**64 - 1, 2**32 - 1), (100, 2**32 - 1),
])  # fmt: skip
def test_descriptors_that_no_kernel_writes_are_left_out(twin: ModuleType, address: int, length: int) -> None:
    kernel = Kernel()
    made = kernel.made(twin)
    kernel.put(RX, address, length)
    kernel.deliver(b"x" * 60)
    assert [frame.data for frame in made.receive(64)] == [b"x" * 60]


@twins
def test_rings_and_chunks_must_fit_their_memory(twin: ModuleType) -> None:
    kernel = Kernel()
    good = kernel.areas()
    for chunk, entries in ((CHUNK, 16), (1000, 8), (4095, 8), (CHUNK, 7), (CHUNK, 0), (4096, 8), (-2048, 8)):
        with pytest.raises(IndexError):
            twin.Umem(kernel.memory, chunk, entries, good)
    for ring in range(4):
        for wrong in ((-4, 64, 128, 192), (0, 1 << 40, 128, 192), (0, 64, 2, 192), (0, 64, 128, 200), (0, 64, 128, -8)):
            areas = list(good)
            areas[ring] = (kernel.rings[ring], *wrong)
            with pytest.raises(IndexError):
                twin.Umem(kernel.memory, CHUNK, ENTRIES, tuple(areas))


@pytest.mark.skipif(len(TWINS) < 2, reason="there is one only")
def test_twins_agree_whatever_the_rings_hold() -> None:
    rng = random.Random(11)
    for _ in range(500):
        kernels = [Kernel(), Kernel()]
        both = [kernel.made(twin) for kernel, twin in zip(kernels, TWINS, strict=True)]
        for _ in range(30):
            what, n, seed = rng.randrange(6), rng.randrange(10), rng.getrandbits(32)
            results = []
            for kernel, made in zip(kernels, both, strict=True):
                own = random.Random(seed)
                result: Any = None
                if what == 0:
                    result = kernel.deliver(own.randbytes(n * 20))
                elif what == 1:
                    result = [frame.data for frame in made.receive(n)], made.octets
                elif what == 2:
                    result = made.send([own.randbytes(60)] * n, 0), made.flying
                elif what == 3:
                    result = kernel.transmit()
                elif what == 4:
                    result = made.collect()
                else:  # damage: a word of a ring, or a slot
                    ring = kernel.rings[own.randrange(4)]
                    at = own.choice((PRODUCER, CONSUMER, SLOTS + 8 * own.randrange(8)))
                    struct.pack_into("=I", ring, at, own.choice((0, 5, 0xFFFFFFFF, own.getrandbits(32))))
                results.append(result)
            assert results[0] == results[1]
        assert kernels[0].memory == kernels[1].memory
        assert kernels[0].rings == kernels[1].rings


def test_program_redirects_by_queue() -> None:
    code = xdp.redirecting(7)
    instructions = [struct.unpack_from("=BBhi", code, at) for at in range(0, len(code), 8)]
    assert [opcode for opcode, *_ in instructions] == [0x61, 0x18, 0, 0xB7, 0x85, 0x95]
    assert instructions[1][3] == 7
    assert instructions[4][3] == 51  # bpf_redirect_map
    assert bpf.encode([(0xB4, 0, 0, 0, 0xFFFFFFFF)])[4:] == b"\xff" * 4
