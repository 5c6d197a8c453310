cimport cython

from uinet.passive.clock cimport PacketClock
from uinet.passive.connection cimport Connection
from uinet.passive.decoder cimport Decoder
from uinet.passive.follower cimport Follower
from uinet.wire.kernels cimport take
from uinet.wire.packet cimport Packet
from uinet.wire.segment cimport Segment

cdef long long LEAP, FAR
cdef int SEGMENT, SUM_BAD, SUM_GOOD, HEAD_STAMPS, BELIEVED


cdef class Timed(Follower):
    cdef public bint expiring
    cpdef due(self, Connection conn, long long now)


cdef class Scanner(Follower):
    cdef Segment unported
    cdef public dict keys
    cdef public set pairs, fragmented
    cdef public long long good, bad, first, least, most
    cdef public list head
    cdef public bint steady
    @cython.locals(decoder=Decoder, packet=Packet, code=cython.int, pair=cython.ulonglong)
    cpdef enqueue(self, unsigned int link_type, bytes data, Py_ssize_t start, Py_ssize_t captured, Py_ssize_t length,
                  long long time)
    @cython.locals(key=object, good=cython.int)
    cdef noted(self, Decoder decoder)
    cdef stamped(self, long long time)


cdef class Splitter(Follower):
    cdef public Timed inner
    cdef set shared, shared_pairs
    cdef unsigned long long parts
    cdef object ship
    cdef Segment unported
    cdef dict known
    cdef public long long shipped
    cdef bint doubtful, pairing
    @cython.locals(inner=Timed, decoder=Decoder, packet=Packet, code=cython.int, part=Py_ssize_t)
    cpdef enqueue(self, unsigned int link_type, bytes data, Py_ssize_t start, Py_ssize_t captured, Py_ssize_t length,
                  long long time)
    cpdef flush(self)
    @cython.locals(clock=PacketClock, number=Py_ssize_t)
    cdef decided(self, bytes data)
    @cython.locals(pair=cython.ulonglong)
    cdef Py_ssize_t part_of(self, int code, Decoder decoder) except -2
    @cython.locals(inner=Timed, clock=PacketClock)
    cdef send(self, Py_ssize_t part, unsigned int link_type, bytes data, Py_ssize_t start, Py_ssize_t captured,
              Py_ssize_t length, long long time)
    @cython.locals(key=object, good=cython.int)
    cdef judged(self, Decoder decoder)
