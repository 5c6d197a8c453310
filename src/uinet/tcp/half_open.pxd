cimport cython

from uinet.seq cimport seq_diff, seq_lt
from uinet.tcp.context cimport Context
from uinet.tcp.layout cimport begin
from uinet.tcp.listener cimport Listener
from uinet.tcp.negotiate cimport scale_for
from uinet.tcp.reset cimport path_back, send_reset
from uinet.tcp.syn_answer cimport send_syn_ack
from uinet.tcp.syn_cache cimport SynEntry, drop, mark_entry, new_entry, receive_limit, receive_most
from uinet.wire.packet cimport Packet
from uinet.wire.segment cimport Segment

cdef unsigned int MASK32, ALWAYS, ACK, FIN, RST, SYN, NO_WSCALE
cdef unsigned char MODE_ACCURATE, MODE_NONE


@cython.locals(entry=SynEntry, wscale=cython.uint)
cpdef SynEntry entry_from_cookie(Context tcp, Listener listener, Packet packet, Segment seg)
@cython.locals(offset=cython.longlong, inside=bint, listener=Listener)
cpdef bint segment_for_entry(Context tcp, SynEntry entry, Packet packet, Segment seg) except -1
cpdef bint waits_for_data(Context tcp, SynEntry entry, Listener listener, Segment seg) except -1
cdef bint in_window_of(Context tcp, SynEntry entry, Segment seg) except -1
cpdef long long offset_in_window(SynEntry entry, Segment seg) except? -0x7FFFFFFF
