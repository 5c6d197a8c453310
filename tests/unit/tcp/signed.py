"""A hand-made peer that signs what it sends and checks what it is sent: MD5 (RFC 2385) and TCP-AO (RFC 5925).

Written from the RFCs with the standard library alone, so that it and the stack can't be wrong in the same way.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from typing import Any

from tests.unit.tcp.peer import Peer, Seg, read
from uinet.seq import seq_diff
from uinet.sim.invariants import letters
from uinet.units import MASK32
from uinet.wire.tcp_options import Nop, Unknown

MD5, AO = 19, 29


class Parts:
    """An IP packet as the MACs see it."""

    def __init__(self, packet: bytes) -> None:
        if packet[0] >> 4 == 4:
            self.source, self.destination, tcp = packet[12:16], packet[16:20], packet[20:]
            self.pseudo = self.source + self.destination + struct.pack(">BBH", 0, 6, len(tcp))
        else:
            self.source, self.destination, tcp = packet[8:24], packet[24:40], packet[40:]
            self.pseudo = self.source + self.destination + struct.pack(">II", len(tcp), 6)
        self.ports = tcp[:4]
        self.seq, self.ack = struct.unpack_from(">II", tcp, 4)
        self.flags = letters(tcp[13])
        size = tcp[12] // 16 * 4
        self.header = tcp[:16] + b"\0\0" + tcp[18:20]
        self.options, self.payload = tcp[20:size], tcp[size:]

    def option(self, kind: int) -> bytes | None:
        """The data of the option of a kind."""
        at = 0
        while at < len(self.options) and self.options[at]:
            if self.options[at] == 1:
                at += 1
                continue
            if self.options[at] == kind:
                return self.options[at + 2 : at + self.options[at + 1]]
            at += self.options[at + 1]
        return None


class SignedPeer(Peer):
    """Signs with `signature(parts)` while `signing`; `strict`: all that the stack sends has to be signed rightly."""

    kind = MD5
    blank = bytes(16)

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.signing = True
        self.strict = True

    def signature(self, parts: Parts) -> bytes:
        """The data of the option for a segment of the peer, which has zeros for it now."""
        raise NotImplementedError

    def verify(self, parts: Parts, found: bytes) -> None:
        """Asserts that the option of a segment of the stack is right."""
        raise NotImplementedError

    def frame(
        self, flags: str, seq: int | None = None, ack: int | None = None, data: bytes = b"", **more: Any
    ) -> bytes:
        if not self.signing:
            return super().frame(flags, seq, ack, data, **more)
        options = more.pop("options", None)
        if options is None:
            options = (Nop(), Nop(), self.timestamps()) if self.ts else ()
        pad = (Nop(), Nop()) if self.kind == MD5 else ()
        watch, self.watch = self.watch, None
        blank = super().frame(flags, seq, ack, data, options=(*options, *pad, Unknown(self.kind, self.blank)), **more)
        self.watch = watch
        signed = Unknown(self.kind, self.signature(Parts(blank[14:])))
        return super().frame(flags, seq, ack, data, options=(*options, *pad, signed), **more)

    def collect(self) -> None:
        before = len(self.out)
        super().collect()
        for seg in self.out[before:]:
            self.check(seg)

    def check(self, seg: Seg) -> None:
        """Checks one segment of the stack."""
        parts = Parts(seg.frame.packet)
        assert len(parts.options) <= 40
        found = parts.option(self.kind)
        if found is None:
            assert not self.strict, "a segment that is not signed"
            return
        self.verify(parts, found)


class Md5Peer(SignedPeer):
    """Signs with the MD5 key `key`."""

    key = b"secret"

    def digest(self, parts: Parts) -> bytes:
        return hashlib.md5(parts.pseudo + parts.header + parts.payload + self.key).digest()

    def signature(self, parts: Parts) -> bytes:
        return self.digest(parts)

    def verify(self, parts: Parts, found: bytes) -> None:
        assert found == self.digest(parts), "a wrong signature"


class AoPeer(SignedPeer):
    """Signs by HMAC-SHA-1-96 with the key that `key_id` names, asking for `next_id`; `master` has keys by the peer's
    own IDs: those that it sends with, and those that the stack does."""

    kind = AO
    blank = bytes(14)

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.master = {1: b"one", 2: b"two"}  # by both directions' IDs: 1 and 101 name the first, 2 and 102 the second
        self.key_id = 101
        self.next_id = 1
        self.covers = True
        self.isn = -1  # the peer's
        self.stack_isn = -1
        self.base = [0, 0]  # 64-bit numbers: the peer's, the stack's
        self.used: list[tuple[int, int]] = []  # KeyID and RNextKeyID of what the stack has sent

    def mac(self, parts: Parts, head: bytes, master: bytes, isns: tuple[int, int], high: int) -> bytes:
        context = parts.source + parts.destination + parts.ports + struct.pack(">II", *isns)
        key = hmac.digest(master, b"\1TCP-AO" + context + b"\0\xa0", "sha1")
        options = head + bytes(12)
        if self.covers:
            at = parts.options.index(head)
            options = parts.options[:at] + options + parts.options[at + 16 :]
        return hmac.digest(key, struct.pack(">I", high) + parts.pseudo + parts.header + options + parts.payload,
        "sha1")[:12]

    def extend(self, side: int, seq: int) -> int:
        """The SNE of a segment's number."""
        number = self.base[side] + seq_diff(seq, self.base[side] & 0xFFFFFFFF)
        self.base[side] = max(self.base[side], number)
        return number >> 32 & 0xFFFFFFFF

    def frame(
        self, flags: str, seq: int | None = None, ack: int | None = None, data: bytes = b"", **more: Any
    ) -> bytes:
        self.blank = bytes((self.key_id, self.next_id)) + bytes(12)
        return super().frame(flags, seq, ack, data, **more)

    def signature(self, parts: Parts) -> bytes:
        if "S" in parts.flags:
            self.isn = self.base[0] = parts.seq
        bare = "S" in parts.flags and "." not in parts.flags
        head = bytes((AO, 16)) + self.blank[:2]
        isns = (self.isn, 0 if bare else self.stack_isn)
        return self.blank[:2] + self.mac(parts, head, self.master[self.key_id % 100], isns, self.extend(0, parts.seq))

    def verify(self, parts: Parts, found: bytes) -> None:
        if "S" in parts.flags and parts.seq != self.stack_isn:
            self.stack_isn = self.base[1] = parts.seq
        bare = "S" in parts.flags and "." not in parts.flags
        isns = (self.stack_isn, 0 if bare else self.isn)
        self.used.append((found[0], found[1]))
        mac = self.mac(parts, bytes((AO, 16)) + found[:2], self.master[found[0] % 100], isns, self.extend(1, parts.seq))
        assert found[2:] == mac, "a wrong MAC"


def talk_and_close(peer: Peer, sock: Any) -> None:
    """Data both ways on an established connection, its end, and an answer from TIME-WAIT."""
    peer.data(b"0123456789abcdef")
    assert read(sock) == b"0123456789abcdef"
    sock.send(bytes(4000))
    peer.flush()
    assert peer.take() == bytes(4000)
    sock.close()
    peer.flush()
    peer.expect("F.")
    peer.ack = (peer.ack + 1) & MASK32
    peer.data(b"", "F.")
    peer.expect(".")
    peer.send("F.", peer.seq - 1)
    peer.expect(".")


def greet(peer: Peer, sock: Any) -> None:
    """A few bytes each way."""
    sock.send(b"hello")
    peer.flush()
    peer.expect("P.", data=b"hello")
    peer.data(b"world")
    assert read(sock) == b"world"
