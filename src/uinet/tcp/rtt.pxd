cimport cython

from uinet.seq cimport seq_diff
from uinet.tcp.settings cimport Settings
from uinet.tcp.tcb cimport Tcb

cdef unsigned int MASK32
cdef long long MILLISECOND, GRANULARITY

@cython.locals(error=cython.longlong, spread=cython.longlong, settings=Settings, rto=cython.longlong,
               expected=cython.longlong)
cpdef sample(Tcb tcb, long long rtt, long long acked)
@cython.locals(now=cython.uint, elapsed=cython.uint)
cpdef long long echo_age(Tcb tcb, unsigned int tsecr) except? -2
@cython.locals(age=cython.longlong)
cpdef from_timestamp(Tcb tcb, unsigned int tsecr, long long acked)
