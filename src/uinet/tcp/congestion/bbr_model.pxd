cimport cython

from uinet.tcp.sent cimport Ack

cdef double NO_LIMIT, NANO, BETA, HEADROOM, FULL_BW_GROWTH, LOSS_THRESH, PACED
cdef long long FOREVER, MIN_RTT_FILTER, PROBE_RTT_INTERVAL
cdef unsigned int FULL_BW_ROUNDS, EXTRA_ACKED_ROUNDS, MIN_PIPE_SEGMENTS


@cython.final
cdef class WindowedMax:
    cdef public double value, value2, value3
    cdef public long long at, at2, at3
    cpdef restart(self, double value, long long at)
    cpdef double update(self, double value, long long at, long long window) except? -1.0
    @cython.locals(elapsed=cython.longlong)
    cpdef age(self, double value, long long at, long long window)
    cpdef shift(self, double value, long long at)


@cython.final
cdef class PathModel:
    cdef public unsigned long long next_round_delivered, loss_round_delivered
    cdef public long long round_count, rounds_since_probe_up
    cdef public bint round_start, loss_round_start, is_loss_in_round, probe_rtt_expired, full_bw_now, full_bw_reached
    cdef public double max_bw, cycle_bw, last_cycle_bw, bw_shortterm, bw, bw_latest, full_bw
    cdef public double inflight_shortterm, inflight_longterm, inflight_latest, extra_acked, extra_acked_delivered
    cdef public long long min_rtt, min_rtt_stamp, probe_rtt_min_delay, probe_rtt_min_stamp, extra_acked_start
    cdef public WindowedMax extra_acked_filter
    cdef public unsigned int full_bw_count
    cpdef start_round(self, unsigned long long delivered)
    cpdef update_round(self, Ack ack, unsigned long long delivered)
    @cython.locals(rate=double)
    cpdef update_max_bw(self, Ack ack)
    cpdef advance_max_bw_filter(self)
    cpdef bound_bw(self)
    cpdef double bdp(self, double bw) except? -1.0
    @cython.locals(rate=double, volume=double)
    cpdef update_latest_delivery_signals(self, Ack ack, unsigned long long delivered)
    cpdef advance_latest_delivery_signals(self, Ack ack)
    cpdef reset_congestion_signals(self)
    cpdef reset_short_term(self)
    @cython.locals(least=double, latest=double, lost=double, sent=double, share=double, got=double)
    cpdef lower_bounds(self, long long cwnd, Ack ack)
    cpdef update_min_rtt(self, long long rtt, long long now)
    @cython.locals(expected=double, extra=double, window=cython.longlong)
    cpdef update_ack_aggregation(self, long long newly_acked, long long cwnd, long long now)
    cpdef reset_full_bw(self)
    @cython.locals(rate=double)
    cpdef check_full_bw_reached(self, Ack ack)
    @cython.locals(room=double, least=double, left=double)
    cpdef double inflight_with_headroom(self, long long mss) except? -1.0
