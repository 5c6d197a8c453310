"""MD5 signatures (RFC 2385) of the peer's segments, and whether those of ours are right: `md5 valid`."""

from __future__ import annotations

from hashlib import md5

from uinet.wire import checksums, ipv4
from uinet.wire import tcp as tcp_wire
from uinet.wire.tcp_options import KIND_MD5

LENGTH = 18


def digest(secret: bytes, source: bytes, destination: bytes, segment: bytes) -> bytes:
    """Over pseudo-header, header without options and with a checksum of zero, payload and key (RFC 2385 2.0)."""
    size = len(segment).to_bytes(4, "big")
    pseudo = b"\0\x06" + size[2:] if len(source) == 4 else size + b"\0\0\0\x06"
    header = segment[:16] + bytes(2) + segment[18:20]
    payload = segment[tcp_wire.header_length(segment) :]
    return md5(source + destination + pseudo + header + payload + secret, usedforsecurity=False).digest()


def find(segment: bytes) -> int:
    """Where the digest is in a segment; -1 where no whole MD5 option is."""
    at, end = 20, tcp_wire.header_length(segment)
    while at + 1 < end and segment[at]:
        if segment[at] == 1:
            at += 1
            continue
        length = segment[at + 1]
        if segment[at] == KIND_MD5 and length == LENGTH and at + length <= end:
            return at + 2
        if length < 2:
            break
        at += length
    return -1


def is_valid(secret: bytes, source: bytes, destination: bytes, segment: bytes) -> bool:
    """Whether a segment has an MD5 option, with the right digest."""
    at = find(segment)
    return at >= 0 and segment[at : at + 16] == digest(secret, source, destination, segment)


def sign(secret: bytes, source: bytes, destination: bytes, segment: bytes) -> bytes:
    """The segment with its digest filled in, and the checksum that it then has."""
    at = find(segment)
    if at < 0:
        return segment
    signed = bytearray(segment)
    signed[at : at + 16] = digest(secret, source, destination, segment)
    signed[16:18] = bytes(2)
    signed[16:18] = checksums.transport(source, destination, ipv4.TCP, bytes(signed)).to_bytes(2, "big")
    return bytes(signed)
