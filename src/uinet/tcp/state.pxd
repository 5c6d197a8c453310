from uinet.tcp.tcb cimport Tcb

cpdef change(Tcb tcb, unsigned int state)
