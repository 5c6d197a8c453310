cimport cython

from uinet.passive.arrive cimport arrives
from uinet.passive.connection cimport Connection, Path
from uinet.passive.core cimport Core
from uinet.passive.ending cimport as_it_stands, due, end_of_copy, over
from uinet.passive.opening cimport give_up_waiting
from uinet.wire.segment cimport Segment

cdef int TICK_SHIFT
cdef unsigned int CLOSE_TIMEOUT, CLOSED, LIMIT, OPENED, REUSED, REVERSED, WAITING, SETTLING


cdef class Engine(Core):
    @cython.locals(conn=Connection)
    cpdef Connection begin(self, Path path)
    cpdef begun(self, Connection conn)
    @cython.locals(oldest=Connection, conn=Connection)
    cpdef make_room(self)
    @cython.locals(conn=Connection, going=list)
    cpdef end_all(self, list conns)
