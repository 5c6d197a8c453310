cimport cython

from uinet.ip.interface cimport Interface
from uinet.tcp.context cimport Context
from uinet.tcp.layout cimport begin, transmit
from uinet.tcp.table cimport Entry
from uinet.wire.packet cimport Packet
from uinet.wire.segment cimport Segment

cdef unsigned int ACK, FIN, RST, SYN
cdef long long SECOND

@cython.locals(interface=Interface)
cpdef path_back(Context context, Entry entry, Packet packet, Segment seg)


@cython.final
cdef class RstLimit:
    cdef public long long tokens, filled_at
    @cython.locals(rate=cython.longlong, gained=cython.longlong)
    cpdef bint allow(self, Context context) except -1


@cython.locals(entry=Entry)
cpdef reset_for(Context context, Packet packet, Segment seg, object auth=*)
@cython.locals(at=Py_ssize_t, length=cython.uint)
cpdef send_reset(Context context, Entry entry, Segment seg)
