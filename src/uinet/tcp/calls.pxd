cimport cython

from uinet.seq cimport seq_diff, seq_lt
from uinet.tcp.autotune cimport most_to_receive, user_has_read
from uinet.tcp.buffer cimport ByteQueue
from uinet.tcp.close cimport abort, finish, forget_unread
from uinet.tcp.context cimport Context
from uinet.tcp.negotiate cimport scale_for
from uinet.tcp.send cimport begin_opening, wants_output
from uinet.tcp.telling cimport update_due, window_opened
from uinet.tcp.settings cimport Settings
from uinet.tcp.state cimport change
from uinet.tcp.tcb cimport Tcb
from uinet.tcp.timers cimport rearm, wait_for_fin
from uinet.tcp.urgent cimport urgent_left

cdef long long HASTE
cdef unsigned char CLOSE_WAIT, CLOSED, ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2, LAST_ACK, SYN_SENT

cpdef open_active(Context context, Tcb tcb, long long floor)
cpdef check_writable(Tcb tcb)
@cython.locals(queue=ByteQueue, room=Py_ssize_t)
cpdef Py_ssize_t send(Tcb tcb, object data, Py_ssize_t offset, Py_ssize_t length) except -1
@cython.locals(data=bytes)
cpdef bytes receive(Tcb tcb, Py_ssize_t limit)
@cython.locals(data=bytes)
cpdef bytes receive_piece(Tcb tcb, Py_ssize_t limit)
cpdef Py_ssize_t receive_into(Tcb tcb, object target) except -1
@cython.locals(queue=ByteQueue)
cpdef was_read(Tcb tcb, Py_ssize_t count)
@cython.locals(soon=cython.longlong)
cdef hasten_ack(Tcb tcb)
cpdef acknowledge_now(Tcb tcb)
cpdef shut_sending(Tcb tcb)
@cython.locals(unread=bint, settings=Settings)
cpdef close(Tcb tcb, long long linger)
cpdef bint at_end(Tcb tcb)
