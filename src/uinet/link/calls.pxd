cimport cython
from cpython.buffer cimport Py_buffer


@cython.final
cdef class Batches:
    cdef public int error
    cdef public Py_ssize_t specials
    cdef public Py_ssize_t octets
    cdef public long long truncated
    cdef public bint stamps
    cdef public list times
    cdef object sock
    cdef int fd
    cdef bint with_headers
    cdef bint busy
    cdef list slots
    cdef void *batch
    cpdef list receive(self, Py_ssize_t limit)
    cdef int collect(self, list found, Py_ssize_t index) except -1
    cpdef Py_ssize_t send(self, list headers, list packets, Py_ssize_t start) except? -1000
    cpdef Py_ssize_t send_frames(self, list frames, Py_ssize_t start) except? -1000


@cython.final
cdef class BlockRing:
    cdef public int error
    cdef public Py_ssize_t specials
    cdef public Py_ssize_t octets
    cdef public long long truncated
    cdef public bint stamps
    cdef public list times
    cdef Py_buffer view
    cdef bint held
    cdef bint with_headers
    cdef Py_ssize_t block_size
    cdef Py_ssize_t blocks
    cdef Py_ssize_t block
    cdef Py_ssize_t at
    cdef Py_ssize_t used
    cdef unsigned int left
    cdef bint begun
    cpdef list receive(self, Py_ssize_t limit)
    cdef bint begin(self) except -1
    cdef int finish(self) except -1
    cdef int packet(self, list found) except -1
    cpdef bytes take_block(self)
    cpdef release(self)
