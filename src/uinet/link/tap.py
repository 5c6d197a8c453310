"""TAP and TUN: a network interface of the kernel whose other end is this program.

Read first: Linux, Documentation/networking/tuntap.rst. A TAP (layer 2) is an Ethernet cable between the
kernel and the stack, a TUN (layer 3) carries bare IP packets.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from uinet.errors import DeviceError, DeviceGone, PermissionDenied
from uinet.link import bpf, interface, steering, vnet
from uinet.link.device import check_mtu
from uinet.link.tunnel import Tunnel
from uinet.link.vectors import write_packet
from uinet.link.watch import watch_link
from uinet.link.writing import WritingDevice
from uinet.wire.addresses import Mac, parse_prefix
from uinet.wire.frame import Frame

if TYPE_CHECKING:
    from uinet.link.device import Device
    from uinet.link.sharing import Share
    from uinet.wire.judge import Judge

if sys.platform != "win32":
    import fcntl

CLONE_DEVICE = "/dev/net/tun"

TUNSETIFF = 0x400454CA
TUNSETOFFLOAD = 0x400454D0
TUNSETSTEERINGEBPF = 0x800454E0
IFF_TUN = 0x0001
IFF_TAP = 0x0002
IFF_MULTI_QUEUE = 0x0100
IFF_NO_PI = 0x1000
IFF_VNET_HDR = 0x4000
TUN_F_CSUM = 0x01
TUN_F_TSO4 = 0x02
TUN_F_TSO6 = 0x04
TUN_F_TSO_ECN = 0x08
OFFLOADS = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN

LARGEST = 65535 + 14 + 16 * 4  # what one read can bring: the largest IP packet and its link header

EBADFD = 77  # Linux only, so not in every errno module
_FULL = (errno.EAGAIN, errno.EINTR, errno.ENOBUFS, errno.ENOMEM)
_GONE = (EBADFD, errno.ENODEV, errno.ENXIO, errno.EBADF)


class TapDevice(WritingDevice):
    """The program's end of a TAP (`layer` 2) or TUN (`layer` 3) interface.

    `name`: of the interface, made if it does not exist and gone again when the device is closed; a "%d" in
    it is replaced by the first free number. `mtu`: set on the interface; None leaves it. `up`: sets the
    interface up if that is permitted. `addresses`: for the kernel's side, like "10.7.0.1/24". `offload`:
    large frames and unfinished checksums go through as they are, which is worth a factor of seven in bulk.
    `busy_poll`: see Device. `share`: it is one worker's queue of the interface.

    Raises DeviceURLError (bad name), PermissionDenied, DeviceError.
    """

    def __init__(
        self,
        name: str,
        *,
        layer: int = 2,
        mtu: int | None = None,
        mac: Mac | None = None,
        up: bool = True,
        addresses: Sequence[str] = (),
        offload: bool = True,
        busy_poll: int = 0,
        share: Share | None = None,
    ) -> None:
        kind = "tap" if layer == 2 else "tun"
        super().__init__(f"{kind}:{name}", layer=layer, mac=mac)
        interface.require_linux("TAP and TUN")
        interface.check_name(name)
        for prefix in addresses:
            parse_prefix(prefix)
        if mtu is not None:
            check_mtu(mtu)
        self._fd = _open_clone_device(name)
        try:
            self.interface = self._attach(name, offload, share is not None)
            if share is not None:
                self._steer(share)
            self.name = f"{kind}:{self.interface}"
            self._configure(mtu, up, addresses)
        except BaseException:
            os.close(self._fd)
            raise
        self.busy_poll = busy_poll
        self.gathers = self.offload
        largest = LARGEST if self.offload else self.mtu + LARGEST - 65535
        self._tunnel = Tunnel(self._fd, self.layer, self.offload, largest, self.largest())

    def _attach(self, name: str, offload: bool, multi_queue: bool = False) -> str:
        """Makes the descriptor this program's end of interface `name`; the name that it really has."""
        kind, flag = ("tap", IFF_TAP) if self.layer == 2 else ("tun", IFF_TUN)
        flags = flag | IFF_NO_PI | (IFF_VNET_HDR if offload else 0) | (IFF_MULTI_QUEUE if multi_queue else 0)
        try:
            reply = fcntl.ioctl(self._fd, TUNSETIFF, interface.ifreq(name, struct.pack("H", flags)))
        except OSError as error:
            raise _attach_error(name, kind, error) from None
        try:
            fcntl.ioctl(self._fd, TUNSETOFFLOAD, OFFLOADS if offload else 0)
        except OSError:
            pass  # an old kernel: it hands over finished packets, and takes large ones all the same
        self.offload = offload
        return os.fsdecode(reply[:16].rstrip(b"\0"))

    def _steer(self, share: Share) -> None:
        """The first of several queues tells the kernel which of them a packet belongs to."""
        if share.index == 0:
            share.name = self.interface
            code = steering.extended(steering.program(self.layer == 2), ethernet=self.layer == 2)
            try:
                program = bpf.load_program(bpf.PROG_TYPE_SOCKET_FILTER, bpf.encode(code), "uinet_owner")
                try:
                    fcntl.ioctl(self._fd, TUNSETSTEERINGEBPF, struct.pack("i", program))
                finally:
                    os.close(program)
            except PermissionError:
                raise interface.missing_capability(f"steering the queues of {self.name}", "CAP_BPF") from None
            except OSError as error:
                raise DeviceError(f"{self.name}: its queues can't be steered: {error.strerror}") from None

    def _configure(self, mtu: int | None, up: bool, addresses: Sequence[str]) -> None:
        name = self.interface
        with interface.control_socket() as sock:
            try:
                if mtu is not None and interface.mtu(sock, name) != mtu:
                    interface.set_mtu(sock, name, mtu)
                self.mtu = interface.mtu(sock, name)
                for prefix in addresses:
                    interface.add_address(name, prefix)
            except PermissionError:
                what = f"setting an MTU or an address of {name}"
                raise interface.missing_capability(what, "CAP_NET_ADMIN") from None
            except OSError as error:
                if isinstance(error, DeviceError):
                    raise
                raise DeviceError(f"{self.name}: {error.strerror}") from None
            try:
                if up and not interface.is_up(sock, name):
                    interface.set_up(sock, name)
            except PermissionError:
                pass  # it is root's device, and root sets it up; until then frames are counted as tx_down
            self.link_watch = watch_link(interface.index(sock, name))

    def follow_mtu(self, mtu: int) -> None:
        super().follow_mtu(mtu)
        self._tunnel.largest_out = self.largest()

    def recv(self, limit: int = 64) -> list[Frame]:
        self.require_open()
        tunnel = self._tunnel
        tunnel.splits = self.splits
        frames = tunnel.recv(limit)
        self.counters["rx_frames"] += tunnel.packets
        self.counters["rx_bytes"] += tunnel.octets
        if tunnel.truncated:
            self.count("rx_truncated", tunnel.truncated)
        if tunnel.error and not frames:
            raise self._failed(OSError(tunnel.error, os.strerror(tunnel.error)))
        return frames

    def passes_to(self, other: Device) -> bool:
        return type(other) is TapDevice and not other.closed and other.offload == self.offload

    def pass_on(self, limit: int, other: Device, judge: Judge, side: Any, now: int) -> tuple[list[Frame], int, int]:
        self.require_open()
        assert isinstance(other, TapDevice)
        tunnel = self._tunnel
        frames = tunnel.pass_on(limit, other._tunnel, judge, side, now)
        passed, octets = tunnel.passed, tunnel.passed_octets
        self.counters["rx_frames"] += tunnel.packets + passed
        self.counters["rx_bytes"] += tunnel.octets + octets
        other.counters["tx_frames"] += passed
        other.counters["tx_bytes"] += octets
        if tunnel.truncated:
            self.count("rx_truncated", tunnel.truncated)
        if tunnel.error and not frames and not passed:
            raise self._failed(OSError(tunnel.error, os.strerror(tunnel.error)))
        return frames, passed, octets

    def send(self, frames: Sequence[Frame]) -> int:
        self.require_open()
        tunnel = self._tunnel
        frames = frames if isinstance(frames, list) else list(frames)
        index = 0
        while True:
            index = tunnel.send(frames, index)
            self.counters["tx_frames"] += tunnel.packets
            self.counters["tx_bytes"] += tunnel.octets
            if tunnel.oversize:
                self.count("tx_oversize", tunnel.oversize)
            if index == len(frames):
                return index
            if tunnel.error:
                if not self._overcome(tunnel.error):
                    return index
            elif not self.write_unfinished(frames[index]):
                return index
            index += 1

    def write(self, packet: bytes) -> bool:
        if len(packet) > self.largest():
            self.count("tx_oversize")
            return True
        error = write_packet(self._fd, vnet.PLAIN if self.offload else b"", packet, None)
        if error:
            return self._overcome(error)
        self.sent(len(packet))
        return True

    def _overcome(self, error: int) -> bool:
        """What a write's error means: False if the device is full, True if the packet is dropped, and counted."""
        if error in _FULL:
            return False
        if error in _GONE:
            raise self._failed(OSError(error, os.strerror(error)))
        self.count("tx_down" if error == errno.EIO else "tx_refused")
        return True

    def _failed(self, error: OSError) -> DeviceError:
        if error.errno in _GONE:
            return DeviceGone(f"{self.name} was deleted")
        return DeviceGone(f"{self.name}: {error.strerror}")

    def fileno(self) -> int:
        return -1 if self.closed else self._fd

    def close(self) -> None:
        if not self.closed:
            super().close()
            os.close(self._fd)


def _open_clone_device(name: str) -> int:
    try:
        return os.open(CLONE_DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError:
        raise PermissionDenied(
            f"{CLONE_DEVICE} can't be opened: run as root, or let root allow it (chmod 666 {CLONE_DEVICE})"
        ) from None
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
            raise DeviceError(
                f"this system has no {CLONE_DEVICE}: load the tun module (modprobe tun), or, in a container, "
                f"pass the device in (--device {CLONE_DEVICE})"
            ) from None
        raise DeviceError(f"{CLONE_DEVICE}: {error.strerror}") from None


def _attach_error(name: str, kind: str, error: OSError) -> DeviceError:
    if error.errno in (errno.EPERM, errno.EACCES):
        hint = f"; or let root make the device: ip tuntap add dev {name} mode {kind} user $USER"
        return interface.missing_capability(f"making {kind} device {name}", "CAP_NET_ADMIN", hint)
    if error.errno == errno.EBUSY:
        return DeviceError(f"{kind} device {name} is in use by another program")
    if error.errno in (errno.EINVAL, errno.EEXIST):
        return DeviceError(f"interface {name} exists and is no {kind} device, or one with several queues")
    return DeviceError(f"{kind} device {name}: {error.strerror}")
