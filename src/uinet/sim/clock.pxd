cimport cython


@cython.final
@cython.freelist(256)
cdef class Event:
    cdef public Clock clock
    cdef public long long time
    cdef public object call
    cdef public tuple arguments


cdef class Clock:
    cdef public long long now
    cdef public list _heap
    cdef long long _order
    cdef Py_ssize_t _cancelled
    cdef Py_ssize_t _same_instant
    @cython.locals(event=Event)
    cpdef Event _schedule(self, long long time, object call, tuple arguments)
    @cython.locals(event=Event)
    cpdef next_time(self)
    @cython.locals(event=Event)
    cdef Event _first(self)
    @cython.locals(event=Event)
    cpdef bint step(self)
    cdef _forget_one(self)
