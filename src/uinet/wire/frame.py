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
        return f"<{type(self).__name__} {len(self)} bytes>"


def new_frame(data: bytes, checksum: int) -> Frame:
    """A single packet, of no time: what a constructor would make, at less cost."""
    frame = Frame.__new__(Frame)
    frame.data = data
    frame.checksum = checksum
    frame.gso_size = 0
    frame.time = 0
    return frame


class LargeFrame(Frame):
    """A frame of several TCP segments whose payload was not copied: its bytes are `data`, all headers, and then each of
    `pieces`.

    A stack makes them for devices that gather (`Device.gathers`), and for no others. `l3`, `l4`: offsets of the network
    and the transport header. `checksum` is CHECKSUM_NEEDED.
    """

    __slots__ = ("l3", "l4", "pieces")

    def __init__(self, data: bytes, gso_size: int, pieces: list[memoryview], l3: int, l4: int) -> None:
        super().__init__(data, CHECKSUM_NEEDED, gso_size, 0)
        self.pieces = pieces
        self.l3 = l3
        self.l4 = l4

    def __len__(self) -> int:
        return len(self.data) + sum(map(len, self.pieces))


class SplitFrame(Frame):
    """A large TCP packet as it was read into two places: its bytes are `data`, all headers and no more, and then
    `payload`.

    Devices make them where they are asked to (`Device.splits`), and nowhere else: whoever is given the payload has it
    without a copy. Its `checksum` needs no look at the payload: it is CHECKSUM_NEEDED or CHECKSUM_VALID.
    """

    __slots__ = ("payload",)

    def __init__(self, data: bytes, payload: bytes, checksum: int, gso_size: int) -> None:
        super().__init__(data, checksum, gso_size, 0)
        self.payload = payload

    def __len__(self) -> int:
        return len(self.data) + len(self.payload)


def split_frame(data: bytes, payload: bytes, checksum: int, gso_size: int) -> SplitFrame:
    """A SplitFrame, made without a call of its class: there is one for every 64 KiB of a bulk transfer."""
    frame = SplitFrame.__new__(SplitFrame)
    frame.data = data
    frame.payload = payload
    frame.checksum = checksum
    frame.gso_size = gso_size
    frame.time = 0
    return frame


def gathered(frame: Frame) -> Frame:
    """The same frame with all its bytes in `data`."""
    if isinstance(frame, LargeFrame):
        return Frame(b"".join((frame.data, *frame.pieces)), frame.checksum, frame.gso_size, frame.time)
    if isinstance(frame, SplitFrame):
        return Frame(frame.data + frame.payload, frame.checksum, frame.gso_size, frame.time)
    return frame
