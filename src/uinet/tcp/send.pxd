cimport cython

from uinet.ip.interface cimport Interface
from uinet.seq cimport seq_diff, seq_geq, seq_gt, seq_leq
from uinet.tcp.buffer cimport ByteQueue
from uinet.tcp.context cimport Context
from uinet.tcp.discovery cimport probe_length, probe_sent, route_changed
from uinet.tcp.accecn cimport AccEcn
from uinet.tcp.feedback cimport feedback_flags, put_option
from uinet.tcp.extras cimport Extras
from uinet.tcp.flight cimport Flight
from uinet.tcp.layout cimport (
    begin, headers_length, mss_within, put_syn_options, put_timestamps, transmit, transmit_large,
)
from uinet.tcp.sent cimport Sent
from uinet.tcp.rack cimport schedule_probe
from uinet.tcp.recovery cimport pipe, window_room
from uinet.tcp.settings cimport Settings
from uinet.tcp.tcb cimport Tcb
from uinet.tcp.telling cimport put_sack, sack_length, tells_of_twice, timestamp_now, update_due, window_field
from uinet.tcp.timers cimport rearm, restart_after_probe, start_persist, start_retransmit, stop_persist
from uinet.tcp.undo cimport note_again
from uinet.tcp.urgent cimport urgent_pointer
from uinet.tcp.window cimport after_idle, begin_flight, validate
from uinet.wire.kernels cimport store_u8, store_u16, store_u32

cdef unsigned int MASK32, ACK, AE, CWR, ECE, FIN, PSH, RST, SYN, URG
cdef unsigned char ESTABLISHED, LAST_ACK, SYN_RECEIVED, SYN_SENT, PROBING, ECT_0
cdef Py_ssize_t LARGEST_PACKET, MOST_OPTIONS, BURSTS_A_SECOND
cdef long long PACING_SLACK, ECN_ASK, ECN_ACCURATE
cdef Py_ssize_t TIMESTAMPS_LENGTH
cdef unsigned int ECN_TRIES
cdef bytes EMPTY

@cython.locals(context=Context, at=Py_ssize_t, window=cython.uint, scratch=bytearray, options=Py_ssize_t,
               size=Py_ssize_t, accurate=AccEcn, sacks=bint, pieces=list)
cpdef emit(Tcb tcb, unsigned int seq, unsigned int flags, Py_ssize_t position, Py_ssize_t length,
           Py_ssize_t segment=*)
@cython.locals(flags=cython.uint)
cpdef unsigned int ecn_flags(Tcb tcb, unsigned int seq, Py_ssize_t length) except? 0xA5A5A5A5
@cython.locals(extras=Extras, seq=cython.uint)
cpdef send_ack(Tcb tcb)
@cython.locals(context=Context)
cpdef challenge_ack(Tcb tcb)
@cython.locals(context=Context, at=Py_ssize_t, size=Py_ssize_t)
cpdef send_rst(Tcb tcb)
@cython.locals(context=Context, settings=Settings, scratch=bytearray, at=Py_ssize_t, options=Py_ssize_t,
               offer_ts=bint, offer_sack=bint, wscale=cython.int, flags=cython.uint, ack=cython.uint, mss=Py_ssize_t,
               size=Py_ssize_t, window=cython.uint)
cpdef send_syn(Tcb tcb)
cpdef Py_ssize_t syn_user_timeout(Tcb tcb, Py_ssize_t at) except -1
cpdef send_fast_syn(Tcb tcb, Py_ssize_t at, unsigned int ack, unsigned int flags, Py_ssize_t size)
cpdef begin_opening(Tcb tcb)
cpdef output_early(Tcb tcb)
@cython.locals(context=Context)
cpdef wants_output(Tcb tcb)
@cython.locals(state=cython.uchar, sent=bint, flight=Flight)
cpdef output(Tcb tcb)
@cython.locals(held=Py_ssize_t, offset=Py_ssize_t, available=Py_ssize_t, room=cython.longlong, full=Py_ssize_t,
               sent=bint, length=Py_ssize_t, last=bint, flags=cython.uint, flight=Flight, limited=bint,
               in_flight=cython.longlong, most=Py_ssize_t)
cpdef bint send_new(Tcb tcb) except -1
@cython.locals(interface=Interface, most=Py_ssize_t, burst=Py_ssize_t)
cpdef Py_ssize_t most_at_once(Tcb tcb, Py_ssize_t full) except -1
@cython.locals(length=Py_ssize_t, rest=Py_ssize_t)
cpdef Py_ssize_t several(Tcb tcb, Py_ssize_t full, Py_ssize_t most, Py_ssize_t available, Py_ssize_t usable,
                         long long room, Py_ssize_t offset) except -1
@cython.locals(sack=Py_ssize_t, length=Py_ssize_t, seq=cython.uint)
cpdef Py_ssize_t send_larger(Tcb tcb, Flight flight, Py_ssize_t offset, Py_ssize_t available, long long room) except -2
cpdef bint must_wait(Tcb tcb, Flight flight) except -1
@cython.locals(earliest=cython.longlong)
cpdef pace(Tcb tcb, Flight flight, long long length)
cpdef Py_ssize_t window_allows(Tcb tcb, Py_ssize_t wanted, Py_ssize_t usable, Py_ssize_t full) except -1
cpdef bint may_send_small(Tcb tcb, Py_ssize_t offset) except -1
@cython.locals(seq=cython.uint, end=cython.uint, now=cython.longlong)
cpdef send_segment(Tcb tcb, Flight flight, unsigned int flags, Py_ssize_t offset, Py_ssize_t length,
                   Py_ssize_t segment=*)
@cython.locals(sent=bint, run=Sent, seq=cython.uint, full=Py_ssize_t, length=Py_ssize_t)
cpdef bint retransmit(Tcb tcb, Flight flight) except -1
@cython.locals(context=Context, held=Py_ssize_t, position=Py_ssize_t, length=Py_ssize_t, full=Py_ssize_t,
               covered=Py_ssize_t, flags=cython.uint, in_flight=cython.longlong)
cpdef resend(Tcb tcb, Flight flight, unsigned int seq, unsigned int end)
@cython.locals(held=Py_ssize_t, outstanding=Py_ssize_t, length=Py_ssize_t, full=Py_ssize_t, seq=cython.uint, last=bint,
               flags=cython.uint)
cpdef send_tail_probe(Tcb tcb, Flight flight)
@cython.locals(held=Py_ssize_t, flight=Flight)
cpdef send_probe(Tcb tcb)
@cython.locals(length=Py_ssize_t, flight=Flight)
cpdef send_override(Tcb tcb, Py_ssize_t held)
cpdef send_keepalive(Tcb tcb)
