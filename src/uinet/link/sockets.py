"""What is done to packet sockets, and sockets like them: packet(7), and socket filters (filter.rst of Linux)."""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
from collections.abc import Sequence

SOL_PACKET = 263
PACKET_ADD_MEMBERSHIP = 1
PACKET_MR_PROMISC = 1
SO_ATTACH_FILTER = 26
ETH_P_LOCAL = 0x88B5  # for experiments: any would do

Instruction = tuple[int, int, int, int]  # of classic BPF: code, jump if true, jump if false, k
NOTHING: Sequence[Instruction] = ((0x06, 0, 0, 0),)  # the filter that takes no packet: return 0


def try_option(sock: socket.socket, level: int, option: int, value: int) -> bool:
    """Sets a socket option that this kernel, or this user, may not have; whether it worked."""
    try:
        sock.setsockopt(level, option, value)
    except OSError:
        return False
    return True


def attach(
    sock: socket.socket, program: Sequence[Instruction], level: int = socket.SOL_SOCKET, option: int = SO_ATTACH_FILTER
) -> None:
    """Gives the kernel a classic BPF program, by the socket option that takes it: as the socket's filter. OSError."""
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *one) for one in program))
    sock.setsockopt(level, option, struct.pack("@HP", len(program), ctypes.addressof(code)))  # struct sock_fprog


def hear_everything(sock: socket.socket, index: int) -> None:
    """Has the interface `index` take frames for other MACs too, while the packet socket is open. OSError."""
    sock.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, struct.pack("iHH8x", index, PACKET_MR_PROMISC, 0))


def watch_only(sock: socket.socket, name: str, index: int, promisc: bool) -> None:
    """Makes `sock` a packet socket of the interface that receives nothing, and has an error when it is down or gone.

    For devices whose own descriptors do not say either. `promisc`: the interface takes frames for other MACs too, while
    the socket is open. OSError.
    """
    sock.setblocking(False)
    attach(sock, NOTHING)
    if promisc:
        hear_everything(sock, index)
    try:
        sock.bind((name, ETH_P_LOCAL))
    except OSError as error:
        if error.errno != errno.ENETDOWN:
            raise
