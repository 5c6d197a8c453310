cimport cython

from uinet.link.offload cimport locate_tcp, pseudo_sum
from uinet.seq cimport seq_gt
from uinet.wire.frame cimport Frame, SplitFrame, split_frame
from uinet.wire.kernels cimport checksum, collect, equal, load_u8, load_u16, load_u32, load_u64, store_u8, store_u16

cdef unsigned int ACK, CE, MASK32, PSH, TCP
cdef list NONE
cdef Py_ssize_t ETHERNET_HEADER, FIXED_IPV4, LARGEST, RUNS
cdef unsigned char CHECKSUM_NEEDED, CHECKSUM_UNKNOWN, CHECKSUM_VALID


@cython.final
cdef class Run:
    cdef public Frame first
    cdef public Py_ssize_t place, l4, head, each, total
    cdef public unsigned int seq
    cdef public list pieces


@cython.final
cdef class Coalescer:
    cdef public Py_ssize_t l3
    cdef public int layer
    cdef public bint verifies
    cdef public list runs, kept
    @cython.locals(frame=Frame, kept=list)
    cpdef list coalesce(self, list frames)
    @cython.locals(data=bytes, l4=Py_ssize_t, head=Py_ssize_t, length=Py_ssize_t, run=Run)
    cdef bint absorb(self, Frame frame) except -1
    @cython.locals(l3=Py_ssize_t, run=Run, first=bytes)
    cdef Run find(self, bytes data, Py_ssize_t l4)
    @cython.locals(l3=Py_ssize_t, end=Py_ssize_t, marks=cython.uint)
    cdef Py_ssize_t payload(self, bytes data, Py_ssize_t l4, Py_ssize_t head) except -2
    @cython.locals(l4=Py_ssize_t)
    cdef extend(self, Run run, bytes data, Py_ssize_t length)
    @cython.locals(l4=Py_ssize_t, first=bytes)
    cdef bint continues(self, Run run, bytes data, Py_ssize_t head, Py_ssize_t length) except -1
    @cython.locals(l4=Py_ssize_t)
    cdef bint renews(self, Run run, bytes data, Py_ssize_t head) except -1
    @cython.locals(l3=Py_ssize_t, l4=Py_ssize_t, first=bytes)
    cdef bint alike(self, Run run, bytes data, Py_ssize_t head) except -1
    @cython.locals(data=bytes, l3=Py_ssize_t)
    cdef bint sound(self, Frame frame, Py_ssize_t l4, Py_ssize_t end) except -1
    @cython.locals(l3=Py_ssize_t, first=bytes, last=bytes, header=bytearray, whole=SplitFrame)
    cdef close(self, Run run)
