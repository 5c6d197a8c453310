cimport cython
from cpython.buffer cimport Py_buffer


cdef struct Ring:
    unsigned char *producer
    unsigned char *consumer
    unsigned char *flags
    unsigned char *slots


@cython.final
cdef class Umem:
    cdef public Py_ssize_t octets
    cdef public Py_ssize_t flying
    cdef Py_buffer views[5]
    cdef Py_ssize_t held
    cdef Py_ssize_t chunk
    cdef Py_ssize_t entries
    cdef unsigned int mask
    cdef Ring rx
    cdef Ring tx
    cdef Ring fill
    cdef Ring done
    cdef unsigned char *memory
    cdef unsigned long long *free
    cdef Py_ssize_t free_count
    cdef int attach(self, Ring *ring, object area, Py_ssize_t size) except -1
    cpdef start(self)
    cpdef release(self)
    cpdef list receive(self, Py_ssize_t limit)
    cdef void give(self, unsigned long long address) noexcept
    cpdef Py_ssize_t send(self, list packets, Py_ssize_t start) except -1
    cpdef Py_ssize_t collect(self) except -1
    cpdef bint tx_wakeup(self) except -1
    cpdef bint rx_wakeup(self) except -1
