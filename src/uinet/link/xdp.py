"""AF_XDP: the frames of an existing interface, or of some of its queues, before the kernel's stack has seen them.

Read first: Documentation/networking/af_xdp.rst of Linux; linux/if_xdp.h; :mod:`uinet.link.umem`. What is redirected to
us the kernel's own stack never sees, unlike on a packet socket. Frames have no offload state: a sender's checksums must
be complete and its frames no larger than the link's. All VLAN tags stay in the frame.

An XDP program of five instructions redirects each frame to the socket of its receive queue, and leaves the frames of
queues that have none to the kernel. It is attached by a link of its own, which ends with this process at the latest.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import select
import socket
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING

from uinet.errors import DeviceError, DeviceURLError
from uinet.link import bpf, interface, umem
from uinet.link.fate import InterfaceDevice
from uinet.link.offload import finish
from uinet.link.sockets import try_option, watch_only
from uinet.units import MICROSECOND
from uinet.wire.addresses import Mac
from uinet.wire.frame import CHECKSUM_NEEDED, Frame

if TYPE_CHECKING:
    from uinet.link.sharing import Share

AF_XDP = 44
SOL_XDP = 283
XDP_MMAP_OFFSETS = 1
XDP_RX_RING = 2
XDP_TX_RING = 3
XDP_UMEM_REG = 4
XDP_UMEM_FILL_RING = 5
XDP_UMEM_COMPLETION_RING = 6
XDP_STATISTICS = 7
XDP_OPTIONS = 8
XDP_OPTIONS_ZEROCOPY = 1
XDP_COPY = 1 << 1
XDP_USE_NEED_WAKEUP = 1 << 3
PGOFF_RX = 0
PGOFF_TX = 0x80000000
PGOFF_FILL = 0x100000000
PGOFF_COMPLETION = 0x180000000
MODE_GENERIC = 1 << 1  # XDP_FLAGS_SKB_MODE
MODE_NATIVE = 1 << 2  # XDP_FLAGS_DRV_MODE
MODES = ("auto", "native", "generic")

SO_BUSY_POLL = 46
SO_PREFER_BUSY_POLL = 69
SO_BUSY_POLL_BUDGET = 70
BUDGET = 64

DESCRIPTOR = 16  # bytes of a slot in the receive and transmit rings
ADDRESS = 8  # and in the other two
CHUNK = 4096
ENTRIES = 2048  # chunks to receive into, of each queue, and as many to send
HEADROOM = 256  # of a chunk, which the kernel keeps free for programs
TAILROOM = 320  # at most: drivers that build socket buffers in place
LARGEST = CHUNK - HEADROOM - TAILROOM
TX_BUDGET = 32  # frames that one wake-up sends in copy mode
MAX_QUEUES = 256
_FULL = (errno.EAGAIN, errno.EBUSY, errno.ENOBUFS, errno.ENOMEM)
_KINDS = (interface.ARPHRD_ETHER, interface.ARPHRD_LOOPBACK)


def redirecting(map_descriptor: int) -> bytes:
    """The XDP program: ``return bpf_redirect_map(map, ctx->rx_queue_index, XDP_PASS)``."""
    return bpf.encode([
        (0x61, 2, 1, 16, 0),  # r2 = *(u32 *)(r1 + 16), which is xdp_md.rx_queue_index
        (0x18, 1, bpf.PSEUDO_MAP_FD, 0, map_descriptor), (0, 0, 0, 0, 0),  # r1 = map
        (0xB7, 3, 0, 0, 2),  # r3 = XDP_PASS: what becomes of frames of queues without a socket
        (0x85, 0, 0, 0, 51),  # call bpf_redirect_map
        (0x95, 0, 0, 0, 0),  # exit
    ])


class Redirect:
    """The program on an interface, and its map of queues. `native`: whether the driver itself runs it.

    `users`: devices of this process that hold it; the last one's `close` detaches it, if no other process has it too.
    Raises OSError; in `auto` mode generic XDP is tried where the driver has none.
    """

    def __init__(self, index: int, queues: int, mode: str) -> None:
        self.users = 1
        self._descriptors: list[int] = []
        self.native = mode != "generic"
        try:
            self.map = self._keep(bpf.create_map(bpf.MAP_TYPE_XSKMAP, 4, 4, queues))
            program = self._keep(bpf.load_program(bpf.PROG_TYPE_XDP, redirecting(self.map), "uinet"))
            try:
                self._keep(bpf.attach_xdp(program, index, MODE_NATIVE if self.native else MODE_GENERIC))
            except OSError as error:
                if mode != "auto" or error.errno == errno.EBUSY:
                    raise
                self.native = False
                self._keep(bpf.attach_xdp(program, index, MODE_GENERIC))
        except BaseException:
            self.close()
            raise

    def _keep(self, descriptor: int) -> int:
        self._descriptors.append(descriptor)
        return descriptor

    def add(self, queue: int, sock: socket.socket) -> None:
        """From now on the frames of `queue` go to `sock`. OSError."""
        bpf.update_map(self.map, queue, sock.fileno())

    def close(self) -> None:
        """One user fewer."""
        self.users -= 1
        if self.users > 0:
            return
        for descriptor in reversed(self._descriptors):
            os.close(descriptor)
        self._descriptors = []


class Queue:
    """One AF_XDP socket: a receive and a transmit queue of the interface. `zero_copy`: the driver uses our memory.

    Raises OSError.
    """

    def __init__(self, index: int, queue: int, copy: bool) -> None:
        self.queue = queue
        self._maps: list[mmap.mmap] = []
        self.socket = socket.socket(AF_XDP, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        try:
            self.socket.setblocking(False)
            self.umem = self._share_memory()
            self.umem.start()
            flags = XDP_USE_NEED_WAKEUP | (XDP_COPY if copy else 0)  # without XDP_COPY: zero-copy where it can be had
            _bind(self.socket, struct.pack("=HHIII", AF_XDP, flags, index, queue, 0))
            (options,) = struct.unpack("=I", self.socket.getsockopt(SOL_XDP, XDP_OPTIONS, 4))
            self.zero_copy = bool(options & XDP_OPTIONS_ZEROCOPY)
        except BaseException:
            self.close()
            raise

    def _share_memory(self) -> umem.Umem:
        """Registers memory with the socket, and maps its rings."""
        sock = self.socket
        memory = mmap.mmap(-1, 2 * ENTRIES * CHUNK)
        self._maps.append(memory)
        start = (ctypes.c_char * len(memory)).from_buffer(memory)
        registration = struct.pack("=QQIII4x", ctypes.addressof(start), len(memory), CHUNK, 0, 0)
        sock.setsockopt(SOL_XDP, XDP_UMEM_REG, registration)
        del start
        for option in (XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_RX_RING, XDP_TX_RING):
            sock.setsockopt(SOL_XDP, option, ENTRIES)
        offsets = struct.unpack("=16Q", sock.getsockopt(SOL_XDP, XDP_MMAP_OFFSETS, 128))

        def area(number: int, size: int, page: int) -> umem.Area:
            producer, consumer, slots, flags = offsets[4 * number : 4 * number + 4]
            ring = mmap.mmap(
                sock.fileno(), slots + ENTRIES * size, mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0),
                mmap.PROT_READ | mmap.PROT_WRITE, offset=page,
            )
            self._maps.append(ring)
            return ring, producer, consumer, flags, slots

        return umem.Umem(memory, CHUNK, ENTRIES, (
            area(0, DESCRIPTOR, PGOFF_RX), area(1, DESCRIPTOR, PGOFF_TX),
            area(2, ADDRESS, PGOFF_FILL), area(3, ADDRESS, PGOFF_COMPLETION),
        ))

    def wake_transmit(self) -> int:
        """Has the kernel send what is in the ring; the errno that it answers, 0 if it has taken all of it."""
        rounds = self.umem.flying // TX_BUDGET + 2
        code = 0
        for _ in range(rounds):
            if not self.umem.tx_wakeup():
                return 0
            try:
                self.socket.send(b"", socket.MSG_DONTWAIT)
                code = 0
            except OSError as error:
                code = error.errno or errno.EAGAIN
            if code not in _FULL or not self.umem.collect():
                break
        return code

    def wake_receive(self) -> None:
        """Tells the driver that there are chunks to receive into again, if it wants to be told."""
        if self.umem.rx_wakeup():
            try:
                self.socket.recv(1, socket.MSG_DONTWAIT)
            except OSError:
                pass  # what is wrong with the socket the next poll says

    def dropped(self) -> int:
        """Frames that were for this socket and found no room."""
        values = struct.unpack("=6Q", self.socket.getsockopt(SOL_XDP, XDP_STATISTICS, 48))
        return int(values[0] + values[3])  # rx_dropped: no chunk, or too long; rx_ring_full

    def close(self) -> None:
        """Gives everything back."""
        if hasattr(self, "umem"):
            self.umem.release()
        self.socket.close()
        for each in self._maps:
            each.close()
        self._maps = []


class XdpDevice(InterfaceDevice):
    """The frames of interface `name`: of receive queue `queue`, or of all of them, which None means.

    `mode`: who runs the XDP program: the driver (native), the kernel on any interface (generic), or the driver where
    it can (auto). `copy`: True to have frames copied even where the driver could do without. `promisc`: frames for
    other MACs too. `mtu`: None for the interface's own, but at most 3,498 bytes. `busy_poll`: see Device.
    `share`: it is one worker's, who gets the queue of its number; the card chooses among the queues.

    What it receives the kernel's own stack does not. Frames longer than the link's are no use to it, so a kernel peer's
    large frames and unfinished checksums must be turned off. It sends through its first queue. Down, up and gone as
    with PacketDevice. Raises DeviceURLError (bad name), PermissionDenied, DeviceError.
    """

    def __init__(
        self,
        name: str,
        *,
        queue: int | None = None,
        mode: str = "auto",
        copy: bool = False,
        mtu: int | None = None,
        mac: Mac | None = None,
        promisc: bool = True,
        busy_poll: int = 0,
        share: Share | None = None,
    ) -> None:
        interface.require_linux("AF_XDP")
        interface.check_name(name)
        if mode not in MODES:
            raise DeviceURLError(f"mode {mode!r}: want {', '.join(MODES)}")
        self._queues: list[Queue] = []
        self._redirect: Redirect | None = None
        self._epoll = select.epoll()
        self._flush_at: int | None = None
        try:
            self._watcher = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        except PermissionError:
            self._epoll.close()
            raise interface.missing_capability(f"xdp:{name}", "CAP_NET_RAW and CAP_NET_ADMIN") from None
        try:
            self._open(name, queue, mode, copy, mtu, mac, promisc, share)
            self._set_busy_poll(busy_poll)
        except OSError as error:
            self._release()
            if isinstance(error, DeviceError):
                raise
            raise _explained(name, error) from None
        except BaseException:
            self._release()
            raise

    def _open(
        self, name: str, queue: int | None, mode: str, copy: bool, mtu: int | None, mac: Mac | None, promisc: bool,
        share: Share | None,
    ) -> None:
        index = interface.index(self._watcher, name)
        kind, self.interface_mac = interface.hardware(self._watcher, name)
        if kind not in _KINDS:
            raise DeviceError(f"interface {name} carries no Ethernet (ARPHRD {kind})")
        there = min(interface.queues(self._watcher, name), MAX_QUEUES)
        if share is not None:
            if queue is not None or share.count != there:
                raise DeviceError(f"xdp:{name} has {there} queues: want as many workers, and no queue=")
            queue = share.index
        if queue is not None and not 0 <= queue < there:
            raise DeviceError(f"interface {name} has no queue {queue}: there are {there}, from 0")
        if mtu is None:
            mtu = min(interface.mtu(self._watcher, name), LARGEST - 14 - 2 * 4)
        super().__init__(f"xdp:{name}", layer=2, mtu=mtu, mac=mac)
        if self.mtu > LARGEST - 14:
            raise DeviceError(f"xdp:{name} carries packets of at most {LARGEST - 14} bytes, not {self.mtu}")
        self.watch(self._watcher, index)
        self.down = not interface.is_up(self._watcher, name)
        watch_only(self._watcher, name, index, promisc)
        if share is not None and share.redirect is not None:
            self._redirect = share.redirect
            self._redirect.users += 1
        else:
            self._redirect = Redirect(index, there, mode)
            if share is not None:
                share.redirect = self._redirect
        self.native = self._redirect.native
        for number in range(there) if queue is None else (queue,):
            self._queues.append(Queue(index, number, copy))
            if share is None:
                self._redirect.add(number, self._queues[-1].socket)
            self._epoll.register(self._queues[-1].socket.fileno(), select.EPOLLIN)
        self._epoll.register(self._watcher.fileno(), 0)  # errors, that is

    def begin(self) -> None:
        assert self._redirect is not None
        for queue in self._queues:
            self._redirect.add(queue.queue, queue.socket)

    def forget(self) -> None:
        super().close()
        self._release()

    @property
    def zero_copy(self) -> bool:
        """Whether the driver uses our memory: frames are copied once, not twice."""
        return all(queue.zero_copy for queue in self._queues)

    def _set_busy_poll(self, busy_poll: int) -> None:
        self.busy_poll = busy_poll
        if busy_poll:
            for queue in self._queues:
                try_option(queue.socket, socket.SOL_SOCKET, SO_PREFER_BUSY_POLL, 1)
                try_option(queue.socket, socket.SOL_SOCKET, SO_BUSY_POLL, -(-busy_poll // MICROSECOND))
                try_option(queue.socket, socket.SOL_SOCKET, SO_BUSY_POLL_BUDGET, BUDGET)

    # in

    def recv(self, limit: int = 64) -> list[Frame]:
        self.require_open()
        frames: list[Frame] = []
        octets = 0
        for queue in self._queues:
            if len(frames) < limit:
                frames += queue.umem.receive(limit - len(frames))
                octets += queue.umem.octets
                queue.wake_receive()
        if len(self._queues) > 1 and len(frames) == limit:
            self._queues.append(self._queues.pop(0))  # those that had no turn come first in the next
        if not frames:
            self.look()
        self.counters["rx_frames"] += len(frames)
        self.counters["rx_bytes"] += octets
        return frames

    # out

    def send(self, frames: Sequence[Frame]) -> int:
        self.require_open()
        packets: list[bytes] = []
        ends: list[int] = []  # of each frame, the number of packets up to its end
        for frame in frames:
            before = len(packets)
            for segment in self._finished(frame):
                if len(segment.data) > LARGEST or len(segment.data) > self.largest():
                    self.count("tx_oversize")
                elif len(segment.data) < 14:
                    self.count("tx_refused")
                else:
                    packets.append(segment.data)
            if len(packets) - before > ENTRIES:
                del packets[before:]  # no honest sender cuts a frame into so many: it would wait for room for ever
                self.count("tx_refused")
            ends.append(len(packets))
            if len(packets) >= ENTRIES:
                break
        if self.down:
            self.count("tx_down", len(packets))
            return len(ends)
        return self._send_packets(packets, ends)

    def _finished(self, frame: Frame) -> list[Frame]:
        if frame.gso_size or frame.checksum == CHECKSUM_NEEDED:
            return finish(frame, self.layer, checksums=self.checksums)
        return [frame]

    def _send_packets(self, packets: list[bytes], ends: list[int]) -> int:
        """Puts whole frames into the ring, as many as it takes; how many."""
        transmit = self._sender()
        done = taken = 0
        while taken < len(ends):
            fit = taken
            room = ENTRIES - transmit.umem.flying
            while fit < len(ends) and ends[fit] - done <= room:
                fit += 1
            if fit > taken:
                sent = transmit.umem.send(packets[: ends[fit - 1]], done)
                octets = sum(map(len, packets[done : done + sent]))
                done += sent
                self.counters["tx_frames"] += sent
                self.counters["tx_bytes"] += octets
                taken = fit
            code = transmit.wake_transmit()
            if code and code not in _FULL:
                self.notice_down(code)
                break
            if fit < len(ends) and ENTRIES - transmit.umem.collect() < ends[fit] - done:
                self._flush_at = 0
                break
        return taken

    def _sender(self) -> Queue:
        return min(self._queues, key=lambda queue: queue.queue)

    # time

    def deadline(self) -> int | None:
        return 0 if self._flush_at is not None else super().deadline()

    def poll(self, now: int) -> None:
        if self._flush_at is not None and not self.closed:
            transmit = self._sender()
            transmit.wake_transmit()
            if transmit.umem.collect() <= ENTRIES // 2:
                self._flush_at = None
                if self.on_writable is not None:
                    self.on_writable()
        super().poll(now)

    # what the device holds

    def fileno(self) -> int:
        return -1 if self.closed else self._epoll.fileno()

    def statistics(self) -> dict[str, int]:
        if not self.closed:
            self.counters["rx_missed"] = sum(queue.dropped() for queue in self._queues)
        return super().statistics()

    def close(self) -> None:
        if not self.closed:
            self.statistics()
            super().close()
            self._release()

    def _release(self) -> None:
        if self.link_watch is not None:
            self.link_watch.close()
        if self._redirect is not None:
            self._redirect.close()
        self._epoll.close()
        for queue in self._queues:
            queue.close()
        self._watcher.close()


def _bind(sock: socket.socket, address: bytes) -> None:
    """bind(2) with an address of a family that Python's sockets don't know. OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.bind(sock.fileno(), ctypes.create_string_buffer(address, len(address)), len(address)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _explained(name: str, error: OSError) -> DeviceError:
    """What an error while opening means, in words."""
    if error.errno in (errno.EPERM, errno.EACCES):
        return interface.missing_capability(f"xdp:{name}", "CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF")
    what = {
        errno.EBUSY: "another program has an XDP program on it, or a socket on this queue",
        errno.EAFNOSUPPORT: "this kernel has no AF_XDP (CONFIG_XDP_SOCKETS)",
        errno.ENOSYS: "this kernel has no bpf(2)",
        errno.EOPNOTSUPP: "the driver can't do that; try ?mode=generic",
        errno.ENETDOWN: "the interface is set down",
        errno.ENOBUFS: "the memory can't be locked: raise the limit (ulimit -l)",
    }.get(error.errno or 0, error.strerror)
    return DeviceError(f"xdp:{name}: {what}")
