cimport cython

from uinet.tcp.table cimport Entry, Table
from uinet.wire.packet cimport is_mapped

cdef unsigned int KINDS, WITH_TAGS, CLASSES
cdef int IP_EXACT, IP_FAMILY
cdef unsigned long long V4_MAPPED
cdef bytes NO_TAGS


cdef class Listener(Entry):
    cdef public object owner, accepted, half_open, deferred, embryos, syn_filter, fast_resets
    cdef public Py_ssize_t backlog, fast_pending
    cdef public int pattern
    cdef public Listener older
    cdef public long long cookies_until, quiet_until, offer_until
    cdef public unsigned int offer_scale, offer_window, offer_segment, offer_ttl, offer_tos
    cdef public bint reuse, open, passive


@cython.final
cdef class Listeners:
    cdef public Table table
    cdef public list counts
    cdef public Py_ssize_t count, passive
    cdef public unsigned int present
    @cython.locals(found=Entry)
    cpdef Listener _find(
        self, unsigned int pattern, unsigned int cdom, bytes vids, unsigned long long ip_hi, unsigned long long ip_lo,
        unsigned int port)
    @cython.locals(family=cython.ulonglong, pattern=cython.uint, place=cython.uint, ip_kind=cython.int, tags=bytes,
                   want=cython.uint, found=Listener)
    cpdef Listener find(
        self, unsigned int cdom, bytes vids, unsigned long long ip_hi, unsigned long long ip_lo, unsigned int port)
