cpdef unsigned int load_u8(bytes data, Py_ssize_t offset) except? 0xA5
cpdef unsigned int load_u16(bytes data, Py_ssize_t offset) except? 0xA5A5
cpdef unsigned int load_u32(bytes data, Py_ssize_t offset) except? 0xA5A5A5A5
cpdef unsigned long long load_u64(bytes data, Py_ssize_t offset) except? 0xA5A5A5A5A5A5A5A5
cpdef unsigned int load_u16_le(bytes data, Py_ssize_t offset) except? 0xA5A5
cpdef unsigned int load_u32_le(bytes data, Py_ssize_t offset) except? 0xA5A5A5A5
cpdef unsigned long long next_option(bytes data, Py_ssize_t at, Py_ssize_t end) except? 0xA5A5A5A5A5A5A5A5
cpdef int store_u8(bytearray data, Py_ssize_t offset, unsigned int value) except -1
cpdef int store_u16(bytearray data, Py_ssize_t offset, unsigned int value) except -1
cpdef int store_u32(bytearray data, Py_ssize_t offset, unsigned int value) except -1
cpdef int store_u64(bytearray data, Py_ssize_t offset, unsigned long long value) except -1
cpdef int store_bytes(bytearray target, Py_ssize_t at, object source, Py_ssize_t offset, Py_ssize_t length) except -1
cpdef unsigned int checksum(object data, Py_ssize_t offset, Py_ssize_t length, unsigned int initial) except? 0x1A5A5
cpdef bytes take(object source, Py_ssize_t offset, Py_ssize_t length)
cpdef bytes join(unsigned long long hi, unsigned long long lo)
cpdef bytes turned(bytes data, Py_ssize_t length)
cpdef bytes vids(bytes data, Py_ssize_t tags)
cpdef bytes join2(bytearray head, Py_ssize_t head_length, object source, Py_ssize_t offset, Py_ssize_t length)
cpdef bytes collect(list pieces, Py_ssize_t offset, Py_ssize_t each, Py_ssize_t total)
cpdef bytes summed(
    bytearray head, Py_ssize_t head_length, Py_ssize_t l4, Py_ssize_t field, unsigned int initial, object source,
    Py_ssize_t offset, Py_ssize_t length)
cpdef unsigned int put_v4(
    bytearray scratch, Py_ssize_t at, unsigned int tos, unsigned int ttl, unsigned int proto, unsigned int source,
    unsigned int destination, unsigned int size) except? 0x1A5A5
cpdef unsigned int put_v6(
    bytearray scratch, Py_ssize_t at, unsigned int tos, unsigned int ttl, unsigned int proto,
    unsigned long long source_hi, unsigned long long source_lo, unsigned long long destination_hi,
    unsigned long long destination_lo, unsigned int size) except? 0x1A5A5
cpdef int put_tcp(
    bytearray scratch, Py_ssize_t at, unsigned int ports, unsigned int seq, unsigned int ack, unsigned int word,
    unsigned int urgent) except -1
cpdef int extend(bytearray target, object source, Py_ssize_t offset, Py_ssize_t length) except -1
cpdef bint equal(object a, Py_ssize_t a_offset, object b, Py_ssize_t b_offset, Py_ssize_t length) except -1
cpdef int prefetch(list objects, Py_ssize_t index) except -1
cpdef int prefetch_slot(list objects, Py_ssize_t index) except -1
cpdef unsigned long long hash5(
    unsigned long long k0, unsigned long long k1, unsigned long long a, unsigned long long b,
    unsigned long long c, unsigned long long d, unsigned long long e)
cpdef unsigned long long hash_short(
    unsigned long long k0, unsigned long long k1, bytes data) except? 0xA5A5A5A5A5A5A5A5
cpdef int keep_heap() noexcept
cpdef object untrack(object value)
cpdef object track(object value)
