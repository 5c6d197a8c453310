cimport cython

from uinet.ip.interface cimport Interface, hop_limit
from uinet.seq cimport seq_diff, seq_lt
from uinet.tcp.config cimport Config, first_window, largest_buffer
from uinet.tcp.context cimport Context
from uinet.tcp.cookies cimport flooded, send_cookie
from uinet.tcp.layout cimport begin, headers_length, is_v4, mss_within, put_syn_options, transmit
from uinet.tcp.listener cimport Listed, Listener
from uinet.tcp.negotiate cimport scale_for
from uinet.tcp.reset cimport path_back, send_reset
from uinet.tcp.sound cimport source_is_sound
from uinet.tcp.syn cimport Syn
from uinet.tcp.table cimport Entry
from uinet.wire.packet cimport Packet, is_mapped
from uinet.wire.segment cimport Segment

cdef unsigned int MASK32, ACK, ECE, FIN, RST, SYN, NO_WSCALE, ACE_SHIFT
cdef unsigned int ALWAYS, COPIED, FRAGMENTS, PINNED, TRIVIAL_ISN
cdef unsigned char DISCOVER_DONT, MODE_ACCURATE, MODE_CLASSIC, MODE_NONE
cdef long long MILLISECOND
cdef bytes EMPTY
cdef object ACCEPT, ACCEPT_PASSIVE, BRIDGE, DEFER, REJECT_RST


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
cdef mark_entry(Config config, Entry entry)
cdef redirect(Context tcp, Entry entry, Syn syn)
@cython.locals(interface=Interface, unbridged=bint, entry=SynEntry, early=bint, syn=Syn)
cpdef bint syn_arrives(Context tcp, Listener listener, Packet packet, Segment seg, long long floor) except -1
cpdef file(Context tcp, SynEntry entry)
@cython.locals(oldest=SynEntry)
cpdef bint make_room(Context tcp, Listener listener, SynEntry entry) except -1
cpdef prepare(Context tcp, SynEntry entry, long long floor)
@cython.locals(scratch=bytearray, at=Py_ssize_t, options=Py_ssize_t, tsval=cython.uint,
               wscale=cython.int, size=Py_ssize_t, window=cython.longlong, flags=cython.uint)
cpdef send_syn_ack(Context tcp, SynEntry entry)
cpdef unsigned int ecn_of_syn_ack(SynEntry entry) except? 0xA5A5A5A5
@cython.locals(listener=Listener)
cpdef long long receive_most(Context tcp, SynEntry entry) except? -2
@cython.locals(listener=Listener)
cpdef Py_ssize_t segment_limit(SynEntry entry) except? -2
@cython.locals(listener=Listener)
cpdef long long receive_limit(Context tcp, SynEntry entry) except? -2
@cython.locals(entry=SynEntry, wscale=cython.uint)
cpdef SynEntry entry_from_cookie(Context tcp, Listener listener, Packet packet, Segment seg)
@cython.locals(offset=cython.longlong, inside=bint, listener=Listener)
cpdef bint segment_for_entry(Context tcp, SynEntry entry, Packet packet, Segment seg) except -1
cpdef bint waits_for_data(Context tcp, SynEntry entry, Listener listener, Segment seg) except -1
cdef bint in_window_of(Context tcp, SynEntry entry, Segment seg) except -1
cpdef long long offset_in_window(SynEntry entry, Segment seg) except? -0x7FFFFFFF
@cython.locals(listener=Listener)
cpdef unfile(Context tcp, SynEntry entry)
cpdef drop(Context tcp, SynEntry entry, str why)
cpdef entry_due(Context tcp, SynEntry entry)
cpdef bint still_wanted(Context tcp, SynEntry entry) except -1
@cython.locals(syn=Syn)
cdef defer(Context tcp, Listener listener, SynEntry entry, long long floor)
@cython.locals(listener=Listener, syn=Syn, kept=list)
cpdef decide(Context tcp, SynEntry entry, object verdict)
cdef ask_filter(Context tcp, Listener listener, Syn syn)
