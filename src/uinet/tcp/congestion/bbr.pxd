cimport cython

from uinet.tcp.congestion.bbr_cycle cimport BbrCycle
from uinet.tcp.congestion.bbr_model cimport PathModel
from uinet.tcp.flight cimport Flight
from uinet.tcp.sent cimport Ack
from uinet.tcp.recovery cimport pipe
from uinet.tcp.tcb cimport Tcb

cdef double NO_LIMIT, PACED, MOST_RATE, PROBE_RTT_CWND_GAIN, QUANTUM_MOST
cdef unsigned char STARTUP, DRAIN, CRUISE, UP, PROBE_RTT, NO_STATE, FAST, TIMEOUT
cdef unsigned char ACKS_PROBE_FEEDBACK, ACKS_PROBE_STOPPING
cdef unsigned int MIN_PIPE_SEGMENTS, QUANTUM_TIME, STARTUP_FULL_LOSSES, MAX_CWND, MASK32
cdef long long DRAIN_ROUNDS, PROBE_RTT_DURATION, MILLISECOND, SECOND


cdef class Bbr(BbrCycle):
    cdef public long long drain_start_round, probe_rtt_done_stamp
    cdef public bint probe_rtt_round_done, idle_restart, seen_rtt
    cdef public unsigned int prior_cwnd, loss_ranges, last_lost_end
    cdef public double undo_bw_shortterm, undo_inflight_shortterm, undo_inflight_longterm
    @cython.locals(connection=Tcb)
    cpdef start(self, object tcb)
    @cython.locals(connection=Tcb, told=Ack, flight=Flight)
    cpdef on_ack(self, object tcb, object ack)
    @cython.locals(model=PathModel, now=cython.longlong, delivered=cython.ulonglong)
    cpdef update_model_and_state(self, Tcb tcb, Flight flight, Ack ack)
    cpdef check_startup_done(self, Tcb tcb, Ack ack)
    @cython.locals(ranges=cython.uint)
    cpdef check_startup_high_loss(self, Tcb tcb, Ack ack)
    @cython.locals(model=PathModel, bdp=double)
    cpdef startup_too_high(self, Tcb tcb)
    @cython.locals(target=double)
    cpdef check_drain_done(self, Tcb tcb)
    cpdef check_probe_rtt(self, Tcb tcb, Flight flight, Ack ack)
    @cython.locals(limited=cython.ulonglong)
    cpdef handle_probe_rtt(self, Tcb tcb, Flight flight)
    @cython.locals(now=cython.longlong)
    cpdef check_probe_rtt_done(self, Tcb tcb)
    @cython.locals(cwnd=double, least=double)
    cpdef double probe_rtt_cwnd(self, Tcb tcb) except? -1.0
    @cython.locals(connection=Tcb, flight=Flight)
    cpdef on_send(self, object tcb, long long in_flight)
    @cython.locals(connection=Tcb)
    cpdef on_lost(self, object tcb, unsigned int start, long long length, long long in_flight, long long lost,
                  bint app_limited)
    @cython.locals(model=PathModel)
    cpdef note_loss(self, Tcb tcb)
    @cython.locals(connection=Tcb, told=Ack)
    cpdef on_mark(self, object tcb, object ack)
    @cython.locals(connection=Tcb)
    cpdef on_loss(self, object tcb, object ack)
    @cython.locals(connection=Tcb)
    cpdef on_timeout(self, object tcb, bint first)
    @cython.locals(model=PathModel)
    cpdef save_state(self, Tcb tcb)
    @cython.locals(connection=Tcb)
    cpdef on_recovered(self, object tcb)
    @cython.locals(connection=Tcb, model=PathModel, undo=cython.uchar)
    cpdef on_undo(self, object tcb)
    @cython.locals(recovering=bint)
    cpdef save_cwnd(self, Tcb tcb)
    cpdef restore_cwnd(self, Tcb tcb)
    @cython.locals(rate=double, rtt=cython.longlong)
    cpdef init_pacing_rate(self, Tcb tcb)
    @cython.locals(rate=double)
    cpdef set_pacing_rate(self, Tcb tcb, double gain)
    @cython.locals(quantum=double, least=double)
    cpdef set_send_quantum(self, Tcb tcb)
    @cython.locals(model=PathModel, most=double, cwnd=double, least=double)
    cpdef set_cwnd(self, Tcb tcb, Flight flight, Ack ack)
    @cython.locals(most=double, bound=double)
    cpdef double cap(self, Tcb tcb) except? -1.0
