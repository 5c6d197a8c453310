cimport cython

from uinet.ip.input cimport SegmentInput
from uinet.ip.interface cimport Interface
from uinet.seq cimport seq_geq, seq_lt
from uinet.tcp.arrive cimport segment_arrives
from uinet.tcp.context cimport Context
from uinet.tcp.cookies cimport answer_flood, flooded
from uinet.tcp.listener cimport Listener, Listeners
from uinet.tcp.passive cimport Reception, Watch
from uinet.tcp.send cimport output, wants_output
from uinet.tcp.sound cimport source_is_sound
from uinet.tcp.table cimport Entry, Table
from uinet.tcp.tcb cimport Tcb
from uinet.tcp.time_wait cimport TimeWait
from uinet.wheel cimport Timer
from uinet.wire.packet cimport Packet
from uinet.wire.segment cimport Segment

cdef unsigned int MASK32, ACK, FIN, RST, SYN
cdef unsigned char CLOSED, ESTABLISHED
cdef int FLUSH_ROUNDS


cdef class Tcp(Context):
    cdef public Segment seg_scratch
    cdef public Listeners listeners
    cdef public object time_wait, ports, interned
    cdef public list gone
    cdef public unsigned long long rx
    cdef public Py_ssize_t connections, deferred, kept
    cdef public Watch watch
    cdef public bint keyed
    @cython.locals(seg=Segment, code=cython.int, interface=Interface, entry=Entry)
    cpdef bint input(self, Packet packet) except -1
    cpdef Listener listener_for(self, Packet packet, Segment seg)
    @cython.locals(interface=Interface, listener=Listener)
    cpdef bint without_connection(self, Packet packet, Segment seg, long long floor) except -1
    cpdef bint is_flood(self, Listener listener, Packet packet, Segment seg) except -1
    @cython.locals(pending=list, rounds=cython.int, tcb=Tcb)
    cpdef flush(self)
    cdef flush_one(self, Tcb tcb)


cdef class TcpInput(SegmentInput):
    cdef public Tcp tcp
