cimport cython

from uinet.wire.kernels cimport checksum, load_u8, load_u16, load_u32, next_option
from uinet.wire.packet cimport Packet

cdef unsigned int ACK, SYN, KIND_ACCECN0, KIND_ACCECN1
cdef unsigned int KIND_MSS, KIND_WSCALE, KIND_SACK_PERMITTED, KIND_SACK, KIND_TIMESTAMPS
cdef unsigned int KIND_MD5, KIND_AO, KIND_USER_TIMEOUT, KIND_FAST_OPEN
cdef unsigned int ALIGNED_TIMESTAMPS, NO_WSCALE, MAX_WSCALE, CHECKSUM_UNKNOWN
cdef int OK, SHORT, BAD_CHECKSUM


@cython.final
cdef class Segment:
    cdef public unsigned int source_port, destination_port, seq, ack, flags, window, urgent
    cdef public Py_ssize_t offset, length, options_offset, options_end
    cdef public unsigned int mss, wscale, tsval, tsecr
    cdef public bint sack_permitted, has_timestamps, signed
    cdef public int sack_count, signatures, cookie_length, user_timeout
    cdef public unsigned int signature_kind, signature_length
    cdef public Py_ssize_t signature_at, cookie_at
    cdef public list sacks
    cdef public unsigned int accecn_kind, ecn
    cdef public int accecn_length, accecn_first, accecn_second, accecn_third
    @cython.locals(data=bytes, l4=Py_ssize_t, size=Py_ssize_t, word=cython.uint, header_length=cython.uint)
    cpdef int parse(self, Packet packet) except -1
    cpdef read_options(self, bytes data, Py_ssize_t at, Py_ssize_t end)
    @cython.locals(option=cython.ulonglong, length=cython.uint)
    cdef _parse_options(self, bytes data, Py_ssize_t at, Py_ssize_t end)
    @cython.locals(shift=cython.uint, i=Py_ssize_t)
    cdef _parse_option(self, bytes data, Py_ssize_t at, unsigned int kind, unsigned int length)
    cdef int _counter(self, bytes data, Py_ssize_t at, Py_ssize_t end) except -2
