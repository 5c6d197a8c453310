cimport cython

from uinet.hashing cimport Node
from uinet.passive.half cimport Half

cdef unsigned int MIDSTREAM, REVERSED, WAITING, CLOSE_NONE


@cython.final
cdef class Path:
    cdef readonly object core
    cdef readonly bytes vids, header
    cdef public unsigned int mark
    cdef public long long deadline, client_deadline, server_deadline, idle


@cython.final
cdef class Extra:
    cdef public unsigned int syn_base, syn_scale, answer_base
    cdef public long long syn_stamp, rst_at
    cdef public bint syn_from_client, syn_timestamps, syn_pending, syn_answer, rst_from_client, rst_exact
    cdef public list candidates


@cython.final
cdef class Connection(Node):
    cdef public Path path
    cdef public long long serial, frame, start, last
    cdef public Half client, server
    cdef public unsigned long long client_hi, client_lo, server_hi, server_lo
    cdef public unsigned short client_port, server_port, flags
    cdef public unsigned char state, closing
    cdef public object user
    cdef public Extra extra
    cpdef swap(self)
    cpdef Extra asides(self)
