cimport cython

from uinet.seq cimport seq_lt
from uinet.tcp.config cimport Config, first_window, largest_buffer
from uinet.tcp.context cimport Context
from uinet.tcp.cookies cimport flooded, send_cookie
from uinet.tcp.layout cimport begin
from uinet.tcp.listener cimport Listed, Listener
from uinet.tcp.negotiate cimport scale_for
from uinet.tcp.syn cimport Syn
from uinet.tcp.table cimport Entry
from uinet.wire.packet cimport Packet
from uinet.wire.segment cimport Segment

cdef unsigned int NO_WSCALE, ACE_SHIFT
cdef unsigned int COPIED, FRAGMENTS, PINNED, TRIVIAL_ISN
cdef unsigned char DISCOVER_DONT, MODE_NONE


@cython.final
cdef class SynEntry(Listed):
    cdef public Context context
    cdef public Listener listener
    cdef public Syn syn
    cdef public list kept
    cdef public long long sent_at, challenged_at, deferred_until
    cdef public unsigned int irs, iss, ts_offset, peer_mss, peer_wscale, peer_window, tsval, rcv_scale, retries
    cdef public int user_timeout
    cdef public unsigned char ecn_mode, syn_ecn
    cdef public bint deferred, sack, timestamps, not_ect, gives_cookie
    cdef blank(self, Context context, Listener listener, Segment seg)


@cython.locals(entry=SynEntry)
cpdef SynEntry new_entry(Context context, Listener listener, Segment seg)
cpdef mark_entry(Config config, Entry entry)
cpdef file(Context tcp, SynEntry entry)
@cython.locals(oldest=SynEntry)
cpdef bint make_room(Context tcp, Listener listener, SynEntry entry) except -1
cpdef prepare(Context tcp, SynEntry entry, long long floor)
@cython.locals(listener=Listener)
cpdef long long receive_most(Context tcp, SynEntry entry) except? -2
@cython.locals(listener=Listener)
cpdef Py_ssize_t segment_limit(SynEntry entry) except? -2
@cython.locals(listener=Listener)
cpdef long long receive_limit(Context tcp, SynEntry entry) except? -2
@cython.locals(listener=Listener)
cpdef unfile(Context tcp, SynEntry entry)
cpdef drop(Context tcp, SynEntry entry, str why)
