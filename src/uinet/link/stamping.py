"""When frames came: timestamps of packet sockets, by the hardware where it has a clock, else by the kernel.

Read first: Linux, Documentation/networking/timestamping.rst.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import sys

from uinet.errors import DeviceURLError
from uinet.link.sockets import SOL_PACKET, try_option

if sys.platform != "win32":
    import fcntl

HARDWARE = "hardware"
SOFTWARE = "software"
TIMESTAMPS = (HARDWARE, SOFTWARE)

SO_TIMESTAMPNS = 35
SO_TIMESTAMPING = 37
PACKET_TIMESTAMP = 17  # of a ring
SIOCSHWTSTAMP = 0x89B0
FILTER_ALL = 1  # HWTSTAMP_FILTER_ALL: every frame that comes
RX_HARDWARE = 1 << 2
RAW_HARDWARE = 1 << 6


def ask(sock: socket.socket, name: str, wanted: str, *, ring: bool = False) -> str:
    """Has the kernel tell when frames of the interface `name` came; who does then: "hardware", "software", or "" if
    this kernel can't. DeviceURLError for any other word."""
    if wanted not in TIMESTAMPS:
        raise DeviceURLError(f"timestamps={wanted}: want {' or '.join(TIMESTAMPS)}")
    if wanted == HARDWARE and not start_clock(sock, name):
        wanted = SOFTWARE
    if ring:  # its packets have times always: this says whose
        if wanted == HARDWARE and not try_option(sock, SOL_PACKET, PACKET_TIMESTAMP, RAW_HARDWARE):
            wanted = SOFTWARE
        return wanted
    # the kernel tells what the hardware does not; asked in this way it has a time for the first frames as well, which
    # come before it has begun to note any
    told = try_option(sock, socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    if wanted == HARDWARE and try_option(sock, socket.SOL_SOCKET, SO_TIMESTAMPING, RX_HARDWARE | RAW_HARDWARE):
        return HARDWARE
    return SOFTWARE if told else ""


def start_clock(sock: socket.socket, name: str) -> bool:
    """Has the hardware of an interface note when every frame came; False if it can't, or this user may not ask."""
    config = ctypes.create_string_buffer(struct.pack("=iii", 0, 0, FILTER_ALL), 12)  # struct hwtstamp_config
    request = struct.pack("16sP", os.fsencode(name), ctypes.addressof(config))
    try:
        fcntl.ioctl(sock, SIOCSHWTSTAMP, request + bytes(40 - len(request)))
    except OSError:
        return False
    return bool(struct.unpack("=iii", config.raw)[2])  # drivers say what they really do
