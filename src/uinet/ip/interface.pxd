from uinet.wire.frame cimport Frame


cdef class Interface:
    cdef public object network
    cdef public str name
    cdef public int index, layer
    cdef public bytes mac
    cdef public Py_ssize_t mtu, output_limit
    cdef public unsigned int cdom
    cdef public bint promiscuous, checksums, up, answer_any, loopback
    cdef public list answer_prefixes, addresses, output
    cdef public Interface bridge
    cdef public dict owned, broadcasts, groups
    cdef public unsigned long long rx_frames, rx_bytes, tx_frames, tx_bytes, tx_dropped, counted_frames, counted_bytes
    cpdef transmit(self, Frame frame)
    cpdef list take_output(self)
