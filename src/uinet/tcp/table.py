"""One table for all connections (design decision D7), growing by small steps.

Linear hashing (Litwin 1980): each insertion over the load factor splits one bucket, each removal under it joins two,
so there is never a pause to rehash. Keys are hashed with SipHash under the stack's secret: a peer can't choose
addresses and ports that collide.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from uinet.ip.interface import Interface
from uinet.ip.neighbors import NextHop
from uinet.wheel import Timer
from uinet.wire.kernels import hash5, load_u16, untrack

MINIMUM = 64
JOINS = 4  # buckets joined for a removal: as the load factor is over 1/4 the table shrinks as fast as it empties


class Entry(Timer):
    """A key of the table, and how to reach the peer: what TCBs, SYN cache entries and TIME-WAITs have in common.

    `link_header`: on a promiscuous interface the verbatim Ethernet header of what is sent; None where frames are
    routed, and then `next_hop` is the cached way there, good while `generation` is the network's.
    """

    def __init__(self) -> None:
        super().__init__()
        self.hash = 0
        self.hash_next: Entry | None = None
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


class Table:
    """Entries by (domain, VLAN stack, local address and port, remote address and port)."""

    def __init__(self, k0: int, k1: int) -> None:
        self.k0 = k0
        self.k1 = k1
        self.base = MINIMUM
        self.count = 0
        self.heads: list[Any] = untrack([None] * MINIMUM)

    def hash_key(
        self, cdom: int, vids: bytes, laddr_hi: int, laddr_lo: int, lport: int, raddr_hi: int, raddr_lo: int, rport: int
    ) -> int:
        """The keyed hash of a tuple."""
        word = cdom
        word = (word << 32) | (lport << 16) | rport
        high = raddr_hi
        if len(vids):
            high ^= self._hash_vids(vids)
        return hash5(self.k0, self.k1, high, raddr_lo, laddr_hi, laddr_lo, word)

    def _hash_vids(self, vids: bytes) -> int:
        value = len(vids)
        for offset in range(0, len(vids), 2):
            value = hash5(self.k1, self.k0, value, load_u16(vids, offset), 0, 0, 0)
        return value

    def find(
        self, cdom: int, vids: bytes, laddr_hi: int, laddr_lo: int, lport: int, raddr_hi: int, raddr_lo: int, rport: int
    ) -> Entry | None:
        """The entry of the tuple, or None."""
        key = self.hash_key(cdom, vids, laddr_hi, laddr_lo, lport, raddr_hi, raddr_lo, rport)
        entry: Entry | None = self.heads[self._bucket(key)]
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
        entry.hash = self.hash_key(cdom, vids, laddr_hi, laddr_lo, lport, raddr_hi, raddr_lo, rport)

    def _bucket(self, key: int) -> int:
        bucket = key & (2 * self.base - 1)
        if bucket >= len(self.heads):
            bucket &= self.base - 1
        return bucket

    def insert(self, entry: Entry) -> None:
        """Adds `entry`, whose key is set and not in the table."""
        bucket = self._bucket(entry.hash)
        entry.hash_next = self.heads[bucket]
        self.heads[bucket] = entry
        self.count += 1
        if self.count > len(self.heads):
            self._split()

    def remove(self, entry: Entry) -> bool:
        """Takes `entry` out; False if it is not in the table."""
        bucket = self._bucket(entry.hash)
        at = self.heads[bucket]
        before: Entry | None = None
        while at is not None and at is not entry:
            before = at
            at = at.hash_next
        if at is None:
            return False
        if before is None:
            self.heads[bucket] = entry.hash_next
        else:
            before.hash_next = entry.hash_next
        entry.hash_next = None
        self.count -= 1
        for _ in range(JOINS):
            if self.count * 4 >= len(self.heads) or len(self.heads) <= MINIMUM:
                break
            self._join()
        return True

    def replace(self, old: Entry, new: Entry) -> None:
        """Puts `new`, which has the same key, where `old` was."""
        self.remove(old)
        self.insert(new)

    def _split(self) -> None:
        """Splits one bucket in two."""
        new = len(self.heads)
        old = new - self.base
        mask = 2 * self.base - 1
        entry = self.heads[old]
        stays: Entry | None = None
        goes: Entry | None = None
        while entry is not None:
            following = entry.hash_next
            if entry.hash & mask == new:
                entry.hash_next = goes
                goes = entry
            else:
                entry.hash_next = stays
                stays = entry
            entry = following
        self.heads[old] = stays
        self.heads.append(goes)
        if new + 1 == 2 * self.base:
            self.base *= 2

    def _join(self) -> None:
        """Joins the last bucket to the one that it was split from."""
        last = len(self.heads) - 1
        if last < self.base:
            self.base //= 2
        entry = self.heads.pop()
        bucket = last - self.base
        while entry is not None:
            following = entry.hash_next
            entry.hash_next = self.heads[bucket]
            self.heads[bucket] = entry
            entry = following

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Entry]:
        """Every entry, in no order; the table may not change meanwhile."""
        for head in self.heads:
            entry = head
            while entry is not None:
                yield entry
                entry = entry.hash_next
