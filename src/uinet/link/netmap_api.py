"""What netmap's device file is asked: the requests, their layouts, and the constants.

Read first: netmap(4) of FreeBSD; net/netmap.h. API 14: everything but "sync" is one ioctl whose argument is a header
that names the request, the port, and the request's body. All numbers are in the order of this machine::

    header:    version, request (2 each), 0 (4), the port's name (64), options, body (8 each: addresses)
    register:  where the interface lies, size of the memory (8 each), slots of a ring, transmit and receive (4 each),
               rings, transmit, receive, and the same of the host (2 each), memory, ring (2 each), mode, extra buffers
               (4 each), 4 unused, flags (8)
    interface: name (16), version, flags, rings, transmit and receive, first extra buffer, rings of the host, transmit
               and receive (4 each), 12 unused, then the offset of each ring from here (8 each): the transmit rings,
               those of the host, the receive rings, those of the host
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import re
import struct
import sys
from typing import NamedTuple

from uinet.errors import DeviceError, DeviceURLError, PermissionDenied

if sys.platform != "win32":
    import fcntl

PATH = "/dev/netmap"
VERSION = 14
REGISTER = 1
ALL_RINGS = 1  # NR_REG_ALL_NIC
HOST_RINGS = 2  # NR_REG_SW
ONE_RING = 4  # NR_REG_ONE_NIC
ONE_HOST_RING = 8  # NR_REG_ONE_SW
EXCLUSIVE = 0x800  # NR_EXCLUSIVE: two programs on one ring would take each other's packets
NIOCCTRL = 0xC0586997  # _IOWR('i', 151, header), the same number on Linux and FreeBSD
_VOID = 0x20000000 if "bsd" in sys.platform else 0
NIOCTXSYNC = _VOID | 0x6994  # _IO('i', 148)
NIOCRXSYNC = _VOID | 0x6995  # _IO('i', 149)

HEADER = struct.Struct("=HHI64sQQ")
REGISTRATION = struct.Struct("=QQIIHHHHHHII4xQ")
INTERFACE = struct.Struct("=16sIIIIIII")
RING_OFFSETS = 56  # where they begin in an interface
BUFS_HEAD = 32  # where in an interface the first extra buffer is named
OFFSET = 8
MOST_RINGS = 1024

_PORT = re.compile(r"(?P<name>[^{}^*+/@]+?)(?P<pipe>[{}]\w+)?(?:\^(?P<host>\d*)|-(?P<ring>\d{1,4}))?")
_NAME_LENGTH = 63


class Port(NamedTuple):
    """What a name after ``netmap:`` means. `name`: the port as netmap knows it; `interface`: the network interface, ""
    of VALE ports and pipes; `mode`, `ring`: which of its rings."""

    name: str
    interface: str
    mode: int
    ring: int

    @property
    def virtual(self) -> bool:
        """Whether no card is behind it: a VALE port or a pipe."""
        return not self.interface


def parse_port(text: str) -> Port:
    """``eth0``, ``eth0-1`` (one ring), ``eth0^`` (the host's rings), ``eth0^0`` (one of them), ``vale0:1``, ``eth0{3``
    and ``eth0}3`` (the ends of a pipe). DeviceURLError.
    """
    match = _PORT.fullmatch(text)
    if match is None:
        raise DeviceURLError(
            f"netmap:{text}: want a port, like eth0, eth0-1 (one ring), eth0^ (the host's rings), vale0:1, "
            "eth0{1 and eth0}1 (a pipe)"
        )
    name = match["name"] + (match["pipe"] or "")
    if len(os.fsencode(name)) > _NAME_LENGTH:
        raise DeviceURLError(f"netmap:{text}: the name is too long: at most {_NAME_LENGTH} bytes")
    switch = match["name"].startswith("vale")
    if switch and not re.fullmatch(r"vale\w*:[\w.]+", match["name"]):
        raise DeviceURLError(f"netmap:{text}: want a switch and a port of it, like vale0:1")
    virtual = switch or bool(match["pipe"])
    if virtual and (match["host"] is not None or match["ring"] is not None):
        raise DeviceURLError(f"netmap:{text}: VALE ports and pipes have no rings to choose from")
    interface = "" if virtual else match["name"]
    if match["host"]:
        return Port(name, interface, ONE_HOST_RING, int(match["host"]))
    if match["host"] is not None:
        return Port(name, interface, HOST_RINGS, 0)
    if match["ring"] is not None:
        return Port(name, interface, ONE_RING, int(match["ring"]))
    return Port(name, interface, ALL_RINGS, 0)


class System:
    """The calls that netmap needs of the operating system; tests play it. All of them raise OSError.

    `real`: the interfaces that ports are named after are this system's.
    """

    real = True

    def open(self) -> int:
        """A new descriptor, not bound to a port yet."""
        return os.open(PATH, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def control(self, fd: int, header: ctypes.Array[ctypes.c_char]) -> None:
        """One request, which the kernel fills in."""
        fcntl.ioctl(fd, NIOCCTRL, header)

    def map(self, fd: int, length: int) -> mmap.mmap:
        """The memory of the port: rings and buffers."""
        return mmap.mmap(fd, length, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)

    def sync(self, fd: int, request: int) -> None:
        """NIOCTXSYNC: sends what is in the transmit rings. NIOCRXSYNC: gives back what was read, and fetches more."""
        fcntl.ioctl(fd, request)

    def close(self, fd: int) -> None:
        os.close(fd)


class Registration(NamedTuple):
    """What the kernel answers. `offset`: of the interface in the memory of `size` bytes; `memory`: which one it is, two
    ports with the same number share it; `receive_rings`: of the card; `extra`: buffers beyond those of the rings."""

    offset: int
    size: int
    memory: int
    receive_rings: int
    extra: int


def register(system: System, fd: int, port: Port, extra: int) -> Registration:
    """Binds `fd` to the port's rings, with up to `extra` buffers more. OSError."""
    body = ctypes.create_string_buffer(
        REGISTRATION.pack(0, 0, 0, 0, 0, 0, 0, 0, 0, port.ring, port.mode, extra, EXCLUSIVE), REGISTRATION.size
    )
    header = ctypes.create_string_buffer(
        HEADER.pack(VERSION, REGISTER, 0, os.fsencode(port.name), 0, ctypes.addressof(body)), HEADER.size
    )
    system.control(fd, header)
    offset, size, _, _, _, receive_rings, _, _, memory, _, _, granted, _ = REGISTRATION.unpack(body.raw)
    return Registration(offset, size, memory, receive_rings, min(granted, extra))


def rings(memory: mmap.mmap | bytearray, offset: int, port: Port) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Where in the memory the port's receive and transmit rings are, and the first extra buffer.

    DeviceError if they can't be there.
    """
    length = len(memory)
    if not 0 <= offset <= length - RING_OFFSETS:
        raise DeviceError(f"netmap:{port.name}: its interface is said to lie outside of its memory")
    _, _, _, tx, rx, first, host_tx, host_rx = INTERFACE.unpack_from(memory, offset)
    total = tx + host_tx + rx + host_rx
    if total > MOST_RINGS or total * OFFSET > length - offset - RING_OFFSETS:
        raise DeviceError(f"netmap:{port.name}: {total} rings in {length} bytes of memory")
    at = struct.unpack_from(f"={total}q", memory, offset + RING_OFFSETS)
    every = [offset + each for each in at]
    transmit, host_transmit = every[:tx], every[tx : tx + host_tx]
    receive, host_receive = every[tx + host_tx : total - host_rx], every[total - host_rx :]
    if port.mode in (HOST_RINGS, ONE_HOST_RING):
        transmit, receive = host_transmit, host_receive
    if port.mode in (ONE_RING, ONE_HOST_RING):
        transmit, receive = transmit[port.ring : port.ring + 1], receive[port.ring : port.ring + 1]
    if not transmit or not receive:
        raise DeviceError(f"netmap:{port.name} has no such ring: {tx} to send, {rx} to receive, {host_rx} of the host")
    return tuple(receive), tuple(transmit), first


def explained(port: Port, error: OSError) -> DeviceError:
    """What an error while opening means, in words."""
    name = f"netmap:{port.name}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return PermissionDenied(f"{name} needs {PATH} to be open for reading and writing: run as root, or chmod it")
    if error.filename == PATH or error.errno == errno.ENOTTY:
        return DeviceError(f"{name}: there is no netmap here ({PATH}): load its kernel module, see docs/netmap.md")
    what = {
        errno.EBUSY: "its rings are in use by another program",
        errno.EINVAL: f"the kernel refuses it: no such ring, an MTU beyond a buffer, or a netmap before API {VERSION}",
        errno.ENOMEM: "no memory for its rings: raise buf_num and ring_num of netmap",
        errno.ENXIO: "there is no such port",
        errno.ENODEV: "there is no such port",
        errno.ENOENT: "there is no such port",
        errno.EOPNOTSUPP: "the driver can't do that",
    }.get(error.errno or 0, error.strerror)
    return DeviceError(f"{name}: {what}")
