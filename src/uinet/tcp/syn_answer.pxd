cimport cython

from uinet.tcp.context cimport Context
from uinet.tcp.layout cimport begin, headers_length, mss_within, put_syn_options, transmit
from uinet.tcp.syn_cache cimport SynEntry, drop, receive_limit, segment_limit

cdef unsigned int MASK32, ACK, ECE, RST, SYN, NO_WSCALE, ACE_SHIFT
cdef unsigned char MODE_ACCURATE, MODE_CLASSIC
cdef long long MILLISECOND
cdef bytes EMPTY


@cython.locals(scratch=bytearray, at=Py_ssize_t, options=Py_ssize_t, tsval=cython.uint,
               wscale=cython.int, size=Py_ssize_t, window=cython.longlong, flags=cython.uint)
cpdef send_syn_ack(Context tcp, SynEntry entry)
cpdef unsigned int ecn_of_syn_ack(SynEntry entry) except? 0xA5A5A5A5
cpdef entry_due(Context tcp, SynEntry entry)
