cimport cython

from uinet.wheel cimport Timer
from uinet.wire.kernels cimport prefetch, prefetch_slot

cdef unsigned long long EVERY_1, EVERY_2, EVERY_4, EVERY_8, EVERY_16, MASK32, MASK64


cdef Py_ssize_t PIECE, PIECE_BITS


cdef class Node(Timer):
    cdef public unsigned long long hash
    cdef public Node hash_next
    cdef blank_node(self)


cdef class Buckets:
    cdef readonly unsigned long long k0, k1
    cdef readonly unsigned long long base
    cdef readonly Py_ssize_t count
    cdef readonly Py_ssize_t size
    cdef readonly list pieces
    @cython.locals(piece=list)
    cdef Node head(self, Py_ssize_t bucket)
    @cython.locals(piece=list)
    cdef set_head(self, Py_ssize_t bucket, Node node)
    @cython.locals(piece=list)
    cdef int warm_slot(self, Py_ssize_t bucket) except -1
    @cython.locals(piece=list)
    cdef int warm_head(self, Py_ssize_t bucket) except -1
    @cython.locals(bucket=cython.ulonglong)
    cdef Py_ssize_t bucket(self, unsigned long long key)
    @cython.locals(bucket=Py_ssize_t, left=cython.int)
    cpdef insert(self, Node node)
    @cython.locals(bucket=Py_ssize_t, at=Node, before=Node, left=cython.int)
    cpdef bint remove(self, Node node)
    cpdef replace(self, Node old, Node new)
    @cython.locals(found=list, node=Node, piece=list)
    cpdef list nodes(self)
    @cython.locals(new=Py_ssize_t, old=Py_ssize_t, mask=cython.ulonglong, node=Node, stays=Node, goes=Node,
                   following=Node)
    cdef _split(self)
    @cython.locals(piece=list)
    cdef _append(self, Node head)
    @cython.locals(piece=list, head=Node)
    cdef Node _pop(self)
    @cython.locals(last=Py_ssize_t, bucket=Py_ssize_t, node=Node, following=Node)
    cdef _join(self)


cdef class Walk:
    cdef readonly Buckets table
    cdef readonly unsigned long long position
    cdef readonly bint done
    @cython.locals(found=list, table=Buckets, position=cython.ulonglong, bucket=cython.ulonglong,
                   size=cython.ulonglong, last=cython.ulonglong, node=Node)
    cpdef list step(self, Py_ssize_t buckets)


cpdef unsigned long long reverse(unsigned long long bits)
