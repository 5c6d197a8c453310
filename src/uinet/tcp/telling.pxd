cimport cython

from uinet.seq cimport seq_diff, seq_gt
from uinet.tcp.context cimport Context
from uinet.tcp.extras cimport Extras
from uinet.tcp.flight cimport Flight
from uinet.tcp.layout cimport mss_to_offer
from uinet.tcp.tcb cimport Tcb
from uinet.wire.kernels cimport store_u8, store_u16, store_u32

cdef unsigned int MASK32
cdef long long TS_TICK

@cython.locals(now=cython.longlong, flight=Flight)
cpdef unsigned int timestamp_now(Tcb tcb)
cpdef bint tells_of_twice(Tcb tcb) except -1
@cython.locals(count=Py_ssize_t, most=Py_ssize_t)
cpdef Py_ssize_t sack_length(Tcb tcb) except -1
@cython.locals(length=Py_ssize_t, count=Py_ssize_t, extras=Extras)
cpdef Py_ssize_t put_sack(Tcb tcb, bytearray scratch, Py_ssize_t at) except -1
@cython.locals(context=Context, free=Py_ssize_t, most=Py_ssize_t)
cpdef Py_ssize_t window_free(Tcb tcb) except -1
@cython.locals(step=Py_ssize_t)
cpdef Py_ssize_t window_step(Tcb tcb) except -1
@cython.locals(free=Py_ssize_t, held=Py_ssize_t, offered=Py_ssize_t, field=Py_ssize_t, edge=cython.uint)
cpdef unsigned int window_field(Tcb tcb) except? 0xA5A5A5A5
cpdef bint update_due(Tcb tcb) except -1
@cython.locals(free=Py_ssize_t, offered=Py_ssize_t, gain=Py_ssize_t)
cpdef bint window_opened(Tcb tcb) except -1
