from uinet.wire.judge cimport Judge
from uinet.wire.packet cimport Packet


cdef class FlowInput(Judge):
    cpdef bint segment(self, object interface, Packet packet) except -1
    cpdef passed(self, object interface, Py_ssize_t frames, Py_ssize_t octets)
    cpdef stranger(self, object interface, Packet packet)
    cpdef bint icmp_error(self, object interface, Packet packet) except -1
