cimport cython

from uinet.seq cimport seq_diff, seq_geq, seq_gt
from uinet.tcp.flight cimport Flight
from uinet.tcp.sent cimport Ack, Sent
from uinet.tcp.tcb cimport Tcb

cdef unsigned int DUP_THRESH, PERSIST, MOST_MULT
cdef long long LEAST_WINDOW, ACK_DELAY, PROBE_SLACK, PROBE_UNKNOWN

@cython.locals(window=cython.longlong)
cpdef Py_ssize_t reordering_window(Tcb tcb, Flight flight) except -1
cpdef note_dsack(Tcb tcb, Flight flight)
cpdef end_dsack_round(Tcb tcb, Flight flight)
cpdef recovered(Flight flight)
@cython.locals(now=cython.longlong, patience=cython.longlong, run=Sent, following=Sent, wait=bint)
cpdef detect_losses(Tcb tcb, Flight flight, Ack ack)
@cython.locals(now=cython.longlong, patience=cython.longlong, run=Sent, following=Sent)
cpdef mark_on_timeout(Tcb tcb, Flight flight)
@cython.locals(wait=cython.longlong, at=cython.longlong)
cpdef schedule_probe(Tcb tcb, Flight flight)
cpdef bint probe_acknowledged(Tcb tcb, Flight flight, Ack ack, bint duplicate) except -1
