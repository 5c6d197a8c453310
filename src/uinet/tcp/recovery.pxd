cimport cython

from uinet.seq cimport seq_diff, seq_gt, seq_lt
from uinet.tcp.sack cimport Scoreboard
from uinet.tcp.tcb cimport Tcb

cdef unsigned int MASK32, DUP_THRESH
cdef unsigned char FAST, TIMEOUT

@cython.locals(outstanding=cython.longlong, total=cython.longlong, board=Scoreboard, rxt=cython.uint,
               gone=cython.longlong, most=cython.longlong)
cpdef long long pipe(Tcb tcb) except? -1
@cython.locals(room=cython.longlong)
cpdef long long window_room(Tcb tcb) except? -1
@cython.locals(seq=cython.uint)
cpdef unsigned int next_lost(Tcb tcb) except? 0xA5A5A5A5
cpdef unsigned int hole_end(Tcb tcb, unsigned int seq) except? 0xA5A5A5A5
@cython.locals(board=Scoreboard, edge=cython.uint)
cpdef on_duplicate(Tcb tcb)
cpdef enter(Tcb tcb, unsigned int edge)
@cython.locals(first=cython.uint)
cpdef first_is_lost(Tcb tcb)
@cython.locals(board=Scoreboard, edge=cython.uint, gone=cython.uint)
cpdef on_advance(Tcb tcb, unsigned int acked)
@cython.locals(flight=cython.longlong, calm=cython.longlong)
cpdef leave(Tcb tcb)
cpdef on_timeout(Tcb tcb)
