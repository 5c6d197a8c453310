cimport cython

from uinet.ip.interface cimport Interface
from uinet.wire.frame cimport Frame
from uinet.wire.kernels cimport join, take
from uinet.wire.packet cimport Packet, is_mapped
from uinet.wire.segment cimport Segment

cdef unsigned int ETHERTYPE_IPV4, ETHERTYPE_IPV6, NO_WSCALE


cdef class Syn:
    cdef public Interface interface
    cdef public unsigned int cdom
    cdef public bytes frame, vids
    cdef public Frame original
    cdef public unsigned long long source_hi, source_lo, destination_hi, destination_lo
    cdef public unsigned short source_port, destination_port
    cdef public Py_ssize_t header_end, options_offset, options_end
    cdef public unsigned int mss, wscale, tsval, window
    cdef public bint sack_permitted, has_timestamps, asking
    cdef public object context, on_gone, entry, decide, early, patience
    cdef public long long active_after
    cdef public bytes answer_header
    cdef public Interface answer_interface
