"""Batches of frames through the descriptor of a TAP or TUN: the hot path of every packet that takes one.

Where the device speaks virtio-net headers, what the kernel hands over as one large frame stays one, and so does what a
stack sends as one; its pieces are gathered by the kernel.
"""

from __future__ import annotations

from uinet.link.vectors import FrameReader, write_frames, write_packet
from uinet.link.vnet import PLAIN, decode_fields, encode, segments
from uinet.wire.frame import CHECKSUM_NEEDED, Frame, LargeFrame

NOTHING = b""
ENOUGH = 1 << 19  # bytes of a batch: of 64 KiB frames a few are as good as many, and the sender waits for their ACKs


class Tunnel:
    """One open descriptor.

    `vnet`: packets have virtio-net headers. `largest_in`, `largest_out`: bytes of the largest packet each way; a frame
    that is to be cut by the kernel may be larger. After a call: `packets` and `octets` are what it moved, `error` the
    number of the error that ended it, or 0; after `recv` `truncated` packets were too long, after `send` `oversize`.
    """

    def __init__(self, fd: int, layer: int, vnet: bool, largest_in: int, largest_out: int) -> None:
        self.fd = fd
        self.layer = layer
        self.vnet = vnet
        self.largest_out = largest_out
        self.largest_in = largest_in
        # a packet of one byte more than the largest tells that it was longer
        self.reader = FrameReader(fd, largest_in + 1, vnet)
        self.packets = 0
        self.octets = 0
        self.error = 0
        self.truncated = 0
        self.oversize = 0

    def recv(self, limit: int) -> list[Frame]:
        """At most `limit` packets, and no more after ENOUGH bytes."""
        frames: list[Frame] = []
        reader = self.reader
        self.octets = 0
        self.error = 0
        self.truncated = 0
        count = 0
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
            if size > self.largest_in:
                self.truncated += 1
                continue
            self.octets += size
            if not self.vnet or (reader.flags == 0 and reader.gso_type == 0):
                frames.append(Frame(data, 0, 0, 0))
            else:
                frames += decode_fields(
                    reader.flags, reader.gso_type, reader.gso_size, reader.start, reader.offset, data, self.layer
                )
        self.packets = len(frames)
        return frames

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
