"""The rings of a netmap port: the interpreted twin of ``slots.pyx``.

Read first: netmap(4); net/netmap.h. A ring is a header of 256 bytes, then slots of 16; each slot names a buffer, all of
which have the same size and lie in the same memory. Slots from `head` up to `tail` are ours, the others the kernel's;
we move `head`, the kernel, in a system call, `tail`. All numbers are in the order of this machine::

    ring:   where the buffers begin, from here (8), slots, bytes of a buffer (4 each), number, direction (2 each),
            head, cur, tail, flags (4 each), time (16), ...
    slot:   buffer (4), length, flags (2 each), 8 for indirect buffers

The memory is shared with the kernel and may hold anything: what a ring is was read and checked once, at the beginning;
what changes (tail; buffer, length and flags of a slot) is checked each time it is read.
"""

from __future__ import annotations

import mmap
import struct

from uinet.wire.frame import Frame

Memory = bytearray | mmap.mmap

RING_HEADER = 256
SLOT = 16
HEAD = 20
CUR = 24
TAIL = 28
CHANGED = 0x0001  # NS_BUF_CHANGED: another buffer than before
MORE = 0x0020  # NS_MOREFRAG: the packet goes on in the next slot
MOST_PIECES = 64  # NETMAP_MAX_FRAGS
MOST_SLOTS = 1 << 16
_RING = struct.Struct("=qII")
_SLOT = struct.Struct("=IHH")
_WORD = struct.Struct("=I")


class _Ring:
    """One ring at `at`. IndexError if it is not in the memory."""

    def __init__(self, memory: Memory, at: int) -> None:
        if at < 0 or at % 8 or at > len(memory) - RING_HEADER:
            raise IndexError(f"no ring at {at} of {len(memory)} bytes")
        buffers, self.count, self.size = _RING.unpack_from(memory, at)
        self.at = at
        self.slots = at + RING_HEADER
        self.start = at + buffers
        if not 2 <= self.count <= MOST_SLOTS or self.count * SLOT > len(memory) - self.slots:
            raise IndexError(f"no ring of {self.count} slots in {len(memory)} bytes")
        if not 64 <= self.size <= 1 << 16 or not 0 <= self.start <= len(memory) - self.size:
            raise IndexError(f"no buffers of {self.size} bytes in {len(memory)}")
        (head,) = _WORD.unpack_from(memory, at + HEAD)
        self.head = head if head < self.count else 0

    def after(self, slot: int) -> int:
        return slot + 1 if slot + 1 < self.count else 0


class Slots:
    """The receive rings at `receive` and the transmit rings at `transmit` of `memory`, of one port.

    `pieces`: slots that one packet may take on the way out. `size`: bytes of a buffer; `buffers`: how many the memory
    has room for. After a call: `octets` of what it moved. `damaged`: slots that no kernel would write, for good.
    `spare`: buffers of our own, beside those in the rings. What is sent goes into the first transmit ring.
    IndexError if the rings are not in the memory, or their buffers differ.
    """

    def __init__(self, memory: Memory, receive: tuple[int, ...], transmit: tuple[int, ...], pieces: int) -> None:
        self._memory: Memory | None = memory
        self._receive = [_Ring(memory, at) for at in receive]
        self._transmit = _Ring(memory, transmit[0])
        self._turn = 0  # the ring that is read first
        self.size: int = self._transmit.size
        self.start: int = self._transmit.start
        if any(ring.size != self.size or ring.start != self.start for ring in self._receive):
            raise IndexError("the rings have different buffers")
        self.buffers = (len(memory) - self.start) // self.size
        self.pieces = max(1, min(pieces, MOST_PIECES, self._transmit.count - 1))
        self.octets = 0
        self.damaged = 0
        self._spare: list[int] = []

    @property
    def spare(self) -> int:
        return len(self._spare)

    def release(self) -> None:
        """Lets go of the memory; nothing is received or sent any more."""
        self._memory = None
        self._spare = []

    def take_spares(self, first: int, count: int) -> int:
        """Our own buffers: the chain of at most `count` that begins at buffer `first`; how many there are."""
        memory = self._memory
        seen = set(self._spare)
        while memory is not None and len(self._spare) < count and 0 < first < self.buffers and first not in seen:
            seen.add(first)
            self._spare.append(first)
            (first,) = _WORD.unpack_from(memory, self.start + first * self.size)
        return len(self._spare)

    def chain(self, lent: list[int]) -> int:
        """All our own buffers, with those that are `lent`, as a chain: the first one, 0 if there is none."""
        memory, following = self._memory, 0
        if memory is None:
            return 0
        for index in (*self._spare, *lent):
            if 0 < index < self.buffers:
                _WORD.pack_into(memory, self.start + index * self.size, following)
                following = index
        self._spare = []
        return following

    # in

    def receive(self, limit: int) -> list[Frame]:
        """At most `limit` frames; their slots are the kernel's again at its next system call."""
        found: list[Frame] = []
        self.octets = 0
        for _ in self._receive:
            ring = self._receive[self._turn]
            while len(found) < limit:
                data = self._packet(ring)
                if data is None:
                    break
                if data:
                    self.octets += len(data)
                    found.append(Frame(data))
            if len(found) >= limit:
                break
            self._turn = (self._turn + 1) % len(self._receive)
        self._publish()
        return found

    def lend(self, limit: int) -> list[tuple[int, int] | bytes]:
        """At most `limit` packets as (buffer, length): each is ours until `give_back`, a spare one is in its slot.

        Packets of several slots, and those for which there is no spare buffer, come as bytes.
        """
        found: list[tuple[int, int] | bytes] = []
        self.octets = 0
        memory = self._memory
        for _ in self._receive:
            ring = self._receive[self._turn]
            while len(found) < limit and memory is not None and ring.head != self._tail(ring):
                at = ring.slots + ring.head * SLOT
                index, length, flags = _SLOT.unpack_from(memory, at)
                if self._spare and not flags & MORE and 0 < index < self.buffers and 0 < length <= self.size:
                    _SLOT.pack_into(memory, at, self._spare.pop(), length, flags | CHANGED)
                    ring.head = ring.after(ring.head)
                    self.octets += length
                    found.append((index, length))
                    continue
                data = self._packet(ring)
                if data is None:
                    break
                if data:
                    self.octets += len(data)
                    found.append(data)
            if len(found) >= limit:
                break
            self._turn = (self._turn + 1) % len(self._receive)
        self._publish()
        return found

    def give_back(self, index: int) -> None:
        """A buffer that was lent is ours again. IndexError if there is none of that number."""
        if not 0 < index < self.buffers:
            raise IndexError(f"buffer {index} of {self.buffers}")
        self._spare.append(index)

    def _tail(self, ring: _Ring) -> int:
        """Where the kernel's slots begin; `head`, which is to say that none is ours, if it says nonsense."""
        assert self._memory is not None
        (tail,) = _WORD.unpack_from(self._memory, ring.at + TAIL)
        return int(tail) if tail < ring.count else ring.head

    def _packet(self, ring: _Ring) -> bytes | None:
        """The next packet of a ring, b"" if it is no packet; None if it is not there yet."""
        memory = self._memory
        if memory is None:
            return None
        tail, slot, data, whole = self._tail(ring), ring.head, b"", True
        for _ in range(MOST_PIECES):
            if slot == tail:
                if slot == ring.head or ring.after(tail) != ring.head:
                    return None
                whole = False  # the ring is full, and the packet has no end
                break
            index, length, flags = _SLOT.unpack_from(memory, ring.slots + slot * SLOT)
            slot = ring.after(slot)
            if index < self.buffers and length <= self.size:
                at = self.start + index * self.size
                data += memory[at : at + length]
            else:
                whole = False
            if not flags & MORE:
                break
        else:
            whole = False  # more pieces than a packet has
        ring.head = slot
        if not whole or not data:
            self.damaged += 1
            return b""
        return data

    def _publish(self) -> None:
        """Tells the kernel which slots we have read."""
        if self._memory is not None:
            for ring in self._receive:
                self._advance(ring)

    def _advance(self, ring: _Ring) -> None:
        assert self._memory is not None
        _WORD.pack_into(self._memory, ring.at + CUR, ring.head)
        _WORD.pack_into(self._memory, ring.at + HEAD, ring.head)

    # out

    def room(self) -> int:
        """Slots that can be filled."""
        ring = self._transmit
        return (self._tail(ring) - ring.head) % ring.count if self._memory is not None else 0

    def send(self, packets: list[bytes], start: int) -> int:
        """Copies `packets` from `start` on into buffers, up to the first that has no room: how many.

        IndexError if one is longer than `pieces` buffers, before any is taken. They go at the next system call.
        """
        if start < 0 or start > len(packets):
            raise IndexError(f"packet {start} of {len(packets)}")
        for data in packets[start:]:
            if not isinstance(data, bytes):
                raise TypeError(f"want bytes, not {type(data).__name__}")
            if not data or len(data) > self.size * self.pieces:
                raise IndexError(f"{len(data)} bytes in {self.pieces} buffers of {self.size}")
        memory, ring, room, sent = self._memory, self._transmit, self.room(), 0
        self.octets = 0
        if memory is None:
            return 0
        for data in packets[start:]:
            needed = -(-len(data) // self.size)
            if needed > room or not self._usable(ring, needed):
                break
            room -= needed
            for at in range(0, len(data), self.size):
                piece = data[at : at + self.size]
                slot = ring.slots + ring.head * SLOT
                index, _, flags = _SLOT.unpack_from(memory, slot)
                where = self.start + index * self.size
                memory[where : where + len(piece)] = piece
                more = MORE if at + self.size < len(data) else 0
                _SLOT.pack_into(memory, slot, index, len(piece), flags & CHANGED | more)
                ring.head = ring.after(ring.head)
            self.octets += len(data)
            sent += 1
        self._advance(ring)
        return sent

    def _usable(self, ring: _Ring, count: int) -> bool:
        """Whether the next `count` slots have buffers of this memory; they are left alone, and counted, if not."""
        assert self._memory is not None
        slot = ring.head
        for _ in range(count):
            if _SLOT.unpack_from(self._memory, ring.slots + slot * SLOT)[0] >= self.buffers:
                self.damaged += 1
                return False
            slot = ring.after(slot)
        return True

    def swap(self, index: int, length: int) -> int:
        """Sends buffer `index` itself, with a packet of `length` bytes: the one that was in its slot is ours instead.

        -1 if there is no room. IndexError if there is no such buffer.
        """
        if not 0 < index < self.buffers or not 0 < length <= self.size:
            raise IndexError(f"{length} bytes of buffer {index} of {self.buffers}")
        ring, memory = self._transmit, self._memory
        if memory is None or not self.room() or not self._usable(ring, 1):
            return -1
        slot = ring.slots + ring.head * SLOT
        (before, _, _) = _SLOT.unpack_from(memory, slot)
        if not before:
            return -1
        _SLOT.pack_into(memory, slot, index, length, CHANGED)
        ring.head = ring.after(ring.head)
        self._advance(ring)
        return int(before)
