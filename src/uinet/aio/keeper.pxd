from uinet.socket cimport Socket


cdef class Keeper:
    cdef public object loop, on_left
    cdef public set transports
    cpdef adopt(self, Socket sock, object protocol, object on_lost)
    cpdef left(self, object transport)
