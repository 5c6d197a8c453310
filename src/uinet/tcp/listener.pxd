cimport cython

from uinet.tcp.table cimport Entry, Table


cdef class Listener(Entry):
    cdef public object owner, accepted, half_open, deferred, embryos, syn_filter, fast_resets
    cdef public Py_ssize_t backlog, fast_pending
    cdef public int pattern
    cdef public Listener older
    cdef public long long cookies_until, quiet_until
    cdef public bint reuse, open, passive


cdef class Listeners:
    cdef public Table table
    cdef public list counts
    cdef public Py_ssize_t count, passive
