from uinet.bridging.flow cimport BridgedFlow
from uinet.socket cimport Socket
from uinet.tcp.syn cimport Syn
from uinet.wheel cimport Timer


cdef class Connection(Timer):
    cdef public object proxy, error, joint, codec
    cdef public unsigned long long serial, told_client_bytes, told_server_bytes
    cdef public Syn first, syn
    cdef public bint from_server, only_to_take_over, recorded
    cdef public str phase, outcome, wanted, refusal
    cdef public long long started, ended, give_up_at
    cdef public BridgedFlow bridged
    cdef public list changes
    cdef public tuple squeezed
    cdef public Socket client, server
    cdef public tuple told_serials
