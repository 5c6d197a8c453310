"""The TCP header (RFC 9293, 3.1; ECN flags: RFC 3168).

::

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |          Source Port          |       Destination Port        |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                        Sequence Number                        |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                    Acknowledgment Number                      |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |  Data |       |C|E|U|A|P|R|S|F|                               |
    | Offset| Rsrvd |W|C|R|C|S|S|Y|I|            Window             |
    |       |       |R|E|G|K|H|T|N|N|                               |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |           Checksum            |         Urgent Pointer        |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                           [Options]                           |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
"""

from __future__ import annotations

from dataclasses import dataclass

from uinet.errors import InvalidArgument
from uinet.wire import checksums, ipv4, tcp_options
from uinet.wire.fields import limit, malformed, pack
from uinet.wire.kernels import load_u8, load_u16, load_u32
from uinet.wire.tcp_options import Option

SOURCE_PORT = 0
DESTINATION_PORT = 2
SEQ = 4
ACK_NUMBER = 8
DATA_OFFSET = 12
FLAGS = 13
WINDOW = 14
CHECKSUM = 16
URGENT_POINTER = 18
OPTIONS = 20
MIN_HEADER_LENGTH = 20
MAX_HEADER_LENGTH = 60

FIN = 0x01
SYN = 0x02
RST = 0x04
PSH = 0x08
ACK = 0x10
URG = 0x20
ECE = 0x40
CWR = 0x80

_FLAG_LETTERS = (
    (FIN, "F"), (SYN, "S"), (RST, "R"), (PSH, "P"), (ACK, "."), (URG, "U"), (ECE, "E"), (CWR, "W"),
)
_FLAG_OF_LETTER = {letter: flag for flag, letter in _FLAG_LETTERS} | {"A": ACK, "C": CWR}


def check(data: bytes, offset: int = 0, end: int | None = None) -> bool:
    """Whether a whole TCP header, options included, stands at `offset` and ends by `end`."""
    available = limit(data, end) - offset
    return available >= MIN_HEADER_LENGTH and MIN_HEADER_LENGTH <= header_length(data, offset) <= available


def checksum_ok(
    data: bytes, source: bytes, destination: bytes, offset: int = 0, end: int | None = None
) -> bool:
    """Whether the checksum over the segment from `offset` to `end` between these addresses is right."""
    return checksums.verify(source, destination, ipv4.TCP, data, offset, end)


def source_port(data: bytes, offset: int = 0) -> int:
    """The source port."""
    return load_u16(data, offset)


def destination_port(data: bytes, offset: int = 0) -> int:
    """The destination port."""
    return load_u16(data, offset + DESTINATION_PORT)


def seq(data: bytes, offset: int = 0) -> int:
    """SEG.SEQ."""
    return load_u32(data, offset + SEQ)


def ack(data: bytes, offset: int = 0) -> int:
    """SEG.ACK, whether or not the ACK flag says that it means something."""
    return load_u32(data, offset + ACK_NUMBER)


def header_length(data: bytes, offset: int = 0) -> int:
    """The header's length in bytes, options included: the data offset."""
    return (load_u8(data, offset + DATA_OFFSET) >> 4) * 4


def flags(data: bytes, offset: int = 0) -> int:
    """The eight control bits."""
    return load_u8(data, offset + FLAGS)


def window(data: bytes, offset: int = 0) -> int:
    """SEG.WND as it stands there, not scaled."""
    return load_u16(data, offset + WINDOW)


def checksum(data: bytes, offset: int = 0) -> int:
    """The checksum as it stands there."""
    return load_u16(data, offset + CHECKSUM)


def urgent_pointer(data: bytes, offset: int = 0) -> int:
    """SEG.UP, whether or not the URG flag says that it means something."""
    return load_u16(data, offset + URGENT_POINTER)


def options(data: bytes, offset: int = 0) -> bytes:
    """The options as they stand there, padding included."""
    return data[offset + OPTIONS : offset + header_length(data, offset)]


@dataclass(frozen=True, slots=True)
class TcpHeader:
    """A TCP header. `flags` are the control bits, `reserved` the four bits before them. `checksum` is what
    was received; `emit` computes it unless it is told to keep it."""

    source_port: int
    destination_port: int
    seq: int = 0
    ack: int = 0
    flags: int = 0
    window: int = 0
    urgent_pointer: int = 0
    options: tuple[Option, ...] = ()
    checksum: int = 0
    reserved: int = 0


def parse(data: bytes, offset: int = 0, end: int | None = None) -> TcpHeader:
    """The header at `offset`, options parsed; InvalidArgument if `check` refuses it."""
    if not check(data, offset, end):
        raise malformed("TCP header")
    return TcpHeader(
        source_port=source_port(data, offset),
        destination_port=destination_port(data, offset),
        seq=seq(data, offset),
        ack=ack(data, offset),
        flags=flags(data, offset),
        window=window(data, offset),
        urgent_pointer=urgent_pointer(data, offset),
        options=tcp_options.parse(options(data, offset)),
        checksum=checksum(data, offset),
        reserved=load_u8(data, offset + DATA_OFFSET) & 0xF,
    )


def emit(
    header: TcpHeader, payload: bytes = b"", source: bytes = b"", destination: bytes = b"",
    *, keep: bool = False,
) -> bytes:
    """The segment made of `header` and `payload` between two packed addresses, which the checksum covers.

    Computes the checksum, or writes that of `header` if `keep`; then the addresses are not needed. Sequence
    numbers are taken modulo 2**32, options are padded with zeros; InvalidArgument if another field cannot
    hold its value.
    """
    area = tcp_options.emit(header.options)
    if header.reserved >> 4 or header.flags >> 8:
        raise InvalidArgument("a TCP header has 4 reserved bits and 8 flags")
    data = pack(
        ">HHIIBBHHH", header.source_port, header.destination_port,
        header.seq & 0xFFFFFFFF, header.ack & 0xFFFFFFFF,
        (MIN_HEADER_LENGTH + len(area)) << 2 | header.reserved, header.flags, header.window,
        header.checksum if keep else 0, header.urgent_pointer,
    ) + area + payload
    if keep:
        return data
    value = checksums.transport(source, destination, ipv4.TCP, data)
    return data[:CHECKSUM] + value.to_bytes(2, "big") + data[URGENT_POINTER:]


def format_flags(bits: int) -> str:
    """The flags as tcpdump writes them: ``S``, ``S.``, ``FP.``; ``none`` if there are none."""
    return "".join(letter for flag, letter in _FLAG_LETTERS if bits & flag) or "none"


def parse_flags(text: str) -> int:
    """The flags that letters stand for: tcpdump's, in any order, and A for ACK and C for CWR as well."""
    bits = 0
    for letter in text:
        if letter not in _FLAG_OF_LETTER:
            raise InvalidArgument(f"no TCP flag: {letter!r}")
        bits |= _FLAG_OF_LETTER[letter]
    return bits
