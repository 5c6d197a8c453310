from uinet.hashing cimport Node
from uinet.ip.interface cimport Interface

cdef int PASS


cdef class BridgedFlow(Node):
    cdef public object table, track, translation, client_offer, server_offer, connection, waiting
    cdef public Interface near, far
    cdef public bytes vids, header
    cdef public unsigned long long client_hi, client_lo, server_hi, server_lo
    cdef public unsigned short client_port, server_port
    cdef public unsigned char state, ends
    cdef public bint seen
    cdef public long long last, client_fin, server_fin
    cdef public unsigned long long client_frames, client_octets, server_frames, server_octets
    cdef public BridgedFlow ring_next, ring_previous
