"""The four rings and the memory of an AF_XDP socket: the interpreted twin of ``umem.pyx``.

Read first: Documentation/networking/af_xdp.rst of Linux; linux/if_xdp.h. Frames lie in chunks of one piece of memory
(UMEM), which the kernel and we pass to and fro by their addresses, through rings that one side fills and the other
empties:

    fill         we to the kernel: empty chunks to receive into     completion   the kernel to us: chunks that are sent
    receive      the kernel to us: chunks with frames               transmit     we to the kernel: chunks with frames

A ring is two indices that run freely modulo 2**32, a word of flags, and slots: addresses (8 bytes) in the upper two,
descriptors (address 8, length 4, options 4) in the lower. All numbers are in the order of this machine.
"""

from __future__ import annotations

import mmap
import struct

from uinet.wire.frame import Frame

Memory = bytearray | mmap.mmap
Area = tuple[Memory, int, int, int, int]  # memory; where in it are producer, consumer, flags, slots

NEED_WAKEUP = 1
MASK32 = 0xFFFFFFFF
ADDRESS_SIZE = 8
DESCRIPTOR_SIZE = 16
_WORD = struct.Struct("=I")
_ADDRESS = struct.Struct("=Q")
_DESCRIPTOR = struct.Struct("=QII")


class _Ring:
    """One ring of `entries` slots of `size` bytes. IndexError if the memory is smaller."""

    def __init__(self, area: Area, entries: int, size: int) -> None:
        self.memory, self.producer, self.consumer, self.flags, self.slots = area
        length = len(self.memory)
        words = (self.producer, self.consumer, self.flags)
        if any(at < 0 or at % 4 or at > length - 4 for at in words) or not (
            0 <= self.slots <= length - entries * size and self.slots % 8 == 0
        ):
            raise IndexError(f"no ring of {entries} slots in {length} bytes")
        self.entries = entries
        self.mask = entries - 1
        self.size = size

    def word(self, at: int) -> int:
        return int(_WORD.unpack_from(self.memory, at)[0])

    def set_word(self, at: int, value: int) -> None:
        _WORD.pack_into(self.memory, at, value & MASK32)

    def filled(self) -> int:
        """Slots that are filled and not emptied yet; more than there are only if somebody has damaged the ring."""
        return (self.word(self.producer) - self.word(self.consumer)) & MASK32

    def slot(self, index: int) -> int:
        return self.slots + (index & self.mask) * self.size


class Umem:
    """`memory` in chunks of `chunk` bytes (a power of two): `entries` (another) to receive, as many more to send.

    `rings`: receive, transmit, fill and completion, each with `entries` slots. After `receive`: `octets` are the bytes
    of its frames. `flying`: chunks that the kernel has not sent yet. IndexError if a memory is smaller than that.
    """

    def __init__(self, memory: Memory, chunk: int, entries: int, rings: tuple[Area, Area, Area, Area]) -> None:
        if chunk < 2048 or chunk & (chunk - 1) or entries < 1 or entries & (entries - 1):
            raise IndexError(f"{entries} chunks of {chunk} bytes: want powers of two")
        if len(memory) < 2 * entries * chunk:
            raise IndexError(f"2 times {entries} chunks of {chunk} bytes in {len(memory)}")
        self.octets = 0
        self.flying = 0
        self._memory: Memory | None = memory
        self._chunk = chunk
        self._entries = entries
        self._rx = _Ring(rings[0], entries, DESCRIPTOR_SIZE)
        self._tx = _Ring(rings[1], entries, DESCRIPTOR_SIZE)
        self._fill = _Ring(rings[2], entries, ADDRESS_SIZE)
        self._done = _Ring(rings[3], entries, ADDRESS_SIZE)
        self._free = [(entries + n) * chunk for n in range(entries)]  # addresses of chunks to send with

    def start(self) -> None:
        """Gives the kernel all chunks that are for receiving."""
        for n in range(self._entries if self._memory is not None else 0):
            self._give(n * self._chunk)

    def release(self) -> None:
        """Lets go of the memory; nothing is received or sent any more."""
        self._memory = None
        for ring in (self._rx, self._tx, self._fill, self._done):
            ring.memory = bytearray()

    def receive(self, limit: int) -> list[Frame]:
        """At most `limit` frames; their chunks go back to the kernel."""
        self.octets = 0
        found: list[Frame] = []
        ring, memory = self._rx, self._memory
        if memory is None:
            return found
        consumer = ring.word(ring.consumer)
        for _ in range(min(limit, ring.filled(), ring.entries)):
            address, length, _ = _DESCRIPTOR.unpack_from(ring.memory, ring.slot(consumer))
            consumer += 1
            if address >= self._entries * self._chunk:
                continue  # no chunk to receive into: no kernel says that
            if length <= self._chunk - address % self._chunk:
                found.append(Frame(bytes(memory[address : address + length])))
                self.octets += length
            self._give(address - address % self._chunk)
        ring.set_word(ring.consumer, consumer)
        return found

    def _give(self, address: int) -> None:
        """Gives the kernel a chunk to receive into; the ring has room for all that there are."""
        ring = self._fill
        if ring.filled() >= ring.entries:
            return  # only if somebody has damaged the ring
        producer = ring.word(ring.producer)
        _ADDRESS.pack_into(ring.memory, ring.slot(producer), address)
        ring.set_word(ring.producer, producer + 1)

    def send(self, packets: list[bytes], start: int) -> int:
        """Puts `packets` from `start` on into chunks, up to the first that has no room: how many.

        IndexError if one is longer than a chunk, before any is taken. The kernel may have to be woken (`tx_wakeup`).
        """
        memory, ring = self._memory, self._tx
        if start < 0:
            raise IndexError(f"packet {start} of {len(packets)}")
        for data in packets[start:]:
            if len(data) > self._chunk:
                raise IndexError(f"{len(data)} bytes in a chunk of {self._chunk}")
        if memory is None:
            return 0
        self.collect()
        producer = ring.word(ring.producer)
        room = min(len(self._free), max(0, ring.entries - ring.filled()), len(packets) - start)
        for data in packets[start : start + room]:
            address = self._free.pop()
            memory[address : address + len(data)] = data
            _DESCRIPTOR.pack_into(ring.memory, ring.slot(producer), address, len(data), 0)
            producer += 1
        ring.set_word(ring.producer, producer)
        self.flying += max(0, room)
        return max(0, room)

    def collect(self) -> int:
        """Takes back the chunks that the kernel has sent; how many are still with it."""
        ring = self._done
        if self._memory is None:
            return 0
        consumer = ring.word(ring.consumer)
        for _ in range(min(ring.filled(), self.flying)):
            (address,) = _ADDRESS.unpack_from(ring.memory, ring.slot(consumer))
            consumer += 1
            self.flying -= 1
            first = self._entries * self._chunk
            if first <= address < 2 * first and len(self._free) < self._entries:
                self._free.append(address - address % self._chunk)
        ring.set_word(ring.consumer, consumer)
        return self.flying

    def tx_wakeup(self) -> bool:
        """Whether the kernel has to be told that there is something to send."""
        return self._memory is not None and bool(self._tx.word(self._tx.flags) & NEED_WAKEUP)

    def rx_wakeup(self) -> bool:
        """Whether the kernel has to be told that there are chunks to receive into."""
        return self._memory is not None and bool(self._fill.word(self._fill.flags) & NEED_WAKEUP)
