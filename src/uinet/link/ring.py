"""The ring of a packet socket, memory shared with the kernel, which fills it: packet(7); packet_mmap.rst of Linux."""

from __future__ import annotations

import mmap
import socket
import struct

from uinet.errors import DeviceError
from uinet.link.calls import BlockRing

SOL_PACKET = 263
PACKET_RX_RING = 5
PACKET_VERSION = 10
TPACKET_V3 = 2

BLOCK = 1 << 20  # bytes: many packets, or several of the largest


class Ring:
    """A ring of at least `size` bytes on `sock`, which must not be bound yet. DeviceError if there is no room for it.

    `retire`: ms after which the kernel hands over a block that is not full; it looks that often, and takes a block that
    it has seen before, so a lone packet waits for up to twice as long. `headers`: the socket has PACKET_VNET_HDR.
    `count`: blocks. The ring is read through `blocks`.
    """

    def __init__(self, sock: socket.socket, size: int, *, retire: int, headers: bool = False) -> None:
        self.count = max(2, -(-size // BLOCK))
        # struct tpacket_req3; the frame size has no meaning in this version but has to fit
        request = struct.pack("=7I", BLOCK, self.count, 1 << 11, self.count * (BLOCK >> 11), retire, 0, 0)
        length = self.count * BLOCK
        try:
            sock.setsockopt(SOL_PACKET, PACKET_VERSION, TPACKET_V3)
            sock.setsockopt(SOL_PACKET, PACKET_RX_RING, request)
            self._memory = mmap.mmap(sock.fileno(), length, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        except (OSError, ValueError, OverflowError) as error:
            said = getattr(error, "strerror", None) or error
            raise DeviceError(f"no ring of {length >> 20} MiB can be had, try a smaller ?ring=: {said}") from None
        self.blocks = BlockRing(self._memory, BLOCK, self.count, headers)

    def close(self) -> None:
        """Gives the memory back; a second call does nothing."""
        self.blocks.release()
        self._memory.close()
