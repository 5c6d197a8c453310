cimport cython

from uinet.bridging.flow cimport BridgedFlow
from uinet.hashing cimport Buckets
from uinet.ip.flows cimport FlowInput
from uinet.ip.interface cimport Interface
from uinet.stats cimport Stats
from uinet.wheel cimport Wheel
from uinet.wire.kernels cimport hash5, hash_short, load_u16
from uinet.wire.packet cimport Packet
from uinet.wire.segment cimport Segment

cdef int ENDED, PASS, RESET, ROUNDS, TRACK
cdef long long IDLE, LINGER


cdef class FlowIndex(FlowInput):
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
