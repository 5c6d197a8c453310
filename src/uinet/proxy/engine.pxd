cimport cython

from uinet.proxy.connection cimport Connection
from uinet.socket cimport Socket, abort_socket, accept_one
from uinet.splicing cimport Splice, splice
from uinet.stack cimport Stack
from uinet.tcp.calls cimport acknowledge_now
from uinet.tcp.syn cimport Syn

cdef unsigned int EV_CLOSED, EV_CONNECTED, EV_ERROR
cdef object ACCEPT, DEFER


cdef class Proxy:
    cdef object __weakref__
    cdef public Stack stack
    cdef public tuple sides
    cdef public object policy, match, join, run, on_event, on_error
    cdef public long long connect_timeout
    cdef public bint bridge, draining
    cdef public dict active, passing, counts, outcomes
    cdef public object flows
    cdef public list listeners
    cdef public unsigned long long _serial
    @cython.locals(connection=Connection)
    cdef _take(self, bint from_server, Syn syn)
    cpdef Connection new_connection(self, Syn syn, bint from_server)
    cpdef join_sockets(self, Connection connection, Socket client, Socket server)
    cdef _pass(self)
    cdef _apply(self, Connection connection, object verdict)
    cdef _policy_failed(self, Connection connection, object error)
    @cython.locals(syn=Syn)
    cdef _hold(self, Connection connection)
    @cython.locals(server=Socket)
    cdef _begin(self, Connection connection)
    cpdef on_server(self, Connection connection, Socket server, unsigned int events)
    cdef _server_failed(self, Connection connection, object error)
    cpdef server_silent(self, Connection connection)
    cdef _reject(self, Connection connection, object verdict, str outcome, object error)
    cpdef client_gone(self, Connection connection)
    cdef _accept(self, Socket client)
    @cython.locals(server=Socket)
    cdef _open(self, Connection connection, Socket client)
    cpdef joint_done(self, Connection connection, object joint)
    @cython.locals(end=Socket)
    cpdef finish(self, Connection connection, str outcome, object error=*)
    cpdef tell(self, str what, Connection connection)
