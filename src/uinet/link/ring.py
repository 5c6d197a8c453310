"""The ring of a packet socket, memory shared with the kernel, which fills it: packet(7); packet_mmap.rst of Linux."""

from __future__ import annotations

import mmap
import socket
import struct

from uinet.errors import DeviceError
from uinet.link.calls import BlockRing
from uinet.link.sockets import SOL_PACKET

PACKET_RX_RING = 5
PACKET_VERSION = 10
TPACKET_V3 = 2

BLOCK = 1 << 20  # bytes: many packets, or several of the largest
MIN_BLOCK = 1 << 18


class Ring:
    """A ring of at least `size` bytes on `sock`, which must not be bound yet. DeviceError if there is no room for it.

    `retire`: ms after which the kernel hands over a block that is not full; it looks that often, and takes a block that
    it has seen before, so a lone packet waits for up to twice as long. Blocks that are not full take room all the same:
    with few blocks and a short `retire` the ring is soon full. `headers`: the socket has PACKET_VNET_HDR. `block`:
    bytes of one. `count`: how many there are. The ring is read through `blocks`.
    """

    def __init__(
        self, sock: socket.socket, size: int, *, retire: int, headers: bool = False, block: int | None = None
    ) -> None:
        block = block or BLOCK
        self.count = max(2, -(-size // block))
        # struct tpacket_req3; the frame size has no meaning in this version but has to fit
        request = struct.pack("=7I", block, self.count, 1 << 11, self.count * (block >> 11), retire, 0, 0)
        length = self.count * block
        try:
            sock.setsockopt(SOL_PACKET, PACKET_VERSION, TPACKET_V3)
            sock.setsockopt(SOL_PACKET, PACKET_RX_RING, request)
            self._memory = mmap.mmap(sock.fileno(), length, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        except (OSError, ValueError, OverflowError) as error:
            said = getattr(error, "strerror", None) or error
            raise DeviceError(f"no ring of {length >> 20} MiB can be had, try a smaller ?ring=: {said}") from None
        self.blocks = BlockRing(self._memory, block, self.count, headers)

    def close(self) -> None:
        """Gives the memory back; a second call does nothing."""
        self.blocks.release()
        self._memory.close()
