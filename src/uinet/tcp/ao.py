"""The TCP Authentication Option (RFC 5925), with the algorithms of RFC 5926.

::

    |  Kind = 29   |    Length    |    KeyID     |  RNextKeyID  |
    |                      MAC, 12 bytes                        |

KeyID names the key that has signed the segment, RNextKeyID the one that its sender would like to be answered with: so
two ends change keys without a word. The MAC covers, before the segment, the upper half of a 64-bit sequence number
(SNE), so a segment of 4 GiB ago is not valid again (6.2).
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Callable
from typing import NamedTuple

from uinet.seq import seq_diff
from uinet.tcp.aes import cmac
from uinet.tcp.signing import GOOD, MALFORMED, MISSING, UNKNOWN, WRONG, Signer, header_of, packed, pseudo_header
from uinet.tcp.table import Entry
from uinet.units import MASK32
from uinet.wire.constants import ACK, RST, SYN
from uinet.wire.kernels import load_u8, take
from uinet.wire.packet import Packet
from uinet.wire.segment import Segment
from uinet.wire.tcp_options import KIND_AO

MAC_LENGTH = 12  # of both algorithms
LENGTH = 4 + MAC_LENGTH
LABEL = b"TCP-AO"  # RFC 5926, 3.1

# whose traffic key it is (RFC 5925, 5.2)
SEND_SYN = 0
SEND_OTHER = 1
RECEIVE_OTHER = 2


class Algorithm(NamedTuple):
    """A key derivation function and a MAC that belong together (RFC 5926, 3)."""

    derive: Callable[[bytes, bytes], bytes]  # master key, context -> traffic key
    mac: Callable[[bytes, bytes], bytes]  # traffic key, message -> MAC


def derive_sha1(master: bytes, context: bytes) -> bytes:
    """KDF_HMAC_SHA1 (RFC 5926, 3.1.1.1): 160 bits, in one step."""
    return hmac.digest(master, b"\1" + LABEL + context + struct.pack(">H", 160), "sha1")


def mac_sha1(key: bytes, message: bytes) -> bytes:
    """HMAC-SHA-1-96 (RFC 5926, 3.2.1)."""
    return hmac.digest(key, message, "sha1")[:MAC_LENGTH]


def derive_aes(master: bytes, context: bytes) -> bytes:
    """KDF_AES_128_CMAC (RFC 5926, 3.1.1.2): 128 bits, in one step; a master key of another length is made one of
    128."""
    key = master if len(master) == 16 else cmac(bytes(16), master)
    return cmac(key, b"\1" + LABEL + context + struct.pack(">H", 128))


def mac_aes(key: bytes, message: bytes) -> bytes:
    """AES-128-CMAC-96 (RFC 5926, 3.2.2)."""
    return cmac(key, message)[:MAC_LENGTH]


ALGORITHMS = {"hmac-sha-1-96": Algorithm(derive_sha1, mac_sha1), "aes-128-cmac-96": Algorithm(derive_aes, mac_aes)}


class Mkt(NamedTuple):
    """A master key tuple (RFC 5925, 3.1), as connections use it."""

    master: bytes
    send_id: int
    receive_id: int
    algorithm: Algorithm
    cover_options: bool
    accept_icmp: bool


def message_of(
    sne: int, pseudo: bytes, header: bytes, before: bytes, head: bytes, after: bytes, payload: bytes, cover: bool
) -> bytes:
    """What the MAC is over (RFC 5925, 5.1): the options `before` and `after` TCP-AO's count only with `cover`, the MAC
    itself counts as zeros."""
    middle = head + bytes(MAC_LENGTH)
    if cover:
        middle = before + middle + after
    return sne.to_bytes(4, "big") + pseudo + header + middle + payload


class Ao(Signer):
    """TCP-AO of one connection.

    `tuples`: its master keys. `current`: signs what is sent; `rnext`: what the peer is asked for. `sent`, `received`:
    the 64-bit sequence numbers of the newest segments that were sent, and received with a good MAC.
    """

    name = "ao"
    overhead = LENGTH
    stateless = False
    counters = ("", "tcp_ao_missing", "tcp_signature_malformed", "tcp_ao_unknown_key", "tcp_ao_wrong")

    __slots__ = (
        "bad", "current", "good", "irs", "iss", "received", "rnext", "sent", "traffic_keys", "tuples", "unknown",
        "unsigned",
    )

    def __init__(self, tuples: list[Mkt]) -> None:
        self.tuples = tuples
        self.current = tuples[0]
        self.rnext = tuples[0]
        self.iss = -1
        self.irs = -1
        self.sent = 0
        self.received = 0
        self.traffic_keys: dict[tuple[int, int], bytes] = {}
        self.good = self.bad = self.unknown = self.unsigned = 0

    def begin(self, iss: int, irs: int) -> None:
        self.iss = self.sent = iss
        self.traffic_keys.clear()
        if irs >= 0:
            self.irs = self.received = irs

    # keys

    def traffic_key(self, entry: Entry, mkt: Mkt, which: int) -> bytes:
        """A traffic key of the connection (RFC 5925, 5.2), derived when it is first needed."""
        slot = (mkt.send_id << 8 | mkt.receive_id, which)
        key = self.traffic_keys.get(slot)
        if key is None:
            if which == RECEIVE_OTHER:
                context = context_of(entry, False, self.irs, self.iss)
            else:
                context = context_of(entry, True, self.iss, 0 if which == SEND_SYN else self.irs)
            key = self.traffic_keys[slot] = mkt.algorithm.derive(mkt.master, context)
        return key

    def by_send_id(self, number: int) -> Mkt | None:
        """The tuple with this SendID."""
        for mkt in self.tuples:
            if mkt.send_id == number:
                return mkt
        return None

    def by_receive_id(self, number: int) -> Mkt | None:
        """The tuple with this RecvID."""
        for mkt in self.tuples:
            if mkt.receive_id == number:
                return mkt
        return None

    # out

    def option(
        self, entry: Entry, header: bytes, options: bytes, payload: bytes, seq: int, flags: int
    ) -> bytes:
        mkt = self.current
        head = bytes((KIND_AO, LENGTH, mkt.send_id, self.rnext.receive_id))
        number = extended(self.sent, seq)
        if number > self.sent and not flags & RST:  # a RST's number may be anything that was acknowledged
            self.sent = number
        size = 20 + len(options) + LENGTH + len(payload)
        message = message_of(
            number >> 32 & MASK32, pseudo_header(entry, True, size), header, options, head, b"", payload,
            mkt.cover_options,
        )
        which = SEND_SYN if flags & (SYN | ACK) == SYN else SEND_OTHER
        return head + mkt.algorithm.mac(self.traffic_key(entry, mkt, which), message)

    # in

    def check(self, entry: Entry, packet: Packet, seg: Segment) -> int:
        if not seg.signed:
            self.unsigned += 1
            return MISSING
        if seg.signatures > 1 or seg.signature_kind != KIND_AO or seg.signature_length != LENGTH:
            self.bad += 1
            return MALFORMED
        at = seg.signature_at
        mkt = self.by_receive_id(load_u8(packet.data, at + 2))
        if mkt is None:
            self.unknown += 1
            return UNKNOWN
        irs = self.irs
        if seg.flags & SYN and irs < 0:
            self.irs = self.received = seg.seq
        number = self._verified(entry, packet, seg, mkt)
        if number < 0:
            if irs < 0:
                self.irs = irs
                self.traffic_keys.clear()
            self.bad += 1
            return WRONG
        self.good += 1
        if number > self.received and seg.flags & (SYN | ACK) != SYN:
            self.received = number
        self._follow(load_u8(packet.data, at + 3))
        return GOOD

    def _verified(self, entry: Entry, packet: Packet, seg: Segment, mkt: Mkt) -> int:
        """The segment's 64-bit sequence number if its MAC is that of `mkt`; else -1."""
        if seg.flags & (SYN | ACK) == SYN:
            number = seg.seq
            key = mkt.algorithm.derive(mkt.master, context_of(entry, False, seg.seq, 0))
        elif self.irs < 0:
            return -1  # a RST of who knows no connection: there is no key for it (RFC 5925, 7.7)
        else:
            number = extended(self.received, seg.seq)
            key = self.traffic_key(entry, mkt, RECEIVE_OTHER)
        data = packet.data
        at = seg.signature_at
        message = message_of(
            number >> 32 & MASK32, pseudo_header(entry, False, packet.end - packet.l4), header_of(packet),
            take(data, seg.options_offset, at - seg.options_offset), take(data, at, 4),
            take(data, at + LENGTH, seg.options_end - at - LENGTH), take(data, seg.offset, seg.length),
            mkt.cover_options,
        )
        good = hmac.compare_digest(mkt.algorithm.mac(key, message), take(data, at + 4, MAC_LENGTH))
        return max(number, 0) if good else -1

    def _follow(self, wanted: int) -> None:
        """The peer would like to be answered with the key of this SendID (RFC 5925, 7.5 and 8.1)."""
        if wanted != self.current.send_id:
            mkt = self.by_send_id(wanted)
            if mkt is not None:
                self.current = mkt

    def accept(self, data: bytes, seg: Segment) -> bool:
        """A listener has taken this SYN, which was checked: it is answered with the key that it asks for, and asks for
        that which has signed it (RFC 5925, 7.4). False if there is no such key."""
        mkt = self.by_receive_id(load_u8(data, seg.signature_at + 2))
        answer = self.by_send_id(load_u8(data, seg.signature_at + 3))
        if mkt is None or answer is None:
            return False
        self.rnext = mkt
        self.current = answer
        return True

    # the user's

    def choose(self, current: int | None, rnext: int | None) -> bool:
        """Makes the tuples with this SendID and RecvID current and next; False if there is none."""
        mkt = self.current if current is None else self.by_send_id(current)
        wanted = self.rnext if rnext is None else self.by_receive_id(rnext)
        if mkt is None or wanted is None:
            return False
        self.current = mkt
        self.rnext = wanted
        return True

    def replace(self, tuples: list[Mkt]) -> bool:
        """Takes other tuples; False, and nothing changes, if those in use are not among them."""
        if self.current not in tuples or self.rnext not in tuples:
            return False
        self.tuples = tuples
        self.traffic_keys.clear()
        return True

    @property
    def ignores_icmp(self) -> bool:
        """Whether hard ICMP errors do not count (RFC 5925, 7.8)."""
        return not self.current.accept_icmp


def context_of(entry: Entry, outbound: bool, source_isn: int, destination_isn: int) -> bytes:
    """The context of a traffic key (RFC 5925, 5.2): addresses, ports and ISNs, the sender's first."""
    here, there = packed(entry.laddr_hi, entry.laddr_lo), packed(entry.raddr_hi, entry.raddr_lo)
    if outbound:
        return here + there + struct.pack(">HHII", entry.lport, entry.rport, source_isn, destination_isn)
    return there + here + struct.pack(">HHII", entry.rport, entry.lport, source_isn, destination_isn)


def extended(newest: int, seq: int) -> int:
    """The 64-bit number of `seq`, which is less than 2 GiB from the newest (RFC 5925, 6.2)."""
    return newest + seq_diff(seq, newest & MASK32)
