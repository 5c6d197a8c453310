cimport cython

from uinet.link.offload cimport fill_checksum, finish, locate, pseudo_sum
from uinet.wire.frame cimport Frame
from uinet.wire.kernels cimport load_u8, store_u16

cdef unsigned int CWR, TCP, TCP_CHECKSUM, UDP, UDP_CHECKSUM
cdef unsigned int F_NEEDS_CSUM, F_DATA_VALID, GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, GSO_ECN, MAX_DATAGRAMS
cdef unsigned char CHECKSUM_NEEDED, CHECKSUM_UNKNOWN, CHECKSUM_VALID

cpdef list decode(bytes header, bytes data, int layer)
@cython.locals(data=bytes, l3=Py_ssize_t, l4=Py_ssize_t, end=Py_ssize_t, protocol=cython.uint, header_end=Py_ssize_t,
               whole=bytearray)
cpdef tuple encode(Frame frame, int layer)
cpdef bytes segments(bytes data, Py_ssize_t l3, Py_ssize_t l4, Py_ssize_t header_end, Py_ssize_t gso_size)
@cython.locals(state=cython.uchar, frame=Frame)
cpdef list decode_fields(
    unsigned int flags, unsigned int gso_type, unsigned int gso_size, unsigned int start, unsigned int offset,
    bytes data, int layer)
