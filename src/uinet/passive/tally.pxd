cimport cython


@cython.final
cdef class Tally:
    cdef public dict values
    cpdef count(self, str name, Py_ssize_t n=*)
