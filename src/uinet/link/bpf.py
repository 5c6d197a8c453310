"""What devices ask of bpf(2): a map, a program, a link between a program and an interface. No library, no compiler.

Read first: bpf(2); linux/bpf.h; Documentation/bpf/standardization/instruction-set.rst of Linux. Programs are short, and
written down instruction by instruction.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys

MAP_CREATE = 0
MAP_UPDATE = 2
PROG_LOAD = 5
LINK_CREATE = 28
MAP_TYPE_XSKMAP = 17
PROG_TYPE_SOCKET_FILTER = 1
PROG_TYPE_XDP = 6
ATTACH_XDP = 37
PSEUDO_MAP_FD = 1
LOG = 1 << 16

_NUMBERS = {
    "x86_64": 321, "i386": 357, "i686": 357, "aarch64": 280, "riscv64": 280, "loongarch64": 280, "armv7l": 386,
    "ppc64le": 361, "ppc64": 361, "s390x": 351,
}
_INSTRUCTION = struct.Struct("=BBhi")

Instruction = tuple[int, int, int, int, int]  # opcode, destination, source, offset, immediate


def encode(instructions: list[Instruction]) -> bytes:
    """Instructions as the kernel takes them. Destination and source share a byte, in this machine's order."""
    low = sys.byteorder == "little"
    return b"".join(
        _INSTRUCTION.pack(
            opcode, destination | source << 4 if low else destination << 4 | source, offset,
            immediate - (1 << 32) if immediate >= 1 << 31 else immediate,
        )
        for opcode, destination, source, offset, immediate in instructions
    )


def create_map(kind: int, key: int, value: int, entries: int) -> int:
    """A new map's descriptor. OSError."""
    return _bpf(MAP_CREATE, struct.pack("=IIIII", kind, key, value, entries, 0))


def update_map(descriptor: int, key: int, value: int) -> None:
    """Stores a 32-bit value under a 32-bit key. OSError."""
    pair = ctypes.create_string_buffer(struct.pack("=II", key, value), 8)
    at = ctypes.addressof(pair)
    _bpf(MAP_UPDATE, struct.pack("=IIQQQ", descriptor, 0, at, at + 4, 0))


def load_program(kind: int, program: bytes, name: str) -> int:
    """A loaded program's descriptor. OSError; that of a program that the kernel does not like says what it has said."""
    code = ctypes.create_string_buffer(program, len(program))
    license = ctypes.create_string_buffer(b"BSD")
    log = ctypes.create_string_buffer(LOG)

    def load(level: int) -> int:
        return _bpf(PROG_LOAD, struct.pack(
            "=IIQQIIQII16sII", kind, len(program) // 8, ctypes.addressof(code), ctypes.addressof(license), level,
            LOG if level else 0, ctypes.addressof(log) if level else 0, 0, 0, name.encode()[:15], 0, 0,
        ))

    try:
        return load(0)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EACCES):
            raise
        try:
            return load(1)
        except OSError as again:
            said = " ".join(log.value.decode(errors="replace").split())
            raise OSError(again.errno, f"{again.strerror}: {said[-200:]}" if said else again.strerror) from None


def attach_xdp(program: int, index: int, flags: int) -> int:
    """The descriptor of a link between an XDP program and an interface: it ends with the descriptor. OSError."""
    return _bpf(LINK_CREATE, struct.pack("=IIII", program, index, ATTACH_XDP, flags))


def _bpf(command: int, attributes: bytes) -> int:
    number = _NUMBERS.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, f"bpf(2) has no known number on {platform.machine()}")
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    result = libc.syscall(
        ctypes.c_long(number), ctypes.c_long(command), ctypes.byref(buffer), ctypes.c_long(len(attributes))
    )
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    if command != MAP_UPDATE:
        os.set_inheritable(result, False)
    return int(result)
