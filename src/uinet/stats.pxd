cimport cython


@cython.final
cdef class Stats:
    cdef public dict values
    cpdef count(self, str name, Py_ssize_t n=*)
