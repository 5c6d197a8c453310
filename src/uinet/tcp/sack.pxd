cimport cython

from uinet.seq cimport seq_diff, seq_geq, seq_gt, seq_leq, seq_lt

cdef Py_ssize_t LIMIT


@cython.final
cdef class Scoreboard:
    cdef public list lefts
    cdef public list rights
    cdef public Py_ssize_t sacked
    cpdef clear(self)
    @cython.locals(low=Py_ssize_t, high=Py_ssize_t, held=Py_ssize_t, gained=Py_ssize_t, lefts=list, rights=list)
    cpdef bint add(self, unsigned int left, unsigned int right, unsigned int snd_una, unsigned int snd_nxt) except -1
    @cython.locals(left=cython.uint, right=cython.uint)
    cpdef advance(self, unsigned int snd_una)
    @cython.locals(count=Py_ssize_t, held=Py_ssize_t, index=Py_ssize_t)
    cpdef unsigned int lost_edge(self, unsigned int snd_una, unsigned int mss) except? 0xA5A5A5A5
    cpdef unsigned int highest(self, unsigned int snd_una) except? 0xA5A5A5A5
    @cython.locals(index=Py_ssize_t)
    cpdef unsigned int next_hole(self, unsigned int seq) except? 0xA5A5A5A5
    @cython.locals(index=Py_ssize_t)
    cpdef unsigned int hole_end(self, unsigned int seq, unsigned int limit) except? 0xA5A5A5A5
    @cython.locals(total=Py_ssize_t, left=cython.uint, right=cython.uint, index=Py_ssize_t)
    cpdef Py_ssize_t unsacked(self, unsigned int low, unsigned int high) except -1
