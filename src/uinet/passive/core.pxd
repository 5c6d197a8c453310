cimport cython

from uinet.passive.clock cimport PacketClock
from uinet.passive.connection cimport Connection
from uinet.passive.gap cimport Gap
from uinet.passive.half cimport Half
from uinet.passive.recall cimport Recall
from uinet.passive.sink cimport Sink
from uinet.stats cimport Stats
from uinet.wheel cimport Wheel
from uinet.wire.segment cimport Segment

cdef int BSD, LINUX, OLD_LINUX
cdef unsigned int IGNORED, OPENED
cdef Py_ssize_t GAP_COST


cdef class Core:
    cdef public Sink sink
    cdef readonly object options
    cdef readonly long long deadline, skew, idle, embryonic
    cdef readonly bint midstream, policy_refuses_acks, strict_sums, urgent_holes, recalling
    cdef readonly int policy
    cdef readonly Py_ssize_t limit_connections, limit_held, limit_held_connection, limit_holes, limit_listed
    cdef readonly Recall recall
    cdef readonly Stats tally
    cdef readonly PacketClock clock
    cdef public Wheel wheel
    cdef public long long now, stamp, frames, frame, serial, closes, delivered, missing, good_sums, bad_sums
    cdef public Py_ssize_t count, held, listed
    cdef public unsigned int ttl
    cdef readonly list doubted
    cdef public Gap oldest, newest
    @cython.locals(now=cython.longlong)
    cpdef at(self, long long stamp)
    @cython.locals(conn=Connection, half=Half)
    cdef undoubted(self)
    cpdef arm(self, Connection conn, long long when)
    cpdef open(self, Connection conn)
    cpdef close(self, Connection conn)
    cpdef ignore(self, Connection conn)
    cpdef segment(self, Connection conn, bint from_client, Segment seg, bytes data, Py_ssize_t captured, int sum_state,
                  bint signed)
    cpdef due(self, Connection conn, long long now)
    cpdef waited(self, Connection conn)
    cpdef renew(self, Connection conn, bint keep, bint from_client, Segment seg, bytes data, Py_ssize_t captured,
                bint signed)
    cpdef Connection replace(self, Connection conn, bint keep)
    cpdef admit(self, Connection conn)
    cpdef dismiss(self, Connection conn)
    cpdef forget(self, Connection conn)
    cpdef link(self, Gap gap)
    cpdef unlink(self, Gap gap)
