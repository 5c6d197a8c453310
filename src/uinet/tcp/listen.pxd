cimport cython

from uinet.ip.interface cimport Interface, hop_limit
from uinet.tcp.context cimport Context
from uinet.tcp.layout cimport begin
from uinet.tcp.listener cimport Listener
from uinet.tcp.reset cimport path_back, send_reset
from uinet.tcp.sound cimport source_is_sound
from uinet.tcp.syn cimport Syn
from uinet.tcp.syn_answer cimport send_syn_ack
from uinet.tcp.syn_cache cimport SynEntry, file, make_room, mark_entry, new_entry, prepare
from uinet.tcp.syn_filter cimport ask_filter, defer, redirect, still_wanted
from uinet.tcp.table cimport Entry
from uinet.wire.packet cimport Packet
from uinet.wire.segment cimport Segment

cdef unsigned int FIN, RST
cdef unsigned int COPIED
cdef object ACCEPT, ACCEPT_PASSIVE, BRIDGE, DEFER, REJECT_RST


@cython.locals(interface=Interface, unbridged=bint, entry=SynEntry, syn=Syn)
cpdef bint syn_arrives(Context tcp, Listener listener, Packet packet, Segment seg, long long floor) except -1
@cython.locals(probe=Entry)
cdef signer_of(Context tcp, Listener listener, Packet packet, Segment seg)
@cython.locals(entry=SynEntry)
cdef SynEntry entry_of(Context tcp, Listener listener, Packet packet, Segment seg)
cdef refuse(Context tcp, SynEntry entry, Segment seg)
@cython.locals(early=bint)
cdef take_syn(Context tcp, Listener listener, SynEntry entry, Packet packet, Segment seg, bint deferred,
              long long floor)
