cimport cython

from uinet.passive.gap cimport Gap

cdef unsigned int FINISHED
cdef unsigned int NO_WSCALE


@cython.final
cdef class Tale:
    cdef public list holes
    cdef public long long retransmitted, overlapped, conflicts, out_of_order, ignored, beyond_fin, doubtful
    cdef public long long keepalives, rst_ignored, holes_unlisted, hole_count, probes, ttl_outliers


@cython.final
cdef class Half:
    cdef public long long nxt, acked, edge, hole_bytes
    cdef public unsigned int base, flags, ts_recent, slot, packets
    cdef public unsigned char scale, good, bad, ttl
    cdef public Gap gap
    cdef public Tale tale
    cpdef Tale told(self)
    @cython.locals(tale=Tale, holes=list)
    cpdef bint add_hole(self, long long offset, long long length, int reason, Py_ssize_t limit) except -1
    cpdef Py_ssize_t listed(self) except -1
