cimport cython

from uinet.ip.interface cimport Interface
from uinet.wire.kernels cimport join
from uinet.wire.packet cimport Packet, is_mapped
from uinet.wire.segment cimport Segment

cdef unsigned int MASK32, MULTICAST_V4

@cython.locals(interface=Interface)
cpdef bint source_is_sound(Packet packet, Segment seg) except -1
@cython.locals(address=cython.uint)
cpdef bint is_single(unsigned long long high, unsigned long long low) except -1
