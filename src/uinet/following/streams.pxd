cimport cython

from uinet.passive.connection cimport Connection
from uinet.passive.half cimport Half
from uinet.passive.sink cimport Sink
from uinet.wire.kernels cimport take


cdef Py_ssize_t CHUNK, PIECE_OVERHEAD, STREAM_OVERHEAD
cdef long long ZEROS_PER_BYTE


@cython.final
@cython.freelist(64)
cdef class Gathered:
    cdef public Connection conn
    cdef public Half half
    cdef public bytes data
    cdef public list waiting
    cdef public long long offset, time
    cdef public Py_ssize_t size
    cdef public bint undigested
    cdef public object digest, store
    cdef public Gathered before, after


@cython.final
@cython.freelist(64)
cdef class Pair:
    cdef public Gathered client, server
    cdef public object store


cdef class Coalescer(Sink):
    cdef object on_opened, on_chunk, on_hole, on_conflict, on_closed
    cdef public object error
    cdef readonly bint digests, wanted
    cdef readonly Py_ssize_t pending, held
    cdef Gathered first, last
    cdef long long zeros
    cpdef opened(self, Connection conn)
    @cython.locals(gathered=Gathered, piece=bytes)
    cpdef data(
        self, Connection conn, Half half, long long offset, bytes data, Py_ssize_t start, Py_ssize_t length,
        long long time)
    @cython.locals(gathered=Gathered)
    cpdef hole(self, Connection conn, Half half, long long offset, long long length, int reason, long long time)
    cpdef conflict(self, Connection conn, Half half, long long offset, long long length, long long time)
    @cython.locals(gathered=Gathered)
    cpdef finished(self, Connection conn, Half half, long long time)
    cpdef closed(self, Connection conn)
    @cython.locals(pair=Pair)
    cpdef Pair pair(self, Connection conn)
    @cython.locals(pair=Pair, gathered=Gathered)
    cpdef Gathered of(self, Connection conn, Half half)
    @cython.locals(pair=Pair)
    cpdef Gathered find(self, Connection conn, Half half)
    @cython.locals(gathered=Gathered)
    cpdef digest(self, Connection conn, Half half)
    cpdef flush(self)
    cpdef mute(self)
    @cython.locals(data=bytes, conn=Connection, half=Half)
    cdef _flush(self, Gathered gathered)
    @cython.locals(data=bytes)
    cdef bytes _take(self, Gathered gathered)
    @cython.locals(pair=Pair)
    cdef _forget(self, Connection conn, Half half)
    cdef _digest(self, Gathered gathered, bytes data)
    cdef _digest_zeros(self, Gathered gathered, long long length)
    cdef _link(self, Gathered gathered)
    @cython.locals(before=Gathered, after=Gathered)
    cdef _unlink(self, Gathered gathered)
