cimport cython

from uinet.seq cimport seq_diff, seq_gt, seq_lt
from uinet.tcp.context cimport Context
from uinet.tcp.layout cimport begin, headers_length, put_timestamps, transmit
from uinet.tcp.table cimport Entry
from uinet.tcp.tcb cimport Tcb
from uinet.wire.segment cimport Segment

cdef unsigned int ALWAYS, MASK32, ACK, FIN, RST, SYN
cdef long long MILLISECOND
cdef bytes EMPTY


@cython.final
cdef class TimeWait(Entry):
    cdef public Context context
    cdef public unsigned int snd_nxt, rcv_nxt, ts_recent, ts_offset, window, space
    cdef public long long challenge_after
    cdef public bint ts_ok
    @cython.locals(offered=cython.uint)
    cdef blank(self, Tcb tcb)


@cython.locals(entry=TimeWait)
cpdef TimeWait remains_of(Tcb tcb)
@cython.locals(context=Context)
cpdef bint segment_for(TimeWait entry, Segment seg, bint wanted) except -1
@cython.locals(ahead=cython.longlong, space=cython.longlong)
cpdef bint in_space(TimeWait entry, Segment seg) except -1
cpdef bint gives_way(TimeWait entry, Segment seg) except -1
@cython.locals(context=Context, at=Py_ssize_t, size=Py_ssize_t, options=Py_ssize_t, tsval=cython.uint)
cpdef acknowledge(TimeWait entry)
