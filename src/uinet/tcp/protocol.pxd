cimport cython

from uinet.interning cimport Interned
from uinet.ip.input cimport SegmentInput
from uinet.ip.interface cimport Interface
from uinet.seq cimport seq_geq, seq_lt
from uinet.tcp.arrive cimport segment_arrives
from uinet.tcp.close cimport abort, finish, forget_unread, release
from uinet.tcp.config cimport configure
from uinet.tcp.congestion.growth cimport initial_window
from uinet.tcp.context cimport Context
from uinet.tcp.calls cimport open_active
from uinet.tcp.cookies cimport answer_flood, flooded
from uinet.tcp.feedback cimport enter
from uinet.tcp.half_open cimport entry_from_cookie, segment_for_entry
from uinet.tcp.listen cimport syn_arrives
from uinet.tcp.listener cimport Listener, Listeners
from uinet.tcp.passive cimport Watch
from uinet.tcp.reception cimport Reception
from uinet.tcp.negotiate cimport agree, established
from uinet.tcp.notify cimport notify
from uinet.tcp.reset cimport RstLimit, path_back, reset_for
from uinet.tcp.rtt cimport sample
from uinet.tcp.send cimport output, wants_output
from uinet.tcp.sound cimport source_is_sound
from uinet.tcp.state cimport change
from uinet.tcp.syn_answer cimport entry_due
from uinet.tcp.syn_cache cimport SynEntry, drop, unfile
from uinet.tcp.syn_filter cimport decide
from uinet.tcp.table cimport Entry, Table
from uinet.tcp.tcb cimport Tcb, new_tcb
from uinet.tcp.time_wait cimport TimeWait, remains_of, segment_for
from uinet.wheel cimport Timer
from uinet.wire.packet cimport Packet
from uinet.wire.segment cimport Segment

cdef unsigned int MASK32, ACK, FIN, RST, SYN, COPIED, COPY_RX, NO_TIME_WAIT
cdef unsigned char CLOSED, ESTABLISHED
cdef int FLUSH_ROUNDS


cdef class Tcp(Context):
    cdef public Segment seg_scratch
    cdef public Listeners listeners
    cdef public object time_wait, ports
    cdef public Interned interned
    cdef public list gone
    cdef public unsigned long long rx
    cdef public Py_ssize_t connections, deferred, kept
    cdef public Watch watch
    cdef public bint keyed
    @cython.locals(seg=Segment, code=cython.int, interface=Interface, entry=Entry)
    cpdef bint input(self, Packet packet) except -1
    @cython.locals(interface=Interface)
    cpdef Listener listener_for(self, Packet packet, Segment seg)
    @cython.locals(interface=Interface, passes=bint)
    cpdef bint for_half_open(self, SynEntry entry, Packet packet, Segment seg) except -1
    @cython.locals(interface=Interface, listener=Listener, entry=SynEntry)
    cpdef bint without_connection(self, Packet packet, Segment seg, long long floor) except -1
    cpdef bint is_flood(self, Listener listener, Packet packet, Segment seg) except -1
    @cython.locals(mode=cython.longlong)
    cpdef bint in_blackhole(self, Segment seg) except -1
    cpdef bint has_listener(self, Packet packet, Segment seg)
    @cython.locals(interface=Interface, listener=Listener, tcb=Tcb)
    cpdef complete(self, SynEntry entry, Packet packet, Segment seg)
    cpdef decide_deferred(self, SynEntry entry, object verdict)
    cpdef offer(self, Tcb tcb, Listener listener)
    @cython.locals(listener=Listener, tcb=Tcb)
    cpdef Tcb connection_of(self, SynEntry entry)
    cpdef admit(self, Tcb tcb)
    @cython.locals(there=Entry, floor=cython.longlong)
    cpdef connect(self, Tcb tcb, bint fast_open=*, bint hold=*)
    cpdef closed(self, Entry entry)
    @cython.locals(remains=TimeWait)
    cpdef begin_time_wait(self, Entry entry)
    cpdef end_time_wait(self, TimeWait entry)
    @cython.locals(pending=list, rounds=cython.int, tcb=Tcb)
    cpdef flush(self)
    cdef flush_one(self, Tcb tcb)


cdef class TcpInput(SegmentInput):
    cdef public Tcp tcp
