cimport cython

from uinet.config cimport Config
from uinet.tcp.calls cimport at_end
from uinet.tcp.calls cimport close as close_connection
from uinet.tcp.calls cimport receive as take_received
from uinet.tcp.calls cimport receive_into as take_received_into
from uinet.tcp.calls cimport receive_piece as take_received_piece
from uinet.tcp.calls cimport send as queue_to_send
from uinet.tcp.close cimport abort as abort_connection
from uinet.tcp.close cimport forget_unread
from uinet.tcp.layout cimport is_v4
from uinet.tcp.listener cimport Listener
from uinet.tcp.notify cimport notify
from uinet.tcp.send cimport wants_output
from uinet.tcp.tcb cimport Tcb

cdef unsigned char CLOSED, ESTABLISHED
cdef unsigned int EV_CLOSED, EV_CONNECTED, EV_EOF, EV_ERROR, EV_READABLE, EV_WRITABLE


cdef class Socket:  # from wide to narrow: no gaps, as there may be a million
    cdef object __weakref__
    cdef public object stack, place, on_event, user_context
    cdef public Config config
    cdef public Tcb tcb
    cdef public unsigned short events
    cdef public unsigned char family, type
    cdef public unsigned char shared, listed, closed, ready_queued
    @cython.locals(config=Config)
    cpdef configure(self, Tcb tcb)
    cpdef bint _readable(self) except -1
    @cython.locals(tcb=Tcb, count=Py_ssize_t)
    cpdef Py_ssize_t send(self, object data, int flags=*) except -1
    @cython.locals(tcb=Tcb)
    cpdef bytes recv_piece(self, Py_ssize_t limit)
    @cython.locals(tcb=Tcb)
    cpdef Py_ssize_t recv_into(self, object buffer, Py_ssize_t limit=*, int flags=*) except -1
    cpdef _kick(self)
    cpdef _check_open(self)
    cdef Tcb _connected(self)
    cdef _part(self, Tcb tcb)
