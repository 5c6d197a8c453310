cimport cython


@cython.final
cdef class Stats:
    cdef public dict values
    cdef public object refresh
    cpdef count(self, str name, Py_ssize_t n=*)
