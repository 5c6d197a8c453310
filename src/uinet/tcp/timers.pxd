cimport cython

from uinet.tcp.extras cimport Extras
from uinet.tcp.settings cimport Settings
from uinet.tcp.tcb cimport Tcb

cdef long long FAR
cdef unsigned char ESTABLISHED

@cython.locals(deadline=cython.longlong, extras=Extras)
cpdef rearm(Tcb tcb)
@cython.locals(settings=Settings, shift=cython.int, rto=cython.longlong)
cpdef long long timeout_now(Tcb tcb)
@cython.locals(settings=Settings)
cpdef long long patience(Tcb tcb)
@cython.locals(now=cython.longlong, at=cython.longlong, end=cython.longlong)
cpdef start_retransmit(Tcb tcb)
cpdef restart_retransmit(Tcb tcb)
cpdef restart_after_probe(Tcb tcb)
cpdef start_persist(Tcb tcb)
cpdef stop_persist(Tcb tcb)
@cython.locals(extras=Extras)
cpdef wait_for_fin(Tcb tcb)
@cython.locals(idle=cython.longlong)
cpdef start_keepalive(Tcb tcb)
