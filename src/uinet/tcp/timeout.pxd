cimport cython

from uinet.tcp.context cimport Context
from uinet.tcp.flight cimport Flight
from uinet.tcp.sent cimport Ack
from uinet.tcp.notify cimport note_soft_error
from uinet.tcp.rack cimport detect_losses
from uinet.tcp.recovery cimport on_timeout, pipe, step
from uinet.tcp.discovery cimport timed_out
from uinet.tcp.send cimport output, send_ack, send_keepalive, send_probe, send_syn, send_tail_probe
from uinet.tcp.settings cimport Settings
from uinet.tcp.tcb cimport Tcb
from uinet.tcp.timers cimport patience, rearm, start_keepalive, start_retransmit

cdef unsigned char CLOSED, ESTABLISHED, FIN_WAIT_2, SYN_SENT

cpdef expire(Tcb tcb, long long now)
cpdef close_due(Tcb tcb)
cpdef excessive(Tcb tcb)
@cython.locals(context=Context)
cpdef retransmission_due(Tcb tcb, long long now)
@cython.locals(flight=Flight, ack=Ack)
cpdef loss_due(Tcb tcb)
@cython.locals(settings=Settings, idle=cython.longlong, interval=cython.longlong, count=cython.uint,
               silent=cython.longlong, probes=cython.uint)
cpdef keepalive_due(Tcb tcb, long long now)
