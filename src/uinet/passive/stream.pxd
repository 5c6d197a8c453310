cimport cython

from uinet.passive.connection cimport Connection, Path
from uinet.passive.core cimport Core
from uinet.passive.gap cimport Gap, Piece, joined
from uinet.passive.half cimport Half, Tale
from uinet.passive.overlap cimport new_wins
from uinet.wire.kernels cimport equal, take

cdef unsigned int NOTE_BUDGET, CONFLICT, DOUBTFUL, DOUBT, FAR, VOID, WEAK, DELIVERED, ENDED, FINISHED, SETTLING, OPENED
cdef Py_ssize_t PIECE_COST, MANY, CROWD, CROWDS
cdef int BUDGET, DEADLINE, LOST, SNAPLEN, CLAIMS, FIRST
cdef unsigned int WAITING, IGNORED, MASK32
cdef long long NO_FIN

@cython.locals(path=Path)
cpdef long long patience(Connection conn, Half half)
cpdef deliver(Core core, Connection conn, Half half, bytes data, Py_ssize_t start, Py_ssize_t length,
              long long time)
cpdef skip(Core core, Connection conn, Half half, long long length, int reason)
@cython.locals(end=cython.longlong, gap=Gap, front=cython.longlong, known=Py_ssize_t)
cpdef take_in(Core core, Connection conn, Half half, long long off, Py_ssize_t length, bytes data, Py_ssize_t start,
              Py_ssize_t captured, unsigned int doubt)
@cython.locals(found=list, old=Piece)
cdef bint takes_fin(Core core, Gap gap, long long off, long long end) except -1
@cython.locals(tale=Tale)
cdef repeated(Core core, Connection conn, Half half, long long off, Py_ssize_t length, bytes data, Py_ssize_t start,
              Py_ssize_t captured)
cdef conflict(Core core, Connection conn, Half half, long long off, long long length)
@cython.locals(gap=Gap)
cpdef Gap gap_of(Core core, Connection conn, Half half)
@cython.locals(gap=Gap)
cpdef drop_gap(Core core, Half half)
@cython.locals(gap=Gap, before=Py_ssize_t, tale=Tale, piece=Piece, other=Half)
cdef hold(Core core, Connection conn, Half half, long long off, long long end, bytes data, Py_ssize_t start,
          Py_ssize_t captured, unsigned int flags)
@cython.locals(found=list, at=cython.longlong, old=Piece, low=cython.longlong, high=cython.longlong)
cpdef settle_overlaps(Core core, Connection conn, Half half, Gap gap, Piece new)
cdef bint beats(int policy, Piece old, Piece new) except -1
@cython.locals(gap=Gap, first=Piece, target=cython.longlong, due=cython.longlong, reason=cython.int)
cpdef resolve(Core core, Connection conn, Half half, int forced)
@cython.locals(piece=Piece, following=Piece, behind=cython.longlong)
cpdef emit(Core core, Connection conn, Half half, Gap gap)
@cython.locals(piece=Piece)
cpdef drop_first(Core core, Half half, Gap gap)
cpdef bint believable(Half half, Gap gap, Piece piece) except -1
@cython.locals(most=cython.longlong, least=cython.longlong, target=cython.longlong, sure=bint, due=cython.longlong,
               reason=cython.int)
cdef bint resolve_bare(Core core, Connection conn, Half half, Gap gap, int forced) except -1
cdef bint other_ended(Connection conn, Half half) noexcept
cdef catch_up(Core core, Connection conn, Half half, Gap gap)
@cython.locals(gap=Gap, block=list, piece=Piece)
cpdef finish(Core core, Connection conn, Half half)
@cython.locals(gap=Gap)
cpdef bint ended(Half half) except -1
@cython.locals(gap=Gap, first=Piece)
cpdef settle(Core core, Connection conn, Half half)
cpdef rebase(Half half, long long by)
@cython.locals(gap=Gap)
cpdef acknowledged(Core core, Connection conn, Half half)
@cython.locals(gap=Gap)
cpdef reaches(Core core, Connection conn, Half half, long long off)
@cython.locals(size=Py_ssize_t, client=Gap, server=Gap)
cpdef within_budget(Core core, Connection conn)
@cython.locals(conn=Connection, half=Half)
cdef give_up(Core core, Gap gap)
