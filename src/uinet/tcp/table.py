"""One table for all connections of a stack (design decision D7): keys, and finding by key."""

from __future__ import annotations

from typing import Any

from uinet.hashing import Buckets, Node
from uinet.ip.interface import Interface
from uinet.ip.neighbors import NextHop
from uinet.tcp.constants import COPIED
from uinet.wire.kernels import hash5, hash_short


class Entry(Node):
    """A key of the table, and how to reach the peer: what TCBs, SYN cache entries and TIME-WAITs have in common.

    `link_header`: on a promiscuous interface the verbatim Ethernet header of what is sent; None where frames are
    routed, and then `next_hop` is the cached way there, good while `generation` is the network's. `auth`: a
    signing.Signer where segments are signed, else None.
    """

    def __init__(self) -> None:
        self.blank_entry()

    def blank_entry(self) -> None:
        """What a new one is (see `Timer.blank_timer`)."""
        self.blank_node()
        self.cdom = 0
        self.vids = b""
        self.laddr_hi = 0
        self.laddr_lo = 0
        self.raddr_hi = 0
        self.raddr_lo = 0
        self.lport = 0
        self.rport = 0
        self.interface: Interface | None = None
        self.link_header: bytes | None = None
        self.next_hop: NextHop | None = None
        self.generation = 0
        self.ttl = 64
        self.tos = 0
        self.ecn = 0  # the ECN field of what is sent next (RFC 3168, 5)
        self.marks = 0  # what is out of the ordinary about it: bits of `constants`
        self.auth: Any = None

    def copy_key(self, other: Entry) -> None:
        """Takes the key, hash and path of `other`."""
        self.hash = other.hash
        self.cdom = other.cdom
        self.vids = other.vids
        self.laddr_hi = other.laddr_hi
        self.laddr_lo = other.laddr_lo
        self.raddr_hi = other.raddr_hi
        self.raddr_lo = other.raddr_lo
        self.lport = other.lport
        self.rport = other.rport
        self.interface = other.interface
        self.link_header = other.link_header
        self.next_hop = other.next_hop
        self.generation = other.generation
        self.ttl = other.ttl
        self.tos = other.tos
        self.auth = other.auth
        self.marks = other.marks & ~COPIED  # who copies says so


class Table(Buckets):
    """Entries by (domain, VLAN stack, local address and port, remote address and port).

    The key that was looked for last is remembered with its hash (`last_*`): what is made for it next has the same.
    """

    def __init__(self, k0: int, k1: int) -> None:
        super().__init__(k0, k1)
        self.last_vids: bytes | None = None
        self.last_cdom = 0
        self.last_laddr_hi = 0
        self.last_laddr_lo = 0
        self.last_raddr_hi = 0
        self.last_raddr_lo = 0
        self.last_lport = 0
        self.last_rport = 0
        self.last_hash = 0

    def hash_key(
        self, cdom: int, vids: bytes, laddr_hi: int, laddr_lo: int, lport: int, raddr_hi: int, raddr_lo: int, rport: int
    ) -> int:
        """The keyed hash of a tuple."""
        word = cdom
        word = (word << 32) | (lport << 16) | rport
        high = raddr_hi
        if len(vids):
            high ^= hash_short(self.k1, self.k0, vids)
        return hash5(self.k0, self.k1, high, raddr_lo, laddr_hi, laddr_lo, word)

    def find(
        self, cdom: int, vids: bytes, laddr_hi: int, laddr_lo: int, lport: int, raddr_hi: int, raddr_lo: int, rport: int
    ) -> Entry | None:
        """The entry of the tuple, or None."""
        key = self.hash_key(cdom, vids, laddr_hi, laddr_lo, lport, raddr_hi, raddr_lo, rport)
        self.last_hash = key
        self.last_vids = vids
        self.last_cdom = cdom
        self.last_laddr_hi = laddr_hi
        self.last_laddr_lo = laddr_lo
        self.last_raddr_hi = raddr_hi
        self.last_raddr_lo = raddr_lo
        self.last_lport = lport
        self.last_rport = rport
        entry: Entry | None = self.head(self.bucket(key))
        while entry is not None:
            if (
                entry.hash == key and entry.rport == rport and entry.lport == lport and entry.raddr_lo == raddr_lo
                and entry.laddr_lo == laddr_lo and entry.raddr_hi == raddr_hi and entry.laddr_hi == laddr_hi
                and entry.cdom == cdom and (entry.vids is vids or entry.vids == vids)
            ):
                return entry
            entry = entry.hash_next
        return None

    def set_key(
        self, entry: Entry, cdom: int, vids: bytes, laddr_hi: int, laddr_lo: int, lport: int, raddr_hi: int,
        raddr_lo: int, rport: int,
    ) -> None:
        """Gives `entry` (in no table) its key and hash."""
        entry.cdom = cdom
        entry.vids = vids
        entry.laddr_hi = laddr_hi
        entry.laddr_lo = laddr_lo
        entry.lport = lport
        entry.raddr_hi = raddr_hi
        entry.raddr_lo = raddr_lo
        entry.rport = rport
        if (
            self.last_vids is vids and self.last_rport == rport and self.last_raddr_lo == raddr_lo
            and self.last_lport == lport and self.last_laddr_lo == laddr_lo and self.last_raddr_hi == raddr_hi
            and self.last_laddr_hi == laddr_hi and self.last_cdom == cdom
        ):
            entry.hash = self.last_hash
            return
        entry.hash = self.hash_key(cdom, vids, laddr_hi, laddr_lo, lport, raddr_hi, raddr_lo, rport)
