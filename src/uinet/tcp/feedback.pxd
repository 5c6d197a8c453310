cimport cython

from uinet.tcp.accecn cimport AccEcn
from uinet.tcp.sent cimport Ack
from uinet.tcp.tcb cimport Tcb
from uinet.wire.kernels cimport store_u8, store_u16
from uinet.wire.segment cimport Segment

cdef unsigned int ACE_SHIFT, ACK, ECE, KIND_ACCECN0, KIND_ACCECN1, FIRST_CEP
cdef unsigned char CE, ECT_0, MODE_NONE, MODE_CLASSIC, MODE_ACCURATE
cdef long long ECN_NEVER, ECN_ASK, ECN_ACCURATE, MASK24, LONG_STRETCH, TIMESTAMPS_LENGTH, MOST_OPTIONS
cdef tuple HANDSHAKE_ACE

cpdef enter(Tcb tcb, unsigned int mode, unsigned int syn_ecn)
cpdef note_received(Tcb tcb, AccEcn accurate, unsigned int ecn, long long length)
@cython.locals(ace=cython.uint)
cpdef unsigned int feedback_flags(Tcb tcb, AccEcn accurate, unsigned int seq, long long length,
                                  bint sacks) except? 0xA5A5A5A5
@cython.locals(second=bint, fields=cython.longlong, size=cython.longlong, padded=cython.longlong, room=cython.longlong)
cpdef Py_ssize_t put_option(Tcb tcb, AccEcn accurate, bytearray scratch, Py_ssize_t at, long long used,
                            long long length) except -1
cpdef put_counter(bytearray scratch, Py_ssize_t at, unsigned long long value)
@cython.locals(first=cython.longlong, third=cython.longlong, marked=cython.longlong, news=cython.longlong)
cpdef long long take_option(AccEcn accurate, Segment seg) except? -2
@cython.locals(ace=cython.longlong, news=cython.longlong, packets=cython.longlong, marked=cython.longlong,
               safe=cython.longlong)
cpdef decode(Tcb tcb, AccEcn accurate, Segment seg, Ack ack)
@cython.locals(safe=cython.longlong)
cpdef long long wrapped(Tcb tcb, AccEcn accurate, long long news, long long packets, long long marked) except -1
