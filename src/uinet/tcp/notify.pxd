from uinet.tcp.tcb cimport Tcb

cpdef notify(Tcb tcb, unsigned int events)
