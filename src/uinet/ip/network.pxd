from uinet.stats cimport Stats
from uinet.wheel cimport Wheel


cdef class Network:
    cdef public long long now
    cdef public Wheel wheel
    cdef public Stats stats
    cdef public object random, identifications, routes, neighbors, arp, nd, pmtu, reassembler, icmp, extensions
    cdef public object loopback_interface, settings, on_link_event, on_kick, on_refresh
    cdef public object gateways, detector, redirects, name_servers, groups
    cdef public unsigned int generation, route_cache_generation
    cdef public list interfaces, loopback
    cdef public dict local, handlers, route_cache
    cdef public int next_index
    cpdef bint is_local(self, bytes packed)
