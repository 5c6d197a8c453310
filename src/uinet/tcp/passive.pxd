cimport cython

from uinet.passive.arrive cimport arrives
from uinet.passive.connection cimport Connection, Path
from uinet.passive.ending cimport as_it_stands, end_of_copy, over
from uinet.passive.engine cimport Engine
from uinet.passive.half cimport Half
from uinet.passive.sink cimport Sink
from uinet.passive.stream cimport drop_gap
from uinet.tcp.buffer cimport ByteQueue
from uinet.tcp.context cimport Context
from uinet.tcp.table cimport Entry, Table
from uinet.wire.frame cimport Frame
from uinet.wire.kernels cimport take
from uinet.wire.packet cimport Packet
from uinet.wire.segment cimport Segment

cdef int SUM_GOOD, OVERRUN
cdef unsigned int BASE, CLOSE_END, CLOSE_FIN, CLOSE_RST, CLOSE_TIMEOUT, CLOSED, ENDED, OPENED, REUSED
cdef unsigned int MASK32, ACK, RST, SYN, CHECKSUM_VALID, ETHERTYPE_IPV4, COPIED
cdef unsigned int EV_ACCEPT, EV_CLOSED, EV_EOF, EV_ERROR, EV_READABLE
cdef Py_ssize_t HOLE_COST, ZEROS, MAX_SHARED, MAX_PATHS


@cython.final
cdef class Reception(Entry):
    cdef public Watch watch
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


@cython.final
cdef class Watch(Engine):
    cdef public object tcp
    cdef public Context context
    cdef public Py_ssize_t embryos
    cdef Packet packet
    cdef Reception ending
    cdef dict shared, paths, offers
    cdef bint consumed
    @cython.locals(now=cython.longlong)
    cdef tick(self)
    @cython.locals(conn=Connection, answer=bint, vids=bytes, cdom=cython.uint, header=bytes,
                   primary=Reception, first=Reception)
    cpdef bint admitted(self, object listener, Packet packet, Segment seg, object syn) except -1
    @cython.locals(table=Table, primary=Reception, other=Reception)
    cpdef bint attach(self, Connection conn, object listener, unsigned int cdom, bytes vids,
                      bytes client_header) except -1
    cpdef bint taken(self, Reception reception) except -1
    cpdef bytes one(self, bytes data)
    @cython.locals(conn=Connection)
    cpdef bint input(self, Reception entry, Packet packet, Segment seg) except -1
    @cython.locals(conn=Connection, primary=Reception)
    cpdef receive(self, Reception entry, Packet packet, Segment seg)
    cpdef announce(self, Reception primary)
    cpdef hatch(self, Reception primary)
    cpdef end_copy(self, Reception primary)
    cpdef miscarried(self, Reception primary, str why)
    @cython.locals(conn=Connection, primary=Reception, other=Reception, half=Half)
    cpdef abandon(self, Reception reception, str why)
    @cython.locals(conn=Connection)
    cpdef shut_down(self, Reception primary)


cpdef bytes header_of(Reception reception)
@cython.locals(conn=Connection)
cpdef failure(Reception reception)
cdef bint delivered(Reception primary) except -1
@cython.locals(half=Half)
cdef bint begins_anew(Connection conn, Reception entry, Segment seg) except -1
