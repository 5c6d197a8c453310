cimport cython

from uinet.seq cimport seq_diff, seq_geq
from uinet.tcp.congestion.base cimport CongestionControl
from uinet.tcp.congestion.choice cimport make
from uinet.tcp.congestion.growth cimport initial_window
from uinet.tcp.context cimport Context
from uinet.tcp.flight cimport Flight, new_flight
from uinet.tcp.tcb cimport Tcb

cdef long long PACING_SLOW_START, PACING_AVOIDANCE

@cython.locals(context=Context, flight=Flight)
cpdef Flight begin_flight(Tcb tcb)
@cython.locals(congestion=CongestionControl, flight=Flight)
cpdef use(Tcb tcb, object algorithm)
@cython.locals(most=cython.longlong)
cpdef set_pacing(Tcb tcb, Flight flight)
@cython.locals(outstanding=cython.longlong, window=cython.longlong, percent=cython.longlong, rate=cython.longlong)
cpdef long long window_rate(Tcb tcb) except -1
@cython.locals(window=cython.uint)
cpdef unsigned int restart_window(Tcb tcb) except? 0
cpdef bint cwnd_was_full(Tcb tcb, Flight flight) except -1
@cython.locals(outstanding=cython.longlong, now=cython.longlong)
cpdef validate(Tcb tcb, Flight flight, bint limited)
@cython.locals(used=cython.longlong)
cpdef shrink_unused(Tcb tcb, Flight flight)
@cython.locals(most=cython.uint)
cpdef keep_threshold(Tcb tcb)
@cython.locals(now=cython.longlong, idle=cython.longlong, least=cython.uint, left=cython.longlong)
cpdef after_idle(Tcb tcb, Flight flight)
