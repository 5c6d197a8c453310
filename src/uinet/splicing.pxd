cimport cython

from uinet.socket cimport Socket, close_socket
from uinet.tcp.buffer cimport ByteQueue
from uinet.tcp.calls cimport at_end, shut_sending, was_read
from uinet.tcp.close cimport abort
from uinet.tcp.context cimport Context
from uinet.tcp.extras cimport Extras
from uinet.tcp.notify cimport notify
from uinet.tcp.send cimport output, wants_output
from uinet.tcp.tcb cimport Tcb

cdef unsigned char CLOSED, ESTABLISHED
cdef unsigned int EV_READABLE


cdef class Splice:
    cdef public Socket first, second
    cdef public object error, on_done
    cdef public unsigned long long bytes_ab, bytes_ba
    cdef public bint done
    @cython.locals(a=Tcb, b=Tcb)
    cpdef pump(self)
    @cython.locals(queue=ByteQueue, out=ByteQueue, room=Py_ssize_t, count=Py_ssize_t)
    cpdef Py_ssize_t move(self, Tcb source, Tcb target) except -1
    cpdef pass_end(self, Tcb source, Tcb target)
    @cython.locals(sock=Socket)
    cpdef finish(self)
    @cython.locals(sock=Socket)
    cpdef abort(self)


@cython.locals(tcb=Tcb, extras=Extras)
cdef bint may_be_joined(Socket sock) except -1
@cython.locals(tcb=Tcb, extras=Extras)
cdef begin_end(Splice joined, Socket sock)
@cython.locals(joined=Splice)
cpdef Splice splice(object a, object b)
