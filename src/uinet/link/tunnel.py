"""Batches of frames through the descriptor of a TAP or TUN: the hot path of every packet that takes one.

Where the device speaks virtio-net headers, what the kernel hands over as one large frame stays one, and so does what a
stack sends as one; its pieces are gathered by the kernel.
"""

from __future__ import annotations

from typing import Any

from uinet.link.constants import F_NEEDS_CSUM, TCP_CHECKSUM
from uinet.link.offload import locate_tcp
from uinet.link.vectors import FrameReader, write_frames, write_packet
from uinet.link.vnet import PLAIN, decode_fields, encode, segments
from uinet.wire.frame import (
    CHECKSUM_NEEDED,
    CHECKSUM_UNKNOWN,
    CHECKSUM_VALID,
    Frame,
    LargeFrame,
    SplitFrame,
    new_frame,
    split_frame,
)
from uinet.wire.judge import Judge
from uinet.wire.kernels import load_u8

NOTHING = b""
SMALL = 8192  # bytes of the smallest packets that are worth splitting
ENOUGH = 1 << 19  # bytes of a batch: of 64 KiB frames a few are as good as many, and the sender waits for their ACKs


class Tunnel:
    """One open descriptor.

    `vnet`: packets have virtio-net headers. `largest_in`, `largest_out`: bytes of the largest packet each way; a frame
    that is to be cut by the kernel may be larger. After a call: `packets` and `octets` are what it moved, `error` the
    number of the error that ended it, or 0; after `recv` `truncated` packets were too long, after `send` `oversize`.
    `splits`: see :class:`uinet.link.device.Device`.
    """

    def __init__(self, fd: int, layer: int, vnet: bool, largest_in: int, largest_out: int) -> None:
        self.fd = fd
        self.layer = layer
        self.vnet = vnet
        self.largest_out = largest_out
        self.largest_in = largest_in
        # a packet of one byte more than the largest tells that it was longer
        self.reader = FrameReader(fd, largest_in + 1, vnet)
        self.splits = False
        self.packets = 0
        self.octets = 0
        self.error = 0
        self.truncated = 0
        self.oversize = 0
        self.passed = 0  # packets that `pass_on` has passed on, and their bytes
        self.passed_octets = 0

    def recv(self, limit: int) -> list[Frame]:
        """At most `limit` packets, and no more after ENOUGH bytes."""
        frames: list[Frame] = []
        reader = self.reader
        self.octets = 0
        self.error = 0
        self.truncated = 0
        count = 0
        if reader.head and not self.splits:
            reader.split_at(0)
        while count < limit and self.octets < ENOUGH:
            try:
                data = reader.read()
            except OSError as error:
                self.error = error.errno or 5
                break
            if data is None:
                break
            count += 1
            size = len(data)
            payload = reader.payload
            if payload is not None:
                size += len(payload)
            if size > self.largest_in:
                self.truncated += 1
                continue
            self.octets += size
            if payload is not None:
                frame = self._split(data, payload)
                if frame is not None:
                    frames.append(frame)
                else:
                    frames += self._joined(data + payload)
            else:
                self._whole(frames, data, size)
        self.packets = len(frames)
        return frames

    def _whole(self, frames: list[Frame], data: bytes, size: int) -> None:
        """Adds the frame, or frames, of a packet that is in one place."""
        reader = self.reader
        if not self.vnet or (reader.flags == 0 and reader.gso_type == 0):
            frames.append(new_frame(data, CHECKSUM_UNKNOWN))
        elif reader.gso_type == 0 and reader.flags == F_NEEDS_CSUM and self._sums(data):
            frames.append(new_frame(data, CHECKSUM_NEEDED))
        else:
            frames += decode_fields(
                reader.flags, reader.gso_type, reader.gso_size, reader.start, reader.offset, data, self.layer
            )
            if self.splits and size > SMALL:
                self._learn(data)

    def pass_on(self, limit: int, other: Tunnel, judge: Judge, side: Any, now: int) -> list[Frame]:
        """As `recv`, but that packets which the judge passes go to `other` at once, as they are and in one buffer, with
        no object made for any. From the first on that it does not pass all are frames, so that the order stays."""
        frames: list[Frame] = []
        reader = self.reader
        self.octets = self.error = self.truncated = self.passed = self.passed_octets = 0
        count = 0
        passing = self.vnet == other.vnet
        if reader.head:
            reader.split_at(0)
        while count < limit and self.octets < ENOUGH:
            try:
                size = reader.fetch()
            except OSError as error:
                self.error = error.errno or 5
                break
            if size < 0:
                break
            count += 1
            if size > self.largest_in:
                self.truncated += 1
                continue
            if passing:
                if (reader.gso_type or size <= other.largest_out) and judge.passes(
                    side, reader.buffer(), size, self.layer, now
                ) and not reader.pass_on(other.fd, size):
                    self.passed += 1
                    self.passed_octets += size
                    continue
                passing = False  # if it could not be written it was counted, and goes the other way
            self.octets += size
            self._whole(frames, reader.keep(size), size)
        self.packets = len(frames)
        return frames

    def _split(self, data: bytes, payload: bytes) -> SplitFrame | None:
        """The frame of a packet that was read into two places; None if it was split at the wrong place."""
        reader = self.reader
        l4 = locate_tcp(data, self.layer)
        if l4 < 0 or l4 + (load_u8(data, l4 + 12) >> 4) * 4 != len(data):
            return None
        if not reader.flags & F_NEEDS_CSUM:
            return split_frame(data, payload, CHECKSUM_VALID, reader.gso_size)
        if reader.start != l4 or reader.offset != TCP_CHECKSUM:
            return None
        return split_frame(data, payload, CHECKSUM_NEEDED, reader.gso_size)

    def _sums(self, data: bytes) -> bool:
        """Whether the checksum that is not computed is that of a TCP packet which is nothing but that."""
        return self.reader.offset == TCP_CHECKSUM and locate_tcp(data, self.layer) == self.reader.start

    def _joined(self, data: bytes) -> list[Frame]:
        """The frames of a packet that was split at the wrong place; the next one will not be."""
        reader = self.reader
        self._learn(data)
        return decode_fields(
            reader.flags, reader.gso_type, reader.gso_size, reader.start, reader.offset, data, self.layer
        )

    def _learn(self, data: bytes) -> None:
        """The next packet is split where this one would have to be: of a bulk transfer all headers are alike."""
        l4 = locate_tcp(data, self.layer)
        if l4 > 0:
            self.reader.split_at(l4 + (load_u8(data, l4 + 12) >> 4) * 4)

    def send(self, frames: list[Frame], index: int) -> int:
        """Writes `frames` from `index` on; the index of the first that was not written. It stops at an error, and with
        none at a frame that has to be finished in software first."""
        self.packets = 0
        self.octets = 0
        self.error = 0
        self.oversize = 0
        count = len(frames)
        while index < count:
            header = PLAIN if self.vnet else NOTHING
            written = write_frames(self.fd, header, frames, index, self.largest_out)
            if written:
                self.packets += written
                written += index
                while index < written:
                    frame = frames[index]
                    self.octets += len(frame.data)
                    index += 1
                continue
            frame = frames[index]
            data = frame.data
            pieces = None
            size = len(data)
            if self.vnet and isinstance(frame, LargeFrame):
                large: LargeFrame = frame
                header = segments(data, large.l3, large.l4, size, large.gso_size)
                pieces = large.pieces
                size = len(large)
            elif frame.gso_size or frame.checksum == CHECKSUM_NEEDED:
                encoded = encode(frame, self.layer) if self.vnet else None
                if encoded is None:
                    return index
                header, data = encoded
                size = len(data)
            elif size > self.largest_out:
                self.oversize += 1
                index += 1
                continue
            self.error = write_packet(self.fd, header, data, pieces)
            if self.error:
                return index
            self.packets += 1
            self.octets += size
            index += 1
        return index
