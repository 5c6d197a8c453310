cimport cython

from uinet.wire.frame cimport Frame
from uinet.wire.kernels cimport (
    checksum, join2, load_u16, load_u32, next_option, store_bytes, store_u8, store_u16, store_u32,
)
from uinet.wire.packet cimport Packet
from uinet.wire.segment cimport Segment

cdef unsigned int ACK, KIND_NOP, KIND_SACK, KIND_TIMESTAMPS, MASK32
cdef unsigned char CHECKSUM_NEEDED
cdef Py_ssize_t TCP_CHECKSUM


cdef class Translation:
    cdef public unsigned int client_seq, server_seq, client_ts, server_ts
    cdef public unsigned int client_scale, client_told, server_scale, server_told
    cdef public bint sack
    @cython.locals(wide=cython.uint, told=cython.uint)
    cpdef unsigned int window(self, bint from_client, unsigned int field) except? 0xA5A5A5A5
    cpdef nearer(self, Segment seg)
    @cython.locals(data=bytes, l4=Py_ssize_t, size=Py_ssize_t, header=bytearray, seq=cython.uint, ack=cython.uint,
                   frame=Frame, old=cython.uint, new=cython.uint, field=cython.uint, rest=Py_ssize_t, out=bytes)
    cpdef Frame frame(self, Packet packet, Segment seg, bint from_client)
    @cython.locals(clock=cython.uint, echo=cython.uint, ack=cython.uint, option=cython.ulonglong,
                   kind=cython.uint, length=cython.uint, place=Py_ssize_t)
    cdef _options(self, bytearray header, bytes data, Py_ssize_t at, Py_ssize_t end, bint from_client)


cpdef unsigned int folded(unsigned int total) except? 0xA5A5A5A5
