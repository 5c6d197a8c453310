cimport cython

cdef unsigned long long MASK64, STRICT, LOOSE
cdef Py_ssize_t LEAST, WANTED, MOST, WINDOW


@cython.final
cdef class Chunker:
    cdef public Py_ssize_t length
    cdef unsigned long long value
    cdef unsigned long long[::1] gear
    @cython.locals(gear="unsigned long long[::1]", size=Py_ssize_t, at=Py_ssize_t, length=Py_ssize_t,
                   value=cython.ulonglong, skip=Py_ssize_t, stop=Py_ssize_t)
    cpdef Py_ssize_t cut(self, bytes data, Py_ssize_t start) except -2
    cpdef reset(self)
