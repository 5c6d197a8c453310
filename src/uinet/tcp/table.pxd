cimport cython

from uinet.hashing cimport Buckets, Node
from uinet.ip.interface cimport Interface
from uinet.ip.neighbors cimport NextHop
from uinet.wire.kernels cimport hash5, hash_short

cdef unsigned int COPIED


cdef class Entry(Node):
    cdef public bytes vids
    cdef public unsigned long long laddr_hi, laddr_lo, raddr_hi, raddr_lo
    cdef public Interface interface
    cdef public bytes link_header
    cdef public NextHop next_hop
    cdef public unsigned int generation, cdom
    cdef public unsigned short lport, rport
    cdef public unsigned char ttl, tos, ecn, marks  # no gap before what follows
    cdef public object auth
    cdef blank_entry(self)
    cpdef copy_key(self, Entry other)


@cython.final
cdef class Table(Buckets):
    cdef bytes last_vids
    cdef unsigned long long last_laddr_hi, last_laddr_lo, last_raddr_hi, last_raddr_lo, last_hash
    cdef unsigned int last_cdom, last_lport, last_rport
    @cython.locals(high=cython.ulonglong, word=cython.ulonglong)
    cpdef unsigned long long hash_key(
        self, unsigned int cdom, bytes vids, unsigned long long laddr_hi, unsigned long long laddr_lo,
        unsigned int lport, unsigned long long raddr_hi, unsigned long long raddr_lo, unsigned int rport)
    @cython.locals(key=cython.ulonglong, entry=Entry)
    cpdef Entry find(
        self, unsigned int cdom, bytes vids, unsigned long long laddr_hi, unsigned long long laddr_lo,
        unsigned int lport, unsigned long long raddr_hi, unsigned long long raddr_lo, unsigned int rport)
    cpdef set_key(
        self, Entry entry, unsigned int cdom, bytes vids, unsigned long long laddr_hi, unsigned long long laddr_lo,
        unsigned int lport, unsigned long long raddr_hi, unsigned long long raddr_lo, unsigned int rport)
