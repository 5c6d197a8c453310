cimport cython

from uinet.tcp.context cimport Context
from uinet.tcp.extras cimport Extras
from uinet.tcp.notify cimport notify
from uinet.tcp.send cimport send_rst
from uinet.tcp.state cimport change
from uinet.tcp.tcb cimport Tcb

cdef unsigned int EV_CLOSED, EV_ERROR, EV_READABLE, EV_WRITABLE
cdef unsigned int COPIED
cdef unsigned char CLOSED, SYN_RECEIVED

@cython.locals(context=Context, extras=Extras)
cpdef release(Tcb tcb)
cpdef forget_out_of_order(Tcb tcb)
cpdef forget_unread(Tcb tcb)
cpdef finish(Tcb tcb, object error)
cpdef abort(Tcb tcb, object error=*, bint lost=*)
