cimport cython

from uinet.wire.frame cimport Frame
from uinet.wire.kernels cimport join, load_u8, load_u16, take
from uinet.wire.packet cimport Packet

cdef unsigned int ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, PROTO_ICMP, PROTO_ICMPV6, PROTO_TCP, PROTO_UDP
cdef unsigned int SYN_BITS, ACK_BITS, RST_BITS, ECHO_V4, ECHO_V6, NEIGHBOR_SOLICITATION
cdef int FIRST_ETHERNET
cdef Py_ssize_t LONGEST_SYN, SAMPLES


@cython.final
cdef class Prefix:
    cdef unsigned long long hi, lo, mask_hi, mask_lo


@cython.final
cdef class Source:
    cdef public bytes address, vids, first_frame
    cdef public long long first, last, syns, connections, datagrams, echoes, odd, others
    cdef public set ports, hosts


@cython.final
cdef class Watch:
    cdef public list prefixes
    cdef public bytes mac
    cdef public int layer
    cdef public Py_ssize_t remember, most_sources
    cdef Packet packet
    cdef public dict young, old, sources
    cdef public Source rest
    cdef public long long passed, elsewhere, unreadable, syns, unlisted
    @cython.locals(frame=Frame, wanted=list)
    cpdef list sift(self, list frames, long long now)
    @cython.locals(packet=Packet)
    cpdef bint look(self, Frame frame, long long now) except -1
    cdef bint solicits(self, Packet packet) except -1
    @cython.locals(prefix=Prefix)
    cdef bint ours(self, unsigned long long hi, unsigned long long lo) except -1
    @cython.locals(data=bytes, l4=Py_ssize_t, room=Py_ssize_t, source=Source, flags=cython.uint)
    cdef note(self, Packet packet, long long now)
    cdef sample(self, Source source, Packet packet, int port)
    @cython.locals(address=bytes, key=bytes, source=Source)
    cdef Source source_of(self, Packet packet, long long now)
    @cython.locals(data=bytes, key=bytes)
    cdef remember_syn(self, Packet packet)
    cpdef bytes recall(self, bytes key)
    @cython.locals(source=Source)
    cpdef connected(self, bytes key)
    cpdef list report(self)
