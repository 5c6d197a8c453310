cimport cython

from uinet.seq cimport seq_diff, seq_geq, seq_gt, seq_leq
from uinet.tcp.buffer cimport ByteQueue
from uinet.tcp.context cimport Context
from uinet.tcp.layout cimport begin, headers_length, mss_to_offer, put_syn_options, put_timestamps, transmit
from uinet.tcp.recovery cimport hole_end, next_lost, window_room
from uinet.tcp.settings cimport Settings
from uinet.tcp.tcb cimport Tcb
from uinet.tcp.timers cimport rearm, start_persist, start_retransmit, stop_persist
from uinet.wire.kernels cimport store_u8, store_u16, store_u32

cdef unsigned int MASK32, ACK, FIN, PSH, RST, SYN
cdef unsigned char ESTABLISHED, LAST_ACK, SYN_RECEIVED
cdef long long TS_TICK
cdef bytes EMPTY

cpdef unsigned int timestamp_now(Tcb tcb)
@cython.locals(count=Py_ssize_t, most=Py_ssize_t)
cpdef Py_ssize_t sack_length(Tcb tcb) except -1
@cython.locals(length=Py_ssize_t, count=Py_ssize_t)
cpdef Py_ssize_t put_sack(Tcb tcb, bytearray scratch, Py_ssize_t at) except -1
@cython.locals(context=Context, free=Py_ssize_t, most=Py_ssize_t)
cpdef Py_ssize_t window_free(Tcb tcb) except -1
@cython.locals(step=Py_ssize_t)
cpdef Py_ssize_t window_step(Tcb tcb) except -1
@cython.locals(free=Py_ssize_t, held=Py_ssize_t, offered=Py_ssize_t, field=Py_ssize_t, edge=cython.uint)
cpdef unsigned int window_field(Tcb tcb) except? 0xA5A5A5A5
@cython.locals(context=Context, at=Py_ssize_t, window=cython.uint, scratch=bytearray, options=Py_ssize_t,
               size=Py_ssize_t)
cpdef emit(Tcb tcb, unsigned int seq, unsigned int flags, Py_ssize_t position, Py_ssize_t length)
cpdef send_ack(Tcb tcb)
@cython.locals(context=Context)
cpdef challenge_ack(Tcb tcb)
@cython.locals(context=Context, at=Py_ssize_t, size=Py_ssize_t)
cpdef send_rst(Tcb tcb)
@cython.locals(context=Context, settings=Settings, scratch=bytearray)
cpdef send_syn(Tcb tcb)
@cython.locals(context=Context)
cpdef wants_output(Tcb tcb)
@cython.locals(state=cython.uchar, sent=bint)
cpdef output(Tcb tcb)
@cython.locals(free=Py_ssize_t, offered=Py_ssize_t, gain=Py_ssize_t)
cpdef bint window_opened(Tcb tcb) except -1
@cython.locals(held=Py_ssize_t, offset=Py_ssize_t, available=Py_ssize_t, room=cython.longlong, full=Py_ssize_t,
               sent=bint, length=Py_ssize_t, last=bint, flags=cython.uint)
cpdef bint send_new(Tcb tcb) except -1
cpdef Py_ssize_t window_allows(Tcb tcb, Py_ssize_t wanted, Py_ssize_t usable, Py_ssize_t full) except -1
cpdef bint may_send_small(Tcb tcb, Py_ssize_t offset) except -1
@cython.locals(seq=cython.uint, end=cython.uint)
cpdef send_segment(Tcb tcb, unsigned int flags, Py_ssize_t offset, Py_ssize_t length)
@cython.locals(sent=bint, seq=cython.uint, first=bint, end=cython.uint)
cpdef bint retransmit(Tcb tcb) except -1
@cython.locals(context=Context, held=Py_ssize_t, position=Py_ssize_t, length=Py_ssize_t, full=Py_ssize_t,
               flags=cython.uint)
cpdef resend(Tcb tcb, unsigned int seq, unsigned int end)
@cython.locals(held=Py_ssize_t)
cpdef send_probe(Tcb tcb)
@cython.locals(length=Py_ssize_t)
cpdef send_override(Tcb tcb, Py_ssize_t held)
cpdef send_keepalive(Tcb tcb)
