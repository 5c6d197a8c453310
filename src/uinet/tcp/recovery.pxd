cimport cython

from uinet.seq cimport seq_diff, seq_geq, seq_gt
from uinet.tcp.congestion.base cimport CongestionControl
from uinet.tcp.discovery cimport probe_lost
from uinet.tcp.flight cimport Flight
from uinet.tcp.sent cimport Ack
from uinet.tcp.rack cimport mark_on_timeout, recovered
from uinet.tcp.tcb cimport Tcb
from uinet.tcp.undo cimport arm, undo_fast, undo_late, undo_timeout

cdef unsigned int DUP_THRESH
cdef unsigned char OPEN, FAST, TIMEOUT, REDUCING, NO_FRTO, RESENT

@cython.locals(outstanding=cython.longlong, flight=Flight)
cpdef long long pipe(Tcb tcb) except? -1
@cython.locals(gone=cython.longlong, most=cython.longlong)
cpdef long long duplicates_gone(Tcb tcb) except? -1
@cython.locals(room=cython.longlong)
cpdef long long window_room(Tcb tcb) except? -1
@cython.locals(outstanding=cython.longlong)
cpdef on_duplicate(Tcb tcb, Flight flight, Ack ack)
@cython.locals(gone=cython.uint)
cpdef on_partial(Tcb tcb, Flight flight, Ack ack)
@cython.locals(state=cython.uchar)
cpdef step(Tcb tcb, Flight flight, Ack ack)
@cython.locals(notes=list, congestion=CongestionControl)
cpdef tell_losses(Tcb tcb, Flight flight)
cpdef in_recovery(Tcb tcb, Flight flight, Ack ack)
@cython.locals(before=cython.uchar)
cpdef enter(Tcb tcb, Flight flight, Ack ack)
@cython.locals(outstanding=cython.longlong, congestion=CongestionControl)
cpdef begin_reduction(Tcb tcb, Flight flight, Ack ack, bint marked)
cpdef on_mark(Tcb tcb, Flight flight, Ack ack)
cpdef on_repaired(Tcb tcb, Flight flight, Ack ack)
@cython.locals(in_flight=cython.longlong, allowed=cython.longlong, share=cython.longlong, forced=bint)
cpdef reduce_window(Tcb tcb, Flight flight, Ack ack)
@cython.locals(outstanding=cython.longlong, calm=cython.longlong)
cpdef leave(Tcb tcb, Flight flight)
cpdef end(Tcb tcb, Flight flight)
@cython.locals(flight=Flight, again=bint)
cpdef on_timeout(Tcb tcb)
cpdef after_timeout(Tcb tcb, Flight flight, Ack ack)
@cython.locals(flight=Flight)
cpdef send_all_again(Tcb tcb)
