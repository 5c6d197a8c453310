cimport cython

from uinet.link.vectors cimport FrameReader, write_frames, write_packet
from uinet.link.vnet cimport decode_fields, encode, segments
from uinet.wire.frame cimport Frame, LargeFrame

cdef Py_ssize_t ENOUGH
cdef bytes NOTHING, PLAIN
cdef unsigned char CHECKSUM_NEEDED


@cython.final
cdef class Tunnel:
    cdef int fd, layer
    cdef bint vnet
    cdef Py_ssize_t largest_in, largest_out
    cdef FrameReader reader
    cdef readonly Py_ssize_t packets, octets, truncated, oversize
    cdef readonly int error
    @cython.locals(frames=list, reader=FrameReader, count=Py_ssize_t, size=Py_ssize_t, data=bytes)
    cpdef list recv(self, Py_ssize_t limit)
    @cython.locals(count=Py_ssize_t, frame=Frame, header=bytes, data=bytes, encoded=tuple, pieces=list,
                   size=Py_ssize_t, large=LargeFrame, written=Py_ssize_t)
    cpdef Py_ssize_t send(self, list frames, Py_ssize_t index) except -1
