cimport cython

from uinet.seq cimport seq_diff, seq_geq, seq_gt, seq_leq
from uinet.tcp.context cimport Context
from uinet.tcp.flight cimport Flight
from uinet.tcp.sent cimport Ack, Sent
from uinet.tcp.layout cimport find_path, headers_length, is_v4, route_of
from uinet.tcp.path cimport Path
from uinet.tcp.tcb cimport Tcb

cdef unsigned char BASE, COMPLETE, DISCOVER_PROBE, NO_FRTO, PROBING_ALWAYS, PROBING_OFF, SEARCHING, TIMEOUT
cdef Py_ssize_t BASE_V4, ETHERNET, FLOOR_V4, FLOOR_V6, TIMESTAMPS_LENGTH
cdef unsigned int FOLLOWING, FRAGMENTS, GRAIN, MAX_PROBES, SILENCE, SILENCE_AT_BASE
cdef long long MILLISECOND, PAUSE, RAISE

cpdef Py_ssize_t path_mtu(Tcb tcb) except -1
cpdef bint on_its_own(Tcb tcb) except -1
cdef bint is_fragmented(Tcb tcb) except -1
cdef int probing(Tcb tcb) except -1
cpdef Py_ssize_t overhead(Tcb tcb) except -1
cpdef Py_ssize_t packet_size(Tcb tcb) except -1
cpdef Py_ssize_t largest(Tcb tcb) except -1
cpdef Py_ssize_t floor_of(Tcb tcb) except -1
cpdef Py_ssize_t base_of(Tcb tcb) except -1
@cython.locals(flight=Flight)
cpdef set_size(Tcb tcb, Py_ssize_t size, bint confirmed)
cpdef Path path_of(Tcb tcb)
@cython.locals(path=Path)
cpdef begin(Tcb tcb)
@cython.locals(path=Path, known=Py_ssize_t, size=Py_ssize_t)
cpdef route_changed(Tcb tcb)
@cython.locals(path=Path)
cpdef lower(Tcb tcb, Py_ssize_t size)
cpdef publish(Tcb tcb, Py_ssize_t size)
@cython.locals(flight=Flight, path=Path)
cpdef int too_big(Tcb tcb, Py_ssize_t mtu, unsigned int seq) except -1
@cython.locals(path=Path)
cpdef progressed(Tcb tcb)
@cython.locals(path=Path, run=Sent, context=Context)
cpdef bint probe_lost(Tcb tcb, Flight flight, Ack ack) except -1
@cython.locals(context=Context, path=Path, claimed=Py_ssize_t, size=Py_ssize_t, least=Py_ssize_t)
cpdef timed_out(Tcb tcb, Flight flight)
cpdef Py_ssize_t candidate(Path path) except -1
cpdef narrow(Tcb tcb, Path path)
cpdef search(Tcb tcb, Path path)
@cython.locals(most=Py_ssize_t)
cpdef bint due(Tcb tcb, Flight flight, Path path) except -1
@cython.locals(path=Path, flight=Flight, length=Py_ssize_t, needed=Py_ssize_t)
cpdef Py_ssize_t probe_length(
    Tcb tcb, Py_ssize_t available, long long room, Py_ssize_t window, Py_ssize_t sack) except -2
cpdef probe_sent(Tcb tcb, unsigned int start, unsigned int end)
