cimport cython

from uinet.link.coalesce cimport Coalescer
from uinet.wire.kernels cimport keep_heap


cdef class Pump:
    cdef public object stack, interface
    cdef public object device, gone
    cdef public bint blocked, ready
    cdef public list _waiting
    cdef Coalescer _coalescer
    cdef long long _awake_until
    cdef bint _coalesces(self) except -1
    @cython.locals(count=Py_ssize_t, passed=Py_ssize_t, other=Pump)
    cpdef Py_ssize_t receive(self, long long now) except -1
    @cython.locals(other=Pump)
    cpdef Pump _other_side(self)
    @cython.locals(taken=Py_ssize_t)
    cpdef flush(self)
    cpdef poll(self, object now)
    cpdef link_changed(self)
    cpdef deadline(self)
