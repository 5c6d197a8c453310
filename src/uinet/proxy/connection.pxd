from uinet.socket cimport Socket
from uinet.tcp.syn cimport Syn
from uinet.wheel cimport Timer


cdef class Connection(Timer):
    cdef public object proxy, error, joint, codec
    cdef public unsigned long long serial, told_client_bytes, told_server_bytes
    cdef public Syn first, syn
    cdef public bint from_server
    cdef public str phase, outcome
    cdef public long long started, ended
    cdef public Socket client, server
