cimport cython

from uinet.ip.interface cimport Interface, hop_limit
from uinet.tcp.config cimport Config, largest_buffer, first_window
from uinet.tcp.context cimport Context
from uinet.tcp.isn cimport Secrets
from uinet.tcp.layout cimport begin, headers_length, is_v4, mss_within, put_syn_options, transmit
from uinet.tcp.listener cimport Listener
from uinet.tcp.negotiate cimport scale_for
from uinet.tcp.settings cimport Settings
from uinet.tcp.table cimport Entry
from uinet.wire.packet cimport Packet
from uinet.wire.segment cimport Segment

cdef unsigned int MASK32, ACK, SYN, PINNED
cdef int NO_WSCALE
cdef long long COOKIE_GRACE, MILLISECOND
cdef bytes EMPTY

@cython.locals(settings=Settings)
cpdef bint flooded(Context context, Listener listener) except -1
@cython.locals(entry=Entry, interface=Interface, config=Config)
cpdef answer_flood(Context context, Listener listener, Packet packet, Segment seg)
@cython.locals(settings=Settings, config=Config, window=cython.longlong, scale=cython.int, now=cython.longlong,
               at=Py_ssize_t, tsval=cython.uint, offset=cython.uint, options=Py_ssize_t, size=Py_ssize_t,
               cookie=cython.uint)
cpdef send_cookie(
    Context context, Listener listener, Entry entry, unsigned int irs, unsigned int peer_mss, int wscale, bint sack,
    bint timestamps, unsigned int tsecr)
