cimport cython
from cpython.buffer cimport Py_buffer


cdef struct Ring:
    unsigned char *base
    unsigned char *slots
    unsigned int count
    unsigned int head


@cython.final
cdef class Slots:
    cdef readonly Py_ssize_t octets
    cdef readonly Py_ssize_t damaged
    cdef readonly Py_ssize_t size
    cdef readonly Py_ssize_t start
    cdef readonly Py_ssize_t buffers
    cdef readonly Py_ssize_t pieces
    cdef Py_buffer view
    cdef bint held
    cdef unsigned char *memory
    cdef unsigned char *packets
    cdef Ring *rings
    cdef Py_ssize_t count
    cdef Py_ssize_t turn
    cdef list spares
    cdef int attach(self, Ring *ring, Py_ssize_t at, bint first) except -1
    cpdef release(self)
    cpdef Py_ssize_t take_spares(self, Py_ssize_t first, Py_ssize_t count) except -1
    cpdef Py_ssize_t chain(self, list lent) except -1
    cpdef list receive(self, Py_ssize_t limit)
    cpdef list lend(self, Py_ssize_t limit)
    cpdef give_back(self, Py_ssize_t index)
    cdef unsigned int tail(self, Ring *ring) noexcept
    cdef bytes packet(self, Ring *ring)
    cdef void publish(self) noexcept
    cpdef Py_ssize_t room(self) except -1
    cpdef Py_ssize_t send(self, list packets, Py_ssize_t start) except -1
    cdef bint usable(self, Ring *ring, Py_ssize_t count) noexcept
    cpdef Py_ssize_t swap(self, Py_ssize_t index, Py_ssize_t length) except? -1
