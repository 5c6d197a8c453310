cimport cython

from uinet.ip.interface cimport Interface
from uinet.tcp.context cimport Context
from uinet.tcp.layout cimport transmit
from uinet.tcp.listener cimport Listener
from uinet.tcp.syn cimport Syn
from uinet.tcp.syn_answer cimport send_syn_ack
from uinet.tcp.syn_cache cimport SynEntry, file, make_room, prepare, unfile
from uinet.tcp.table cimport Entry

cdef unsigned int COPIED, PINNED
cdef object ACCEPT, ACCEPT_PASSIVE, BRIDGE, DEFER, REJECT_RST


cpdef redirect(Context tcp, Entry entry, Syn syn)
cpdef bint still_wanted(Context tcp, SynEntry entry) except -1
@cython.locals(syn=Syn)
cpdef defer(Context tcp, Listener listener, SynEntry entry, long long floor)
@cython.locals(listener=Listener, syn=Syn, kept=list)
cpdef decide(Context tcp, SynEntry entry, object verdict)
cpdef ask_filter(Context tcp, Listener listener, Syn syn)
