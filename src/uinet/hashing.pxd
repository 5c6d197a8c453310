cimport cython

from uinet.wheel cimport Timer
from uinet.wire.kernels cimport prefetch


cdef class Node(Timer):
    cdef public unsigned long long hash
    cdef public Node hash_next
    cdef blank_node(self)


cdef class Buckets:
    cdef readonly unsigned long long k0, k1
    cdef readonly unsigned long long base
    cdef readonly Py_ssize_t count
    cdef readonly list heads
    @cython.locals(bucket=cython.ulonglong)
    cdef Py_ssize_t bucket(self, unsigned long long key)
    @cython.locals(bucket=Py_ssize_t, left=cython.int)
    cpdef insert(self, Node node)
    @cython.locals(bucket=Py_ssize_t, at=Node, before=Node, left=cython.int)
    cpdef bint remove(self, Node node)
    cpdef replace(self, Node old, Node new)
    @cython.locals(found=list, node=Node)
    cpdef list nodes(self)
    @cython.locals(new=Py_ssize_t, old=Py_ssize_t, mask=cython.ulonglong, node=Node, stays=Node, goes=Node,
                   following=Node)
    cdef _split(self)
    @cython.locals(last=Py_ssize_t, bucket=Py_ssize_t, node=Node, following=Node)
    cdef _join(self)
