cimport cython

from uinet.passive.half cimport Half
from uinet.wire.kernels cimport equal, store_bytes, take

cdef long long SLOT


@cython.final
cdef class Ring:
    cdef public Half half
    cdef public long long first
    cdef public bytearray data


@cython.final
cdef class Recall:
    cdef readonly Py_ssize_t limit
    cdef readonly list rings
    cdef Py_ssize_t hand
    @cython.locals(ring=Ring, off=cython.longlong, at=Py_ssize_t, room=Py_ssize_t)
    cpdef remember(self, Half half, bytes data, Py_ssize_t start, Py_ssize_t length)
    @cython.locals(ring=Ring, first=cython.longlong, end=cython.longlong, at=Py_ssize_t, room=Py_ssize_t,
                   count=Py_ssize_t)
    cpdef bint differs(self, Half half, long long off, bytes data, Py_ssize_t start, Py_ssize_t length) except -1
    @cython.locals(ring=Ring)
    cpdef skip(self, Half half)
    @cython.locals(ring=Ring, at=Py_ssize_t, room=Py_ssize_t)
    cpdef bytes last(self, Half half, Py_ssize_t count)
    @cython.locals(ring=Ring)
    cpdef release(self, Half half)
    @cython.locals(ring=Ring)
    cdef bint _take_ring(self, Half half) except -1
