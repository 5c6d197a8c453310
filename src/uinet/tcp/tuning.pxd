cimport cython


@cython.final
cdef class Tuning:
    cdef public unsigned int mark
    cdef public long long rtt, recent, renewed_at, marked_at, until, taken, most
