cimport cython


@cython.final
cdef class Path:
    cdef public unsigned char state
    cdef public bint probing, fresh
    cdef public unsigned int low, high, size, start, end, failures, claimed, claimed_seq
    cdef public long long next_at
