"""utun: a network interface of macOS whose other end is this program; bare IP packets.

Read first: net/if_utun.h, sys/kern_control.h of XNU. The interface is made by connecting a socket of the family
AF_SYSTEM to the kernel control "com.apple.net.utun_control"; the unit in the address is the number in its name plus 1,
0 for the first free one. It is gone when the socket is closed. Each packet stands behind its address family, 4 bytes,
big-endian.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import struct
import sys

from uinet.errors import DeviceError, DeviceGone, DeviceURLError, PermissionDenied
from uinet.link.writing import WritingDevice
from uinet.wire.frame import Frame

if sys.platform != "win32":
    import fcntl

PF_SYSTEM = 32
SYSPROTO_CONTROL = 2
CONTROL = b"com.apple.net.utun_control"
CTLIOCGINFO = 0xC0644E03  # _IOWR('N', 3, ctl_info)
CTL_INFO = struct.Struct("=I96s")
UTUN_OPT_IFNAME = 2
SIOCGIFMTU = 0xC0206933  # _IOWR('i', 51, ifreq)
SIOCSIFMTU = 0x80206934  # _IOW('i', 52, ifreq)
IFREQ = struct.Struct("=16si12x")

FAMILY = struct.Struct(">I")
IPV4 = FAMILY.pack(2)  # AF_INET
IPV6 = FAMILY.pack(30)  # AF_INET6 of macOS, whatever this system's is
LARGEST = 65535
_FULL = (errno.EAGAIN, errno.ENOBUFS)
_NAME = re.compile(r"(?:utun)?(\d{1,5})")


class System:
    """The calls that utun needs of macOS; tests play it. All of them raise OSError."""

    def open(self, unit: int) -> tuple[socket.socket, str]:
        """A socket that is the interface of `unit`, and the interface's name."""
        sock = socket.socket(PF_SYSTEM, socket.SOCK_DGRAM, SYSPROTO_CONTROL)
        try:
            number, _ = CTL_INFO.unpack(fcntl.ioctl(sock, CTLIOCGINFO, CTL_INFO.pack(0, CONTROL)))
            sock.connect((number, unit))
            name = sock.getsockopt(SYSPROTO_CONTROL, UTUN_OPT_IFNAME, 16)
        except BaseException:
            sock.close()
            raise
        return sock, os.fsdecode(name.split(b"\0", 1)[0])

    def mtu(self, name: str) -> int:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            return int(IFREQ.unpack(fcntl.ioctl(sock, SIOCGIFMTU, IFREQ.pack(os.fsencode(name), 0)))[1])

    def set_mtu(self, name: str, mtu: int) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            fcntl.ioctl(sock, SIOCSIFMTU, IFREQ.pack(os.fsencode(name), mtu))


class UtunDevice(WritingDevice):
    """The program's end of a utun interface: layer 3.

    `name`: "utun5" or "5"; "auto" for the first free one, whose name is then `interface`. `mtu`: set on the interface;
    None leaves it. Addresses are given to the kernel's side with ifconfig(8). `system`: the calls of the operating
    system, for tests.

    Raises DeviceURLError (bad name), PermissionDenied, DeviceError.
    """

    def __init__(self, name: str = "auto", *, mtu: int | None = None, system: System | None = None) -> None:
        if system is None and sys.platform != "darwin":
            raise DeviceError("utun devices exist on macOS only; on Linux use tun:NAME")
        match = _NAME.fullmatch(name)
        if match is None and name != "auto":
            raise DeviceURLError(f"utun:{name}: want utun and a number, or auto")
        super().__init__(f"utun:{name}", layer=3, mtu=mtu or 1500)
        calls = system or System()
        try:
            self._socket, self.interface = calls.open(int(match[1]) + 1 if match is not None else 0)
        except OSError as error:
            raise _explained(self.name, error) from None
        try:
            self._socket.setblocking(False)
            if mtu is not None:
                calls.set_mtu(self.interface, mtu)
            self.mtu = calls.mtu(self.interface)
        except OSError as error:
            self._socket.close()
            raise _explained(self.name, error) from None
        self.name = f"utun:{self.interface}"

    def recv(self, limit: int = 64) -> list[Frame]:
        self.require_open()
        frames: list[Frame] = []
        octets = 0
        for _ in range(limit):
            try:
                data = self._socket.recv(LARGEST + FAMILY.size + 1)
            except BlockingIOError:
                break
            except OSError as error:
                if frames:
                    break
                raise DeviceGone(f"{self.name}: {error.strerror}") from None
            if not data and not frames:
                raise DeviceGone(f"{self.name} was deleted")
            size = len(data) - FAMILY.size
            if size < 1:
                self.count("rx_short")
            elif size > LARGEST:
                self.count("rx_truncated")
            elif data[: FAMILY.size] not in (IPV4, IPV6):
                self.count("rx_unsupported")
            else:
                frames.append(Frame(data[FAMILY.size :]))
                octets += size
        self.counters["rx_frames"] += len(frames)
        self.counters["rx_bytes"] += octets
        return frames

    def write(self, packet: bytes) -> bool:
        if len(packet) > self.mtu:
            self.count("tx_oversize")
            return True
        version = packet[0] >> 4 if packet else 0
        if version not in (4, 6):
            self.count("tx_refused")
            return True
        try:
            self._socket.sendmsg([IPV4 if version == 4 else IPV6, packet])
        except OSError as error:
            if error.errno in _FULL:
                return False
            if error.errno in (errno.ENOTCONN, errno.ENXIO, errno.ECONNRESET, errno.EPIPE):
                raise DeviceGone(f"{self.name} was deleted") from None
            self.count("tx_oversize" if error.errno == errno.EMSGSIZE else "tx_down")
        else:
            self.sent(len(packet))
        return True

    def fileno(self) -> int:
        return -1 if self.closed else self._socket.fileno()

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._socket.close()


def _explained(name: str, error: OSError) -> DeviceError:
    """What an error while opening means, in words."""
    if error.errno in (errno.EPERM, errno.EACCES):
        return PermissionDenied(f"{name} needs root: run it with sudo")
    if error.errno == errno.EBUSY:
        return DeviceError(f"{name} is in use by another program; utun:auto takes the first free one")
    return DeviceError(f"{name}: {error.strerror}")
