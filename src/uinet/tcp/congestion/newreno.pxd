cimport cython

from uinet.seq cimport seq_diff
from uinet.tcp.congestion.base cimport CongestionControl
from uinet.tcp.congestion.growth cimport slow_start
from uinet.tcp.sent cimport Ack
from uinet.tcp.tcb cimport Tcb

cdef unsigned int MAX_CWND

@cython.locals(outstanding=cython.longlong, half=cython.longlong)
cpdef unsigned int half_of_flight(Tcb tcb, long long acked) except? 0


cdef class NewReno(CongestionControl):
    cdef public long long credit
    @cython.locals(connection=Tcb, told=Ack, acked=cython.longlong)
    cpdef on_ack(self, object tcb, object ack)
