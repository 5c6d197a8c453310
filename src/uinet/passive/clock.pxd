cimport cython

cdef long long LEAP, LIMIT
cdef int AGREE


@cython.final
cdef class PacketClock:
    cdef public long long now, shift
    cdef public int strange, leaps
    @cython.locals(time=cython.longlong)
    cpdef long long tick(self, long long stamp)
    cdef long long _doubt(self, long long stamp, long long time)
