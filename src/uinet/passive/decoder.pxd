cimport cython

from uinet.passive.fragments cimport Fragments
from uinet.passive.layers cimport Layers
from uinet.stats cimport Stats
from uinet.wire.kernels cimport checksum, load_u8, load_u16, load_u32, load_u64, store_u8, store_u16, take
from uinet.wire.packet cimport Packet, is_mapped, is_tpid
from uinet.wire.segment cimport Segment

cdef unsigned int ONE_VID, TWO_VIDS, MANY_VIDS
cdef int NOTHING, FOUND, TOO_DEEP, TOO_SHORT, WHOLE, BROKEN, SEGMENT, HELD, OTHER, BAD
cdef int SUM_UNKNOWN, SUM_GOOD, SUM_BAD, SUM_UNFINISHED
cdef unsigned int LINKTYPE_ETHERNET, ETHERTYPE_IPV4, ETHERTYPE_IPV6, MORE_FRAGMENTS, OFFSET_MASK, PROTO_TCP, SYN
cdef unsigned int ALIGNED_TIMESTAMPS
cdef unsigned int HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION_OPTIONS, AUTHENTICATION, GOOD_SUM, MORE_V6, PLACE_V6
cdef unsigned int SOURCE_ROUTE, MOBILE, SEGMENT_ROUTE
cdef unsigned long long MASK32, V4_MAPPED
cdef Py_ssize_t TAGGED_LENGTH, IPV4_LENGTH, IPV6_LENGTH, TCP_LENGTH, TCP_NEEDED, ROUTING_TYPE, SEGMENTS_LEFT

cdef unsigned int fold(unsigned long long total) noexcept
cdef unsigned int words(unsigned long long half) noexcept
@cython.locals(size=Py_ssize_t)
cdef unsigned int mark_of(bytes vids) except? 0x5A5A
cdef bint is_extension(unsigned int kind) noexcept


@cython.final
cdef class Decoder:
    cdef public object options
    cdef public Stats stats
    cdef public Packet packet
    cdef public Segment seg
    cdef public Py_ssize_t captured, link_start, link_length
    cdef public int sum, code
    cdef public long long frame, time
    cdef public unsigned long long key
    cdef public unsigned int mark
    cdef public bint signed, conflict, unfinished, verifying
    cdef public Fragments fragments
    cdef Layers _layers
    cdef Py_ssize_t _room, _size
    cdef bint _unnamed, _ignoring, _strict, _ignoring_vlans, _partial, _unsure, _spoiled, _whole
    @cython.locals(packet=Packet)
    cpdef int decode(self, unsigned int link_type, bytes data, Py_ssize_t start, Py_ssize_t captured,
                     Py_ssize_t length, long long time) except -1
    @cython.locals(layers=Layers, packet=Packet, word=cython.uint, stack=cython.ulonglong, named=cython.uint,
                   at=Py_ssize_t)
    cdef int _tagged(self, bytes data, Py_ssize_t start, Py_ssize_t end, Py_ssize_t wire) except -1
    cpdef name_stack(self)
    cpdef finish(self)
    @cython.locals(packet=Packet, layers=Layers, found=cython.int)
    cdef int _layered(self, unsigned int link_type, bytes data, Py_ssize_t start, Py_ssize_t end,
                      Py_ssize_t wire) except -1
    cdef int _bad(self, str name) except -1
    cdef int _short(self, str name, Py_ssize_t end, Py_ssize_t wire) except -1
    @cython.locals(packet=Packet, first=cython.ulonglong, second=cython.ulonglong, destination=cython.ulonglong,
                   header_length=Py_ssize_t, total_length=Py_ssize_t, l4=Py_ssize_t, total=cython.ulonglong)
    cdef int _ipv4(self, bytes data, Py_ssize_t l3, Py_ssize_t end, Py_ssize_t wire) except -1
    cdef bint _refuse_length(self, Py_ssize_t total_length, Py_ssize_t header_length, bint fragment) except -1
    cdef int _accept_header(self, unsigned int field) except -1
    @cython.locals(packet=Packet, offset=cython.uint, room=Py_ssize_t, key=bytes)
    cdef int _fragment4(self, bytes data, Py_ssize_t stop, unsigned int identification) except -1
    @cython.locals(packet=Packet, first=cython.ulonglong, stop=Py_ssize_t)
    cdef int _ipv6(self, bytes data, Py_ssize_t l3, Py_ssize_t end, Py_ssize_t wire) except -1
    @cython.locals(packet=Packet, end=Py_ssize_t, named_at=Py_ssize_t, length=Py_ssize_t, word=cython.uint)
    cdef int _chain(self, bytes data, Py_ssize_t at, Py_ssize_t stop, unsigned int kind) except -1
    @cython.locals(packet=Packet, kind=cython.uint, last=Py_ssize_t)
    cdef _route(self, bytes data, Py_ssize_t at, Py_ssize_t length)
    @cython.locals(packet=Packet, offset=cython.uint, room=Py_ssize_t, key=bytes, head=bytes, header=bytearray)
    cdef int _fragment6(self, bytes data, Py_ssize_t at, Py_ssize_t stop, Py_ssize_t named_at) except -1
    cdef bytes _link_header(self)
    @cython.locals(packet=Packet, fragments=Fragments, code=cython.int, payload=bytes)
    cdef int _fragment(self, bytes key, Py_ssize_t offset, bint more, Py_ssize_t at, Py_ssize_t stop, Py_ssize_t room,
                       bytes head) except -1
    @cython.locals(packet=Packet, fragments=Fragments, l3=Py_ssize_t, wire=Py_ssize_t, head=bytearray, data=bytes)
    cdef int _datagram(self) except -1
    @cython.locals(packet=Packet, seg=Segment, size=Py_ssize_t, room=Py_ssize_t, first=cython.ulonglong,
                   second=cython.ulonglong, header_length=Py_ssize_t)
    cdef int _tcp(self, bytes data, Py_ssize_t l4, Py_ssize_t stop) except -1
    @cython.locals(packet=Packet, room=Py_ssize_t, size=Py_ssize_t)
    cpdef verify(self)
    @cython.locals(packet=Packet, pseudo=cython.uint, with_length=cython.uint, field=cython.uint)
    cdef int _judge(self, bytes data, Py_ssize_t l4, Py_ssize_t size) except -1
