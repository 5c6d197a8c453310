cimport cython

from uinet.tcp.congestion.base cimport CongestionControl
from uinet.tcp.congestion.bbr_model cimport PathModel
from uinet.tcp.flight cimport Flight
from uinet.tcp.sent cimport Ack
from uinet.tcp.tcb cimport Tcb

cdef double NO_LIMIT, BETA, LOSS_THRESH
cdef unsigned char STARTUP, DOWN, CRUISE, REFILL, UP, NO_STATE
cdef unsigned char ACKS_INIT, ACKS_REFILLING, ACKS_PROBE_STARTING, ACKS_PROBE_FEEDBACK, ACKS_PROBE_STOPPING
cdef unsigned int MIN_PIPE_SEGMENTS, MOST_UP_ROUNDS, RENO_ROUNDS, OFFLOAD_QUANTA
cdef long long PROBE_WAIT, MILLISECOND
cdef tuple PACING_GAINS, CWND_GAINS


cdef class BbrCycle(CongestionControl):
    cdef public PathModel model
    cdef public unsigned char state, ack_phase, undo_state
    cdef public double pacing_gain, cwnd_gain, send_quantum, bw_probe_up_acked, probe_up_acked_per_inc
    cdef public long long inflight, bw_probe_wait, cycle_stamp
    cdef public unsigned int bw_probe_up_rounds
    cdef public bint is_bw_probe_sample, prev_probe_too_high, prev_probe_precautionary
    cpdef enter_state(self, unsigned char state)
    cpdef bint in_probe_bw(self) except -1
    cpdef bint is_probing(self) except -1
    @cython.locals(bdp=double)
    cpdef double bdp_multiple(self, Tcb tcb, double bw, double gain) except? -1.0
    cpdef double initial_cwnd(self, Tcb tcb) except? -1.0
    @cython.locals(least=double)
    cpdef double quantized(self, Tcb tcb, double volume) except? -1.0
    @cython.locals(bdp=double)
    cpdef double target_inflight(self, Tcb tcb) except? -1.0
    @cython.locals(model=PathModel)
    cpdef start_down(self, Tcb tcb)
    cpdef start_refill(self, Tcb tcb)
    cpdef start_up(self, Tcb tcb, Ack ack)
    cpdef start_round(self, Tcb tcb)
    @cython.locals(state=cython.uchar)
    cpdef update_cycle(self, Tcb tcb, Ack ack)
    @cython.locals(rounds=double)
    cpdef bint is_time_to_probe(self, Tcb tcb) except -1
    cpdef bint is_time_to_cruise(self, Tcb tcb) except -1
    @cython.locals(model=PathModel)
    cpdef bint is_time_to_go_down(self, Tcb tcb, Ack ack) except -1
    @cython.locals(flight=Flight)
    cpdef bint at_longterm(self, Tcb tcb) except -1
    @cython.locals(growth=cython.uint, per=double)
    cpdef raise_slope(self, Tcb tcb)
    @cython.locals(model=PathModel, steps=cython.longlong)
    cpdef probe_upward(self, Tcb tcb, Ack ack)
    @cython.locals(model=PathModel)
    cpdef bint adapt_long_term(self, Tcb tcb, Ack ack) except -1
    cpdef bint is_inflight_too_high(self, Tcb tcb, long long lost, long long in_flight) except -1
    @cython.locals(least=double)
    cpdef handle_inflight_too_high(self, Tcb tcb, double in_flight, bint app_limited)
    @cython.locals(inflight_prev=double, lost_prev=double, prefix=double)
    cpdef double inflight_at_loss(self, long long length, long long in_flight, long long lost) except? -1.0
