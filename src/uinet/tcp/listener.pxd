cimport cython

from uinet.tcp.config cimport Config
from uinet.tcp.table cimport Entry, Table
from uinet.wire.packet cimport is_mapped

cdef unsigned int KINDS, WITH_TAGS, CLASSES, CATCH_ALL
cdef int IP_EXACT, IP_FAMILY
cdef unsigned long long V4_MAPPED
cdef bytes NO_TAGS


cdef class Listed(Entry):
    cdef public Listed before, behind
    cdef public bint listed
    cdef blank_listed(self)


@cython.final
cdef class Listener(Entry):
    cdef public object owner, accepted, deferred, embryos, syn_filter, fast_resets
    cdef public Config config
    cdef public Listed oldest, newest
    cdef public Py_ssize_t backlog, fast_pending, half_open
    cdef public int pattern
    cdef public Listener older
    cdef public long long cookies_until, quiet_until
    cdef public bint reuse, open, passive, catch_all
    cpdef queue(self, object connection)
    cpdef take(self)
    @cython.locals(newest=Listed)
    cpdef begin(self, Listed entry)
    @cython.locals(before=Listed, behind=Listed)
    cdef _unlist(self, Listed entry)
    cpdef forget_entry(self, Listed entry)
    cpdef forget(self, object item)


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
