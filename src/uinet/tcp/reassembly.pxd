cimport cython

from uinet.seq cimport seq_diff, seq_geq, seq_leq, seq_lt
from uinet.tcp.buffer cimport ByteQueue

cdef Py_ssize_t ISLAND_COST


@cython.final
cdef class Island:
    cdef public unsigned int start, end
    cdef public ByteQueue data


@cython.final
cdef class Reassembly:
    cdef public Py_ssize_t limit
    cdef public Py_ssize_t length
    cdef public unsigned int twice
    cdef public Py_ssize_t twice_length
    cdef public list islands
    cdef public list recent
    @cython.locals(island=Island, index=Py_ssize_t, taken=Py_ssize_t, held=Py_ssize_t, room=Py_ssize_t, gap=Py_ssize_t)
    cpdef Py_ssize_t add(self, unsigned int seq, bytes data, Py_ssize_t offset, Py_ssize_t length) except -2
    cpdef Py_ssize_t charge(self) except -1
    @cython.locals(low=Py_ssize_t, high=Py_ssize_t, middle=Py_ssize_t)
    cdef Py_ssize_t _first_reaching(self, unsigned int seq)
    @cython.locals(island=Island, following=Island)
    cdef _join_next(self, Py_ssize_t index)
    cdef _touch(self, Island island)
    @cython.locals(island=Island, held=Py_ssize_t, spare=Py_ssize_t)
    cpdef unsigned int deliver(self, unsigned int seq, ByteQueue into)
    cpdef Py_ssize_t gap_after(self, unsigned int seq) except -1
    @cython.locals(island=Island)
    cpdef Py_ssize_t overlap(self, unsigned int end) except -1
    cpdef list blocks(self, Py_ssize_t limit)
