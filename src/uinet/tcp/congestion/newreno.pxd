cimport cython

from uinet.tcp.congestion.base cimport CongestionControl
from uinet.tcp.tcb cimport Tcb

cdef unsigned int MAX_CWND


cdef class NewReno(CongestionControl):
    @cython.locals(connection=Tcb, mss=cython.uint, cwnd=cython.uint, grow=cython.ulonglong, credit=cython.ulonglong)
    cpdef on_ack(self, object tcb, unsigned int acked)
