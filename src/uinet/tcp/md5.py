"""TCP MD5 signatures (RFC 2385): for BGP sessions with peers that know nothing better. TCP-AO has replaced them.

The digest, in an option of 18 bytes, is over pseudo-header, TCP header without options and with a zero checksum,
payload, and key (section 2.0).
"""

from __future__ import annotations

from hashlib import md5
from hmac import compare_digest

from uinet.tcp.signing import GOOD, MALFORMED, MISSING, WRONG, Signer, header_of, pseudo_header
from uinet.tcp.table import Entry
from uinet.wire.kernels import take
from uinet.wire.packet import Packet
from uinet.wire.segment import Segment
from uinet.wire.tcp_options import KIND_MD5

LENGTH = 18
HEAD = bytes((1, 1, KIND_MD5, LENGTH))  # two NOPs first


class Md5(Signer):
    """Signs with one key; keeps nothing of a connection, so all that have the key share it."""

    __slots__ = ("key",)

    name = "md5"
    overhead = 20
    counters = ("", "tcp_md5_missing", "tcp_signature_malformed", "", "tcp_md5_wrong")

    def __init__(self, key: bytes) -> None:
        self.key = key

    def digest(self, pseudo: bytes, header: bytes, payload: bytes) -> bytes:
        """The digest of one segment."""
        return md5(pseudo + header + payload + self.key, usedforsecurity=False).digest()

    def option(
        self, entry: Entry, header: bytes, options: bytes, payload: bytes, seq: int, flags: int
    ) -> bytes:
        size = 20 + len(options) + self.overhead + len(payload)
        return HEAD + self.digest(pseudo_header(entry, True, size), header, payload)

    def check(self, entry: Entry, packet: Packet, seg: Segment) -> int:
        if not seg.signed:
            return MISSING
        if seg.signatures > 1 or seg.signature_kind != KIND_MD5 or seg.signature_length != LENGTH:
            return MALFORMED
        pseudo = pseudo_header(entry, False, packet.end - packet.l4)
        wanted = self.digest(pseudo, header_of(packet), take(packet.data, seg.offset, seg.length))
        return GOOD if compare_digest(wanted, take(packet.data, seg.signature_at + 2, 16)) else WRONG
