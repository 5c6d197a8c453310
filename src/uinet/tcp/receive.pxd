cimport cython

from uinet.seq cimport seq_diff, seq_gt, seq_lt
from uinet.tcp.buffer cimport ByteQueue
from uinet.tcp.context cimport Context
from uinet.tcp.notify cimport notify
from uinet.tcp.reassembly cimport Reassembly
from uinet.tcp.layout cimport mss_to_offer
from uinet.tcp.extras cimport Extras
from uinet.tcp.send cimport send_ack
from uinet.tcp.telling cimport tells_of_twice
from uinet.tcp.tcb cimport Tcb

cdef Py_ssize_t ROOM_OF_ISLAND
cdef long long FIN_HASTE
cdef unsigned int MASK32, EV_EOF, EV_READABLE
cdef unsigned char CLOSE_WAIT, CLOSING, ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2, SYN_RECEIVED, TIME_WAIT

@cython.locals(skip=Py_ssize_t, room=Py_ssize_t, before=Py_ssize_t, gap=Py_ssize_t, end=cython.uint)
cpdef take_data(Tcb tcb, unsigned int seq, bytes data, Py_ssize_t offset, Py_ssize_t length)
@cython.locals(context=Context)
cpdef bint no_room(Tcb tcb) except -1
cpdef fin_reached(Tcb tcb)
@cython.locals(most=Py_ssize_t)
cpdef acknowledge_later(Tcb tcb, Py_ssize_t length)
@cython.locals(held=Py_ssize_t)
cpdef fill_hole(Tcb tcb)
@cython.locals(context=Context, taken=Py_ssize_t, before=Py_ssize_t)
cpdef keep_out_of_order(Tcb tcb, unsigned int seq, bytes data, Py_ssize_t offset, Py_ssize_t length)
@cython.locals(state=cython.uchar)
cpdef take_fin(Tcb tcb, unsigned int fin_seq)
cpdef Py_ssize_t window_left(Tcb tcb) except -1
@cython.locals(extras=Extras)
cpdef came_twice(Tcb tcb, unsigned int seq, Py_ssize_t length)
