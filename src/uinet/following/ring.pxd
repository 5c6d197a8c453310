cimport cython

from uinet.following.blocks cimport half, word
from uinet.following.filtering cimport Filter
from uinet.passive.follower cimport Follower
from uinet.wire.kernels cimport join2, load_u8, store_bytes, store_u16

cdef long long SECOND
cdef Py_ssize_t BLOCK_PACKETS, BLOCK_FIRST, BLOCK_HEADER, PACKET_HEADER, PACKET_KIND, ADDRESSES, VLAN_TAG
cdef unsigned int OUTGOING, CSUM_NOT_READY, VLAN_VALID, VLAN_TPID_VALID, TPID


@cython.final
cdef class RingWalk:
    cdef unsigned int link_type
    cdef Filter filter
    cdef bint loopback
    cdef bint little
    cdef public long long count
    cdef public long long passed
    cdef public long long total
    cdef public long long unfinished
    cdef public long long time
    cdef bytearray head
    @cython.locals(little=cython.bint, at=Py_ssize_t, size=Py_ssize_t, start=Py_ssize_t, captured=Py_ssize_t,
                   following=cython.uint, index=cython.uint, count=cython.uint)
    cpdef walk(self, Follower follower, bytes block)
    @cython.locals(little=cython.bint, status=cython.uint, length=Py_ssize_t, time=cython.longlong, data=bytes)
    cdef int packet(self, Follower follower, bytes block, Py_ssize_t at, Py_ssize_t start,
                    Py_ssize_t captured) except -1
    @cython.locals(tpid=cython.uint)
    cdef bytes tagged(self, bytes block, Py_ssize_t at, Py_ssize_t start, Py_ssize_t captured, unsigned int status)
