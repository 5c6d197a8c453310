cimport cython

from uinet.pump cimport Pump

cdef long long MILLISECOND
cdef Py_ssize_t BATCH
cdef int ROUNDS


cdef class LoopDriver:
    cdef public object stack, loop, clock, on_gone, on_progress
    cdef public bint virtual
    cdef public list pumps, services
    cdef dict _reading, _writing, _links
    cdef object _deadline, _timer, _fine
    cdef long long _timer_at
    cdef bint _scheduled, _closed
    cdef object _serve
    @cython.locals(pump=Pump)
    cpdef flush(self)
    @cython.locals(wait=cython.longlong)
    cdef _arm(self)
    @cython.locals(taken=Py_ssize_t, count=Py_ssize_t, _=cython.int)
    cpdef _readable(self, Pump pump)
    cdef _watch_writing(self, Pump pump)
    cdef _watch_link(self, Pump pump)
    cpdef _link_readable(self, Pump pump)
    cdef _stop_reading(self, Pump pump)
    cdef _unwatch(self, Pump pump)
    cdef _vanished(self, Pump pump)
