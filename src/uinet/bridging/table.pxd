cimport cython

from uinet.bridging.flow cimport BridgedFlow
from uinet.bridging.track cimport Track
from uinet.bridging.translate cimport Translation
from uinet.hashing cimport Buckets
from uinet.ip.flows cimport FlowInput
from uinet.ip.interface cimport Interface
from uinet.stats cimport Stats
from uinet.wheel cimport Wheel
from uinet.wire.frame cimport Frame
from uinet.wire.kernels cimport hash5, hash_short, load_u8, load_u16, load_u32, load_u64, vids
from uinet.wire.packet cimport Packet, is_tpid
from uinet.wire.segment cimport Segment

cdef int CLIENT_FIN, ENDED, PASS, RESET, ROUNDS, SERVER_FIN, TRACK
cdef long long IDLE, LINGER
cdef unsigned int ACK, FIN, RST, SYN, MASK32, ETHERTYPE_IPV4, ETHERTYPE_IPV6, MORE_FRAGMENTS, OFFSET_MASK, PROTO_TCP
cdef unsigned long long V4_MAPPED
cdef Py_ssize_t LINK_HEADER, MAX_TAGS
cdef bytes NO_TAGS


cdef class FlowTable(FlowInput):
    cdef readonly Buckets table
    cdef public Wheel wheel
    cdef public Stats stats
    cdef public object stack, budget, on_end
    cdef public Py_ssize_t limit, tracked_limit, translated_limit, tracked, translated
    cdef public unsigned long long evicted, refused
    cdef public Segment seg
    cdef public bint from_client
    cdef public BridgedFlow hand
    @cython.locals(word=cython.ulonglong)
    cpdef unsigned long long hash_of(
        self, unsigned long long high, unsigned long long low, unsigned int port, unsigned long long other_high,
        unsigned long long other_low, unsigned int other_port, bytes vids) except? 0xA5A5A5A5A5A5A5A5
    @cython.locals(key=cython.ulonglong, flow=BridgedFlow)
    cpdef BridgedFlow lookup(
        self, unsigned long long high, unsigned long long low, unsigned int port, unsigned long long other_high,
        unsigned long long other_low, unsigned int other_port, bytes vids)
    @cython.locals(flow=BridgedFlow)
    cpdef BridgedFlow find(self, Packet packet)
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
    @cython.locals(port=cython.uint, other_port=cython.uint, flow=BridgedFlow, interface=Interface)
    cpdef BridgedFlow add(self, Packet packet, bint from_client=*)
    @cython.locals(hand=BridgedFlow, before=BridgedFlow)
    cpdef put(self, BridgedFlow flow)
    cpdef long long forget_at(self, BridgedFlow flow) except? -1
    @cython.locals(flow=BridgedFlow)
    cpdef bint make_room(self) except -1
    @cython.locals(following=BridgedFlow, before=BridgedFlow)
    cpdef remove(self, BridgedFlow flow, str why)
    cpdef due(self, BridgedFlow flow, long long now)
    cpdef bint start_tracking(self, BridgedFlow flow) except -1
    cpdef untrack(self, BridgedFlow flow)
    cpdef close(self)
