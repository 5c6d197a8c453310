"""Loads, stores, checksum, copy: the only code of the package that touches raw memory.

Every access stands behind a length check that raises ``IndexError``: callers check lengths first, so an
``IndexError`` from here is a bug in the caller and never the answer to a malformed packet. ``kernels.py`` is
the interpreted twin; a property test holds the two against each other.
"""

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_CheckExact, PyByteArray_GET_SIZE, PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.list cimport PyList_GET_SIZE
from cpython.ref cimport PyObject
from libc.string cimport memcmp, memcpy, memmove, memset

cdef extern from "Python.h":
    void *PyMem_RawMalloc(size_t size)
    void PyMem_RawFree(void *block)

cdef enum:
    LARGE_BLOCK = 16 << 20  # bytes: the windows of two fast connections, and a batch

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    #if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__GLIBC__)
    #define UINET_CLONES __attribute__((target_clones("avx2", "default"), optimize("O3")))
    #elif defined(__GNUC__) && !defined(__clang__)
    #define UINET_CLONES __attribute__((optimize("O3")))
    #else
    #define UINET_CLONES
    #endif

    /* RFC 1071: the sum may be taken over words of any size in any byte order and folded at the end. */
    UINET_CLONES static uint64_t uinet_sum32(const unsigned char *p, size_t words)
    {
        uint64_t sum = 0;
        for (size_t i = 0; i < words; i++) {
            uint32_t w;
            memcpy(&w, p + 4 * i, 4);
            sum += w;
        }
        return sum;
    }

    /* The same while it is copied: in one pass. */
    UINET_CLONES static uint64_t uinet_copy_sum32(
        unsigned char *restrict to, const unsigned char *restrict p, size_t words)
    {
        uint64_t sum = 0;
        for (size_t i = 0; i < words; i++) {
            uint32_t w;
            memcpy(&w, p + 4 * i, 4);
            memcpy(to + 4 * i, &w, 4);
            sum += w;
        }
        return sum;
    }

    /* Of `n` bytes whose whole words have the sum `sum`; the tail is that of `p`. */
    static uint32_t uinet_folded(uint64_t sum, const unsigned char *p, size_t n, uint32_t initial)
    {
        uint32_t tail = 0;
        if (n & 3)
            memcpy(&tail, p + (n & ~(size_t)3), n & 3);
        sum += tail;
        sum = (sum & 0xffffffffu) + (sum >> 32);
        sum = (sum & 0xffffffffu) + (sum >> 32);
        sum = (sum & 0xffffu) + (sum >> 16);
        sum = (sum & 0xffffu) + (sum >> 16);
        sum = (sum & 0xffffu) + (sum >> 16);
    #if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        sum = ((sum & 0xff) << 8) | (sum >> 8);
    #endif
        sum += initial;
        sum = (sum & 0xffffu) + (sum >> 16);
        sum = (sum & 0xffffu) + (sum >> 16);
        return (uint32_t)sum;
    }

    /* Of few words: without the vectors' beginning and end. */
    static uint64_t uinet_few32(const unsigned char *p, size_t words)
    {
        uint64_t sum = 0;
        for (size_t i = 0; i < words; i++) {
            uint32_t w;
            memcpy(&w, p + 4 * i, 4);
            sum += w;
        }
        return sum;
    }

    static uint32_t uinet_checksum(const unsigned char *p, size_t n, uint32_t initial)
    {
        if (n <= 64)
            return uinet_folded(uinet_few32(p, n / 4), p, n, initial);
        return uinet_folded(uinet_sum32(p, n / 4), p, n, initial);
    }

    static uint32_t uinet_copy_checksum(unsigned char *to, const unsigned char *p, size_t n, uint32_t initial)
    {
        uint64_t sum = uinet_copy_sum32(to, p, n / 4);
        size_t whole = n & ~(size_t)3;
        memcpy(to + whole, p + whole, n - whole);
        return uinet_folded(sum, p, n, initial);
    }

    static uint32_t uinet_halves(uint32_t v) { return (v >> 16) + (v & 0xffffu); }

    static void uinet_prefetch_line(const void *p)
    {
    #if defined(__GNUC__)
        __builtin_prefetch(p);
    #else
        (void)p;
    #endif
    }

    /* An object of up to 256 bytes and the collector's header before it. */
    static void uinet_prefetch(const void *p)
    {
    #if defined(__GNUC__)
        const char *at = (const char *)p - 16;
        __builtin_prefetch(at);
        __builtin_prefetch(at + 64);
        __builtin_prefetch(at + 128);
        __builtin_prefetch(at + 192);
    #else
        (void)p;
    #endif
    }

    static uint32_t uinet_load16(const unsigned char *p) { return (uint32_t)p[0] << 8 | p[1]; }
    static uint32_t uinet_load32(const unsigned char *p) {
        return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    }
    static uint64_t uinet_load64(const unsigned char *p) {
        return (uint64_t)uinet_load32(p) << 32 | uinet_load32(p + 4);
    }
    static uint32_t uinet_load16_le(const unsigned char *p) { return (uint32_t)p[1] << 8 | p[0]; }
    static uint32_t uinet_load32_le(const unsigned char *p) {
        return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
    }
    static void uinet_store16(unsigned char *p, uint32_t v) { p[0] = v >> 8; p[1] = v; }
    static void uinet_store32(unsigned char *p, uint32_t v) { p[0] = v >> 24; p[1] = v >> 16; p[2] = v >> 8; p[3] = v; }
    static void uinet_store64(unsigned char *p, uint64_t v) { uinet_store32(p, v >> 32); uinet_store32(p + 4, v); }

    #define UINET_ROTL(x, b) (uint64_t)(((x) << (b)) | ((x) >> (64 - (b))))
    #define UINET_SIPROUND do { \
        v0 += v1; v1 = UINET_ROTL(v1, 13); v1 ^= v0; v0 = UINET_ROTL(v0, 32); \
        v2 += v3; v3 = UINET_ROTL(v3, 16); v3 ^= v2; \
        v0 += v3; v3 = UINET_ROTL(v3, 21); v3 ^= v0; \
        v2 += v1; v1 = UINET_ROTL(v1, 17); v1 ^= v2; v2 = UINET_ROTL(v2, 32); } while (0)

    /* SipHash-1-3 of five 64-bit words (Aumasson and Bernstein 2012). */
    static unsigned long long uinet_siphash5(
        unsigned long long k0, unsigned long long k1, const unsigned long long *m)
    {
        uint64_t v0 = k0 ^ 0x736f6d6570736575ull, v1 = k1 ^ 0x646f72616e646f6dull;
        uint64_t v2 = k0 ^ 0x6c7967656e657261ull, v3 = k1 ^ 0x7465646279746573ull;
        for (int i = 0; i < 5; i++) {
            v3 ^= m[i]; UINET_SIPROUND; v0 ^= m[i];
        }
        uint64_t last = (uint64_t)40 << 56;
        v3 ^= last; UINET_SIPROUND; v0 ^= last;
        v2 ^= 0xff;
        UINET_SIPROUND; UINET_SIPROUND; UINET_SIPROUND;
        return v0 ^ v1 ^ v2 ^ v3;
    }
    """
    unsigned int uinet_checksum(const unsigned char *p, size_t n, unsigned int initial) noexcept nogil
    unsigned int uinet_copy_checksum(
        unsigned char *to, const unsigned char *p, size_t n, unsigned int initial) noexcept nogil
    unsigned int uinet_halves(unsigned int v) noexcept nogil
    void uinet_prefetch(const void *p) noexcept nogil
    void uinet_prefetch_line(const void *p) noexcept nogil
    unsigned int uinet_load16(const unsigned char *p) noexcept nogil
    unsigned int uinet_load32(const unsigned char *p) noexcept nogil
    unsigned long long uinet_load64(const unsigned char *p) noexcept nogil
    unsigned int uinet_load16_le(const unsigned char *p) noexcept nogil
    unsigned int uinet_load32_le(const unsigned char *p) noexcept nogil
    void uinet_store16(unsigned char *p, unsigned int v) noexcept nogil
    void uinet_store32(unsigned char *p, unsigned int v) noexcept nogil
    void uinet_store64(unsigned char *p, unsigned long long v) noexcept nogil
    unsigned long long uinet_siphash5(
        unsigned long long k0, unsigned long long k1, const unsigned long long *m) noexcept nogil

cdef extern from "Python.h":
    ctypedef struct PyListObject:
        PyObject **ob_item
    PyObject *PyList_GET_ITEM(list, Py_ssize_t)
    void PyObject_GC_Track(object)
    void PyObject_GC_UnTrack(object)
    int PyObject_GC_IsTracked(object)
    int PyObject_IS_GC(object)


cdef int out_of_range(Py_ssize_t offset, Py_ssize_t length, Py_ssize_t size) except -1:
    raise IndexError(f"{length} bytes at {offset} of {size}")


cdef unsigned char *readable(object data, Py_ssize_t offset, Py_ssize_t length) except NULL:
    """The address of `length` bytes at `offset` of a bytes or a bytearray, after checking that they are there."""
    cdef Py_ssize_t size
    cdef unsigned char *base
    if PyBytes_CheckExact(data):
        base = <unsigned char *>PyBytes_AS_STRING(data)
        size = PyBytes_GET_SIZE(data)
    elif PyByteArray_CheckExact(data):
        base = <unsigned char *>PyByteArray_AS_STRING(data)
        size = PyByteArray_GET_SIZE(data)
    else:
        raise TypeError(f"want bytes or bytearray, not {type(data).__name__}")
    if offset < 0 or length < 0 or length > size or offset > size - length:
        out_of_range(offset, length, size)
    return base + offset


cdef inline unsigned char *writable(bytearray data, Py_ssize_t offset, Py_ssize_t length) except NULL:
    cdef Py_ssize_t size = PyByteArray_GET_SIZE(data) if data is not None else len(data)
    if offset < 0 or length < 0 or length > size or offset > size - length:
        out_of_range(offset, length, size)
    return <unsigned char *>PyByteArray_AS_STRING(data) + offset


cpdef unsigned int load_u8(bytes data, Py_ssize_t offset) except? 0xA5:
    """The byte at `offset`."""
    if data is None or offset < 0 or offset >= PyBytes_GET_SIZE(data):
        out_of_range(offset, 1, len(data))
    return (<unsigned char *>PyBytes_AS_STRING(data))[offset]


cpdef unsigned int load_u16(bytes data, Py_ssize_t offset) except? 0xA5A5:
    """The big-endian 16-bit integer at `offset`."""
    if data is None or offset < 0 or offset > PyBytes_GET_SIZE(data) - 2:
        out_of_range(offset, 2, len(data))
    return uinet_load16(<unsigned char *>PyBytes_AS_STRING(data) + offset)


cpdef unsigned int load_u32(bytes data, Py_ssize_t offset) except? 0xA5A5A5A5:
    """The big-endian 32-bit integer at `offset`."""
    if data is None or offset < 0 or offset > PyBytes_GET_SIZE(data) - 4:
        out_of_range(offset, 4, len(data))
    return uinet_load32(<unsigned char *>PyBytes_AS_STRING(data) + offset)


cpdef unsigned long long load_u64(bytes data, Py_ssize_t offset) except? 0xA5A5A5A5A5A5A5A5:
    """The big-endian 64-bit integer at `offset`."""
    if data is None or offset < 0 or offset > PyBytes_GET_SIZE(data) - 8:
        out_of_range(offset, 8, len(data))
    return uinet_load64(<unsigned char *>PyBytes_AS_STRING(data) + offset)


cpdef unsigned int load_u16_le(bytes data, Py_ssize_t offset) except? 0xA5A5:
    """The little-endian 16-bit integer at `offset`."""
    if data is None or offset < 0 or offset > PyBytes_GET_SIZE(data) - 2:
        out_of_range(offset, 2, len(data))
    return uinet_load16_le(<unsigned char *>PyBytes_AS_STRING(data) + offset)


cpdef unsigned int load_u32_le(bytes data, Py_ssize_t offset) except? 0xA5A5A5A5:
    """The little-endian 32-bit integer at `offset`."""
    if data is None or offset < 0 or offset > PyBytes_GET_SIZE(data) - 4:
        out_of_range(offset, 4, len(data))
    return uinet_load32_le(<unsigned char *>PyBytes_AS_STRING(data) + offset)


cpdef unsigned long long next_option(bytes data, Py_ssize_t at, Py_ssize_t end) except? 0xA5A5A5A5A5A5A5A5:
    """The first TCP option that is no padding (RFC 9293, 3.2), from `at` on, of a list that ends at `end`: its place
    << 16, its kind << 8 and its length in one number. 0 if there is none, or it is malformed: nothing after it can be
    read then."""
    cdef const unsigned char *option
    cdef unsigned int length
    if at >= end:
        return 0
    if data is None or at < 0 or end > PyBytes_GET_SIZE(data):
        out_of_range(at, end - at, len(data))
    option = <const unsigned char *>PyBytes_AS_STRING(data) + at
    while option[0] == 1:  # NOP
        at += 1
        if at == end:
            return 0
        option += 1
    if option[0] == 0 or end - at < 2:  # the end of the list; no room for a length
        return 0
    length = option[1]
    if length < 2 or length > <size_t>(end - at):
        return 0
    return <unsigned long long>at << 16 | uinet_load16(option)


cpdef int store_u8(bytearray data, Py_ssize_t offset, unsigned int value) except -1:
    """Stores the low 8 bits of `value` at `offset`."""
    writable(data, offset, 1)[0] = <unsigned char>value
    return 0


cpdef int store_u16(bytearray data, Py_ssize_t offset, unsigned int value) except -1:
    """Stores the low 16 bits of `value`, big-endian, at `offset`."""
    uinet_store16(writable(data, offset, 2), value)
    return 0


cpdef int store_u32(bytearray data, Py_ssize_t offset, unsigned int value) except -1:
    """Stores `value`, 32 bits big-endian, at `offset`."""
    uinet_store32(writable(data, offset, 4), value)
    return 0


cpdef int store_u64(bytearray data, Py_ssize_t offset, unsigned long long value) except -1:
    """Stores `value`, 64 bits big-endian, at `offset`."""
    uinet_store64(writable(data, offset, 8), value)
    return 0


cpdef int store_bytes(bytearray target, Py_ssize_t at, object source, Py_ssize_t offset, Py_ssize_t length) except -1:
    """Copies `length` bytes from `source` (bytes or bytearray) at `offset` over those of `target` at `at`."""
    if length == 0:
        return 0
    memmove(writable(target, at, length), readable(source, offset, length), length)
    return 0


cpdef unsigned int checksum(object data, Py_ssize_t offset, Py_ssize_t length, unsigned int initial) except? 0x1A5A5:
    """The 16-bit ones' complement sum (RFC 1071) of `length` bytes at `offset`, added to `initial`.

    Not inverted. An odd last byte counts as the high half of a word, so only the last piece of a sum may
    have an odd length. `initial` may be any 32-bit sum of 16-bit words.
    """
    if length == 0:
        initial = (initial & 0xffff) + (initial >> 16)
        return (initial & 0xffff) + (initial >> 16)
    return uinet_checksum(readable(data, offset, length), length, (initial & 0xffff) + (initial >> 16))


cpdef bytes take(object source, Py_ssize_t offset, Py_ssize_t length):
    """A copy of `length` bytes at `offset`; `source` itself if it is a bytes object and all of it is wanted."""
    cdef unsigned char *base = readable(source, offset, length)
    if offset == 0 and PyBytes_CheckExact(source) and length == PyBytes_GET_SIZE(source):
        return source
    return PyBytes_FromStringAndSize(<char *>base, length)


cpdef bytes join(unsigned long long hi, unsigned long long lo):
    """The packed address of two 64-bit halves: 4 bytes if it is IPv4-mapped, else 16."""
    cdef unsigned char packed[16]
    uinet_store32(packed + 12, <unsigned int>lo)
    if hi == 0 and lo >> 32 == 0xFFFF:
        return PyBytes_FromStringAndSize(<char *>packed + 12, 4)
    uinet_store32(packed + 8, <unsigned int>(lo >> 32))
    uinet_store32(packed + 4, <unsigned int>hi)
    uinet_store32(packed, <unsigned int>(hi >> 32))
    return PyBytes_FromStringAndSize(<char *>packed, 16)


cpdef bytes turned(bytes data, Py_ssize_t length):
    """The first `length` bytes of `data`, an Ethernet header, with its two MACs exchanged."""
    cdef unsigned char *header = readable(data, 0, length)
    cdef bytes made
    cdef unsigned char *into
    if length < 12:
        out_of_range(0, 12, length)
    made = PyBytes_FromStringAndSize(NULL, length)
    into = <unsigned char *>PyBytes_AS_STRING(made)
    memcpy(into, header + 6, 6)
    memcpy(into + 6, header, 6)
    memcpy(into + 12, header + 12, length - 12)
    return made


cpdef bytes vids(bytes data, Py_ssize_t tags):
    """The VIDs of the first `tags` VLAN tags (at most 16) of an Ethernet header, 2 bytes each; those of 0 left out."""
    cdef unsigned char *tci
    cdef unsigned char found[32]
    cdef unsigned int vid
    cdef Py_ssize_t index, count = 0
    if tags < 0 or tags > 16:
        out_of_range(tags, 0, 16)
    tci = readable(data, 14, 4 * tags)
    for index in range(tags):
        vid = uinet_load16(tci + 4 * index) & 0x0fff
        if vid:
            uinet_store16(found + 2 * count, vid)
            count += 1
    return PyBytes_FromStringAndSize(<char *>found, 2 * count)


cpdef bytes join2(bytearray head, Py_ssize_t head_length, object source, Py_ssize_t offset, Py_ssize_t length):
    """The first `head_length` bytes of `head` followed by `length` bytes of `source` at `offset`, in one allocation."""
    cdef unsigned char *first = writable(head, 0, head_length)
    cdef unsigned char *second = readable(source, offset, length)
    cdef bytes joined = PyBytes_FromStringAndSize(NULL, head_length + length)
    cdef char *into = PyBytes_AS_STRING(joined)
    memcpy(into, first, head_length)
    memcpy(into + head_length, second, length)
    return joined


cpdef bytes collect(list pieces, Py_ssize_t offset, Py_ssize_t each, Py_ssize_t total):
    """`total` bytes in one allocation: `each` bytes at `offset` of every one of `pieces`, of the last what is left."""
    cdef bytes joined, piece
    cdef char *into
    cdef unsigned char *source
    cdef Py_ssize_t index, length
    if total < 0 or each < 0 or total > each * len(pieces):
        out_of_range(each, total, each * len(pieces))
    joined = PyBytes_FromStringAndSize(NULL, total)
    into = PyBytes_AS_STRING(joined)
    for index in range(len(pieces)):
        length = each if total > each else total
        piece = pieces[index]
        source = readable(piece, offset, length)
        memcpy(into, source, length)
        into += length
        total -= length
    return joined


cpdef bytes summed(
        bytearray head, Py_ssize_t head_length, Py_ssize_t l4, Py_ssize_t field, unsigned int initial, object source,
        Py_ssize_t offset, Py_ssize_t length):
    """As `join2`, with the checksum of all from `l4` on, inverted, at `field`, where there are zeros in `head`.

    `initial` is added to the sum. What stands between `l4` and `head_length` has an even length.
    """
    cdef unsigned char *first = writable(head, 0, head_length)
    cdef unsigned char *second = readable(source, offset, length)
    cdef unsigned int total
    cdef bytes joined
    cdef unsigned char *into
    if l4 < 0 or l4 > head_length or field < l4 or field > head_length - 2:
        out_of_range(field, 2, head_length)
    joined = PyBytes_FromStringAndSize(NULL, head_length + length)
    into = <unsigned char *>PyBytes_AS_STRING(joined)
    memcpy(into, first, head_length)
    total = uinet_checksum(first + l4, head_length - l4, uinet_halves(initial))
    if length:
        total = uinet_copy_checksum(into + head_length, second, length, total)
    uinet_store16(into + field, total ^ 0xffff)
    return joined


cpdef unsigned int put_v4(
        bytearray scratch, Py_ssize_t at, unsigned int tos, unsigned int ttl, unsigned int proto, unsigned int source,
        unsigned int destination, unsigned int size) except? 0x1A5A5:
    """Writes an IPv4 header at `at`, of an atomic datagram (RFC 6864, 4.1: ID 0, DF) with `size` bytes of payload.

    The sum of the pseudo header of its transport protocol.
    """
    cdef unsigned char *to = writable(scratch, at, 20)
    cdef unsigned int addresses = uinet_halves(source) + uinet_halves(destination)
    cdef unsigned int total = 0x4500 + (tos & 0xff) + (20 + size & 0xffff) + 0x4000 + ((ttl & 0xff) << 8 | proto & 0xff)
    total += addresses
    total = uinet_halves(uinet_halves(total))
    uinet_store32(to, 0x45000000 | (tos & 0xff) << 16 | (20 + size & 0xffff))
    uinet_store32(to + 4, 0x4000)
    uinet_store32(to + 8, (ttl & 0xff) << 24 | (proto & 0xff) << 16 | total ^ 0xffff)
    uinet_store32(to + 12, source)
    uinet_store32(to + 16, destination)
    return addresses + (proto & 0xff) + size


cpdef unsigned int put_v6(
        bytearray scratch, Py_ssize_t at, unsigned int tos, unsigned int ttl, unsigned int proto,
        unsigned long long source_hi, unsigned long long source_lo, unsigned long long destination_hi,
        unsigned long long destination_lo, unsigned int size) except? 0x1A5A5:
    """Writes an IPv6 header at `at`, with `size` bytes of payload. The sum of the pseudo header, as `put_v4`."""
    cdef unsigned char *to = writable(scratch, at, 40)
    uinet_store32(to, 0x60000000 | (tos & 0xff) << 20)
    uinet_store32(to + 4, (size & 0xffff) << 16 | (proto & 0xff) << 8 | ttl & 0xff)
    uinet_store64(to + 8, source_hi)
    uinet_store64(to + 16, source_lo)
    uinet_store64(to + 24, destination_hi)
    uinet_store64(to + 32, destination_lo)
    return uinet_checksum(to + 8, 32, 0) + (proto & 0xff) + size


cpdef int put_tcp(
        bytearray scratch, Py_ssize_t at, unsigned int ports, unsigned int seq, unsigned int ack, unsigned int word,
        unsigned int urgent) except -1:
    """Writes the 20 bytes of a TCP header at `at`, with a checksum of 0. `word`: data offset, flags and window."""
    cdef unsigned char *to = writable(scratch, at, 20)
    uinet_store32(to, ports)
    uinet_store32(to + 4, seq)
    uinet_store32(to + 8, ack)
    uinet_store32(to + 12, word)
    uinet_store32(to + 16, urgent & 0xffff)
    return 0


cpdef int extend(bytearray target, object source, Py_ssize_t offset, Py_ssize_t length) except -1:
    """Appends `length` bytes of `source` at `offset` to `target` (another object)."""
    cdef Py_ssize_t size = PyByteArray_GET_SIZE(target) if target is not None else len(target)
    cdef unsigned char *base = readable(source, offset, length)
    if length == 0:
        return 0
    if source is target:
        raise ValueError("a buffer can't be added to itself")  # resizing it moves the bytes away
    PyByteArray_Resize(target, size + length)
    memcpy(PyByteArray_AS_STRING(target) + size, base, length)
    return 0


cpdef bint equal(object a, Py_ssize_t a_offset, object b, Py_ssize_t b_offset, Py_ssize_t length) except -1:
    """Whether the `length` bytes of `a` at `a_offset` are those of `b` at `b_offset`."""
    return memcmp(readable(a, a_offset, length), readable(b, b_offset, length), length) == 0


cpdef int prefetch(list objects, Py_ssize_t index) except -1:
    """Begins to bring the object at `index` into the cache, without waiting for it: it will be wanted soon."""
    if objects is None or index < 0 or index >= PyList_GET_SIZE(objects):
        out_of_range(index, 1, len(objects))
    uinet_prefetch(PyList_GET_ITEM(objects, index))
    return 0


cpdef int prefetch_slot(list objects, Py_ssize_t index) except -1:
    """Begins to bring the slot of a list at `index` into the cache: which object it holds will be wanted soon."""
    if objects is None or index < 0 or index >= PyList_GET_SIZE(objects):
        out_of_range(index, 1, len(objects))
    uinet_prefetch_line((<PyListObject *>objects).ob_item + index)
    return 0


cpdef unsigned long long hash5(
        unsigned long long k0, unsigned long long k1, unsigned long long a, unsigned long long b,
        unsigned long long c, unsigned long long d, unsigned long long e):
    """SipHash-1-3 of five 64-bit words under the key (k0, k1)."""
    cdef unsigned long long[5] words
    words[0] = a
    words[1] = b
    words[2] = c
    words[3] = d
    words[4] = e
    return uinet_siphash5(k0, k1, words)


cpdef unsigned long long hash_short(
        unsigned long long k0, unsigned long long k1, bytes data) except? 0xA5A5A5A5A5A5A5A5:
    """SipHash-1-3 of the length of `data`, at most 32 bytes, and of `data` with zeros behind it."""
    cdef unsigned long long[5] words
    cdef unsigned char padded[32]
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data) if data is not None else len(data)
    if size > 32:
        out_of_range(0, size, 32)
    memset(padded, 0, 32)
    memcpy(padded, PyBytes_AS_STRING(data), size)
    words[0] = <unsigned long long>size
    words[1] = uinet_load64(padded)
    words[2] = uinet_load64(padded + 8)
    words[3] = uinet_load64(padded + 16)
    words[4] = uinet_load64(padded + 24)
    return uinet_siphash5(k0, k1, words)


cpdef int keep_heap() noexcept:
    """Lets the allocator keep what the packets of a batch leave when they go.

    glibc gives the top of its heap back to the kernel once 128 KiB of it are free: pages that the next batch faults in
    again, one by one: a tenth of the time of sending small packets, a quarter of that of proxying large ones. What it
    has for programs with large buffers is a threshold of twice the largest block that they have let go: here is one.
    """
    PyMem_RawFree(PyMem_RawMalloc(LARGE_BLOCK))
    return 0


cpdef object untrack(object value):
    """Takes `value` out of the cyclic collector's sight and returns it.

    For objects that live long and number millions: whoever calls this breaks their cycles by hand.
    """
    if PyObject_IS_GC(value):
        PyObject_GC_UnTrack(value)
    return value


cpdef object track(object value):
    """Hands `value`, which may have been untracked, to the cyclic collector, and returns it."""
    if PyObject_IS_GC(value) and not PyObject_GC_IsTracked(value):
        PyObject_GC_Track(value)
    return value
