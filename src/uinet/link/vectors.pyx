"""Packets of a descriptor, one system call each: scattered in behind a virtio-net header, gathered out.

The interpreter is released around each call. Raw memory is touched through buffers that Python objects own, for
lengths that are theirs; ``vectors.py`` is the interpreted twin.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.ref cimport PyObject
from libc.errno cimport EAGAIN, EINTR, errno
from libc.string cimport memcpy

from uinet.wire.frame cimport Frame

cdef extern from "Python.h":
    int _PyBytes_Resize(PyObject **bytes_object, Py_ssize_t size) except -1
    PyObject *PyBytes_FromSize "PyBytes_FromStringAndSize"(const char *data, Py_ssize_t size) except NULL
    char *PyBytes_Data "PyBytes_AS_STRING"(PyObject *data)
    void Py_XDECREF(PyObject *value)

cdef extern from *:
    """
    #ifdef _WIN32
    #include <errno.h>
    struct iovec { void *iov_base; size_t iov_len; };
    #define uinet_readv(fd, vector, count) (errno = ENOSYS, -1)
    #define uinet_writev(fd, vector, count) (errno = ENOSYS, -1)
    #else
    #include <sys/uio.h>
    #include <unistd.h>
    /* One place alone goes by the plain call: the kernel has less to look at, 3 % of the cost of a small packet. */
    static inline ssize_t uinet_readv(int fd, const struct iovec *vector, int count)
    {
        return count == 1 ? read(fd, vector->iov_base, vector->iov_len) : readv(fd, vector, count);
    }
    static inline ssize_t uinet_writev(int fd, const struct iovec *vector, int count)
    {
        return count == 1 ? write(fd, vector->iov_base, vector->iov_len) : writev(fd, vector, count);
    }
    #endif
    """
    struct iovec:
        void *iov_base
        size_t iov_len
    ssize_t readv "uinet_readv"(int fd, const iovec *vector, int count) nogil
    ssize_t writev "uinet_writev"(int fd, const iovec *vector, int count) nogil

cdef extern from *:
    """
    #include <stdint.h>
    /* struct virtio_net_hdr: in the byte order of the host */
    struct uinet_vnet { uint8_t flags, gso_type; uint16_t header_length, gso_size, start, offset; };
    """
    struct uinet_vnet:
        unsigned char flags
        unsigned char gso_type
        unsigned short header_length
        unsigned short gso_size
        unsigned short start
        unsigned short offset

cdef extern from *:
    """
    /* Makes a bytes object that nobody else has seen yet shorter, where it is. */
    static void uinet_set_size(PyObject *data, Py_ssize_t size)
    {
        Py_SET_SIZE((PyVarObject *)data, size);
        PyBytes_AS_STRING(data)[size] = 0;
    }
    """
    void uinet_set_size(PyObject *data, Py_ssize_t size)

cdef enum:
    SMALL = 8192  # bytes: what is copied out of the spare buffer; more keeps the buffer
    SLACK = 16  # a part like this of the buffer may be left unused
    HEADS = 256
    GSO_TCPV4 = 1
    GSO_TCPV6 = 4
    GSO_ECN = 0x80
    PIECES = 62
    BATCH = 64  # packets while the interpreter is released once
    NEEDED = 2  # Frame.checksum
    NOTHING = -1
    SHORT = -2


cdef class FrameReader:
    """Reads packets of `fd`, of at most `largest` bytes, behind a virtio-net header where `vnet` says so; see
    ``vectors.py``."""

    def __cinit__(self, int fd, Py_ssize_t largest, bint vnet):
        if largest <= 0:
            raise ValueError(f"packets of at most {largest} bytes")
        self.fd = fd
        self.largest = largest
        self.vnet = vnet
        self.spare = NULL
        self.head = 0

    def __dealloc__(self):
        Py_XDECREF(self.spare)

    cpdef split_at(self, Py_ssize_t head):
        """Splits after `head` bytes. ValueError: only headers are split off."""
        if not 0 <= head <= HEADS:
            raise ValueError(f"splitting after {head} bytes")
        self.head = head

    cpdef Py_ssize_t fetch(self) except -2:
        """Brings the next packet into the buffer; its size, -1 if there is none now. Then either `keep` or `pass_on`,
        or it is lost. Nothing is split meanwhile. OSError."""
        cdef Py_ssize_t size = self._next(0)
        return 0 if size == SHORT else size

    cpdef bytes buffer(self):
        """What `fetch` has brought is at its beginning; only for a look, as the next packet will be there too."""
        if self.spare == NULL:
            return b""
        return <bytes>self.spare

    cpdef bytes keep(self, Py_ssize_t size):
        """The packet of `size` bytes that `fetch` has brought."""
        if size < 0 or size > self.largest or self.spare == NULL:
            raise IndexError(f"{size} bytes of {self.largest}")
        return self._take(size)

    cpdef int pass_on(self, int fd, Py_ssize_t size) except -1:
        """Writes it to another descriptor, with its virtio-net header: 0, or the error's number."""
        cdef iovec[2] vector
        cdef int count = 0, failed = 0
        if size < 0 or size > self.largest or self.spare == NULL:
            raise IndexError(f"{size} bytes of {self.largest}")
        if self.vnet:
            vector[0].iov_base = self.raw
            vector[0].iov_len = sizeof(self.raw)
            count = 1
        vector[count].iov_base = PyBytes_Data(self.spare)
        vector[count].iov_len = size
        with nogil:
            if writev(fd, vector, count + 1) < 0:
                failed = errno
        return failed

    cpdef bytes read(self):
        """The next packet, its virtio-net header in the attributes; None if there is none now. OSError."""
        cdef Py_ssize_t size = self._next(self.head)
        cdef bytes data
        if size < 0:
            return None if size == NOTHING else b""
        if not self.head:
            return self._take(size)
        if not self.vnet or size <= SMALL + self.head or self.gso_type & ~GSO_ECN not in (GSO_TCPV4, GSO_TCPV6):
            return self._join(size)
        data = PyBytes_FromStringAndSize(<char *>self.first, self.head)
        self.payload = self._take(size - self.head)
        return data

    cdef Py_ssize_t _next(self, Py_ssize_t head) except -3:
        """Reads the next packet: its first `head` bytes into `first`, the others into the spare buffer, its virtio-net
        header into the attributes. Its size, NOTHING if there is none now, SHORT if it has no whole header."""
        cdef uinet_vnet header
        cdef iovec[3] vector
        cdef int count = 0
        cdef ssize_t size
        cdef int failed = 0
        self.payload = None
        if self.spare == NULL:
            self.spare = PyBytes_FromSize(NULL, self.largest)
        if self.vnet:
            vector[0].iov_base = &header
            vector[0].iov_len = sizeof(header)
            count = 1
        if head:
            vector[count].iov_base = self.first
            vector[count].iov_len = head
            count += 1
        vector[count].iov_base = PyBytes_Data(self.spare)
        vector[count].iov_len = self.largest
        with nogil:
            size = readv(self.fd, vector, count + 1)
            if size < 0:
                failed = errno
        if size < 0:
            if failed == EAGAIN or failed == EINTR:
                return NOTHING
            raise OSError(failed, "reading a packet")
        if self.vnet:
            size -= sizeof(header)
            if size < 0:
                return SHORT
            memcpy(self.raw, &header, sizeof(header))
            self.flags = header.flags
            self.gso_type = header.gso_type
            self.gso_size = header.gso_size
            self.start = header.start
            self.offset = header.offset
        return size

    cdef bytes _join(self, Py_ssize_t size):
        """A packet that was read into two places and belongs into one."""
        cdef bytes data
        if size <= self.head:
            return PyBytes_FromStringAndSize(<char *>self.first, size)
        data = PyBytes_FromStringAndSize(NULL, size)
        memcpy(PyBytes_AS_STRING(data), self.first, self.head)
        memcpy(PyBytes_AS_STRING(data) + self.head, PyBytes_Data(self.spare), size - self.head)
        return data

    cdef bytes _take(self, Py_ssize_t size):
        cdef PyObject *whole
        cdef bytes data
        if size <= SMALL:
            return PyBytes_FromStringAndSize(PyBytes_Data(self.spare), size)
        whole = self.spare
        self.spare = NULL
        if size >= self.largest - self.largest // SLACK:
            # it stays in a block that is a little larger: blocks of one size are found again, and not cut up
            uinet_set_size(whole, size)
        else:
            _PyBytes_Resize(&whole, size)  # on failure it is freed, and raises
        data = <bytes>whole
        Py_XDECREF(whole)  # the cast has added a reference
        return data


cpdef int write_packet(int fd, bytes header, bytes data, list pieces) except -1:
    """Writes one packet: `header` (may be empty), `data`, and each of `pieces` (contiguous buffers; may be None).

    0, or the error's number (EAGAIN where the device is full). ValueError: more pieces than a call takes.
    """
    cdef iovec[2 + PIECES] vector
    cdef Py_buffer[PIECES] views
    cdef int count = 0, held = 0, failed = 0
    cdef Py_ssize_t index, more = 0 if pieces is None else len(pieces)
    cdef ssize_t size
    if more > PIECES:
        raise ValueError(f"{more} pieces: a call takes {PIECES}")
    if PyBytes_GET_SIZE(header):
        vector[0].iov_base = PyBytes_AS_STRING(header)
        vector[0].iov_len = PyBytes_GET_SIZE(header)
        count = 1
    vector[count].iov_base = PyBytes_AS_STRING(data)
    vector[count].iov_len = PyBytes_GET_SIZE(data)
    count += 1
    try:
        for index in range(more):
            PyObject_GetBuffer(pieces[index], &views[held], PyBUF_SIMPLE)
            held += 1
            vector[count].iov_base = views[held - 1].buf
            vector[count].iov_len = views[held - 1].len
            count += 1
        with nogil:
            size = writev(fd, vector, count)
            if size < 0:
                failed = errno
    finally:
        for index in range(held):
            PyBuffer_Release(&views[index])
    return failed


cpdef Py_ssize_t write_frames(int fd, bytes header, list frames, Py_ssize_t index, Py_ssize_t largest) except -1:
    """Writes `frames` from `index` on, each behind `header`; see ``vectors.py``."""
    cdef iovec[BATCH][2] vectors
    cdef list held = []  # what is written, while the interpreter is released
    cdef Frame frame
    cdef bytes data
    cdef int parts = 0, count = 0, written = 0
    if index < 0 or index > len(frames):
        raise IndexError(f"frame {index} of {len(frames)}")
    if PyBytes_GET_SIZE(header):
        parts = 1
    while count < BATCH and index + count < len(frames):
        frame = <Frame?>frames[index + count]
        data = frame.data
        if data is None:
            raise TypeError("want bytes, not None")
        if frame.gso_size or frame.checksum == NEEDED or PyBytes_GET_SIZE(data) > largest:
            break
        held.append(data)
        vectors[count][0].iov_base = PyBytes_AS_STRING(header)
        vectors[count][0].iov_len = PyBytes_GET_SIZE(header)
        vectors[count][parts].iov_base = PyBytes_AS_STRING(data)
        vectors[count][parts].iov_len = PyBytes_GET_SIZE(data)
        count += 1
    with nogil:
        while written < count and writev(fd, vectors[written], parts + 1) >= 0:
            written += 1
    return written
