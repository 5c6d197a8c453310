cimport cython

from uinet.tcp.calls cimport at_end
from uinet.tcp.config cimport Config, first_window, largest_buffer
from uinet.tcp.context cimport Context
from uinet.tcp.listener cimport Listener
from uinet.tcp.notify cimport notify
from uinet.tcp.tcb cimport Tcb

cdef unsigned char CLOSED, ESTABLISHED
cdef unsigned int EV_READABLE, EV_WRITABLE


cdef class Place:
    cdef public object bound, l2
    cdef public Listener listener
    cdef public object endpoint


cdef class SocketState:  # from wide to narrow: no gaps, as there may be a million
    cdef object __weakref__
    cdef public object stack, on_event, user_context
    cdef public Place place
    cdef public Config config
    cdef public Tcb tcb
    cdef public unsigned short events
    cdef public unsigned char family, type
    cdef public unsigned char shared, listed, closed, ready_queued


@cython.locals(tcp=Context)
cpdef kick(SocketState sock)
@cython.locals(tcp=Context)
cpdef check_open(SocketState sock)
cpdef Tcb connection_of(SocketState sock)
@cython.locals(place=Place, tcb=Tcb, held=Py_ssize_t, low=Py_ssize_t)
cpdef bint is_readable(SocketState sock) except -1
