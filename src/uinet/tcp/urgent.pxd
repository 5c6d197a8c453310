cimport cython

from uinet.seq cimport seq_diff, seq_geq, seq_gt, seq_leq
from uinet.tcp.notify cimport notify
from uinet.tcp.tcb cimport Tcb
from uinet.wire.segment cimport Segment

cdef unsigned int MASK32, EV_URGENT
cdef unsigned char ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2

@cython.locals(state=cython.uchar, pointer=cython.uint)
cpdef sixth_check_urg(Tcb tcb, Segment seg)
@cython.locals(unread=Py_ssize_t)
cpdef unsigned int next_to_read(Tcb tcb) except? 0xA5A5A5A5
@cython.locals(left=Py_ssize_t, unread=Py_ssize_t)
cpdef Py_ssize_t urgent_left(Tcb tcb) except -1
@cython.locals(held=Py_ssize_t)
cpdef mark_urgent(Tcb tcb)
@cython.locals(ahead=Py_ssize_t)
cpdef unsigned int urgent_pointer(Tcb tcb, unsigned int seq) except? 0xA5A5A5A5
