cimport cython

from uinet.tcp.congestion.base cimport CongestionControl
from uinet.tcp.congestion.growth cimport slow_start
from uinet.tcp.congestion.hystart cimport HyStart, new_hystart
from uinet.tcp.sent cimport Ack
from uinet.tcp.tcb cimport Tcb

cdef unsigned int MAX_CWND
cdef double C, BETA, ALPHA, SECONDS


cdef class Cubic(CongestionControl):
    cdef public HyStart hystart, before_hystart
    cdef public bint first
    cdef public long long epoch_start, before_epoch
    cdef public double w_max, w_est, k, cwnd_prior, cwnd, before_w_max, before_k
    @cython.locals(connection=Tcb)
    cpdef start(self, object tcb)
    @cython.locals(connection=Tcb, told=Ack, acked=cython.longlong)
    cpdef on_ack(self, object tcb, object ack)
    @cython.locals(now=cython.longlong, cwnd=double, mss=double, elapsed=double, offset=double, cubic=double,
                   alpha=double, grown=double, target=double)
    cdef avoid_congestion(self, Tcb tcb, long long acked)
    cdef begin_epoch(self, Tcb tcb, long long now, double cwnd)
    @cython.locals(cwnd=double, ssthresh=cython.longlong)
    cdef reduce(self, Tcb tcb)
    cdef leave_first(self)
