cimport cython

from uinet.passive.connection cimport Connection
from uinet.passive.half cimport Half
from uinet.passive.sink cimport Sink
from uinet.tcp.buffer cimport ByteQueue
from uinet.tcp.context cimport Context
from uinet.tcp.table cimport Entry
from uinet.wire.kernels cimport take

cdef int OVERRUN
cdef unsigned int CLOSE_END, CLOSE_FIN, CLOSE_RST, REUSED
cdef unsigned int EV_CLOSED, EV_EOF, EV_ERROR, EV_READABLE
cdef Py_ssize_t HOLE_COST, ZEROS


@cython.final
cdef class Reception(Entry):
    cdef public Context context
    cdef public Connection conn
    cdef public Reception other
    cdef public object owner, user_context, offer
    cdef public ByteQueue queue
    cdef public list holes
    cdef public unsigned int limit
    cdef public long long position, end, overrun
    cdef public unsigned char primary, accepted, embryo, heard, finished, over, shut
    cpdef Py_ssize_t charge(self)
    @cython.locals(context=Context, room=Py_ssize_t, free=Py_ssize_t, count=Py_ssize_t)
    cpdef add(self, bytes data, Py_ssize_t start, Py_ssize_t length)
    @cython.locals(context=Context, free=Py_ssize_t, at=cython.longlong, size=cython.longlong, why=cython.int)
    cpdef add_hole(self, long long length, int reason)
    cpdef tell(self, unsigned int events)
    cpdef conclude(self, bint failed)
    @cython.locals(parts=list, holes=list, count=Py_ssize_t, zeros=cython.longlong, position=cython.longlong,
                   index=Py_ssize_t, taken=cython.longlong, at=cython.longlong, edge=cython.longlong,
                   size=cython.longlong, length=cython.longlong, reason=cython.int)
    cpdef bytes read(self, long long limit, bint stop, bint keep, list found)
    @cython.locals(queue=ByteQueue)
    cdef bytes _bytes(self, Py_ssize_t skip, Py_ssize_t length, bint keep)
    cdef _passed(self, long long position, Py_ssize_t holes, long long taken)
    cpdef Py_ssize_t read_into(self, object target) except -1
    cpdef next_hole(self)
    cpdef skip_hole(self)
    cpdef bint at_end(self) except -1
    cpdef discard(self)


cdef class Buffers(Sink):
    pass


@cython.locals(primary=Reception, other=Reception)
cdef Reception reception_of(Connection conn, Half half)
cpdef bytes header_of(Reception reception)
@cython.locals(conn=Connection)
cpdef failure(Reception reception)
cpdef bint delivered(Reception primary) except -1
