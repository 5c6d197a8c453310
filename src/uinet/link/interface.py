"""What devices ask Linux about its network interfaces, and set: the old ioctls, see netdevice(7).

All of them act in the network namespace in which the given socket was made.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
import sys

from uinet.errors import AddressError, DeviceError, DeviceURLError, PermissionDenied
from uinet.wire.addresses import Mac, parse_prefix

if sys.platform != "win32":
    import fcntl

NAME_LENGTH = 15  # IFNAMSIZ, less the final zero

SIOCGIFNAME = 0x8910
SIOCGIFFLAGS = 0x8913
SIOCSIFFLAGS = 0x8914
SIOCSIFADDR = 0x8916
SIOCSIFNETMASK = 0x891C
SIOCGIFMTU = 0x8921
SIOCSIFMTU = 0x8922
SIOCGIFHWADDR = 0x8927
SIOCGIFINDEX = 0x8933
SIOCETHTOOL = 0x8946
ETHTOOL_GCHANNELS = 0x3C

IFF_UP = 0x1

ARPHRD_ETHER = 1
ARPHRD_LOOPBACK = 772  # has Ethernet headers, all zero
ARPHRD_NONE = 0xFFFE  # bare IP packets: tun, WireGuard

_IFREQ = struct.Struct("16s24s")


def require_linux(what: str) -> None:
    """DeviceError anywhere else."""
    if sys.platform != "linux":
        raise DeviceError(f"{what} devices exist on Linux only")


def check_name(name: str) -> str:
    """`name` if Linux takes it for an interface, DeviceURLError otherwise."""
    if not name:
        raise DeviceURLError("an interface name is missing")
    if len(os.fsencode(name)) > NAME_LENGTH:
        raise DeviceURLError(f"interface name {name!r} is too long: at most {NAME_LENGTH} bytes")
    if name in (".", "..") or any(c in "/:" or c.isspace() or c == "\0" for c in name):
        raise DeviceURLError(f"{name!r} can't be the name of an interface")
    return name


def missing_capability(what: str, capability: str, hint: str = "") -> PermissionDenied:
    """The error that says which capability is missing and how to come by it."""
    python = os.path.realpath(sys.executable) if sys.executable else "$(readlink -f $(which python3))"
    ways = f"run as root, or: sudo setcap {capability.lower()}+ep {python}"
    return PermissionDenied(f"{what} needs {capability}: {ways}{hint}")


def control_socket(family: int = socket.AF_INET) -> socket.socket:
    """A socket to ask through; the caller closes it."""
    return socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)


def ifreq(name: str, value: bytes = b"") -> bytes:
    """A struct ifreq."""
    return _IFREQ.pack(os.fsencode(name), value)


def _ask(sock: socket.socket, request: int, name: str) -> bytes:
    """The union of the struct ifreq that comes back."""
    return fcntl.ioctl(sock, request, ifreq(name))[16:]


def index(sock: socket.socket, name: str) -> int:
    """The interface's index; DeviceError if there is no such interface."""
    try:
        return int(struct.unpack_from("i", _ask(sock, SIOCGIFINDEX, name))[0])
    except OSError:
        known = ", ".join(sorted(name for _, name in socket.if_nameindex()))
        raise DeviceError(f"no interface {name!r} here (there are: {known or 'none'})") from None


def current_name(sock: socket.socket, number: int) -> str:
    """The name that the interface with this index has now; "" if it is gone."""
    try:
        reply = fcntl.ioctl(sock, SIOCGIFNAME, struct.pack("16si20x", b"", number))
    except OSError:
        return ""
    return os.fsdecode(reply[:16].rstrip(b"\0"))


def mtu(sock: socket.socket, name: str) -> int:
    """The interface's MTU; OSError."""
    return int(struct.unpack_from("i", _ask(sock, SIOCGIFMTU, name))[0])


def set_mtu(sock: socket.socket, name: str, value: int) -> None:
    """Sets the interface's MTU; OSError."""
    fcntl.ioctl(sock, SIOCSIFMTU, ifreq(name, struct.pack("i", value)))


def is_up(sock: socket.socket, name: str) -> bool:
    """Whether the interface is set up; OSError."""
    return bool(struct.unpack_from("H", _ask(sock, SIOCGIFFLAGS, name))[0] & IFF_UP)


def set_up(sock: socket.socket, name: str) -> None:
    """Sets the interface up; OSError."""
    flags = struct.unpack_from("H", _ask(sock, SIOCGIFFLAGS, name))[0]
    fcntl.ioctl(sock, SIOCSIFFLAGS, ifreq(name, struct.pack("H", flags | IFF_UP)))


def hardware(sock: socket.socket, name: str) -> tuple[int, Mac]:
    """The interface's kind (ARPHRD) and MAC address; OSError."""
    kind, mac = struct.unpack_from("H6s", _ask(sock, SIOCGIFHWADDR, name))
    return int(kind), Mac(mac)


def add_address(name: str, prefix: str) -> None:
    """Gives the kernel's interface `name` an address like "10.7.0.1/24" or "fd00::1/64".

    AddressError if it is none; OSError. IPv4: replaces the one that was there (an ioctl can't add a second).
    """
    packed, length = parse_prefix(prefix)
    if len(packed) == 4:
        with control_socket() as sock:
            mask = (0xFFFFFFFF << (32 - length) & 0xFFFFFFFF).to_bytes(4, "big")
            fcntl.ioctl(sock, SIOCSIFADDR, ifreq(name, struct.pack("HH4s", socket.AF_INET, 0, packed)))
            fcntl.ioctl(sock, SIOCSIFNETMASK, ifreq(name, struct.pack("HH4s", socket.AF_INET, 0, mask)))
        return
    try:
        sock = control_socket(socket.AF_INET6)
    except OSError as error:
        if error.errno == errno.EAFNOSUPPORT:
            raise AddressError(f"{prefix}: this kernel has no IPv6") from None
        raise
    with sock:
        request = struct.pack("16sIi", packed, length, index(sock, name))  # struct in6_ifreq
        fcntl.ioctl(sock, SIOCSIFADDR, request)


def queues(sock: socket.socket, name: str) -> int:
    """How many receive queues the interface has; 1 if its driver does not tell."""
    # struct ethtool_channels: the command, then the most and the present number of queues, receive ones third
    channels = ctypes.create_string_buffer(struct.pack("=9I", ETHTOOL_GCHANNELS, *[0] * 8), 36)
    try:
        fcntl.ioctl(sock, SIOCETHTOOL, ifreq(name, struct.pack("P", ctypes.addressof(channels))))
    except OSError:
        return 1
    values = struct.unpack("=9I", channels.raw)
    return max(1, int(values[5] + values[8]))  # of their own, and those that receive and transmit
