cimport cython

from uinet.pump cimport Pump

cdef long long LONGEST_WAIT, MILLISECOND
cdef int READABLE, WRITABLE


cdef class Driver:
    cdef public object stack, clock
    cdef public list pumps, services
    cdef object _poll, _deadline, _timer
    cdef public dict _watched
    cdef dict _served, _links
    cdef list _errors, _asked
    @cython.locals(pump=Pump)
    cdef _flush(self)
    @cython.locals(pump=Pump, wait=cython.longlong)
    cdef _wait(self, long long now, object timeout)
    @cython.locals(pump=Pump)
    cdef bint _may_wake(self) except -1
    @cython.locals(pump=Pump, events=cython.int)
    cpdef dict descriptors(self)
    @cython.locals(pump=Pump)
    cpdef deadline(self)
    @cython.locals(pump=Pump)
    cdef _await(self, long long wait)
    @cython.locals(descriptor=cython.int, events=cython.int)
    cdef _watch(self, Pump pump)
    cdef _unwatch(self, Pump pump)
    cdef _surface(self, Pump pump)
