cimport cython

from uinet.sim.clock cimport Clock
from uinet.wire.frame cimport Frame


cdef class Channel:
    cdef public Clock clock
    cdef public object random
    cdef public object deliver
    cdef public object conditions
    cdef public int layer
    cdef public object drop, refuse
    cdef public dict counters
    cdef object _departures
    cdef object _sizes
    cdef Py_ssize_t _queued
    cdef long long _last_arrival
    cdef long long _wired
    cdef bint _bad
    cdef Py_ssize_t _mtu
    cdef double _byte_time, _loss, _corrupt_chance, _duplicate, _reorder
    cdef long long _delay, _mark
    cdef _adopt(self, conditions)
    cdef _refuse(self, Frame frame)
    @cython.locals(size=cython.Py_ssize_t, departure=cython.longlong)
    cpdef send(self, Frame frame)
    @cython.locals(now=cython.longlong, start=cython.longlong, departure=cython.longlong)
    cdef long long _departure(self, Py_ssize_t size)
    cdef bint _is_full(self, Py_ssize_t size)
    @cython.locals(arrival=cython.longlong)
    cdef _propagate(self, Frame frame, long long departure)
    @cython.locals(arrival=cython.longlong)
    cdef long long _arrival(self, long long departure)
    @cython.locals(lost=cython.bint)
    cdef bint _is_lost(self)
    cdef _corrupt(self, Frame frame)
    cpdef _arrive(self, Frame frame)
