cimport cython


cdef class Lateness:
    cdef public dict buckets
    cdef public Py_ssize_t count
    cdef public long long maximum
    @cython.locals(shift=cython.int, bucket=cython.longlong)
    cpdef add(self, long long time)
