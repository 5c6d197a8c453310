cimport cython


@cython.final
@cython.freelist(256)
cdef class Frame:
    cdef public bytes data
    cdef public long long time
    cdef public unsigned int gso_size
    cdef public unsigned char checksum
