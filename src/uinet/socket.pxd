cimport cython

from uinet.interning cimport Interned
from uinet.ip.interface cimport Interface
from uinet.socket_data cimport read, read_into, read_piece, send_on
from uinet.socket_state cimport SocketState, check_open, connection_of, kick
from uinet.tcp.calls cimport close as close_connection
from uinet.tcp.close cimport abort as abort_connection
from uinet.tcp.close cimport forget_unread
from uinet.tcp.config cimport Config, configure
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

cdef unsigned char CLOSED
cdef unsigned int EV_CLOSED, EV_CONNECTED, EV_EOF, EV_ERROR, EV_READABLE, EV_WRITABLE


cdef class Socket(SocketState):
    pass


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
cdef part(SocketState sock, Tcb tcb)
