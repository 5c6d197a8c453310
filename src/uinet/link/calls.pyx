"""System calls in batches, and the ring that AF_PACKET fills: what of a packet socket is worth compiling.

The only code of the package beside ``wire/kernels.pyx`` (and ``umem.pyx``) that touches raw memory: every access stands
behind a length check. The GIL is released around each system call. ``calls.py`` is the interpreted twin and has the
contracts in full; tests hold the two against each other.
"""

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.string cimport memcpy, memset

from uinet.wire.frame cimport Frame

cdef extern from *:
    """
    #include <errno.h>
    #include <stdint.h>
    #include <string.h>
    #if defined(__linux__)
    #include <sys/socket.h>
    #include <sys/uio.h>
    #include <time.h>
    #endif

    #define UINET_BATCH 64
    #define UINET_VNET 10             /* bytes of a virtio-net header */
    #define UINET_SOL_PACKET 263
    #define UINET_AUXDATA 8
    #define UINET_AUXDATA_SIZE 20     /* struct tpacket_auxdata */

    #define UINET_TIMESTAMPNS 35      /* SCM_TIMESTAMPNS: a struct timespec, of the kernel */
    #define UINET_TIMESTAMPING 37     /* SCM_TIMESTAMPING: three of them, the third of the hardware */

    struct uinet_seen {
        size_t length;
        int flags;
        unsigned int kind, status, tci, tpid;
        long long time;                     /* ns; 0 if nobody tells */
    };

    /* Everything recvmmsg writes into, but the frames themselves. */
    struct uinet_batch {
    #if defined(__linux__)
        struct mmsghdr messages[UINET_BATCH];
        struct iovec parts[UINET_BATCH][2];
        union { struct cmsghdr align; char space[CMSG_SPACE(UINET_AUXDATA_SIZE) + CMSG_SPACE(16) + CMSG_SPACE(3 * 16)
            + 32]; } control[UINET_BATCH];
    #endif
        unsigned char headers[UINET_BATCH][16];
        unsigned char names[UINET_BATCH][32];   /* struct sockaddr_ll is 20 */
    };

    static void uinet_prepare(struct uinet_batch *b, size_t i, void *data, size_t size, int with_headers)
    {
    #if defined(__linux__)
        struct msghdr *m = &b->messages[i].msg_hdr;
        struct iovec *parts = b->parts[i];
        memset(m, 0, sizeof *m);
        memset(b->names[i], 0, sizeof b->names[i]);
        if (with_headers) {
            parts[0].iov_base = b->headers[i];
            parts[0].iov_len = UINET_VNET;
        }
        parts[with_headers ? 1 : 0].iov_base = data;
        parts[with_headers ? 1 : 0].iov_len = size;
        m->msg_iov = parts;
        m->msg_iovlen = with_headers ? 2 : 1;
        m->msg_name = b->names[i];
        m->msg_namelen = sizeof b->names[i];
        m->msg_control = b->control[i].space;
        m->msg_controllen = sizeof b->control[i].space;
    #else
        (void)b; (void)i; (void)data; (void)size; (void)with_headers;
    #endif
    }

    /* How many messages came; minus the errno if none did. */
    static int uinet_receive(int fd, struct uinet_batch *b, unsigned int count)
    {
    #if defined(__linux__)
        int got = recvmmsg(fd, b->messages, count, MSG_DONTWAIT, NULL);
        return got < 0 ? -errno : got;
    #else
        (void)fd; (void)b; (void)count;
        return -ENOSYS;
    #endif
    }

    static void uinet_look(struct uinet_batch *b, size_t i, struct uinet_seen *seen)
    {
        memset(seen, 0, sizeof *seen);
    #if defined(__linux__)
        struct msghdr *m = &b->messages[i].msg_hdr;
        seen->length = b->messages[i].msg_len;
        seen->flags = (m->msg_flags & MSG_TRUNC) != 0;
        if (m->msg_namelen >= 20)
            seen->kind = b->names[i][10];       /* sll_pkttype */
        for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
            if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == UINET_TIMESTAMPING
                && c->cmsg_len >= CMSG_LEN(3 * sizeof(struct timespec))) {
                struct timespec times[3];
                memcpy(times, CMSG_DATA(c), sizeof times);
                if (times[2].tv_sec || times[2].tv_nsec)
                    seen->time = times[2].tv_sec * 1000000000LL + times[2].tv_nsec;
                continue;
            }
            if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == UINET_TIMESTAMPNS
                && c->cmsg_len >= CMSG_LEN(sizeof(struct timespec))) {
                struct timespec told;
                memcpy(&told, CMSG_DATA(c), sizeof told);
                if (!seen->time)
                    seen->time = told.tv_sec * 1000000000LL + told.tv_nsec;
                continue;
            }
            if (c->cmsg_level != UINET_SOL_PACKET || c->cmsg_type != UINET_AUXDATA
                || c->cmsg_len < CMSG_LEN(UINET_AUXDATA_SIZE))
                continue;
            const unsigned char *aux = CMSG_DATA(c);
            uint16_t tci, tpid;
            memcpy(&seen->status, aux, 4);
            memcpy(&tci, aux + 16, 2);
            memcpy(&tpid, aux + 18, 2);
            seen->tci = tci;
            seen->tpid = tpid;
        }
    #else
        (void)b; (void)i;
    #endif
    }

    struct uinet_outgoing {
        const void *header, *data;
        size_t header_size, size;
    };

    /* How many messages were sent; minus the errno if none was. */
    static int uinet_send(int fd, const struct uinet_outgoing *out, unsigned int count)
    {
    #if defined(__linux__)
        struct mmsghdr messages[UINET_BATCH];
        struct iovec parts[UINET_BATCH][2];
        memset(messages, 0, count * sizeof messages[0]);
        for (unsigned int i = 0; i < count; i++) {
            unsigned int n = 0;
            if (out[i].header != NULL) {
                parts[i][n].iov_base = (void *)out[i].header;
                parts[i][n++].iov_len = out[i].header_size;
            }
            parts[i][n].iov_base = (void *)out[i].data;
            parts[i][n++].iov_len = out[i].size;
            messages[i].msg_hdr.msg_iov = parts[i];
            messages[i].msg_hdr.msg_iovlen = n;
        }
        int sent = sendmmsg(fd, messages, count, MSG_DONTWAIT);
        return sent < 0 ? -errno : sent;
    #else
        (void)fd; (void)out; (void)count;
        return -ENOSYS;
    #endif
    }

    static uint32_t uinet_native16(const unsigned char *p) { uint16_t v; memcpy(&v, p, 2); return v; }
    static uint32_t uinet_native32(const unsigned char *p) { uint32_t v; memcpy(&v, p, 4); return v; }

    static int uinet_is_tpid(unsigned int type)
    {
        return type == 0x8100 || type == 0x88a8 || type == 0x9100 || type == 0x9200 || type == 0x9300;
    }

    /* Whether a frame is a whole TCP segment in an IP packet without options or extension headers, and the checksum
       that its virtio-net header says is to be computed is that segment's. (What is not is looked at in Python.) */
    static int uinet_own_checksum(const unsigned char *header, const unsigned char *p, size_t n)
    {
        uint16_t fields[4]; /* hdr_len, gso_size, csum_start, csum_offset */
        size_t l3 = 14, l4, end, length;
        if (header[0] != 1 || header[1] != 0)
            return 0;
        memcpy(fields, header + 2, sizeof fields);
        for (int tags = 0; tags <= 16; tags++, l3 += 4) {
            unsigned int type;
            if (n < l3 + 40)
                return 0;
            type = (unsigned int)p[l3 - 2] << 8 | p[l3 - 1];
            if (uinet_is_tpid(type))
                continue;
            length = (size_t)p[l3 + 2] << 8 | p[l3 + 3];
            if (type == 0x0800 && p[l3] == 0x45 && p[l3 + 9] == 6 && !(p[l3 + 6] & 0x3f) && !p[l3 + 7]) {
                l4 = l3 + 20;
                end = l3 + length;
            } else if (type == 0x86dd && p[l3] >> 4 == 6 && p[l3 + 6] == 6) {
                l4 = l3 + 40;
                end = l4 + ((size_t)p[l3 + 4] << 8 | p[l3 + 5]);
            } else {
                return 0;
            }
            return end <= n && l4 + 20 <= end && p[l4 + 12] >> 4 >= 5 && l4 + (size_t)(p[l4 + 12] >> 4) * 4 <= end
                && fields[2] == l4 && fields[3] == 16;
        }
        return 0;
    }

    /* Blocks are whole pages, so their status words are aligned. */
    static uint32_t uinet_acquire(const unsigned char *p)
    {
        return __atomic_load_n((const uint32_t *)p, __ATOMIC_ACQUIRE);
    }
    static void uinet_give_back(unsigned char *p) { __atomic_store_n((uint32_t *)p, 0, __ATOMIC_RELEASE); }
    """
    struct uinet_seen:
        size_t length
        int flags
        unsigned int kind, status, tci, tpid
        long long time
    struct uinet_batch:
        unsigned char headers[64][16]
    struct uinet_outgoing:
        const void *header
        const void *data
        size_t header_size
        size_t size
    void uinet_prepare(uinet_batch *b, size_t i, void *data, size_t size, int with_headers) noexcept nogil
    int uinet_receive(int fd, uinet_batch *b, unsigned int count) noexcept nogil
    void uinet_look(uinet_batch *b, size_t i, uinet_seen *seen) noexcept nogil
    int uinet_send(int fd, const uinet_outgoing *out, unsigned int count) noexcept nogil
    int uinet_own_checksum(const unsigned char *header, const unsigned char *p, size_t n) noexcept nogil
    unsigned int uinet_native16(const unsigned char *p) noexcept nogil
    unsigned int uinet_native32(const unsigned char *p) noexcept nogil
    unsigned int uinet_acquire(const unsigned char *p) noexcept nogil
    void uinet_give_back(unsigned char *p) noexcept nogil

cdef extern from "Python.h":
    int _PyBytes_Resize(PyObject **string, Py_ssize_t size) except -1

cdef extern from "errno.h" nogil:
    int EAGAIN

cdef enum:
    BATCH = 64                 # messages a system call
    VNET = 10                  # bytes of a virtio-net header
    SLOT = 65535 + 14 + 64     # the longest frame: an IP packet and a link header with 16 tags
    WHOLE = 4096               # from here on a frame is handed over in the slot that it came in
    ADDRESSES = 12             # bytes of the two MACs, behind which a VLAN tag stands
    TAG = 4
    OUTGOING = 4               # sockaddr_ll.sll_pkttype
    F_DATA_VALID = 2           # virtio-net
    CSUM_NOT_READY = 1 << 3    # tp_status
    VLAN_VALID = 1 << 4
    VLAN_TPID_VALID = 1 << 6
    CSUM_VALID = 1 << 7
    STATUS_USER = 1
    DEFAULT_TPID = 0x8100
    UNKNOWN = 0                # Frame.checksum
    VALID = 1
    NEEDED = 2
    BLOCK_STATUS = 8           # offsets in a block's header
    BLOCK_PACKETS = 12
    BLOCK_FIRST = 16
    BLOCK_USED = 20
    BLOCK_HEADER = 48
    PACKET_HEADER = 48         # struct tpacket3_hdr; a sockaddr_ll of 20 bytes follows
    PACKET_WHOLE = 68


cdef bytes PLAIN = bytes(VNET)


cdef bytes with_tag(const unsigned char *data, Py_ssize_t length, unsigned int status, unsigned int tci,
                    unsigned int tpid):
    """A copy of the frame with the VLAN tag that the kernel has taken out, if it has."""
    cdef bytes whole
    cdef unsigned char *to
    if not status & VLAN_VALID or length < ADDRESSES:
        return PyBytes_FromStringAndSize(<char *>data, length)
    if not status & VLAN_TPID_VALID:
        tpid = DEFAULT_TPID
    whole = PyBytes_FromStringAndSize(NULL, length + TAG)
    to = <unsigned char *>PyBytes_AS_STRING(whole)
    memcpy(to, data, ADDRESSES)
    to[12] = <unsigned char>(tpid >> 8)
    to[13] = <unsigned char>tpid
    to[14] = <unsigned char>(tci >> 8)
    to[15] = <unsigned char>tci
    memcpy(to + ADDRESSES + TAG, data + ADDRESSES, length - ADDRESSES)
    return whole


cdef bytes tag_of(unsigned int status, unsigned int tci, unsigned int tpid):
    """The VLAN tag that the kernel has taken out; b"" if there was none."""
    cdef unsigned char tag[4]
    if not status & VLAN_VALID:
        return b""
    if not status & VLAN_TPID_VALID:
        tpid = DEFAULT_TPID
    tag[0] = <unsigned char>(tpid >> 8)
    tag[1] = <unsigned char>tpid
    tag[2] = <unsigned char>(tci >> 8)
    tag[3] = <unsigned char>tci
    return PyBytes_FromStringAndSize(<char *>tag, TAG)


cdef Frame frame_of(bytes data, unsigned int checksum, long long time):
    cdef Frame frame = Frame.__new__(Frame)
    frame.data = data
    frame.time = time
    frame.checksum = <unsigned char>checksum
    return frame


cdef int state_of(
        const unsigned char *header, unsigned int status, const unsigned char *data, Py_ssize_t length) noexcept:
    """The checksum state of a frame that has nothing else to say; -1 if it has. `header`: NULL if there is none."""
    cdef Py_ssize_t i
    if header == NULL:
        if status & CSUM_NOT_READY:
            return -1
        return VALID if status & CSUM_VALID else UNKNOWN
    for i in range(1, VNET):
        if header[i]:
            return NEEDED if uinet_own_checksum(header, data, length) else -1
    if header[0] == 0:
        return UNKNOWN
    return VALID if header[0] == F_DATA_VALID else -1


cdef class Batches:
    """Receives from and sends to a packet socket in batches, with one system call each; see ``calls.py``."""

    def __cinit__(self, object sock, bint headers):
        self.sock = sock
        self.fd = sock.fileno()
        self.with_headers = headers
        self.slots = [None] * BATCH
        self.batch = PyMem_Malloc(sizeof(uinet_batch))
        if self.batch == NULL:
            raise MemoryError
        memset(self.batch, 0, sizeof(uinet_batch))

    def __dealloc__(self):
        PyMem_Free(self.batch)

    cpdef list receive(self, Py_ssize_t limit):
        """At most `limit` messages, as frames and tuples."""
        cdef list found = []
        cdef Py_ssize_t wanted, i
        cdef int got
        cdef bytes slot
        if self.busy:
            raise RuntimeError("one thread uses a device")
        self.error = 0
        self.specials = self.octets = 0
        self.times = []
        self.busy = True
        try:
            while limit > 0:
                wanted = min(limit, BATCH)
                for i in range(wanted):
                    if self.slots[i] is None:
                        self.slots[i] = PyBytes_FromStringAndSize(NULL, SLOT)
                    slot = self.slots[i]
                    uinet_prepare(<uinet_batch *>self.batch, i, PyBytes_AS_STRING(slot), SLOT, self.with_headers)
                slot = None  # whoever hands one over wants to be its only holder
                with nogil:
                    got = uinet_receive(self.fd, <uinet_batch *>self.batch, <unsigned int>wanted)
                if got < 0:
                    if got != -EAGAIN:
                        self.error = -got
                    break
                for i in range(min(got, wanted)):
                    self.collect(found, i)
                if got < wanted:
                    break
                limit -= wanted
        finally:
            self.busy = False
        return found

    cdef int collect(self, list found, Py_ssize_t index) except -1:
        """Appends what message `index` of the batch is."""
        cdef uinet_seen seen
        cdef Py_ssize_t length
        cdef bytes slot = self.slots[index]
        cdef bytes data
        cdef unsigned char *header = NULL
        cdef int state
        cdef PyObject *moved
        uinet_look(<uinet_batch *>self.batch, index, &seen)
        if seen.kind == OUTGOING:
            return 0
        length = <Py_ssize_t>seen.length
        if self.with_headers:
            header = (<uinet_batch *>self.batch).headers[index]
            length -= VNET
        if seen.flags or length < 0 or length > SLOT:
            self.truncated += 1
            return 0
        state = state_of(header, seen.status, <unsigned char *>PyBytes_AS_STRING(slot), length)
        if length >= WHOLE and not seen.status & VLAN_VALID:
            self.slots[index] = None
            moved = <PyObject *>slot
            Py_INCREF(slot)  # the reference that is resized; the other one goes first
            slot = None
            _PyBytes_Resize(&moved, length)
            data = <bytes>moved
            Py_DECREF(data)
        elif state >= 0:
            data = with_tag(<unsigned char *>PyBytes_AS_STRING(slot), length, seen.status, seen.tci, seen.tpid)
        else:
            data = PyBytes_FromStringAndSize(PyBytes_AS_STRING(slot), length)
        if state >= 0:
            found.append(frame_of(data, <unsigned int>state, seen.time if self.stamps else 0))
            self.octets += PyBytes_GET_SIZE(data)
        else:
            self.specials += 1
            self.times.append(seen.time if self.stamps else 0)
            found.append((
                PyBytes_FromStringAndSize(<char *>header, VNET) if header != NULL else b"", data,
                tag_of(seen.status, seen.tci, seen.tpid), seen.status,
            ))
        return 0

    cpdef Py_ssize_t send(self, list headers, list packets, Py_ssize_t start) except? -1000:
        """Sends up to 64 of `packets` from `start` on: how many went; minus the errno if none did."""
        cdef uinet_outgoing out[BATCH]
        cdef list held_headers
        cdef list held
        cdef Py_ssize_t count, i
        cdef object data
        cdef int sent
        if start < 0:
            raise IndexError(f"packet {start} of {len(packets)}")
        held = packets[start:start + BATCH]
        held_headers = headers[start:start + BATCH] if headers is not None else None
        count = len(held)
        if held_headers is not None and len(held_headers) != count:
            raise IndexError(f"{len(held_headers)} headers for {count} packets")
        for i in range(count):
            data = held[i]
            if not PyBytes_CheckExact(data):
                raise TypeError(f"want bytes, not {type(data).__name__}")
            out[i].data = PyBytes_AS_STRING(data)
            out[i].size = PyBytes_GET_SIZE(data)
            out[i].header = NULL
            out[i].header_size = 0
            if held_headers is not None:
                data = held_headers[i]
                if not PyBytes_CheckExact(data):
                    raise TypeError(f"want bytes, not {type(data).__name__}")
                out[i].header = PyBytes_AS_STRING(data)
                out[i].header_size = PyBytes_GET_SIZE(data)
        if count == 0:
            return 0
        with nogil:
            sent = uinet_send(self.fd, out, <unsigned int>count)
        return sent

    cpdef Py_ssize_t send_frames(self, list frames, Py_ssize_t start) except? -1000:
        """Sends up to 64 of `frames` from `start` on, up to the first that is not finished."""
        cdef uinet_outgoing out[BATCH]
        cdef list held = []  # what is sent, while the interpreter is released
        cdef Frame frame
        cdef bytes data
        cdef Py_ssize_t count = 0, left, i
        cdef int sent
        left = len(frames) - start
        if start < 0 or left < 0:
            raise IndexError(f"frame {start} of {len(frames)}")
        self.octets = 0
        while count < left and count < BATCH:
            frame = <Frame?>frames[start + count]
            if frame.gso_size or frame.checksum == NEEDED:
                break
            data = frame.data
            if data is None:
                raise TypeError("want bytes, not None")
            held.append(data)
            out[count].data = PyBytes_AS_STRING(data)
            out[count].size = PyBytes_GET_SIZE(data)
            out[count].header = PyBytes_AS_STRING(PLAIN) if self.with_headers else NULL
            out[count].header_size = VNET if self.with_headers else 0
            count += 1
        if count == 0:
            return 0
        with nogil:
            sent = uinet_send(self.fd, out, <unsigned int>count)
        for i in range(sent):
            self.octets += <Py_ssize_t>out[i].size
        return sent


cdef class BlockRing:
    """The ring of blocks that AF_PACKET fills (TPACKET_V3); see ``calls.py``."""

    def __cinit__(self, object memory, Py_ssize_t block_size, Py_ssize_t blocks, bint headers):
        PyObject_GetBuffer(memory, &self.view, PyBUF_WRITABLE)
        self.held = True
        if block_size < 4096 or block_size % 4096 or blocks < 1 or self.view.len // block_size < blocks:
            raise IndexError(f"{blocks} blocks of {block_size} bytes in {self.view.len}")
        self.block_size = block_size
        self.blocks = blocks
        self.with_headers = headers

    def __dealloc__(self):
        if self.held:
            PyBuffer_Release(&self.view)

    cpdef release(self):
        """Lets go of the memory; nothing is received any more."""
        if self.held:
            self.held = False
            self.begun = False
            PyBuffer_Release(&self.view)

    cpdef list receive(self, Py_ssize_t limit):
        """At most `limit` packets, as frames and tuples."""
        cdef list found = []
        self.error = 0
        self.specials = self.octets = 0
        self.times = []
        while limit > 0:
            if not self.begun and not self.begin():
                break
            while limit > 0 and self.left:
                limit -= 1
                self.packet(found)
            if not self.left:
                self.finish()
        return found

    cdef bint begin(self) except -1:
        """Opens the next block, if the kernel has handed it over."""
        cdef unsigned char *block
        cdef unsigned int used
        if not self.held:
            return False
        block = <unsigned char *>self.view.buf + self.block * self.block_size
        if not uinet_acquire(block + BLOCK_STATUS) & STATUS_USER:
            return False
        used = uinet_native32(block + BLOCK_USED)
        self.used = min(<Py_ssize_t>used, self.block_size)
        self.left = uinet_native32(block + BLOCK_PACKETS)
        self.at = uinet_native32(block + BLOCK_FIRST)
        self.begun = True
        return True

    cdef int finish(self) except -1:
        """Gives the block back to the kernel."""
        if self.held:
            uinet_give_back(<unsigned char *>self.view.buf + self.block * self.block_size + BLOCK_STATUS)
        self.block = (self.block + 1) % self.blocks
        self.begun = False
        self.left = 0
        return 0

    cdef int packet(self, list found) except -1:
        """Appends what the packet at `at` is, and goes on to the next."""
        cdef Py_ssize_t at = self.at
        cdef unsigned char *block
        cdef unsigned char *header = NULL
        cdef unsigned int following, status, tci, tpid
        cdef Py_ssize_t captured, length, start
        cdef bytes data
        cdef int state
        cdef long long time = 0
        self.left -= 1
        if not self.held or at < BLOCK_HEADER or at > self.used - PACKET_WHOLE:
            self.left = 0  # no kernel writes that
            return 0
        block = <unsigned char *>self.view.buf + self.block * self.block_size
        following = uinet_native32(block + at)
        captured = uinet_native32(block + at + 12)
        length = uinet_native32(block + at + 16)
        status = uinet_native32(block + at + 20)
        start = at + uinet_native16(block + at + 24)
        if captured > self.used - start or (self.with_headers and start - VNET < at + PACKET_HEADER):
            self.left = 0
            return 0
        if following:
            self.at = at + following
        else:
            self.left = 0
        if block[at + PACKET_HEADER + 10] == OUTGOING:
            return 0
        if captured < length:
            self.truncated += 1
            return 0
        tci = uinet_native32(block + at + 32)
        tpid = uinet_native16(block + at + 36)
        if self.with_headers:
            header = block + start - VNET
        if self.stamps:
            time = <long long>uinet_native32(block + at + 4) * 1000000000 + uinet_native32(block + at + 8)
        state = state_of(header, status, block + start, captured)
        if state >= 0:
            data = with_tag(block + start, captured, status, tci, tpid)
            found.append(frame_of(data, <unsigned int>state, time))
            self.octets += PyBytes_GET_SIZE(data)
        else:
            self.specials += 1
            self.times.append(time)
            found.append((
                PyBytes_FromStringAndSize(<char *>header, VNET) if header != NULL else b"",
                PyBytes_FromStringAndSize(<char *>block + start, captured), tag_of(status, tci, tpid), status,
            ))
        return 0

    cpdef bytes take_block(self):
        """A copy of the next block, which goes back to the kernel at once; None if the kernel still has it."""
        cdef bytes block
        if not self.begun and not self.begin():
            return None
        block = PyBytes_FromStringAndSize(<char *>self.view.buf + self.block * self.block_size, self.used)
        self.finish()
        return block
