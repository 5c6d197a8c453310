cimport cython

from uinet.ip.flows cimport FlowInput
from uinet.stats cimport Stats
from uinet.wire.frame cimport Frame

cdef int DEFAULT_HOP_LIMIT


cdef class Interface:
    cdef public object network
    cdef public str name
    cdef public int index, layer
    cdef public bytes mac
    cdef public Py_ssize_t mtu, mtu_v4, mtu_v6, output_limit
    cdef public int hop_limit
    cdef public long long base_reachable_time, retrans_time
    cdef public bint accept_redirects, report_groups
    cdef public object autoconf, relay, hooks
    cdef public unsigned int cdom
    cdef public bint promiscuous, checksums, up, answer_any, loopback, gathers, asks, quiet
    cdef public list answer_prefixes, addresses, output
    cdef public Interface bridge
    cdef public FlowInput flows
    cdef public object carrier
    cdef public dict owned, broadcasts, groups, tentative
    cdef public unsigned long long rx_frames, rx_bytes, tx_frames, tx_bytes, tx_dropped, counted_frames, counted_bytes
    cpdef transmit(self, Frame frame)
    @cython.locals(frames=list, stats=Stats)
    cpdef list take_output(self)


cpdef int hop_limit(int chosen, Interface interface, bint version6) except -1
