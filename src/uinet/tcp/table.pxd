cimport cython

from uinet.ip.interface cimport Interface
from uinet.ip.neighbors cimport NextHop
from uinet.wheel cimport Timer
from uinet.wire.kernels cimport hash5, load_u16


cdef class Entry(Timer):
    cdef public unsigned long long hash
    cdef public Entry hash_next
    cdef public bytes vids
    cdef public unsigned long long laddr_hi, laddr_lo, raddr_hi, raddr_lo
    cdef public Interface interface
    cdef public bytes link_header
    cdef public NextHop next_hop
    cdef public unsigned int generation, cdom
    cdef public unsigned short lport, rport
    cdef public unsigned char ttl, tos
    cpdef copy_key(self, Entry other)


@cython.final
cdef class Table:
    cdef readonly unsigned long long k0, k1
    cdef readonly unsigned long long base
    cdef readonly Py_ssize_t count
    cdef readonly list heads
    @cython.locals(high=cython.ulonglong, word=cython.ulonglong)
    cpdef unsigned long long hash_key(
        self, unsigned int cdom, bytes vids, unsigned long long laddr_hi, unsigned long long laddr_lo,
        unsigned int lport, unsigned long long raddr_hi, unsigned long long raddr_lo, unsigned int rport)
    @cython.locals(value=cython.ulonglong, offset=Py_ssize_t)
    cdef unsigned long long _hash_vids(self, bytes vids)
    @cython.locals(key=cython.ulonglong, entry=Entry)
    cpdef Entry find(
        self, unsigned int cdom, bytes vids, unsigned long long laddr_hi, unsigned long long laddr_lo,
        unsigned int lport, unsigned long long raddr_hi, unsigned long long raddr_lo, unsigned int rport)
    cpdef set_key(
        self, Entry entry, unsigned int cdom, bytes vids, unsigned long long laddr_hi, unsigned long long laddr_lo,
        unsigned int lport, unsigned long long raddr_hi, unsigned long long raddr_lo, unsigned int rport)
    @cython.locals(bucket=cython.ulonglong)
    cdef Py_ssize_t _bucket(self, unsigned long long key)
    @cython.locals(bucket=Py_ssize_t)
    cpdef insert(self, Entry entry)
    @cython.locals(bucket=Py_ssize_t, at=Entry, before=Entry)
    cpdef bint remove(self, Entry entry)
    cpdef replace(self, Entry old, Entry new)
    @cython.locals(new=Py_ssize_t, old=Py_ssize_t, mask=cython.ulonglong, entry=Entry, stays=Entry, goes=Entry,
                   following=Entry)
    cdef _split(self)
    @cython.locals(last=Py_ssize_t, bucket=Py_ssize_t, entry=Entry, following=Entry)
    cdef _join(self)
