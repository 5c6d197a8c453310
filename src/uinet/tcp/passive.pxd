cimport cython

from uinet.interning cimport Interned
from uinet.passive.arrive cimport arrives
from uinet.passive.connection cimport Connection, Path
from uinet.passive.ending cimport as_it_stands, end_of_copy, over
from uinet.passive.engine cimport Engine
from uinet.passive.half cimport Half
from uinet.passive.stream cimport drop_gap
from uinet.tcp.context cimport Context
from uinet.tcp.reception cimport Buffers, Reception, delivered, failure, header_of
from uinet.tcp.table cimport Table
from uinet.wire.frame cimport Frame
from uinet.wire.packet cimport Packet
from uinet.wire.segment cimport Segment

cdef int SUM_GOOD
cdef unsigned int BASE, CLOSE_RST, CLOSE_TIMEOUT, CLOSED, ENDED, OPENED, REUSED
cdef unsigned int MASK32, ACK, RST, SYN, CHECKSUM_VALID, ETHERTYPE_IPV4, COPIED
cdef unsigned int EV_ACCEPT
cdef Py_ssize_t MAX_OFFERS, MAX_PATHS


@cython.final
cdef class Watch(Engine):
    cdef public object tcp
    cdef public Context context
    cdef public Py_ssize_t embryos
    cdef Packet packet
    cdef Reception ending
    cdef Interned interned
    cdef dict paths, offers
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


@cython.locals(half=Half)
cdef bint begins_anew(Connection conn, Reception entry, Segment seg) except -1
