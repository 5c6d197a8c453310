cimport cython

from uinet.ip.network cimport Network
from uinet.stats cimport Stats
from uinet.tcp.isn cimport Secrets
from uinet.tcp.sent cimport Ack
from uinet.tcp.settings cimport Settings
from uinet.tcp.table cimport Entry, Table
from uinet.wheel cimport Timer, Wheel


cdef class Context:
    cdef public Network network
    cdef public Wheel wheel
    cdef public Stats stats
    cdef public Settings settings
    cdef public Table table
    cdef public Secrets secrets
    cdef public Entry probe
    cdef public long long now
    cdef public Ack ack
    cdef public list pending
    cdef public list ready, states
    cdef public bytearray scratch
    cdef public Py_ssize_t received_bytes, queued_bytes
    cdef public unsigned int urgent
    cdef public unsigned long long segments_out, cookies_sent, entries_added, accepted, ended
    cdef public object trace, rst_limit, fast_server, fast_client, copies
    cdef public list syn_events
    cdef public object on_pending, clock
    cdef public bint busy, closed_down
    cdef public unsigned long long serial
    cdef public Py_ssize_t time_waits
    cdef public Py_ssize_t syn_count
    @cython.locals(now=cython.longlong)
    cpdef refresh(self)
    cpdef timeout(self, Timer timer, long long now)
    cpdef closed(self, Entry entry)
    cpdef begin_time_wait(self, Entry entry)
