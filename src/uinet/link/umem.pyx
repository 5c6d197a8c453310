"""The four rings and the memory of an AF_XDP socket; ``umem.py`` is the interpreted twin and has the contracts in full.

Beside ``calls.pyx`` and ``wire/kernels.pyx`` the only code that touches raw memory: each access is to a slot of a ring,
masked, or to a chunk, whose address is checked against the memory. Lengths were checked when the rings were attached.
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

    static uint32_t uinet_get(const unsigned char *p) { return __atomic_load_n((const uint32_t *)p, __ATOMIC_ACQUIRE); }
    static void uinet_set(unsigned char *p, uint32_t v) { __atomic_store_n((uint32_t *)p, v, __ATOMIC_RELEASE); }
    static uint64_t uinet_address(const unsigned char *p) { uint64_t v; memcpy(&v, p, 8); return v; }
    static uint32_t uinet_length(const unsigned char *p) { uint32_t v; memcpy(&v, p + 8, 4); return v; }
    static void uinet_put_address(unsigned char *p, uint64_t v) { memcpy(p, &v, 8); }
    static void uinet_put_descriptor(unsigned char *p, uint64_t address, uint32_t length)
    {
        uint32_t options = 0;
        memcpy(p, &address, 8);
        memcpy(p + 8, &length, 4);
        memcpy(p + 12, &options, 4);
    }
    """
    unsigned int uinet_get(const unsigned char *p) noexcept nogil
    void uinet_set(unsigned char *p, unsigned int v) noexcept nogil
    unsigned long long uinet_address(const unsigned char *p) noexcept nogil
    unsigned int uinet_length(const unsigned char *p) noexcept nogil
    void uinet_put_address(unsigned char *p, unsigned long long v) noexcept nogil
    void uinet_put_descriptor(unsigned char *p, unsigned long long address, unsigned int length) noexcept nogil

cdef enum:
    NEED_WAKEUP = 1
    ADDRESS_SIZE = 8
    DESCRIPTOR_SIZE = 16
    MOST = 1 << 24


cdef inline unsigned int filled(Ring *ring) noexcept:
    """Slots that are filled and not emptied yet."""
    return uinet_get(ring.producer) - uinet_get(ring.consumer)


cdef class Umem:
    """The chunks and rings of a socket; see ``umem.py``."""

    def __cinit__(self, object memory, Py_ssize_t chunk, Py_ssize_t entries, tuple rings):
        cdef Py_ssize_t n
        if chunk < 2048 or chunk > MOST or chunk & (chunk - 1):
            raise IndexError(f"chunks of {chunk} bytes: want a power of two")
        if entries < 1 or entries > MOST or entries & (entries - 1):
            raise IndexError(f"{entries} chunks of {chunk} bytes: want powers of two")
        PyObject_GetBuffer(memory, &self.views[0], PyBUF_WRITABLE)
        self.held = 1
        if self.views[0].len < 2 * entries * chunk:
            raise IndexError(f"2 times {entries} chunks of {chunk} bytes in {self.views[0].len}")
        self.chunk = chunk
        self.entries = entries
        self.mask = <unsigned int>(entries - 1)
        self.attach(&self.rx, rings[0], DESCRIPTOR_SIZE)
        self.attach(&self.tx, rings[1], DESCRIPTOR_SIZE)
        self.attach(&self.fill, rings[2], ADDRESS_SIZE)
        self.attach(&self.done, rings[3], ADDRESS_SIZE)
        self.free = <unsigned long long *>PyMem_Malloc(entries * sizeof(unsigned long long))
        if self.free == NULL:
            raise MemoryError
        for n in range(entries):
            self.free[n] = <unsigned long long>(entries + n) * <unsigned long long>chunk
        self.free_count = entries
        self.memory = <unsigned char *>self.views[0].buf

    cdef int attach(self, Ring *ring, object area, Py_ssize_t size) except -1:
        """Finds a ring's words and slots in its memory, after checking that they are there."""
        cdef Py_ssize_t producer, consumer, flags, slots, at, length
        cdef unsigned char *base
        memory, producer, consumer, flags, slots = area
        PyObject_GetBuffer(memory, &self.views[self.held], PyBUF_WRITABLE)
        length = self.views[self.held].len
        base = <unsigned char *>self.views[self.held].buf
        self.held += 1
        for at in (producer, consumer, flags):
            if at < 0 or at % 4 or at > length - 4:
                raise IndexError(f"no ring of {self.entries} slots in {length} bytes")
        if slots < 0 or slots % 8 or slots > length - self.entries * size:
            raise IndexError(f"no ring of {self.entries} slots in {length} bytes")
        ring.producer = base + producer
        ring.consumer = base + consumer
        ring.flags = base + flags
        ring.slots = base + slots
        return 0

    def __dealloc__(self):
        self.release()
        PyMem_Free(self.free)

    cpdef release(self):
        """Lets go of the memory; nothing is received or sent any more."""
        self.memory = NULL
        while self.held:
            self.held -= 1
            PyBuffer_Release(&self.views[self.held])

    cpdef start(self):
        """Gives the kernel all chunks that are for receiving."""
        cdef Py_ssize_t n
        if self.memory == NULL:
            return
        for n in range(self.entries):
            self.give(<unsigned long long>(n * self.chunk))

    cpdef list receive(self, Py_ssize_t limit):
        """At most `limit` frames; their chunks go back to the kernel."""
        cdef list found = []
        cdef unsigned int consumer, count, length
        cdef unsigned long long address, within
        cdef unsigned char *slot
        cdef Frame frame
        self.octets = 0
        if self.memory == NULL or limit <= 0:
            return found
        consumer = uinet_get(self.rx.consumer)
        count = min(filled(&self.rx), <unsigned int>self.entries)
        if count > limit:
            count = <unsigned int>limit
        while count:
            count -= 1
            slot = self.rx.slots + <Py_ssize_t>(consumer & self.mask) * DESCRIPTOR_SIZE
            address = uinet_address(slot)
            length = uinet_length(slot)
            consumer += 1
            if address >= <unsigned long long>(self.entries * self.chunk):
                continue
            within = address & <unsigned long long>(self.chunk - 1)
            if length <= <unsigned long long>self.chunk - within:
                frame = Frame.__new__(Frame)
                frame.data = PyBytes_FromStringAndSize(<char *>self.memory + address, length)
                found.append(frame)
                self.octets += length
            self.give(address - within)
        uinet_set(self.rx.consumer, consumer)
        return found

    cdef void give(self, unsigned long long address) noexcept:
        """Gives the kernel a chunk to receive into."""
        cdef unsigned int producer
        if filled(&self.fill) >= <unsigned int>self.entries:
            return
        producer = uinet_get(self.fill.producer)
        uinet_put_address(self.fill.slots + <Py_ssize_t>(producer & self.mask) * ADDRESS_SIZE, address)
        uinet_set(self.fill.producer, producer + 1)

    cpdef Py_ssize_t send(self, list packets, Py_ssize_t start) except -1:
        """Puts `packets` from `start` on into chunks, up to the first that has no room: how many."""
        cdef Py_ssize_t total = PyList_GET_SIZE(packets) if packets is not None else 0
        cdef Py_ssize_t index, room, size
        cdef unsigned int producer, used
        cdef unsigned long long address
        cdef object data
        if start < 0:
            raise IndexError(f"packet {start} of {total}")
        for index in range(start, total):
            data = packets[index]
            if not PyBytes_CheckExact(data):
                raise TypeError(f"want bytes, not {type(data).__name__}")
            if PyBytes_GET_SIZE(data) > self.chunk:
                raise IndexError(f"{PyBytes_GET_SIZE(data)} bytes in a chunk of {self.chunk}")
        if self.memory == NULL:
            return 0
        self.collect()
        used = filled(&self.tx)
        if used >= <unsigned int>self.entries:
            return 0
        producer = uinet_get(self.tx.producer)
        room = max(<Py_ssize_t>0, min(self.free_count, self.entries - <Py_ssize_t>used, total - start))
        for index in range(room):
            data = packets[start + index]
            size = PyBytes_GET_SIZE(data)
            self.free_count -= 1
            address = self.free[self.free_count]
            memcpy(self.memory + address, PyBytes_AS_STRING(data), size)
            uinet_put_descriptor(
                self.tx.slots + <Py_ssize_t>(producer & self.mask) * DESCRIPTOR_SIZE, address, <unsigned int>size)
            producer += 1
        uinet_set(self.tx.producer, producer)
        self.flying += room
        return room

    cpdef Py_ssize_t collect(self) except -1:
        """Takes back the chunks that the kernel has sent; how many are still with it."""
        cdef unsigned int consumer
        cdef Py_ssize_t count
        cdef unsigned long long address, first
        if self.memory == NULL:
            return 0
        first = <unsigned long long>(self.entries * self.chunk)
        consumer = uinet_get(self.done.consumer)
        count = min(<Py_ssize_t>filled(&self.done), self.flying)
        while count:
            count -= 1
            address = uinet_address(self.done.slots + <Py_ssize_t>(consumer & self.mask) * ADDRESS_SIZE)
            consumer += 1
            self.flying -= 1
            if first <= address < 2 * first and self.free_count < self.entries:
                self.free[self.free_count] = address - (address & <unsigned long long>(self.chunk - 1))
                self.free_count += 1
        uinet_set(self.done.consumer, consumer)
        return self.flying

    cpdef bint tx_wakeup(self) except -1:
        """Whether the kernel has to be told that there is something to send."""
        return self.memory != NULL and (uinet_get(self.tx.flags) & NEED_WAKEUP) != 0

    cpdef bint rx_wakeup(self) except -1:
        """Whether the kernel has to be told that there are chunks to receive into."""
        return self.memory != NULL and (uinet_get(self.fill.flags) & NEED_WAKEUP) != 0
