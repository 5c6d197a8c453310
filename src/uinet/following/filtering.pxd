cimport cython

from uinet.passive.bpf cimport Program


@cython.final
cdef class Filter:
    cdef public str text
    cdef long long link_type
    cdef Program program
    cdef dict programs
    cdef _try(self)
    @cython.locals(program=Program)
    cpdef bint accepts(self, long long link_type, bytes data, Py_ssize_t start, Py_ssize_t captured,
                       Py_ssize_t length) except -1
    cpdef program_for(self, long long link_type)
