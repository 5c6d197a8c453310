cimport cython

from uinet.wire.kernels cimport load_u32

cdef bytes SBOX
cdef tuple T0, T1, T2, T3
cdef unsigned int MASK32, HIGH
cdef int BLOCK, ROUNDS

cdef unsigned int substituted(unsigned int word) except? 0xA5A5A5A5
cdef unsigned int last_of(
    unsigned int a, unsigned int b, unsigned int c, unsigned int d, unsigned int key) except? 0xA5A5A5A5


@cython.final
cdef class Aes128:
    cdef tuple schedule
    cdef unsigned int a, b, c, d
    @cython.locals(k=tuple, a=cython.uint, b=cython.uint, c=cython.uint, d=cython.uint, e=cython.uint, f=cython.uint,
                   g=cython.uint, w=cython.uint, x=cython.uint, y=cython.uint, z=cython.uint, key=cython.uint,
                   row=Py_ssize_t)
    cpdef absorb(self, bytes data, Py_ssize_t at)
    cpdef object take(self)
    cpdef bytes encrypt(self, bytes block)

@cython.locals(cipher=Aes128, at=Py_ssize_t, whole=Py_ssize_t)
cpdef bytes cmac(bytes key, bytes message)
