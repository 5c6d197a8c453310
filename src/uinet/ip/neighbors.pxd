from uinet.ip.interface cimport Interface
from uinet.wheel cimport Timer


cdef class NextHop(Timer):
    cdef public object neighbors
    cdef public Interface interface
    cdef public bytes address
    cdef public bytes link_header
    cdef public int state, probes
    cdef public long long reachable_until
    cdef public list queue
