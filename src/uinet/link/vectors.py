"""Packets of a descriptor, one system call each: the interpreted twin of ``vectors.pyx``."""

from __future__ import annotations

import os
import struct

from uinet.wire.frame import CHECKSUM_NEEDED, Frame

HEADER = struct.Struct("=BBHHHH")  # struct virtio_net_hdr
PIECES = 62
SMALL = 8192  # bytes: a packet up to this is never split
HEADS = 256
GSO_TCP = (1, 4)  # IPv4, IPv6
GSO_ECN = 0x80
BATCH = 64  # packets while the interpreter is released once


class FrameReader:
    """Reads packets of `fd`, of at most `largest` bytes, behind a virtio-net header where `vnet` says so.

    `split_at`: large TCP packets are read into two places from now on, after so many bytes; 0: into one. After `read`,
    `payload` is the second part of one, or None.
    """

    def __init__(self, fd: int, largest: int, vnet: bool) -> None:
        if largest <= 0:
            raise ValueError(f"packets of at most {largest} bytes")
        self.fd = fd
        self.largest = largest
        self.vnet = vnet
        self.flags = self.gso_type = self.gso_size = self.start = self.offset = 0
        self.head = 0
        self.payload: bytes | None = None
        self.spare = self.raw = b""

    def split_at(self, head: int) -> None:
        """Splits after `head` bytes. ValueError: only headers are split off."""
        if not 0 <= head <= HEADS:
            raise ValueError(f"splitting after {head} bytes")
        self.head = head

    def fetch(self) -> int:
        """Brings the next packet into the buffer; its size, -1 if there is none now. Then either `keep` or `pass_on`,
        or it is lost. Nothing is split meanwhile. OSError."""
        data = self._next(0)
        self.spare = data or b""
        return -1 if data is None else len(data)

    def buffer(self) -> bytes:
        """What `fetch` has brought is at its beginning; only for a look."""
        return self.spare

    def keep(self, size: int) -> bytes:
        """The packet of `size` bytes that `fetch` has brought."""
        return self.spare[:size]

    def pass_on(self, fd: int, size: int) -> int:
        """Writes it to another descriptor, with its virtio-net header: 0, or the error's number."""
        return write_packet(fd, self.raw, self.spare[:size], None)

    def read(self) -> bytes | None:
        """The next packet, its virtio-net header in the attributes; None if there is none now. OSError."""
        data = self._next(self.head)
        if self.vnet and data and self.head and len(data) > SMALL + self.head and self.gso_type & ~GSO_ECN in GSO_TCP:
            data, self.payload = data[: self.head], data[self.head :]
        return data

    def _next(self, head: int) -> bytes | None:
        """Reads the next packet, its virtio-net header into the attributes; None if there is none now, nothing if it
        has no whole header."""
        self.payload = None
        try:
            data = os.read(self.fd, self.largest + head + (HEADER.size if self.vnet else 0))
        except BlockingIOError:
            return None
        self.raw = b""
        if self.vnet:
            if len(data) < HEADER.size:
                return b""
            self.raw, data = data[: HEADER.size], data[HEADER.size :]
            self.flags, self.gso_type, _, self.gso_size, self.start, self.offset = HEADER.unpack(self.raw)
        return data


def write_packet(fd: int, header: bytes, data: bytes, pieces: list[memoryview] | None) -> int:
    """Writes one packet: `header` (may be empty), `data`, and each of `pieces` (contiguous buffers; may be None).

    0, or the error's number (EAGAIN where the device is full). ValueError: more pieces than a call takes.
    """
    more = pieces or []
    if len(more) > PIECES:
        raise ValueError(f"{len(more)} pieces: a call takes {PIECES}")
    try:
        os.writev(fd, [header, data, *more] if header else [data, *more])
    except OSError as error:
        return error.errno or 5
    return 0


def write_frames(fd: int, header: bytes, frames: list[Frame], index: int, largest: int) -> int:
    """Writes up to 64 of `frames` from `index` on, each behind `header` (may be empty), up to the first that is not
    finished, is longer than `largest` bytes, or can't be written; how many. IndexError.
    """
    if index < 0 or index > len(frames):
        raise IndexError(f"frame {index} of {len(frames)}")
    written = 0
    for frame in frames[index : index + BATCH]:
        if frame.gso_size or frame.checksum == CHECKSUM_NEEDED or len(frame.data) > largest:
            break
        if write_packet(fd, header, frame.data, None):
            break
        written += 1
    return written
