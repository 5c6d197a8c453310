cimport cython

from uinet.seq cimport seq_diff
from uinet.tcp.context cimport Context
from uinet.tcp.settings cimport Settings
from uinet.tcp.tcb cimport Tcb
from uinet.tcp.tuning cimport Tuning
from uinet.wire.segment cimport Segment

cdef unsigned int MASK32
cdef long long BELIEVABLE, LEAST_RTT, MEMORY, MILLISECOND
cdef Py_ssize_t READ_AT_FIRST, SAMPLES

@cython.locals(most=Py_ssize_t)
cpdef Py_ssize_t most_to_receive(Tcb tcb) except -1
@cython.locals(context=Context, taken=cython.longlong, tuning=Tuning, read=cython.longlong, mark=cython.uint)
cpdef user_has_read(Tcb tcb)
@cython.locals(settings=Settings, wanted=cython.longlong, growth=cython.longlong, most=cython.longlong,
               field=cython.longlong, more=cython.longlong)
cpdef grow_to_receive(Tcb tcb, long long read, long long before)
@cython.locals(tuning=Tuning, now=cython.longlong, elapsed=cython.uint, sample=cython.longlong)
cpdef take_round_trip(Tcb tcb, Segment seg)
@cython.locals(context=Context, wanted=cython.longlong, most=cython.longlong, more=cython.longlong, held=Py_ssize_t,
               room=Py_ssize_t)
cpdef bint may_write(Tcb tcb) except -1
