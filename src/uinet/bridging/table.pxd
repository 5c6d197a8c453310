cimport cython

from uinet.bridging.flow cimport BridgedFlow
from uinet.bridging.index cimport FlowIndex
from uinet.bridging.track cimport Track
from uinet.bridging.translate cimport Translation
from uinet.ip.interface cimport Interface
from uinet.wire.frame cimport Frame
from uinet.wire.kernels cimport load_u8, load_u16, load_u32, load_u64, vids
from uinet.wire.packet cimport Packet, is_tpid
from uinet.wire.segment cimport Segment

cdef int CLIENT_FIN, ENDED, PASS, RESET, SERVER_FIN
cdef long long LINGER
cdef unsigned int ACK, FIN, RST, SYN, MASK32, ETHERTYPE_IPV4, ETHERTYPE_IPV6, MORE_FRAGMENTS, OFFSET_MASK, PROTO_TCP
cdef unsigned long long V4_MAPPED
cdef Py_ssize_t LINK_HEADER, MAX_TAGS
cdef bytes NO_TAGS


cdef class FlowTable(FlowIndex):
    @cython.locals(at=Py_ssize_t, tags=Py_ssize_t, ethertype=cython.uint, names=bytes, l4=Py_ssize_t, flow=BridgedFlow)
    cpdef bint passes(self, object side, bytes data, Py_ssize_t size, int layer, long long now) except -1
    @cython.locals(side=Interface, other=Interface)
    cpdef passed(self, object interface, Py_ssize_t frames, Py_ssize_t octets)
    cdef _count(self, BridgedFlow flow, Py_ssize_t size, long long now)
    @cython.locals(flow=BridgedFlow, flags=cython.uint)
    cpdef bint segment(self, object interface, Packet packet) except -1
    @cython.locals(other=Interface)
    cdef _forward(self, Interface interface, Frame frame)
    @cython.locals(seg=Segment, code=cython.int, translation=Translation, from_client=bint, track=Track)
    cdef _closely(self, BridgedFlow flow, Interface interface, Packet packet)
    @cython.locals(other=Interface, frame=Frame)
    cdef _translate(self, Translation translation, Interface interface, Packet packet, bint from_client)
    cdef bint _signal(self, BridgedFlow flow, Packet packet, unsigned int flags) except -1
    cdef bint _repeated(self, BridgedFlow flow, Packet packet) except -1
    cdef _note_offer(self, BridgedFlow flow, Packet packet)
    @cython.locals(seg=Segment)
    cdef _note_fin(self, BridgedFlow flow, Packet packet)
    cpdef bint icmp_error(self, object interface, Packet packet) except -1
    @cython.locals(flags=cython.uint, flow=BridgedFlow)
    cpdef stranger(self, object interface, Packet packet)
