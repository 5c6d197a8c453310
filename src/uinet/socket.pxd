cimport cython

from uinet.interning cimport Interned
from uinet.ip.interface cimport Interface
from uinet.tcp.calls cimport at_end
from uinet.tcp.calls cimport close as close_connection
from uinet.tcp.calls cimport receive as take_received
from uinet.tcp.calls cimport receive_into as take_received_into
from uinet.tcp.calls cimport receive_piece as take_received_piece
from uinet.tcp.calls cimport send as queue_to_send
from uinet.tcp.close cimport abort as abort_connection
from uinet.tcp.close cimport forget_unread
from uinet.tcp.config cimport Config, configure, first_window, largest_buffer
from uinet.tcp.context cimport Context
from uinet.tcp.extras cimport Extras
from uinet.tcp.layout cimport is_v4
from uinet.tcp.listener cimport Listener
from uinet.tcp.notify cimport notify
from uinet.tcp.protocol cimport Tcp
from uinet.tcp.send cimport wants_output
from uinet.tcp.syn cimport Syn
from uinet.tcp.tcb cimport Tcb, new_tcb
from uinet.wire.kernels cimport take, untrack

cdef unsigned char CLOSED, ESTABLISHED
cdef unsigned int EV_CLOSED, EV_CONNECTED, EV_EOF, EV_ERROR, EV_READABLE, EV_WRITABLE


cdef class Place:
    cdef public object bound, l2
    cdef public Listener listener
    cdef public object endpoint


cdef class Socket:  # from wide to narrow: no gaps, as there may be a million
    cdef object __weakref__
    cdef public object stack, on_event, user_context
    cdef public Place place
    cdef public Config config
    cdef public Tcb tcb
    cdef public unsigned short events
    cdef public unsigned char family, type
    cdef public unsigned char shared, listed, closed, ready_queued


@cython.locals(sock=Socket)
cpdef Socket new_socket(object stack, int family, int kind, Config config)
@cython.locals(sock=Socket)
cpdef Socket adopt_connection(object stack, Tcb tcb, Config config)
@cython.locals(listener=Listener, sock=Socket, tcb=Tcb, extras=Extras, events=cython.uint)
cpdef Socket accept_one(Socket listening)
@cython.locals(tcp=Tcp, tcb=Tcb, interned=Interned)
cpdef open_onward(Socket sock, Syn syn, Interface interface)
@cython.locals(tcp=Context, tcb=Tcb)
cpdef close_socket(Socket sock)
@cython.locals(tcp=Context, tcb=Tcb)
cpdef abort_socket(Socket sock)
@cython.locals(tcp=Context)
cpdef kick(Socket sock)
@cython.locals(tcp=Context)
cpdef check_open(Socket sock)
cdef Tcb connection_of(Socket sock)
cdef part(Socket sock, Tcb tcb)
@cython.locals(place=Place, tcb=Tcb, held=Py_ssize_t, low=Py_ssize_t)
cpdef bint is_readable(Socket sock) except -1
@cython.locals(tcb=Tcb)
cpdef bytes read_piece(Socket sock, Py_ssize_t limit)
@cython.locals(tcb=Tcb, count=Py_ssize_t)
cpdef Py_ssize_t send_on(Socket sock, object data, int flags) except -1
