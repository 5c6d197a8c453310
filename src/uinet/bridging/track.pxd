cimport cython

from uinet.seq cimport seq_diff, seq_geq, seq_gt, seq_leq, seq_lt
from uinet.tcp.buffer cimport ByteQueue
from uinet.tcp.reassembly cimport Reassembly
from uinet.wire.kernels cimport take
from uinet.wire.packet cimport Packet
from uinet.wire.segment cimport Segment

cdef unsigned int ACK, FIN, NO_WSCALE, RST, SYN, MASK32
cdef Py_ssize_t REACH, NEAR, STREAM_LIMIT, ISLANDS


cdef class Budget:
    cdef public Py_ssize_t limit, held


cdef class Side:
    cdef public Budget budget
    cdef public object offer, reader
    cdef public bint begun, midstream, acked_seen, fin, fin_acked, window_known, tsval_known, tsecr_known
    cdef public unsigned int settle, una, base, nxt, high, fin_at, window, max_window, wl1, wl2, edge, scale
    cdef public unsigned int tsval, tsecr, ttl
    cdef public ByteQueue queue
    cdef public Reassembly islands
    cdef public long long tsval_at, syn_at, rtt, acked_at
    cdef public list sacks
    cdef public bytes header
    cdef public unsigned long long octets
    cpdef begin(self, unsigned int seq, bint midstream)
    cpdef note_fin(self, long long at)
    cpdef release(self)
    cpdef Py_ssize_t charge(self)
    @cython.locals(end=cython.uint, before=Py_ssize_t, reach=Py_ssize_t)
    cpdef take(self, unsigned int seq, object data, Py_ssize_t offset, Py_ssize_t length)
    @cython.locals(skip=Py_ssize_t, count=Py_ssize_t, gap=Py_ssize_t)
    cdef _take(self, unsigned int seq, object data, Py_ssize_t offset, Py_ssize_t length)
    @cython.locals(islands=Reassembly, before=Py_ssize_t, moved=Py_ssize_t)
    cdef _join(self)
    cdef _give_up(self)
    @cython.locals(before=Py_ssize_t)
    cpdef acknowledged(self, unsigned int ack)


cdef class Track:
    cdef public Side client, server
    cdef public bint reset_seen
    cdef public long long since
    cpdef agree(self)
    cpdef release(self)
    @cython.locals(side=Side, other=Side, now=cython.longlong, flags=cython.uint, seq=cython.uint, at=cython.uint)
    cpdef segment(self, bint from_client, Packet packet, Segment seg)
    cdef _syn(self, Side side, Side other, Packet packet, Segment seg)
    @cython.locals(seq=cython.uint, ack=cython.uint, most=cython.uint, window=cython.uint, edge=cython.uint,
                   within=bint)
    cdef _ack(self, Side side, Side other, Segment seg, long long now)
    cdef _stamps(self, Side side, unsigned int tsval, unsigned int tsecr, unsigned int flags, long long now)
