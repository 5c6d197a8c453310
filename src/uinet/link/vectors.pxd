cimport cython
from cpython.ref cimport PyObject


@cython.final
cdef class FrameReader:
    cdef int fd
    cdef bint vnet
    cdef Py_ssize_t largest
    cdef PyObject *spare
    cdef readonly Py_ssize_t head
    cdef unsigned char[256] first
    cdef unsigned char[10] raw
    cdef readonly bytes payload
    cdef readonly unsigned int flags, gso_type, gso_size, start, offset
    cpdef split_at(self, Py_ssize_t head)
    cpdef Py_ssize_t fetch(self) except -2
    cpdef bytes buffer(self)
    cpdef bytes keep(self, Py_ssize_t size)
    cpdef int pass_on(self, int fd, Py_ssize_t size) except -1
    cpdef bytes read(self)
    cdef Py_ssize_t _next(self, Py_ssize_t head) except -3
    cdef bytes _join(self, Py_ssize_t size)
    cdef bytes _take(self, Py_ssize_t size)

cpdef int write_packet(int fd, bytes header, bytes data, list pieces) except -1
cpdef Py_ssize_t write_frames(int fd, bytes header, list frames, Py_ssize_t index, Py_ssize_t largest) except -1
