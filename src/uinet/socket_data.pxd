cimport cython

from uinet.socket_state cimport SocketState, check_open, connection_of, kick
from uinet.tcp.buffer cimport ByteQueue
from uinet.tcp.calls cimport at_end
from uinet.tcp.calls cimport receive as take_received
from uinet.tcp.calls cimport receive_into as take_received_into
from uinet.tcp.calls cimport receive_piece as take_received_piece
from uinet.tcp.calls cimport send as queue_to_send
from uinet.tcp.send cimport wants_output
from uinet.tcp.tcb cimport Tcb
from uinet.wire.kernels cimport take

cdef unsigned char CLOSED, ESTABLISHED


@cython.locals(tcb=Tcb)
cpdef bytes read_piece(SocketState sock, Py_ssize_t limit)
@cython.locals(tcb=Tcb, count=Py_ssize_t)
cpdef Py_ssize_t send_on(SocketState sock, object data, int flags) except -1
@cython.locals(tcb=Tcb, queue=ByteQueue)
cpdef bytes read(SocketState sock, object limit, object flags)
@cython.locals(tcb=Tcb)
cpdef Py_ssize_t read_into(SocketState sock, object view) except -1
cpdef nothing_to_read(SocketState sock, Tcb tcb)
