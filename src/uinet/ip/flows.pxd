from uinet.wire.packet cimport Packet


cdef class FlowInput:
    cpdef bint segment(self, object interface, Packet packet) except -1
    cpdef stranger(self, object interface, Packet packet)
    cpdef bint icmp_error(self, object interface, Packet packet) except -1
