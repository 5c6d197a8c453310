cimport cython


cdef long long TICK, SPAN, NEVER
cdef Py_ssize_t BUDGET
cdef int TICK_SHIFT, SLOT_BITS, SLOTS, SLOT_MASK, LEVELS


cdef class Timer:
    cdef public long long deadline
    cdef long long slot
    cdef int level
    cdef public unsigned int mark
    cdef Timer wheel_next
    cdef Timer wheel_previous
    cdef blank_timer(self)
    cpdef expire(self, long long now)


@cython.final
cdef class Wheel:
    cdef public long long current
    cdef public Py_ssize_t count
    cdef long long soonest
    cdef bint advancing
    cdef Py_ssize_t budget
    cdef Timer spill
    cdef list heads
    cdef list filed
    cdef _empty(self, Timer head)
    @cython.locals(tick=cython.longlong)
    cpdef arm(self, Timer timer, long long deadline)
    cpdef disarm(self, Timer timer)
    @cython.locals(current=cython.longlong, differs=cython.longlong, level=cython.int, head=Timer, last=Timer)
    cdef _file(self, Timer timer, long long tick)
    @cython.locals(head=Timer, timer=Timer, following=Timer)
    cpdef clear(self)
    @cython.locals(before=Timer, after=Timer)
    cdef _unlink(self, Timer timer)
    @cython.locals(level=cython.int, shift=cython.int, index=cython.longlong, first=cython.longlong,
                   here=cython.longlong, base=cython.longlong, head=Timer)
    cdef long long _next_filled(self)
    @cython.locals(first=Timer, last=Timer, end=Timer)
    cdef _pour(self, Timer head)
    @cython.locals(spill=Timer, timer=Timer)
    cdef _hand_down(self)
    @cython.locals(level=cython.int, shift=cython.int, head=Timer, timer=Timer)
    cdef _open(self, long long tick, long long now)
    cdef _refile(self, Timer timer)
    @cython.locals(target=cython.longlong, tick=cython.longlong)
    cpdef advance(self, long long now)
    @cython.locals(found=list, level=cython.int, here=cython.longlong, step=cython.longlong, head=Timer, timer=Timer,
                   spilt=Timer)
    cpdef list waiting(self, Py_ssize_t limit)
    cpdef long long next_deadline(self)
