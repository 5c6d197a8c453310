"""An interface, watched live: AF_PACKET with a ring of blocks (TPACKET_V3) that the kernel fills. It never sends.

Read first: packet(7); Documentation/networking/packet_mmap.rst of Linux. Both directions are seen, packets of up to
64 KiB that a card or the kernel has merged, or will cut, included: a block takes them whole. What the ring had no room
for is counted in `dropped`.

The filter runs twice: in the kernel, so that what nobody wants takes no room, and here, over the packet as it was on
the wire. Linux takes the outermost VLAN tag out of a packet before its filter sees it, so there tagged packets pass.
"""

from __future__ import annotations

import contextlib
import re
import select
import socket
import struct
import time

from uinet.errors import DeviceError, DeviceGone
from uinet.following.filtering import Filter
from uinet.following.reading import WAIT
from uinet.following.ring import RingWalk
from uinet.following.source import Source, Stop
from uinet.link import interface
from uinet.link.ring import Ring
from uinet.link.sockets import SOL_PACKET, attach, hear_everything, try_option
from uinet.link.url import Options
from uinet.passive.follower import Follower
from uinet.units import MILLISECOND
from uinet.wire.capture import LINKTYPE_ETHERNET, LINKTYPE_RAW

ETH_P_ALL = 0x0003
PACKET_STATISTICS = 6
PACKET_IGNORE_OUTGOING = 23

RING = 64 << 20
RETIRE = 20  # ms after which the kernel hands over a block that is not full
LAST = 3 * RETIRE  # it looks every RETIRE ms, and takes a block that it has seen before
LAG = 100 * MILLISECOND  # the follower's clock stays this far behind while nothing comes: blocks are on their way

LINK_TYPES = {
    interface.ARPHRD_ETHER: LINKTYPE_ETHERNET,
    interface.ARPHRD_LOOPBACK: LINKTYPE_ETHERNET,
    interface.ARPHRD_NONE: LINKTYPE_RAW,
}

# before a filter in the kernel: packets with a VLAN tag pass (SKF_AD_OFF + SKF_AD_VLAN_TAG_PRESENT)
_TAGGED_PASS = ((0x20, 0, 0, 0xFFFFF030), (0x15, 1, 0, 0), (0x06, 0, 0, 0x40000))
_SIZE = re.compile(r"(\d{1,12})([kKMG]?)")
_SCALES = {"": 1, "k": 1 << 10, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_FLAGS = {"1": True, "yes": True, "true": True, "on": True, "0": False, "no": False, "false": False, "off": False}


class RingSource(Source):
    """The packets of the interface `name`, with the kernel's times. `ring`: bytes of memory shared with the kernel.

    `promisc`: those for other MACs too. While nothing comes the follower's time goes on. Set down, the interface is
    waited for; deleted, it raises DeviceGone. A `pump` that is told to stop still feeds what came before it was told.
    Raises DeviceURLError (bad name), PermissionDenied, DeviceError.
    """

    def __init__(
        self, name: str, filter: Filter | None = None, *, ring: int = RING, promisc: bool = True
    ) -> None:
        interface.require_linux("AF_PACKET")
        interface.check_name(name)
        super().__init__(f"packet:{name}")
        try:
            # protocol 0: nothing is received before all is set up and bind says from where
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        except PermissionError:
            raise interface.missing_capability(self.name, "CAP_NET_RAW") from None
        try:
            self._open(name, filter, ring, promisc)
        except OSError as error:
            self._socket.close()
            if isinstance(error, DeviceError):
                raise
            raise DeviceError(f"{self.name}: {error.strerror}") from None
        except BaseException:
            self._socket.close()
            raise
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self._closed = False

    def _open(self, name: str, filter: Filter | None, ring: int, promisc: bool) -> None:
        sock = self._socket
        self._index = interface.index(sock, name)
        kind, _ = interface.hardware(sock, name)
        if kind not in LINK_TYPES:
            raise DeviceError(f"interface {name} carries neither Ethernet nor IP (ARPHRD {kind})")
        loopback = kind == interface.ARPHRD_LOOPBACK
        self._walk = RingWalk(LINK_TYPES[kind], filter, loopback)
        if filter is not None:
            _attach(sock, filter, LINK_TYPES[kind])
        if loopback:
            try_option(sock, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)  # since Linux 4.20
        self._ring = Ring(sock, ring, retire=RETIRE)
        if promisc:
            hear_everything(sock, self._index)
        sock.bind((name, ETH_P_ALL))

    def pump(self, follower: Follower, stop: Stop | None = None) -> bool:
        if self._closed:
            return False
        if stop is not None and stop():
            self._drain(follower)
            return False
        block = self._ring.blocks.take_block()
        if block is None:
            troubled = any(events & ~select.POLLIN for _, events in self._poll.poll(WAIT))
            block = self._ring.blocks.take_block()
            if block is None:
                if troubled:
                    self._look()
                follower.advance(max(time.time_ns() - LAG, self._walk.time))
        if block is not None:
            passed = self._walk.passed
            self._walk.walk(follower, block)
            if self._walk.passed == passed:
                follower.advance(self._walk.time)
        self.position = self._walk.total
        self._collect_drops()
        if stop is not None and stop():
            self._drain(follower)
            return False
        return True

    def _drain(self, follower: Follower) -> None:
        """Feeds what came before now: the blocks that are full, and the one that the kernel is filling."""
        until = time.time_ns()
        for _ in range(self._ring.count + 1):
            block = self._ring.blocks.take_block()
            if block is None:
                self._poll.poll(LAST)
                block = self._ring.blocks.take_block()
                if block is None:
                    break
            self._walk.walk(follower, block)
            if self._walk.time >= until:
                break
        self.position = self._walk.total
        self._collect_drops()

    def _look(self) -> None:
        """The socket has an error: DeviceGone if the interface is gone, and nothing if it is down."""
        self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)  # reading it clears it
        if not interface.current_name(self._socket, self._index):
            raise DeviceGone(f"{self.name} was deleted")

    def _collect_drops(self) -> None:
        """Adds what was dropped since the last call: reading the kernel's counters sets them to zero."""
        _, drops, _ = struct.unpack("=III", self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 12))
        self.dropped += drops

    def fileno(self) -> int:
        """The descriptor that is readable when a block is there; -1 once closed."""
        return self._socket.fileno()

    def statistics(self) -> dict[str, int]:
        walk = self._walk
        return {
            "packets": walk.count, "filtered": walk.count - walk.passed, "bytes": walk.total,
            "dropped": self.dropped, "unfinished_checksums": walk.unfinished,
        }

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._collect_drops()
            self._ring.close()
            self._socket.close()


def open_ring(url: str, filter: Filter | None = None) -> RingSource:
    """The source that ``packet:IFNAME[?ring=64M&promisc=1]`` names. DeviceURLError and what RingSource raises."""
    name, _, query = url.partition(":")[2].partition("?")
    options = Options(url, query)
    ring = options.take("ring", _size, RING)
    promisc = options.take("promisc", _flag, True)
    options.finish("a watched interface")
    return RingSource(name, filter, ring=ring, promisc=promisc)


def _attach(sock: socket.socket, filter: Filter, link_type: int) -> None:
    """Has the kernel run the filter too, if it can. FilterError if it has no meaning for the interface."""
    program = filter.program_for(link_type)
    if program is None:
        return
    with contextlib.suppress(OSError):  # what a kernel without it does not save is done here as well
        attach(sock, (*_TAGGED_PASS, *program.instructions))


def _size(text: str) -> int:
    match = _SIZE.fullmatch(text)
    size = int(match[1]) * _SCALES[match[2]] if match else 0
    if not 1 <= size <= 1 << 32:
        raise ValueError("bytes, like 64M, at most 4G")
    return size


def _flag(text: str) -> bool:
    if text.lower() not in _FLAGS:
        raise ValueError("1 or 0")
    return _FLAGS[text.lower()]
