cimport cython


@cython.final
cdef class Interned:
    cdef dict _known
    @cython.locals(known=dict)
    cpdef bytes one(self, bytes value)
