cimport cython

from uinet.tcp.table cimport Entry
from uinet.wire.kernels cimport hash5, load_u16

cdef unsigned int MASK32, TRIVIAL_ISN
cdef long long ISN_TICK, COOKIE_PERIOD
cdef tuple COOKIE_MSS
cdef unsigned int LARGEST


@cython.final
cdef class Secrets:
    cdef public unsigned long long k0, k1
    cdef unsigned long long begin_k0, begin_k1, cookie_k0, cookie_k1
    @cython.locals(k0=cython.ulonglong, k1=cython.ulonglong, value=cython.ulonglong, offset=Py_ssize_t,
                   ports=cython.uint)
    cpdef unsigned long long tuple_hash(
        self, Entry entry, unsigned long long purpose, unsigned long long extra) except? 0xA5A5A5A5
    cdef unsigned long long beginning(self, Entry entry) except? 0xA5A5A5A5
    cpdef unsigned int isn(self, Entry entry, long long now) except? 0xA5A5A5A5
    cpdef unsigned int timestamp_offset(self, Entry entry) except? 0xA5A5A5A5
    @cython.locals(index=cython.uint, most=cython.uint)
    cpdef unsigned int cookie(
        self, Entry entry, unsigned int irs, unsigned int mss, long long now) except? 0xA5A5A5A5
    @cython.locals(low=cython.ulonglong, mac=cython.ulonglong, turn=cython.uint)
    cdef unsigned int _cookie(
        self, Entry entry, unsigned int irs, unsigned int index, long long period) except? 0xA5A5A5A5
    @cython.locals(period=cython.longlong, index=cython.uint, age=cython.longlong)
    cpdef unsigned int check_cookie(
        self, Entry entry, unsigned int irs, unsigned int cookie, long long now) except? 0xA5A5A5A5
