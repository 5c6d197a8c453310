cimport cython

from uinet.wire.kernels cimport load_u8, load_u16, load_u32, store_u16, store_u32, take
from uinet.wire.packet cimport is_tpid

cdef unsigned int LINKTYPE_ETHERNET, LINKTYPE_IPV4, LINKTYPE_IPV6, LINKTYPE_LINUX_SLL, LINKTYPE_LINUX_SLL2
cdef unsigned int LINKTYPE_LOOP, LINKTYPE_NULL, LINKTYPE_RAW, DLT_RAW, DLT_RAW_OPENBSD
cdef unsigned int ETHERTYPE_IPV4, ETHERTYPE_IPV6, MPLS_UNICAST, MPLS_MULTICAST, PPPOE_SESSION, FIRST_ETHERTYPE
cdef unsigned int BOTTOM_OF_STACK, PPPOE_DATA, PPP_IPV4, PPP_IPV6, SNAP, OUI_RFC1042, OUI_BRIDGE_TUNNEL, FAMILY_IPV4
cdef unsigned int MAX_TAGS, CACHE_SIZE, ONE_VID, TWO_VIDS, MANY_VIDS
cdef Py_ssize_t ETHERNET_LENGTH, SLL_LENGTH, SLL2_LENGTH, FAMILY_LENGTH
cdef int FOUND, NO_IP, TOO_SHORT, TOO_DEEP

cdef bint is_family_ipv6(unsigned int family) noexcept


@cython.final
cdef class Layers:
    cdef public Py_ssize_t l3, wire, link_start, link_length
    cdef public unsigned int version, tags, named
    cdef public unsigned long long stack
    cdef public bytes vids, deeper
    cdef public list cache
    cdef public bytearray scratch
    cdef public dict long_stacks
    @cython.locals(code=cython.int)
    cpdef int walk(self, unsigned int link_type, bytes data, Py_ssize_t start, Py_ssize_t end,
                   Py_ssize_t wire) except -1
    @cython.locals(family=cython.uint)
    cdef int _bare(self, unsigned int link_type, bytes data, Py_ssize_t start, Py_ssize_t end) except -1
    @cython.locals(code=cython.int, word=cython.uint)
    cdef int _network(self, bytes data, Py_ssize_t at, Py_ssize_t end, unsigned int kind) except -1
    @cython.locals(label=cython.uint, word=cython.uint, nibble=cython.uint)
    cdef int _labels(self, bytes data, Py_ssize_t at, Py_ssize_t end) except -1
    @cython.locals(protocol=cython.uint, stop=Py_ssize_t)
    cdef int _session(self, bytes data, Py_ssize_t at, Py_ssize_t end) except -1
    @cython.locals(organization=cython.uint)
    cdef int _llc(self, bytes data, Py_ssize_t at, Py_ssize_t end) except -1
    cdef _tag(self, unsigned int vid)
    cdef unsigned int mark(self) noexcept
    @cython.locals(stack=cython.ulonglong, slot=Py_ssize_t, known=bytes, scratch=bytearray)
    cdef name_stack(self)
    cdef _name_long_stack(self)
