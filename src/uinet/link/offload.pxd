cimport cython

from uinet.wire.frame cimport Frame
from uinet.wire.kernels cimport checksum, join2, load_u8, load_u16, load_u32, store_u8, store_u16, store_u32

cdef unsigned int CWR, ETHERTYPE_IPV4, ETHERTYPE_IPV6, FIN, PSH, TCP, TCP_CHECKSUM, UDP, UDP_CHECKSUM, MASK32
cdef Py_ssize_t ETHERNET_HEADER, MAX_TAGS, _MAX_EXTENSION_HEADERS
cdef unsigned char CHECKSUM_NEEDED, CHECKSUM_VALID

@cython.locals(l3=Py_ssize_t, l4=Py_ssize_t, end=Py_ssize_t, protocol=cython.uint, start=Py_ssize_t, field=Py_ssize_t)
cpdef list finish(Frame frame, int layer, bint checksums=*)
cpdef Frame complete(Frame frame, int layer)
@cython.locals(total=cython.uint, whole=bytearray)
cpdef bytes fill_checksum(bytes data, Py_ssize_t start, Py_ssize_t end, Py_ssize_t field)
@cython.locals(l3=Py_ssize_t, size=Py_ssize_t, version=cython.uint)
cpdef tuple locate(bytes data, int layer)
@cython.locals(size=Py_ssize_t, l3=Py_ssize_t, l4=Py_ssize_t, ethertype=cython.uint, version=cython.uint)
cpdef Py_ssize_t locate_tcp(bytes data, int layer) except -2
@cython.locals(size=Py_ssize_t, offset=Py_ssize_t, ethertype=cython.uint)
cpdef Py_ssize_t skip_link_header(bytes data) except -2
@cython.locals(header=Py_ssize_t, end=Py_ssize_t, fragment=cython.uint)
cdef tuple _locate_ipv4(bytes data, Py_ssize_t l3, Py_ssize_t size)
@cython.locals(end=Py_ssize_t, protocol=cython.uint, l4=Py_ssize_t)
cdef tuple _locate_ipv6(bytes data, Py_ssize_t l3, Py_ssize_t size)
@cython.locals(header=Py_ssize_t)
cdef tuple _locate_transport(bytes data, Py_ssize_t l3, Py_ssize_t l4, Py_ssize_t end, unsigned int protocol)
@cython.locals(addresses=cython.uint)
cpdef unsigned int pseudo_sum(
    bytes data, Py_ssize_t l3, Py_ssize_t l4, unsigned int protocol, Py_ssize_t length) except? 0xA5A5A5A5
cpdef unsigned int fold(unsigned int total) except? 0xA5A5A5A5
@cython.locals(data=bytes, size=Py_ssize_t, header=bytearray, ipv4=bint, identification=cython.uint, field=Py_ssize_t,
               length=Py_ssize_t, pseudo=cython.uint, state=cython.uchar, frames=list, offset=Py_ssize_t,
               piece=Py_ssize_t, total=cython.uint)
cdef list _cut(
    Frame frame, Py_ssize_t l3, Py_ssize_t l4, Py_ssize_t start, Py_ssize_t end, unsigned int protocol, bint checksums)
@cython.locals(flags=cython.uint)
cdef _tcp_header(bytearray header, bytes data, Py_ssize_t l4, Py_ssize_t sent, bint last)
cdef _ipv4_header(bytearray header, Py_ssize_t l3, Py_ssize_t length, unsigned int identification)
