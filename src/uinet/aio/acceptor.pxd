cimport cython

from uinet.socket cimport Socket


cdef class Acceptor:
    cdef object factory, adopt, watched, complain, emptied
    cdef public set clients
    cdef public bint closed
    cdef serve(self, Socket sock)
