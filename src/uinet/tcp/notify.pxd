from uinet.tcp.tcb cimport Tcb

cdef unsigned int EV_SOFT_ERROR

cpdef notify(Tcb tcb, unsigned int events)
cpdef note_soft_error(Tcb tcb, object error)
