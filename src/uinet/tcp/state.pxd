cimport cython

from uinet.tcp.tcb cimport Tcb

cdef tuple ARROWS

@cython.locals(arrows=cython.uint, old=cython.uint)
cpdef change(Tcb tcb, unsigned int state)
