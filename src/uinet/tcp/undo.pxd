cimport cython

from uinet.seq cimport seq_diff, seq_gt, seq_leq, seq_lt
from uinet.tcp.flight cimport Flight
from uinet.tcp.sent cimport Ack
from uinet.tcp.tcb cimport Tcb

cdef long long MILLISECOND
cdef unsigned char OPEN, NO_FRTO, RESENT, PROBING
cdef long long MILLISECOND

cpdef arm(Tcb tcb, Flight flight)
cpdef note_again(Tcb tcb, Flight flight, unsigned int seq, long long length)
cpdef note_duplicate(Flight flight, long long length)
cpdef bint echoed_before(Tcb tcb, Flight flight, Ack ack) except -1
cpdef bint all_came_twice(Flight flight) except -1
@cython.locals(late=bint)
cpdef bint undo_fast(Tcb tcb, Flight flight, Ack ack) except -1
cpdef undo_late(Tcb tcb, Flight flight, Ack ack)
cpdef bint undo_timeout(Tcb tcb, Flight flight, Ack ack) except -1
@cython.locals(step=cython.uchar)
cpdef bint by_frto(Tcb tcb, Flight flight, Ack ack) except -1
@cython.locals(outstanding=cython.longlong, held=Py_ssize_t)
cpdef bint has_new(Tcb tcb) except -1
cpdef restore(Tcb tcb, Flight flight)
