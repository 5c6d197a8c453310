from uinet.tcp.tcb cimport Tcb


cdef class Socket:  # from wide to narrow: no gaps, as there may be a million
    cdef object __weakref__
    cdef public object stack, config, place, on_event, user_context
    cdef public Tcb tcb
    cdef public unsigned short events
    cdef public unsigned char family, type
    cdef public unsigned char shared, listed, closed, ready_queued
