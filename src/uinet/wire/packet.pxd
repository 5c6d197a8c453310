cimport cython

from uinet.wire.frame cimport Frame, SplitFrame, gathered
from uinet.wire.kernels cimport checksum, join, load_u8, load_u16, load_u32, load_u64, take, turned, vids

cdef unsigned int ETHERTYPE_IPV4, ETHERTYPE_IPV6, MORE_FRAGMENTS, OFFSET_MASK, PROTO_TCP
cdef unsigned char CHECKSUM_UNKNOWN
cdef int MAX_TAGS, OK, SHORT, TOO_DEEP, IP_SHORT, BAD_VERSION, BAD_HEADER_LENGTH, BAD_LENGTH, BAD_CHECKSUM, MAPPED
cdef unsigned long long V4_MAPPED

cpdef bint is_tpid(unsigned int ethertype) noexcept
cpdef bint is_mapped(unsigned long long high, unsigned long long low) noexcept


cdef class Packet:
    cdef public Frame frame
    cdef public bytes data, text
    cdef public object interface
    cdef public long long now
    cdef public Py_ssize_t l3, l4, end, text_start, beyond
    cdef public unsigned int ethertype, version, proto, ttl, tos, fragment, tags, checksum
    cdef public bint options, group
    cdef public bytes vids
    cdef public unsigned long long src_hi, src_lo, dst_hi, dst_lo
    @cython.locals(data=bytes, size=Py_ssize_t, version=cython.uint, offset=Py_ssize_t, ethertype=cython.uint,
                   tags=cython.uint)
    cpdef int parse_link(self, Frame frame, int layer) except -1
    @cython.locals(data=bytes, l3=Py_ssize_t, room=Py_ssize_t, first=cython.uint, header_length=cython.uint,
                   total_length=cython.uint)
    cpdef int parse_ipv4(self) except -1
    @cython.locals(data=bytes, l3=Py_ssize_t, room=Py_ssize_t, first=cython.uint, length=cython.uint)
    cpdef int parse_ipv6(self) except -1
    @cython.locals(data=bytes, size=Py_ssize_t, l3=Py_ssize_t)
    cpdef bint parse_split(self, SplitFrame frame, int layer) except -1
    cpdef gather(self)
    cpdef unsigned int pseudo_sum(self, unsigned int length) except? 0x1A5A5
    cpdef bint for_me(self, bytes mac) except -1
    cpdef bytes reply_header(self)
