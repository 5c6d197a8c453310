cimport cython

from uinet.following.filtering cimport Filter
from uinet.passive.follower cimport Follower
from uinet.wire.kernels cimport extend, load_u16, load_u16_le, load_u32, load_u32_le, take

cdef long long SECOND, LATEST
cdef unsigned int MAX_RECORD, MAX_BLOCK, MASK16
cdef unsigned int SECTION_HEADER, INTERFACE_DESCRIPTION, PACKET, SIMPLE_PACKET, ENHANCED_PACKET, BYTE_ORDER_MAGIC
cdef unsigned int OPTION_END, IF_TSRESOL, IF_TSOFFSET
cdef Py_ssize_t HEADER_LENGTH, HEAD, PACKET_HEAD

cpdef unsigned int word(bint little, bytes data, Py_ssize_t at) except? 0xA5A5A5A5
cpdef unsigned int half(bint little, bytes data, Py_ssize_t at) except? 0xA5A5
cdef int require(Py_ssize_t length, Py_ssize_t least) except -1


@cython.final
cdef class Interface:
    cdef public unsigned int link_type
    cdef public unsigned int snap_length
    cdef public object ticks
    cdef public object offset
    cdef unsigned long long multiplier
    cdef unsigned long long safe
    @cython.locals(high=cython.ulonglong, low=cython.ulonglong)
    cdef unsigned long long time(self, unsigned long long high, unsigned long long low) except? 0xA5A5A5A5A5A5A5A5
    @cython.locals(time=object)
    cpdef object any_time(self, object high, object low)


@cython.final
cdef class Blocks:
    cdef public str format
    cdef public long long count
    cdef public long long passed
    cdef Filter filter
    cdef bint little
    cdef public long long position
    cdef bytearray rest
    cdef Py_ssize_t need
    cdef Py_ssize_t skip
    cdef Py_ssize_t header
    cdef public list interfaces
    cdef Interface interface
    cdef long long time
    @cython.locals(at=Py_ssize_t, size=Py_ssize_t, end=Py_ssize_t)
    cpdef feed(self, Follower follower, bytes data)
    @cython.locals(piece=bytes, end=Py_ssize_t, wanted=Py_ssize_t)
    cdef Py_ssize_t continue_rest(self, Follower follower, bytes data, Py_ssize_t at) except -1
    cdef Py_ssize_t scan(self, Follower follower, bytes data, Py_ssize_t at) except -1
    cpdef finish(self)
    @cython.locals(magic=bytes, little=cython.bint)
    cdef Py_ssize_t recognize(self, bytes data, Py_ssize_t at) except -1
    cdef int found(self, Follower follower, unsigned int link_type, bytes data, Py_ssize_t start, Py_ssize_t captured,
                   Py_ssize_t length, long long time) except -1
    @cython.locals(base=cython.longlong, size=Py_ssize_t, header=Py_ssize_t, little=cython.bint, interface=Interface,
                   link_type=cython.uint, multiplier=cython.ulonglong, captured=cython.uint, start=Py_ssize_t,
                   end=Py_ssize_t, time=cython.longlong)
    cdef Py_ssize_t scan_pcap(self, Follower follower, bytes data, Py_ssize_t at) except -1
    @cython.locals(major=cython.uint, link_type=cython.uint)
    cdef Py_ssize_t file_header(self, bytes data, Py_ssize_t at) except -1
    @cython.locals(base=cython.longlong, size=Py_ssize_t, kind=cython.uint, length=cython.uint, end=Py_ssize_t)
    cdef Py_ssize_t scan_pcapng(self, Follower follower, bytes data, Py_ssize_t at) except -1
    cdef int enhanced_packet(self, Follower follower, bytes data, Py_ssize_t at, Py_ssize_t length) except -1
    @cython.locals(little=cython.bint, interface=Interface, captured=cython.uint, time=cython.longlong,
                   original=cython.uint)
    cdef int timed_packet(self, Follower follower, Py_ssize_t number, bytes data, Py_ssize_t at,
                          Py_ssize_t length) except -1
    @cython.locals(major=cython.uint)
    cdef int other_block(self, Follower follower, unsigned int kind, bytes data, Py_ssize_t at,
                         Py_ssize_t length) except -1
    @cython.locals(interface=Interface, original=cython.uint, captured=cython.uint)
    cdef int simple_packet(self, Follower follower, bytes data, Py_ssize_t at, Py_ssize_t length) except -1
    cdef int byte_order(self, bytes data, Py_ssize_t at) except -1
    @cython.locals(little=cython.bint, link_type=cython.uint, snap_length=cython.uint, code=cython.uint,
                   size=Py_ssize_t, value=bytes, ticks=object, offset=object, power=object)
    cdef int interface_description(self, bytes data, Py_ssize_t at, Py_ssize_t end) except -1
