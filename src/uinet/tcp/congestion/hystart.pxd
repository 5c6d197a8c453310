cimport cython

from uinet.seq cimport seq_geq, seq_gt
from uinet.tcp.congestion.growth cimport slow_start
from uinet.tcp.flight cimport Flight
from uinet.tcp.sent cimport Ack
from uinet.tcp.tcb cimport Tcb

cdef long long MIN_RTT_THRESH, MAX_RTT_THRESH, MIN_RTT_DIVISOR, FAR, CSS_GROWTH_DIVISOR, TRAIN_GAP, GAPS
cdef unsigned int N_RTT_SAMPLE, CSS_ROUNDS, TRAIN_ROUNDS, TRAIN_WINDOW


@cython.final
cdef class HyStart:
    cdef public unsigned int window_end, train_end, samples, css_rounds
    cdef public long long last_round_min_rtt, current_round_min_rtt, css_baseline_min_rtt, rest, train_start, last_ack
    cdef public bint css
    cdef blank(self, Tcb tcb)
    @cython.locals(left=cython.longlong, grow=cython.longlong)
    cpdef Py_ssize_t on_ack(self, Tcb tcb, Ack ack) except -1
    cdef enter_css(self, long long baseline, unsigned int rounds)
    @cython.locals(now=cython.longlong, flight=Flight, gap=cython.longlong)
    cpdef bint train_is_long(self, Tcb tcb) except -1
    @cython.locals(last=cython.longlong, threshold=cython.longlong)
    cpdef look_for_delay(self)
    cpdef end_round(self, Tcb tcb)


@cython.locals(made=HyStart)
cpdef HyStart new_hystart(Tcb tcb)
