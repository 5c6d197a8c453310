cimport cython

from uinet.tcp.tcb cimport Tcb

@cython.locals(states=list)
cpdef change(Tcb tcb, unsigned int state)
