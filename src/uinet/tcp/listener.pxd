cimport cython

from uinet.tcp.table cimport Entry, Table
from uinet.wire.packet cimport is_mapped


cdef class Listener(Entry):
    cdef public object owner, accepted, half_open, deferred, embryos, syn_filter, fast_resets
    cdef public Py_ssize_t backlog, fast_pending
    cdef public int pattern
    cdef public Listener older
    cdef public long long cookies_until, quiet_until
    cdef public bint reuse, open, passive


@cython.final
cdef class Listeners:
    cdef public Table table
    cdef public list counts
    cdef public Py_ssize_t count, passive
    cdef Listener _find(self, int pattern, unsigned int cdom, bytes vids, unsigned long long ip_hi,
                        unsigned long long ip_lo, unsigned int port)
    @cython.locals(family=cython.ulonglong, pattern=cython.int, tags=bytes, want=cython.uint, ip_kind=cython.int,
                   any_port=bint, found=Listener)
    cpdef Listener find(self, unsigned int cdom, bytes vids, unsigned long long ip_hi, unsigned long long ip_lo,
                        unsigned int port)
