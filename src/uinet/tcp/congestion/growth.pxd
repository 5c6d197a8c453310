cimport cython

from uinet.tcp.tcb cimport Tcb

cdef unsigned int MAX_CWND

@cython.locals(window=cython.uint, most=cython.uint)
cpdef unsigned int initial_window(unsigned int mss, unsigned int segments) except? 0
@cython.locals(room=cython.longlong, grow=cython.longlong)
cpdef Py_ssize_t slow_start(Tcb tcb, long long acked) except -1
