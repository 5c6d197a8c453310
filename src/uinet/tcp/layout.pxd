cimport cython

from uinet.ip.interface cimport Interface
from uinet.ip.neighbors cimport NextHop
from uinet.ip.network cimport Network, Route
from uinet.tcp.context cimport Context
from uinet.tcp.table cimport Entry
from uinet.wire.frame cimport LargeFrame, gathered, new_frame
from uinet.wire.kernels cimport (
    checksum, join, join2, put_tcp, put_v4, put_v6, store_bytes, store_u16, store_u32, summed, take,
)
from uinet.wire.packet cimport is_mapped

cdef unsigned int MASK32, NOP_NOP_TIMESTAMPS, PROTO_TCP
cdef unsigned char CHECKSUM_NEEDED, CHECKSUM_UNKNOWN, CHECKSUM_VALID
cdef unsigned int COPY_TX, FRAGMENTS, PINNED
cdef int STATIC
cdef bytes EMPTY

cpdef bint is_v4(Entry entry)
cpdef Py_ssize_t headers_length(Entry entry)
@cython.locals(network=Network, route=Route)
cpdef bint find_path(Context context, Entry entry) except -1
@cython.locals(network=Network)
cpdef Route route_of(Context context, Entry entry)
@cython.locals(hop=NextHop, header=bytes)
cpdef Py_ssize_t begin(Context context, Entry entry) except -2
@cython.locals(hop=NextHop)
cpdef NextHop unresolved(Entry entry, Py_ssize_t at)
@cython.locals(scratch=bytearray, header=Py_ssize_t, l4=Py_ssize_t, pseudo=cython.uint, interface=Interface,
               state=cython.uchar, packet=bytes, hop=NextHop)
cpdef transmit(
    Context context, Entry entry, Py_ssize_t at, unsigned int seq, unsigned int ack, unsigned int flags,
    unsigned int window, Py_ssize_t options, object source, Py_ssize_t offset, Py_ssize_t length)
@cython.locals(scratch=bytearray, header=Py_ssize_t, l4=Py_ssize_t, pseudo=cython.uint, interface=Interface,
               frame=LargeFrame, hop=NextHop, count=Py_ssize_t)
cpdef transmit_large(
    Context context, Entry entry, Py_ssize_t at, unsigned int seq, unsigned int ack, unsigned int flags,
    unsigned int window, Py_ssize_t options, list pieces, Py_ssize_t length, Py_ssize_t segment)
@cython.locals(scratch=bytearray, size=Py_ssize_t, l4=Py_ssize_t, pseudo=cython.uint, tos=cython.uint,
               ports=cython.uint)
cpdef unsigned int put_headers(
    Context context, Entry entry, Py_ssize_t at, unsigned int seq, unsigned int ack, unsigned int flags,
    unsigned int window, Py_ssize_t header, Py_ssize_t length) except? 0xA5A5A5A5
@cython.locals(scratch=bytearray, source=bytes, destination=bytes, identification=cython.uint)
cdef allow_fragments(Context context, Entry entry, Py_ssize_t at, Py_ssize_t count)
cpdef Py_ssize_t put_timestamps(bytearray scratch, Py_ssize_t at, unsigned int tsval, unsigned int tsecr) except -1
cpdef Py_ssize_t put_syn_options(
    bytearray scratch, Py_ssize_t at, unsigned int mss, int wscale, bint sack, bint timestamps, unsigned int tsval,
    unsigned int tsecr) except -1
@cython.locals(mss=Py_ssize_t)
cpdef Py_ssize_t mss_within(Entry entry, Py_ssize_t limit) except -1
@cython.locals(mtu=Py_ssize_t)
cpdef Py_ssize_t mss_to_offer(Entry entry) except -1
