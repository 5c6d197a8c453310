cimport cython

from uinet.wire.kernels cimport take

cdef unsigned int VOID
cdef Py_ssize_t PIECE_COST, BLOCK, LARGEST
cdef long long NO_FIN


@cython.final
@cython.freelist(256)
cdef class Piece:
    cdef public long long off, end, time, arrived
    cdef public bytes data
    cdef public Py_ssize_t start
    cdef public unsigned int flags
    cdef public int reason
    @cython.locals(piece=Piece, size=cython.longlong, start=Py_ssize_t, data=bytes)
    cpdef Piece part(self, long long off, long long end)


@cython.locals(out=list, run=list, begin=cython.longlong, end=cython.longlong, piece=Piece, first=Piece)
cpdef list joined(list found)
@cython.locals(first=Piece, piece=Piece, one=Piece, parts=list, end=cython.longlong)
cdef Piece _one_of(list run)


@cython.final
cdef class Gap:
    cdef public object conn, half
    cdef public Gap older, newer
    cdef public long long since, evidence, last_ack, mark, end_seen, fin_at, fin_doubt
    cdef public Py_ssize_t size, count
    cdef public list blocks
    cdef public int crowded
    @cython.locals(block=list)
    cpdef Piece first(self)
    @cython.locals(block=list, piece=Piece)
    cpdef Piece pop_first(self)
    @cython.locals(block=list, index=Py_ssize_t, at=Py_ssize_t, half=Py_ssize_t)
    cpdef insert(self, Piece piece)
    @cython.locals(found=list, index=Py_ssize_t, block=list, low=Py_ssize_t, high=Py_ssize_t, before=Piece, piece=Piece,
                   over=bint)
    cpdef list cut(self, long long start, long long end)
    @cython.locals(low=Py_ssize_t, high=Py_ssize_t, middle=Py_ssize_t, block=list, piece=Piece)
    cdef Py_ssize_t _block_of(self, long long off)
    @cython.locals(block=list, piece=Piece)
    cpdef shift(self, long long by)


@cython.locals(low=Py_ssize_t, high=Py_ssize_t, middle=Py_ssize_t, piece=Piece, last=Piece)
cdef Py_ssize_t _place_in(list block, long long off)
