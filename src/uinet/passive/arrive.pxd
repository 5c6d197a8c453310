cimport cython

from uinet.passive.connection cimport Connection, Extra
from uinet.passive.core cimport Core
from uinet.passive.ending cimport both_ended, reset
from uinet.passive.gap cimport Gap, Piece
from uinet.passive.half cimport Half, Tale
from uinet.passive.opening cimport begins_anew, chosen, learn, settle_down, straggler, syn_arrives
from uinet.passive.stream cimport acknowledged, finish, gap_of, reaches, resolve, settle_overlaps, skip, take_in
from uinet.seq cimport seq_diff
from uinet.wire.segment cimport Segment

cdef unsigned int CLOSED, IGNORED, OPEN, RST_IGNORED, SIGNED, UNFINISHED, DOUBT, VOID
cdef unsigned int BASE, FINISHED, GUESSED, SETTLING, SYN_SEEN, TIMESTAMPS
cdef unsigned int MASK32, ACK, FIN, RST, SYN, URG
cdef int SUM_BAD, SUM_GOOD, SUM_UNFINISHED, URGENT, BELIEVED, DOUBTED, REFUSED
cdef long long REACH, ACK_SLACK, NO_FIN
cdef unsigned int SETTLE_PACKETS, TTL_SPREAD
cdef Py_ssize_t LARGE

@cython.locals(half=Half, other=Half, doubt=cython.uint, verdict=cython.int)
cpdef arrives(Core core, Connection conn, bint from_client, Segment seg, bytes data, Py_ssize_t captured,
              int sum_state, bint signed)
@cython.locals(tale=Tale)
cdef other_ttl(Core core, Half half)
@cython.locals(trusted=bint)
cdef int judge(Core core, Connection conn, Half half, Segment seg, int sum_state) except -1
@cython.locals(flags=cython.uint, extra=Extra)
cdef bint special(Core core, Connection conn, Half half, Half other, bint from_client, Segment seg, bytes data,
                  Py_ssize_t captured, unsigned int doubt, bint signed) except -1
@cython.locals(extra=Extra, half=Half)
cdef open_questions(Core core, Connection conn, Half other, bint from_client, Segment seg)
@cython.locals(flags=cython.uint, off=cython.longlong, length=Py_ssize_t)
cdef established(Core core, Connection conn, Half half, Half other, Segment seg, bytes data, Py_ssize_t captured,
                 unsigned int doubt)
@cython.locals(acked=cython.longlong, known=cython.longlong, edge=cython.longlong)
cdef bint acks(Core core, Connection conn, Half half, Half other, Segment seg) except -1
@cython.locals(gap=Gap, block=list, last=Piece)
cdef long long shown_end(Half half)
@cython.locals(gap=Gap)
cdef fin(Core core, Connection conn, Half half, long long at, unsigned int doubt)
@cython.locals(at=Py_ssize_t, left=Py_ssize_t, gap=Gap, before=Py_ssize_t, piece=Piece)
cdef take_urgent(Core core, Connection conn, Half half, long long off, Py_ssize_t length, bytes data,
                 Py_ssize_t start, Py_ssize_t captured, unsigned int doubt, unsigned int urgent)
