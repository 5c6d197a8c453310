cimport cython

from uinet.link.offload cimport locate_tcp
from uinet.link.vectors cimport FrameReader, write_frames, write_packet
from uinet.link.vnet cimport decode_fields, encode, segments
from uinet.wire.frame cimport Frame, LargeFrame, SplitFrame, new_frame, split_frame
from uinet.wire.judge cimport Judge
from uinet.wire.kernels cimport load_u8

cdef Py_ssize_t ENOUGH, SMALL
cdef bytes NOTHING, PLAIN
cdef unsigned char CHECKSUM_NEEDED, CHECKSUM_UNKNOWN, CHECKSUM_VALID
cdef unsigned int F_NEEDS_CSUM, TCP_CHECKSUM


@cython.final
cdef class Tunnel:
    cdef int fd, layer
    cdef bint vnet
    cdef public bint splits
    cdef Py_ssize_t largest_in
    cdef public Py_ssize_t largest_out
    cdef FrameReader reader
    cdef readonly Py_ssize_t packets, octets, truncated, oversize, passed, passed_octets
    cdef readonly int error
    @cython.locals(frames=list, reader=FrameReader, count=Py_ssize_t, size=Py_ssize_t, data=bytes,
                   payload=bytes, frame=SplitFrame)
    cpdef list recv(self, Py_ssize_t limit)
    @cython.locals(reader=FrameReader)
    cdef _whole(self, list frames, bytes data, Py_ssize_t size)
    @cython.locals(frames=list, reader=FrameReader, count=Py_ssize_t, size=Py_ssize_t, passing=bint)
    cpdef list pass_on(self, Py_ssize_t limit, Tunnel other, Judge judge, object side, long long now)
    @cython.locals(reader=FrameReader, l4=Py_ssize_t)
    cdef SplitFrame _split(self, bytes data, bytes payload)
    cdef bint _sums(self, bytes data) except -1
    @cython.locals(reader=FrameReader)
    cdef list _joined(self, bytes data)
    @cython.locals(l4=Py_ssize_t)
    cdef _learn(self, bytes data)
    @cython.locals(count=Py_ssize_t, frame=Frame, header=bytes, data=bytes, encoded=tuple, pieces=list,
                   size=Py_ssize_t, large=LargeFrame, written=Py_ssize_t)
    cpdef Py_ssize_t send(self, list frames, Py_ssize_t index) except -1
