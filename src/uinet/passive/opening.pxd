cimport cython

from uinet.passive.connection cimport Connection, Extra
from uinet.passive.core cimport Core
from uinet.passive.gap cimport Gap, Piece
from uinet.passive.half cimport Half, Tale
from uinet.passive.stream cimport acknowledged, drop_first, drop_gap, ended, reaches, rebase, resolve, settle
from uinet.seq cimport seq_diff
from uinet.wire.segment cimport Segment

cdef unsigned int CLOSED, MIDSTREAM, OPEN, OPENED, SIGNED, WAITING, DOUBT
cdef unsigned int BASE, DELIVERED, GUESSED, SETTLING, SYN_SEEN, TIMESTAMPS
cdef unsigned int MASK32, ACK, RST, NO_WSCALE
cdef int SUM_UNKNOWN
cdef long long NEAR, APART
cdef Py_ssize_t CANDIDATES

@cython.locals(base=cython.uint, answer=bint)
cpdef bint syn_arrives(Core core, Connection conn, Half half, Half other, bint from_client, Segment seg, bytes data,
                       Py_ssize_t captured, bint signed) except -1
cdef bint is_its_own(Connection conn, Half half, unsigned int base) except -1
@cython.locals(gap=Gap, first=Piece, distance=cython.longlong)
cdef bint joins(Core core, Connection conn, Half half, unsigned int base) except -1
cdef take_syn(Core core, Connection conn, Half half, Segment seg, unsigned int base)
@cython.locals(by=cython.longlong, seen=cython.longlong)
cdef set_base(Core core, Connection conn, Half half, unsigned int base)
cdef scales(Half half, Half other)
@cython.locals(gap=Gap, first=Piece, taken=cython.longlong, kept=Piece)
cdef refused_data(Core core, Half half, Segment seg)
@cython.locals(before=Py_ssize_t)
cdef put_back(Core core, Gap gap, Piece piece)
@cython.locals(extra=Extra, answer=bint, asides=Extra, tale=Tale)
cdef bint other_syn(Core core, Connection conn, Half half, Half other, bint from_client, Segment seg, bytes data,
                    Py_ssize_t captured, bint signed) except -1
@cython.locals(extra=Extra)
cdef bint over_soon(Connection conn, Half half, Half other, bint answer) except -1
@cython.locals(extra=Extra, off=cython.longlong, base=cython.uint)
cpdef bint begins_anew(Core core, Connection conn, Half half, bint from_client, Segment seg, bytes data,
                       Py_ssize_t captured, unsigned int doubt, bint signed) except -1
@cython.locals(extra=Extra, new=Connection, half=Half)
cdef begin(Core core, Connection conn, Segment seg, bytes data, Py_ssize_t captured, bint from_client,
           bint signed)
@cython.locals(by=cython.longlong)
cpdef learn(Core core, Connection conn, Half half, Half other, Segment seg)
@cython.locals(extra=Extra)
cpdef chosen(Connection conn, Half half, unsigned int base)
cpdef settle_down(Core core, Connection conn, Half half)
@cython.locals(off=cython.longlong)
cpdef bint straggler(Core core, Connection conn, Half half, bint from_client, Segment seg, bytes data,
                     Py_ssize_t captured, unsigned int doubt, bint signed) except -1
@cython.locals(half=Half)
cpdef give_up_waiting(Core core, Connection conn)
