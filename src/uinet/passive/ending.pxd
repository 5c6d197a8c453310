cimport cython

from uinet.passive.connection cimport Connection, Extra
from uinet.passive.core cimport Core
from uinet.passive.gap cimport Gap, Piece
from uinet.passive.half cimport Half, Tale
from uinet.passive.stream cimport believable, drop_first, drop_gap, emit, ended, finish, patience
from uinet.passive.stream cimport rebase, resolve, settle, skip
from uinet.seq cimport seq_diff
from uinet.wire.segment cimport Segment

cdef unsigned int CLOSE_END, CLOSE_FIN, CLOSE_RST, CLOSE_TIMEOUT, CLOSED, LOST_END, MIDSTREAM, OPEN, OPENED, WAITING
cdef unsigned int BASE, DELIVERED, ENDED, FINISHED, GUESSED, SETTLING, FAR, MASK32, ACK
cdef int END, LOST
cdef unsigned int RST_IGNORED
cdef long long NO_FIN
cdef long long LINGER, LINGER_AT_MOST, UNKNOWN_WINDOW

@cython.locals(off=cython.longlong, gap=Gap, exact=bint, within=bint, edge=cython.longlong, distance=cython.longlong,
               extra=Extra)
cpdef reset(Core core, Connection conn, Half half, Half other, bint from_client, Segment seg)
@cython.locals(client=Half, server=Half)
cpdef both_ended(Core core, Connection conn)
@cython.locals(half=Half, extra=Extra, how=cython.uint, limit=cython.longlong)
cpdef due(Core core, Connection conn, long long now)
cpdef end_of_copy(Core core, Connection conn)
@cython.locals(extra=Extra)
cpdef unsigned int as_it_stands(Connection conn, unsigned int otherwise) except? 0xFF
@cython.locals(gap=Gap)
cdef bint is_closing(Half half, Half other) except -1
@cython.locals(extra=Extra, half=Half, tale=Tale)
cdef outlived(Core core, Connection conn)
@cython.locals(client=Half, server=Half, half=Half, client_closing=bint, server_closing=bint)
cpdef over(Core core, Connection conn, unsigned int how)
@cython.locals(gap=Gap, first=Piece, target=cython.longlong)
cdef flush(Core core, Connection conn, Half half, bint closing)
@cython.locals(target=cython.longlong)
cdef flush_tail(Core core, Connection conn, Half half, Gap gap, bint closing)
