cimport cython

from uinet.hashing cimport Buckets
from uinet.passive.arrive cimport arrives
from uinet.passive.connection cimport Connection, Path
from uinet.passive.decoder cimport Decoder
from uinet.passive.engine cimport Engine
from uinet.wire.kernels cimport hash5, load_u16, load_u64, take
from uinet.wire.packet cimport Packet
from uinet.wire.segment cimport Segment

cdef int NOTHING, SEGMENT
cdef unsigned int ACK, FIN, RST, SYN, WELL_KNOWN
cdef Py_ssize_t MAX_PATHS
cdef unsigned int MANY_VIDS


cdef class Follower(Engine):
    cdef readonly list lanes
    cdef int turn
    cdef readonly Buckets table
    cdef dict paths
    cdef readonly long long bytes, segments
    cdef bint from_client, ignoring_vlans
    cpdef packet(self, unsigned int link_type, bytes data, Py_ssize_t start, Py_ssize_t captured, Py_ssize_t length,
                 long long time)
    @cython.locals(turn=cython.int, lane=Decoder, before=Decoder, code=cython.int, table=Buckets)
    cpdef enqueue(self, unsigned int link_type, bytes data, Py_ssize_t start, Py_ssize_t captured, Py_ssize_t length,
                  long long time)
    @cython.locals(turn=cython.int, lane=Decoder)
    cpdef flush(self)
    @cython.final
    @cython.locals(code=cython.int, packet=Packet, seg=Segment, conn=Connection)
    cdef take(self, Decoder lane)
    cpdef advance(self, long long time)
    cpdef finish(self)
    @cython.final
    cdef look_at_vlans(self, Decoder lane)
    @cython.final
    @cython.locals(high=cython.ulonglong, low=cython.ulonglong, other_high=cython.ulonglong,
                   other_low=cython.ulonglong, port=cython.ulonglong, other_port=cython.ulonglong,
                   word=cython.ulonglong, wide=cython.ulonglong)
    cdef unsigned long long hash_of(self, Packet packet, Segment seg, unsigned int mark) except? 0x5A5A
    @cython.final
    @cython.locals(value=cython.ulonglong, offset=Py_ssize_t)
    cdef unsigned long long hash_vids(self, bytes vids) except? 0x5A5A
    @cython.final
    @cython.locals(conn=Connection)
    cdef Connection find(self, unsigned long long key, unsigned int mark, Packet packet, Segment seg)
    @cython.final
    @cython.locals(flags=cython.uint, from_client=bint, conn=Connection)
    cdef meet(self, Decoder lane, Packet packet, Segment seg)
    @cython.final
    @cython.locals(vids=bytes, header=bytes, path=Path)
    cdef Path path_of(self, Decoder lane, Packet packet)
