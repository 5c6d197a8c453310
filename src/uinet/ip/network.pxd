cimport cython

from uinet.ip.interface cimport Interface
from uinet.ip.neighbors cimport NextHop
from uinet.stats cimport Stats
from uinet.wheel cimport Wheel
from uinet.wire.kernels cimport join

cdef unsigned int RECENT


@cython.final
cdef class Route:
    cdef public bytes destination, source
    cdef public NextHop next_hop
    cdef public Interface interface
    cdef public Py_ssize_t mtu
    cdef public unsigned int generation
    cdef public unsigned long long destination_hi, destination_lo, source_hi, source_lo


cdef class Network:
    cdef public long long now, epoch
    cdef public Wheel wheel
    cdef public Stats stats
    cdef public object random, identifications, routes, neighbors, arp, nd, pmtu, reassembler, icmp, extensions
    cdef public object loopback_interface, settings, on_link_event, on_kick, on_refresh, owns
    cdef public object owner, gateways, detector, redirects, name_servers, groups
    cdef public unsigned int generation, route_cache_generation
    cdef public list filters, interfaces, loopback, recent
    cdef public dict local, handlers, route_cache
    cdef public int next_index
    cpdef bint is_local(self, bytes packed)
    @cython.locals(place=cython.uint, found=Route)
    cpdef Route route_between(
        self, unsigned long long destination_hi, unsigned long long destination_lo, unsigned long long source_hi,
        unsigned long long source_lo)
