"""libpcap's compiler of filter expressions, through ctypes; see pcap-filter(7) for what they may say.

Only the compiler is used: it gives the instructions of a BPF program, which `uinet.passive.bpf` runs.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools

from uinet.errors import FilterError
from uinet.wire.capture import LINKTYPE_RAW, MAX_RECORD

Instruction = tuple[int, int, int, int]

LIBRARIES = ("libpcap.so.1", "libpcap.so.0.8", "libpcap.so", "libpcap.dylib")
MISSING = "a filter needs libpcap, which is not here: apt install libpcap0.8"
NETMASK_UNKNOWN = 0xFFFFFFFF
DLT_RAW = 12
# where a file's link type and the number that libpcap knows it by (DLT) differ, on Linux
_DLT = {LINKTYPE_RAW: DLT_RAW, 14: DLT_RAW, 100: 11, 102: 15, 103: 16}


class _Instruction(ctypes.Structure):
    _fields_ = [
        ("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint),
    ]


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_uint), ("instructions", ctypes.POINTER(_Instruction))]


@functools.cache
def _library() -> ctypes.CDLL:
    """libpcap with its functions declared; FilterError if there is none."""
    library = _load(LIBRARIES)
    if library is None:
        found = ctypes.util.find_library("pcap")  # slow: it asks the linker's programs
        library = _load((found,) if found else ())
    if library is None:
        raise FilterError(MISSING)
    _declare(library)
    return library


def _load(names: tuple[str, ...]) -> ctypes.CDLL | None:
    """The first of these libraries that is here."""
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


def _declare(library: ctypes.CDLL) -> None:
    handle, program = ctypes.c_void_p, ctypes.POINTER(_Program)
    library.pcap_open_dead.argtypes = [ctypes.c_int, ctypes.c_int]
    library.pcap_open_dead.restype = handle
    library.pcap_compile.argtypes = [handle, program, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint]
    library.pcap_compile.restype = ctypes.c_int
    library.pcap_geterr.argtypes = [handle]
    library.pcap_geterr.restype = ctypes.c_char_p
    library.pcap_freecode.argtypes = [program]
    library.pcap_freecode.restype = None
    library.pcap_close.argtypes = [handle]
    library.pcap_close.restype = None


def compile_filter(text: str, link_type: int) -> list[Instruction]:
    """The instructions (code, jt, jf, k) of a filter expression for packets of a link type.

    FilterError, one line: libpcap is missing, or what it says of the expression. A host's name in it is looked up.
    """
    library = _library()
    if "\0" in text:
        raise FilterError("a filter has no zero bytes")
    handle = library.pcap_open_dead(_DLT.get(link_type, link_type), MAX_RECORD)
    if not handle:
        raise FilterError(f"libpcap can't compile filters for link type {link_type}")
    try:
        program = _Program()
        expression = text.encode("utf-8", "surrogateescape")
        if library.pcap_compile(handle, ctypes.byref(program), expression, 1, NETMASK_UNKNOWN) != 0:
            said = library.pcap_geterr(handle).decode("utf-8", "replace")
            raise FilterError(f"filter {text!r}: {' '.join(said.split())}")
        try:
            return [(it.code, it.jt, it.jf, it.k) for it in program.instructions[: program.length]]
        finally:
            library.pcap_freecode(ctypes.byref(program))
    finally:
        library.pcap_close(handle)
