cimport cython

from uinet.ip.interface cimport Interface
from uinet.ip.network cimport Network
from uinet.wire.frame cimport Frame, SplitFrame, gathered, new_frame
from uinet.wire.kernels cimport join, load_u8, load_u16, take
from uinet.wire.packet cimport Packet

cdef unsigned int ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, MORE_FRAGMENTS, OFFSET_MASK
cdef unsigned int PROTO_ICMP, PROTO_ICMPV6, PROTO_TCP, PROTO_UDP, CHECKSUM_UNKNOWN, CHECKSUM_VALID
cdef int FRAGMENT, TRANSPORT


@cython.locals(whole=Frame)
cpdef Frame as_frame(object frame)


cdef class SegmentInput:
    cpdef bint segment(self, Packet packet) except -1


cdef class Receiver:
    cdef public Network network
    cdef SegmentInput tcp
    cdef public object udp
    cdef Packet packet
    cdef public unsigned long long frames, octets
    cdef Interface seen_interface
    cdef unsigned int seen_generation
    cdef unsigned long long seen_src_hi, seen_src_lo, seen_dst_hi, seen_dst_lo
    cpdef receive_all(self, Interface interface, object frames, long long now)
    @cython.locals(frame=Frame)
    cpdef receive_each(self, Interface interface, object frames, long long now)
    @cython.locals(packet=Packet, size=Py_ssize_t, code=cython.int)
    cpdef receive(self, Interface interface, Frame frame, long long now)
    @cython.locals(packet=Packet, size=Py_ssize_t)
    cdef bint receive_split(self, Interface interface, SplitFrame frame, long long now) except -1
    cdef unreadable(self, Interface interface, Frame frame, int code)
    cdef bridge(self, Interface interface, Frame frame)
    @cython.locals(walked=cython.int)
    cdef routed(self, Interface interface, Packet packet)
    cdef bint seen(self, Interface interface, Packet packet)
    @cython.locals(network=Network)
    cdef bint for_us(self, Interface interface, Packet packet) except -1
    cdef bint options_ok(self, Packet packet) except -1
    @cython.locals(network=Network)
    cdef deliver(self, Packet packet)
    @cython.locals(ident=cython.uint, offset=cython.uint, more=bint)
    cdef fragment_v4(self, Interface interface, Packet packet)
    cdef fragment_v6(self, Interface interface, Packet packet)
    @cython.locals(packet=Packet, code=cython.int, wanted=bint)
    cdef again(self, Interface interface, object whole)
    @cython.locals(frame=Frame, code=cython.int)
    cdef promiscuous(self, Interface interface, Packet packet)
    @cython.locals(frame=Frame, walked=cython.int)
    cdef promiscuous_slowly(self, Interface interface, Packet packet)
    @cython.locals(network=Network, answers=cython.ulonglong)
    cdef bint wanted(self, Interface interface, Packet packet) except -1
