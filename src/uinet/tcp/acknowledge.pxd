cimport cython

from uinet.ip.neighbors cimport NextHop
from uinet.seq cimport seq_diff, seq_geq, seq_gt, seq_leq, seq_lt
from uinet.tcp.autotune cimport may_write
from uinet.tcp.buffer cimport ByteQueue
from uinet.tcp.congestion.base cimport CongestionControl
from uinet.tcp.context cimport Context
from uinet.tcp.discovery cimport progressed
from uinet.tcp.feedback cimport decode
from uinet.tcp.flight cimport Flight
from uinet.tcp.sent cimport Ack
from uinet.tcp.notify cimport notify
from uinet.tcp.rack cimport detect_losses, end_dsack_round, note_dsack, probe_acknowledged, schedule_probe
from uinet.tcp.recovery cimport on_duplicate, on_mark, on_repaired, pipe, step
from uinet.tcp.rtt cimport echo_age, from_timestamp, sample
from uinet.tcp.tcb cimport Tcb
from uinet.tcp.timers cimport restart_retransmit, stop_persist
from uinet.tcp.undo cimport note_duplicate
from uinet.tcp.window cimport cwnd_was_full, set_pacing
from uinet.wire.segment cimport Segment

cdef unsigned int EV_WRITABLE, ECE, SYN
cdef unsigned char OPEN, TIMEOUT
cdef int STATIC
cdef long long CONFIRM_BEFORE, RENEGE_PATIENCE

@cython.locals(context=Context, flight=Flight, acked=cython.longlong, ack=Ack)
cpdef acknowledge(Tcb tcb, Segment seg, bint duplicate)
@cython.locals(now=cython.longlong, before=cython.uchar)
cpdef digest(Tcb tcb, Flight flight, Segment seg, Ack ack, bint duplicate)
@cython.locals(congestion=CongestionControl, wanted=bint)
cpdef control(Tcb tcb, Flight flight, Ack ack, unsigned char before)
@cython.locals(una=cython.uint, now=cython.longlong, index=Py_ssize_t, left=cython.uint, right=cython.uint)
cpdef take_sacks(Tcb tcb, Flight flight, Segment seg, Ack ack)
cpdef bint is_dsack(Tcb tcb, Segment seg, unsigned int left, unsigned int right) except -1
cpdef take_dsack(Tcb tcb, Flight flight, unsigned int left, unsigned int right, Ack ack)
@cython.locals(context=Context, octets=cython.longlong, hop=NextHop)
cpdef advance_una(Tcb tcb, Flight flight, Segment seg, Ack ack)
@cython.locals(told=cython.longlong, most=cython.longlong)
cpdef eat_duplicates(Tcb tcb, Flight flight, Ack ack)
@cython.locals(queue=ByteQueue)
cpdef free_acknowledged(Tcb tcb, long long octets)
@cython.locals(wait=cython.longlong, at=cython.longlong)
cpdef hurry_timeout(Tcb tcb)
