"""A frame: the bytes of one packet as a device hands it over, with what a device knows about them.

As virtio-net headers do, a frame may be larger than the link's MTU (up to 64 KiB) and then says the size of the
segments that it stands for, and its transport checksum may be right, unknown or not computed yet.
"""

from __future__ import annotations

CHECKSUM_UNKNOWN = 0  # to be verified by whoever reads it
CHECKSUM_VALID = 1  # somebody trustworthy has verified it
CHECKSUM_NEEDED = 2  # trusted, and not computed: only the pseudo header's sum is in its field


class Frame:
    """One packet.

    `data`: the bytes, from the Ethernet header on (layer 2) or from the IP header on (layer 3).
    `checksum`: the state of the transport checksum, one of the CHECKSUM constants.
    `gso_size`: payload bytes of each segment that this frame stands for; 0 if it is a single packet.
    `time`: when it was captured, in nanoseconds; 0 if its device does not tell.
    """

    __slots__ = ("checksum", "data", "gso_size", "time")

    def __init__(self, data: bytes, checksum: int = CHECKSUM_UNKNOWN, gso_size: int = 0, time: int = 0) -> None:
        self.data = data
        self.checksum = checksum
        self.gso_size = gso_size
        self.time = time

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        return f"<Frame {len(self.data)} bytes>"
