"""The kernel's side of netmap, played in this process: its memory, its requests, and what its system calls do.

The layouts are declared here as C structures, by the public header's field names, and not taken from the code under
test. A port's transmitted packets go to whoever it is joined to (`Kernel.join`), or to its `sent` list.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
from typing import Any

from uinet.link.netmap_api import System

u8, u16, u32, u64, i64 = ctypes.c_uint8, ctypes.c_uint16, ctypes.c_uint32, ctypes.c_uint64, ctypes.c_int64


class Slot(ctypes.Structure):
    _fields_ = [("buf_idx", u32), ("len", u16), ("flags", u16), ("ptr", u64)]


class Ring(ctypes.Structure):
    _fields_ = [
        ("buf_ofs", i64), ("num_slots", u32), ("nr_buf_size", u32), ("ringid", u16), ("dir", u16), ("head", u32),
        ("cur", u32), ("tail", u32), ("flags", u32), ("ts_sec", i64), ("ts_usec", i64), ("offset_mask", u64),
        ("buf_align", u64), ("_pad", u8 * 56), ("sem", u8 * 128),
    ]


class Interface(ctypes.Structure):
    _fields_ = [
        ("ni_name", ctypes.c_char * 16), ("ni_version", u32), ("ni_flags", u32), ("ni_tx_rings", u32),
        ("ni_rx_rings", u32), ("ni_bufs_head", u32), ("ni_host_tx_rings", u32), ("ni_host_rx_rings", u32),
        ("ni_spare1", u32 * 3),
    ]


class Header(ctypes.Structure):
    _fields_ = [
        ("nr_version", u16), ("nr_reqtype", u16), ("nr_reserved", u32), ("nr_name", ctypes.c_char * 64),
        ("nr_options", u64), ("nr_body", u64),
    ]


class Register(ctypes.Structure):
    _fields_ = [
        ("nr_offset", u64), ("nr_memsize", u64), ("nr_tx_slots", u32), ("nr_rx_slots", u32), ("nr_tx_rings", u16),
        ("nr_rx_rings", u16), ("nr_host_tx_rings", u16), ("nr_host_rx_rings", u16), ("nr_mem_id", u16),
        ("nr_ringid", u16), ("nr_mode", u32), ("nr_extra_bufs", u32), ("nr_flags", u64),
    ]


NS_BUF_CHANGED, NS_MOREFRAG = 0x0001, 0x0020
NR_EXCLUSIVE = 0x800
BUFFER = 2048


class FakePort:
    """A port: `rings` pairs of a card, `host` pairs of the host's stack; `slots` in each ring."""

    def __init__(self, name: str, memory: Region, rings: int = 1, host: int = 1, slots: int = 16) -> None:
        self.name = name
        self.memory = memory
        self.rings, self.host, self.slots = rings, host, slots
        self.sent: list[bytes] = []  # of the card
        self.to_host: list[bytes] = []
        self.peer: FakePort | None = None
        self.waiting: dict[int, list[bytes]] = {n: [] for n in range(rings + host)}  # what comes in, by receive ring
        self.returned: list[int] | None = None  # extra buffers, as the chain had them at the end
        self.extra = 0
        self.syncs = 0
        self.broken = False
        self.changed = 0  # transmit slots that came with NS_BUF_CHANGED
        self.replaced = 0  # receive slots
        self.offset = memory.take(ctypes.sizeof(Interface) + 8 * 2 * (rings + host))
        self.interface = Interface.from_buffer(memory.map, self.offset)
        self.interface.ni_name = name.encode()[:15]
        self.interface.ni_version = 14
        self.interface.ni_tx_rings = self.interface.ni_rx_rings = rings
        self.interface.ni_host_tx_rings = self.interface.ni_host_rx_rings = host
        self.transmit = [self._ring(n, 0) for n in range(rings + host)]
        self.receive = [self._ring(n, 1) for n in range(rings + host)]
        offsets = (i64 * (2 * (rings + host))).from_buffer(memory.map, self.offset + ctypes.sizeof(Interface))
        offsets[:] = [at - self.offset for at, *_ in (*self.transmit, *self.receive)]
        self.offsets = offsets

    def _ring(self, number: int, direction: int) -> tuple[int, Ring, Any, list[int]]:
        """Where it is, the ring, its slots, and (the kernel's side) where it is in the ring."""
        memory = self.memory
        at = memory.take(ctypes.sizeof(Ring) + self.slots * ctypes.sizeof(Slot))
        ring = Ring.from_buffer(memory.map, at)
        ring.buf_ofs = memory.start - at
        ring.num_slots, ring.nr_buf_size, ring.ringid, ring.dir = self.slots, BUFFER, number, direction
        slots = (Slot * self.slots).from_buffer(memory.map, at + ctypes.sizeof(Ring))
        for slot in slots:
            slot.buf_idx = memory.buffer()
        ring.head = ring.cur = 0
        ring.tail = self.slots - 1 if direction == 0 else 0
        return at, ring, slots, [0]

    # the kernel's work

    def deliver(self, data: bytes, ring: int = 0) -> None:
        """A packet from the wire (or, with the number of a host ring, from the host)."""
        self.waiting[ring].append(data)

    def transmit_sync(self) -> None:
        for number, (_, ring, slots, at) in enumerate(self.transmit):
            packet = b""
            while at[0] != ring.head:
                slot = slots[at[0]]
                if slot.flags & NS_BUF_CHANGED:
                    self.changed += 1
                    slot.flags &= ~NS_BUF_CHANGED
                packet += self.memory.read(slot.buf_idx, slot.len)
                at[0] = (at[0] + 1) % self.slots
                if not slot.flags & NS_MOREFRAG:
                    self._out(number, packet)
                    packet = b""
            assert not packet, "a packet without an end was published"
            assert ring.cur == ring.head
            ring.tail = (at[0] - 1) % self.slots

    def _out(self, ring: int, packet: bytes) -> None:
        if ring >= self.rings:
            self.to_host.append(packet)
        elif self.peer is not None:
            self.peer.deliver(packet)
        else:
            self.sent.append(packet)

    def receive_sync(self) -> None:
        for number, (_, ring, slots, at) in enumerate(self.receive):
            for slot in slots:
                self.replaced += bool(slot.flags & NS_BUF_CHANGED)
                slot.flags &= ~NS_BUF_CHANGED
            while self.waiting[number]:
                packet = self.waiting[number][0]
                pieces = [packet[n : n + BUFFER] for n in range(0, len(packet), BUFFER)]
                room = (ring.head - 1 - at[0]) % self.slots
                if len(pieces) > room:
                    break
                del self.waiting[number][0]
                for piece in pieces:
                    slot = slots[at[0]]
                    self.memory.write(slot.buf_idx, piece)
                    slot.len = len(piece)
                    slot.flags = NS_MOREFRAG if piece is not pieces[-1] else 0
                    at[0] = (at[0] + 1) % self.slots
            ring.tail = at[0]


class Region:
    """One region: structures from the front, buffers behind them."""

    def __init__(self, number: int, buffers: int = 400) -> None:
        self.number = number
        size = (1 << 15) + buffers * BUFFER
        self.file = os.memfd_create("netmap")
        os.ftruncate(self.file, size)
        self.map = mmap.mmap(self.file, size)
        self.at = 0
        self.start = 1 << 15
        self.next = 2  # 0 and 1 are never given out
        self.count = (len(self.map) - self.start) // BUFFER

    def __del__(self) -> None:
        os.close(self.file)

    def take(self, size: int) -> int:
        at = self.at
        self.at += -(-size // 128) * 128
        assert self.at <= self.start
        return at

    def buffer(self) -> int:
        self.next += 1
        assert self.next <= self.count
        return self.next - 1

    def read(self, index: int, length: int) -> bytes:
        assert 2 <= index < self.count and length <= BUFFER
        return self.map[self.start + index * BUFFER : self.start + index * BUFFER + length]

    def write(self, index: int, data: bytes) -> None:
        assert 2 <= index < self.count
        self.map[self.start + index * BUFFER : self.start + index * BUFFER + len(data)] = data

    def word(self, index: int) -> int:
        return int(u32.from_buffer(self.map, self.start + index * BUFFER).value)

    def set_word(self, index: int, value: int) -> None:
        u32.from_buffer(self.map, self.start + index * BUFFER).value = value


class Kernel(System):
    """What `System` asks. `most_extra`: buffers that it grants at most; `open_error`, `bind_error`: errno to fail with.

    A descriptor is an eventfd, readable while packets wait: so readiness can be polled for.
    """

    real = False

    def __init__(self, *ports: FakePort, most_extra: int = 64) -> None:
        self.ports = {port.name: port for port in ports}
        self.most_extra = most_extra
        self.bound: dict[int, FakePort] = {}
        self.registered: list[Register] = []
        self.modes: dict[int, Register] = {}
        self.open_error = self.bind_error = 0

    def join(self, a: FakePort, b: FakePort) -> None:
        a.peer, b.peer = b, a

    def open(self) -> int:
        if self.open_error:
            raise OSError(self.open_error, os.strerror(self.open_error), "/dev/netmap")
        return os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def control(self, fd: int, header: Any) -> None:
        if self.bind_error:
            raise OSError(self.bind_error, os.strerror(self.bind_error))
        assert len(header) == ctypes.sizeof(Header)
        asked = Header.from_buffer(header)
        assert (asked.nr_version, asked.nr_reqtype, asked.nr_reserved, asked.nr_options) == (14, 1, 0, 0)
        port = self.ports.get(asked.nr_name.decode())
        if port is None:
            raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))
        body = Register.from_address(asked.nr_body)
        copy = Register.from_buffer_copy(body)
        assert body.nr_flags == NR_EXCLUSIVE
        if any(self.bound[other] is port and self._overlap(other, copy) for other in self.bound):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        self.modes[fd] = copy
        self.registered.append(copy)
        body.nr_offset, body.nr_memsize, body.nr_mem_id = port.offset, len(port.memory.map), port.memory.number
        body.nr_tx_rings = body.nr_rx_rings = port.rings
        body.nr_host_tx_rings = body.nr_host_rx_rings = port.host
        body.nr_tx_slots = body.nr_rx_slots = port.slots
        body.nr_extra_bufs = port.extra = min(body.nr_extra_bufs, self.most_extra)
        head = 0
        for _ in range(port.extra):
            index = port.memory.buffer()
            port.memory.set_word(index, head)
            head = index
        port.interface.ni_bufs_head = head
        self.bound[fd] = port

    def _overlap(self, fd: int, asked: Register) -> bool:
        """Whether two descriptors want the same rings: 1 all of the card, 2 all of the host, 4 and 8 one of each."""
        mine = self.modes[fd]
        card = (1, 4)
        if (mine.nr_mode in card) != (asked.nr_mode in card):
            return False
        return bool(mine.nr_mode in (1, 2) or asked.nr_mode in (1, 2) or mine.nr_ringid == asked.nr_ringid)

    def map(self, fd: int, length: int) -> mmap.mmap:
        return mmap.mmap(self.bound[fd].memory.file, length)

    def sync(self, fd: int, request: int) -> None:
        port = self.bound[fd]
        if port.broken:
            raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))
        port.syncs += 1
        if request & 0xFF == 148:
            port.transmit_sync()
        else:
            assert request & 0xFF == 149
            port.receive_sync()
        self.signal()

    def signal(self) -> None:
        """Descriptors are readable while something waits, as poll(2) of netmap would find."""
        for fd, port in self.bound.items():
            waits = any(port.waiting.values()) or any(ring.head != ring.tail for _, ring, _, _ in port.receive)
            try:
                os.eventfd_read(fd)
            except BlockingIOError:
                pass
            if waits:
                os.eventfd_write(fd, 1)

    def close(self, fd: int) -> None:
        os.close(fd)
        port = self.bound.pop(fd, None)
        if port is not None and port.extra:
            chain, index = [], port.interface.ni_bufs_head
            while index and len(chain) <= 10 * port.extra:
                chain.append(index)
                index = port.memory.word(index)
            port.returned = chain

