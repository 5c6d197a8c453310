"""The rings of a netmap port; ``slots.py`` is the interpreted twin and has the contracts in full.

Beside ``calls.pyx``, ``umem.pyx`` and ``wire/kernels.pyx`` the only code that touches raw memory: each access is to a
slot of a ring, whose number is below the ring's, or to a buffer, whose number is checked against the memory each time
it is read. What a ring is was checked when it was attached, and is not read again.
"""

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.list cimport PyList_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.string cimport memcpy

from uinet.wire.frame cimport Frame

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    static uint32_t uinet_word(const unsigned char *p)
    {
        return __atomic_load_n((const uint32_t *)p, __ATOMIC_ACQUIRE);
    }
    static void uinet_set_word(unsigned char *p, uint32_t v) { __atomic_store_n((uint32_t *)p, v, __ATOMIC_RELEASE); }
    static uint32_t uinet_u32(const unsigned char *p) { uint32_t v; memcpy(&v, p, 4); return v; }
    static uint16_t uinet_u16(const unsigned char *p) { uint16_t v; memcpy(&v, p, 2); return v; }
    static int64_t uinet_i64(const unsigned char *p) { int64_t v; memcpy(&v, p, 8); return v; }
    static void uinet_put_u32(unsigned char *p, uint32_t v) { memcpy(p, &v, 4); }
    static void uinet_put_u16(unsigned char *p, uint16_t v) { memcpy(p, &v, 2); }
    """
    unsigned int uinet_word(const unsigned char *p) noexcept nogil
    void uinet_set_word(unsigned char *p, unsigned int v) noexcept nogil
    unsigned int uinet_u32(const unsigned char *p) noexcept nogil
    unsigned short uinet_u16(const unsigned char *p) noexcept nogil
    long long uinet_i64(const unsigned char *p) noexcept nogil
    void uinet_put_u32(unsigned char *p, unsigned int v) noexcept nogil
    void uinet_put_u16(unsigned char *p, unsigned short v) noexcept nogil

cdef enum:
    RING_HEADER = 256
    SLOT = 16
    NUMBER_OF_SLOTS = 8
    BUFFER_SIZE = 12
    HEAD = 20
    CUR = 24
    TAIL = 28
    LENGTH = 4
    FLAGS = 6
    CHANGED = 0x0001
    MORE = 0x0020
    MOST_PIECES = 64
    MOST_SLOTS = 1 << 16


cdef inline unsigned int after(Ring *ring, unsigned int slot) noexcept:
    return slot + 1 if slot + 1 < ring.count else 0


cdef inline unsigned char *slot_at(Ring *ring, unsigned int slot) noexcept:
    return ring.slots + <Py_ssize_t>slot * SLOT


cdef inline void advance(Ring *ring) noexcept:
    uinet_set_word(ring.base + CUR, ring.head)
    uinet_set_word(ring.base + HEAD, ring.head)


cdef class Slots:
    """The rings of one port; see ``slots.py``."""

    def __cinit__(self, object memory, tuple receive, tuple transmit, Py_ssize_t pieces):
        cdef Py_ssize_t n
        self.spares = []
        PyObject_GetBuffer(memory, &self.view, PyBUF_WRITABLE)
        self.held = True
        self.memory = <unsigned char *>self.view.buf
        self.count = len(receive)
        # the transmit ring is the first of all
        self.rings = <Ring *>PyMem_Malloc((self.count + 1) * sizeof(Ring))
        if self.rings == NULL:
            raise MemoryError
        self.attach(&self.rings[0], transmit[0], True)
        for n in range(self.count):
            self.attach(&self.rings[n + 1], receive[n], False)
        self.packets = self.memory + self.start
        self.buffers = (self.view.len - self.start) // self.size
        self.pieces = max(<Py_ssize_t>1, min(pieces, <Py_ssize_t>MOST_PIECES, <Py_ssize_t>self.rings[0].count - 1))

    cdef int attach(self, Ring *ring, Py_ssize_t at, bint first) except -1:
        """Finds a ring in the memory, after checking that it is there."""
        cdef Py_ssize_t length = self.view.len, count, size
        cdef long long buffers
        cdef unsigned char *base
        if at < 0 or at % 8 or at > length - RING_HEADER:
            raise IndexError(f"no ring at {at} of {length} bytes")
        base = self.memory + at
        buffers = uinet_i64(base)
        count = uinet_u32(base + NUMBER_OF_SLOTS)
        size = uinet_u32(base + BUFFER_SIZE)
        if count < 2 or count > MOST_SLOTS or count * SLOT > length - at - RING_HEADER:
            raise IndexError(f"no ring of {count} slots in {length} bytes")
        # no sum before both parts are known to be small
        if size < 64 or size > 1 << 16 or buffers < -at or buffers > length - size - at:
            raise IndexError(f"no buffers of {size} bytes in {length}")
        if first:
            self.size = size
            self.start = at + <Py_ssize_t>buffers
        elif size != self.size or at + <Py_ssize_t>buffers != self.start:
            raise IndexError("the rings have different buffers")
        ring.base = base
        ring.slots = base + RING_HEADER
        ring.count = <unsigned int>count
        ring.head = uinet_u32(base + HEAD)
        if ring.head >= ring.count:
            ring.head = 0
        return 0

    def __dealloc__(self):
        if self.held:
            PyBuffer_Release(&self.view)
        PyMem_Free(self.rings)

    @property
    def spare(self):
        return len(self.spares)

    cpdef release(self):
        """Lets go of the memory; nothing is received or sent any more."""
        self.memory = NULL
        self.packets = NULL
        self.spares = []
        if self.held:
            self.held = False
            PyBuffer_Release(&self.view)

    cpdef Py_ssize_t take_spares(self, Py_ssize_t first, Py_ssize_t count) except -1:
        """Our own buffers: the chain that begins at `first`; how many there are."""
        cdef set seen = set(self.spares)
        while self.memory != NULL and len(self.spares) < count and 0 < first < self.buffers and first not in seen:
            seen.add(first)
            self.spares.append(first)
            first = uinet_u32(self.packets + first * self.size)
        return len(self.spares)

    cpdef Py_ssize_t chain(self, list lent) except -1:
        """All our own buffers, with those that are `lent`, as a chain: the first one, 0 if there is none."""
        cdef Py_ssize_t following = 0, index
        if self.memory == NULL:
            return 0
        for index in self.spares + lent:
            if 0 < index < self.buffers:
                uinet_put_u32(self.packets + index * self.size, <unsigned int>following)
                following = index
        self.spares = []
        return following

    cpdef list receive(self, Py_ssize_t limit):
        """At most `limit` frames; their slots are the kernel's again at its next system call."""
        cdef list found = []
        cdef Ring *ring
        cdef Frame frame
        cdef bytes data
        cdef Py_ssize_t _turn
        self.octets = 0
        if self.memory == NULL:
            return found
        for _turn in range(self.count):
            ring = &self.rings[self.turn + 1]
            while PyList_GET_SIZE(found) < limit:
                data = self.packet(ring)
                if data is None:
                    break
                if PyBytes_GET_SIZE(data):
                    self.octets += PyBytes_GET_SIZE(data)
                    frame = Frame.__new__(Frame)
                    frame.data = data
                    found.append(frame)
            if PyList_GET_SIZE(found) >= limit:
                break
            self.turn = (self.turn + 1) % self.count
        self.publish()
        return found

    cpdef list lend(self, Py_ssize_t limit):
        """At most `limit` packets as (buffer, length), or as bytes."""
        cdef list found = []
        cdef Ring *ring
        cdef bytes data
        cdef unsigned char *slot
        cdef unsigned int length, flags
        cdef Py_ssize_t _turn, index, spare
        self.octets = 0
        if self.memory == NULL:
            return found
        for _turn in range(self.count):
            ring = &self.rings[self.turn + 1]
            while PyList_GET_SIZE(found) < limit and ring.head != self.tail(ring):
                slot = slot_at(ring, ring.head)
                index = uinet_u32(slot)
                length = uinet_u16(slot + LENGTH)
                flags = uinet_u16(slot + FLAGS)
                if self.spares and not flags & MORE and 0 < index < self.buffers and 0 < length <= self.size:
                    spare = self.spares.pop()
                    uinet_put_u32(slot, <unsigned int>spare)
                    uinet_put_u16(slot + FLAGS, <unsigned short>(flags | CHANGED))
                    ring.head = after(ring, ring.head)
                    self.octets += length
                    found.append((index, length))
                    continue
                data = self.packet(ring)
                if data is None:
                    break
                if PyBytes_GET_SIZE(data):
                    self.octets += PyBytes_GET_SIZE(data)
                    found.append(data)
            if PyList_GET_SIZE(found) >= limit:
                break
            self.turn = (self.turn + 1) % self.count
        self.publish()
        return found

    cpdef give_back(self, Py_ssize_t index):
        """A buffer that was lent is ours again."""
        if not 0 < index < self.buffers:
            raise IndexError(f"buffer {index} of {self.buffers}")
        self.spares.append(index)

    cdef unsigned int tail(self, Ring *ring) noexcept:
        """Where the kernel's slots begin; `head` if it says nonsense."""
        cdef unsigned int tail = uinet_word(ring.base + TAIL)
        return tail if tail < ring.count else ring.head

    cdef bytes packet(self, Ring *ring):
        """The next packet of a ring, b"" if it is no packet; None if it is not there yet."""
        cdef unsigned int tail = self.tail(ring), slot = ring.head, length, flags
        cdef unsigned char *at
        cdef Py_ssize_t index, pieces = 0
        cdef bint whole = True
        cdef bytes data = b""
        while True:
            if pieces == MOST_PIECES:
                whole = False
                break
            pieces += 1
            if slot == tail:
                if slot == ring.head or after(ring, tail) != ring.head:
                    return None
                whole = False
                break
            at = slot_at(ring, slot)
            index = uinet_u32(at)
            length = uinet_u16(at + LENGTH)
            flags = uinet_u16(at + FLAGS)
            slot = after(ring, slot)
            if index < self.buffers and length <= self.size:
                if PyBytes_GET_SIZE(data):
                    data += PyBytes_FromStringAndSize(<char *>self.packets + index * self.size, length)
                else:
                    data = PyBytes_FromStringAndSize(<char *>self.packets + index * self.size, length)
            else:
                whole = False
            if not flags & MORE:
                break
        ring.head = slot
        if not whole or not PyBytes_GET_SIZE(data):
            self.damaged += 1
            return b""
        return data

    cdef void publish(self) noexcept:
        """Tells the kernel which slots we have read."""
        cdef Py_ssize_t n
        for n in range(self.count):
            advance(&self.rings[n + 1])

    cpdef Py_ssize_t room(self) except -1:
        """Slots that can be filled."""
        cdef Ring *ring = &self.rings[0]
        cdef unsigned int tail
        if self.memory == NULL:
            return 0
        tail = self.tail(ring)
        return tail - ring.head if tail >= ring.head else tail + ring.count - ring.head

    cpdef Py_ssize_t send(self, list packets, Py_ssize_t start) except -1:
        """Copies `packets` from `start` on into buffers, up to the first that has no room: how many."""
        cdef Py_ssize_t total = PyList_GET_SIZE(packets) if packets is not None else 0
        cdef Py_ssize_t index, room, needed, left, piece, where, sent = 0
        cdef Ring *ring = &self.rings[0]
        cdef unsigned char *slot
        cdef const char *source
        cdef unsigned int flags
        cdef object data
        if start < 0 or start > total:
            raise IndexError(f"packet {start} of {total}")
        for index in range(start, total):
            data = packets[index]
            if not PyBytes_CheckExact(data):
                raise TypeError(f"want bytes, not {type(data).__name__}")
            if not PyBytes_GET_SIZE(data) or PyBytes_GET_SIZE(data) > self.size * self.pieces:
                raise IndexError(f"{PyBytes_GET_SIZE(data)} bytes in {self.pieces} buffers of {self.size}")
        self.octets = 0
        if self.memory == NULL:
            return 0
        room = self.room()
        for index in range(start, total):
            data = packets[index]
            left = PyBytes_GET_SIZE(data)
            needed = (left + self.size - 1) // self.size
            if needed > room or not self.usable(ring, needed):
                break
            room -= needed
            source = PyBytes_AS_STRING(data)
            self.octets += left
            while left:
                piece = min(left, self.size)
                slot = slot_at(ring, ring.head)
                where = uinet_word(slot)  # once more: it lies in shared memory, and may have changed since
                if where < self.buffers:
                    memcpy(self.packets + where * self.size, source, piece)
                source += piece
                left -= piece
                flags = uinet_u16(slot + FLAGS) & CHANGED
                uinet_put_u16(slot + LENGTH, <unsigned short>piece)
                uinet_put_u16(slot + FLAGS, <unsigned short>(flags | (MORE if left else 0)))
                ring.head = after(ring, ring.head)
            sent += 1
        advance(ring)
        return sent

    cdef bint usable(self, Ring *ring, Py_ssize_t count) noexcept:
        """Whether the next `count` slots have buffers of this memory; they are left alone, and counted, if not."""
        cdef unsigned int slot = ring.head
        while count:
            count -= 1
            if uinet_u32(slot_at(ring, slot)) >= <unsigned long long>self.buffers:
                self.damaged += 1
                return False
            slot = after(ring, slot)
        return True

    cpdef Py_ssize_t swap(self, Py_ssize_t index, Py_ssize_t length) except? -1:
        """Sends buffer `index` itself; the one that was in its slot is ours instead. -1 if there is no room."""
        cdef Ring *ring = &self.rings[0]
        cdef unsigned char *slot
        cdef Py_ssize_t before
        if not 0 < index < self.buffers or not 0 < length <= self.size:
            raise IndexError(f"{length} bytes of buffer {index} of {self.buffers}")
        if self.memory == NULL or not self.room() or not self.usable(ring, 1):
            return -1
        slot = slot_at(ring, ring.head)
        before = uinet_u32(slot)
        if not 0 < before < self.buffers:
            return -1
        uinet_put_u32(slot, <unsigned int>index)
        uinet_put_u16(slot + LENGTH, <unsigned short>length)
        uinet_put_u16(slot + FLAGS, CHANGED)
        ring.head = after(ring, ring.head)
        advance(ring)
        return before
