cimport cython

from uinet.batch cimport Batches
from uinet.ip.interface cimport Interface
from uinet.socket cimport Socket, new_socket, open_onward
from uinet.tcp.config cimport Config
from uinet.tcp.syn cimport Syn
from uinet.wire.packet cimport is_mapped


cdef class Stack(Batches):
    cdef public object dhcp, on_link_event, on_control
    cdef public list link_watchers
    cdef public dict _domains
    cdef public bint simulated
    cdef tuple _config
    @cython.locals(sock=Socket)
    cpdef Socket connect_onward(self, Syn syn, Interface interface)
    cpdef Config promiscuous_config(self, unsigned int cdom)
