cimport cython

from uinet.aio.keeper cimport Keeper
from uinet.socket cimport Socket, accept_one
from uinet.socket_state cimport is_readable


cdef class Acceptor:
    cdef Keeper keeper
    cdef object factory, watched, complain, emptied
    cdef public set clients
    cdef public bint closed
    cdef serve(self, Socket sock)
