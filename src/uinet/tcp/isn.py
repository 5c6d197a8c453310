"""Initial sequence numbers, timestamp offsets and SYN cookies.

Read first: RFC 6528 (ISN = M + F(tuple, secret)), RFC 7323 5.4 and 7.1 (timestamp offsets), RFC 4987 3.6 (cookies).
"""

from __future__ import annotations

from uinet.tcp.constants import TRIVIAL_ISN
from uinet.tcp.table import Entry
from uinet.units import MASK32, SECOND
from uinet.wire.kernels import hash5, load_u16

ISN_TICK = 4_000  # ns: the 4 us clock of RFC 9293 3.4.1

COOKIE_PERIOD = 64 * SECOND
COOKIE_MSS = (216, 536, 1220, 1300, 1400, 1440, 1460, 8940)
LARGEST = 7  # index of the last of them


class Secrets:
    """Keyed functions of connections' tuples. Two keys of 128 bits come from the stack's seed.

    All but `tuple_hash` begin with the hash that the table has of the tuple, under another key: an entry has its key.
    """

    def __init__(self, key: bytes) -> None:
        self.k0 = int.from_bytes(key[0:8], "big")
        self.k1 = int.from_bytes(key[8:16], "big")
        self.begin_k0 = hash5(self.k0, self.k1, 1, 0, 0, 0, 0)
        self.begin_k1 = hash5(self.k1, self.k0, 1, 0, 0, 0, 0)
        self.cookie_k0 = hash5(self.k0, self.k1, 3, 0, 0, 0, 0)
        self.cookie_k1 = hash5(self.k1, self.k0, 3, 0, 0, 0, 0)

    def tuple_hash(self, entry: Entry, purpose: int, extra: int) -> int:
        """A 64-bit keyed hash of the entry's tuple, domain and VLAN stack; each purpose has a key of its own."""
        k0 = hash5(self.k0, self.k1, purpose, 0, 0, 0, 0)
        k1 = hash5(self.k1, self.k0, purpose, 0, 0, 0, 0)
        ports = (entry.lport << 16) | entry.rport  # 32 bits without a sign, before they become 64
        value = hash5(k0, k1, entry.laddr_hi, entry.laddr_lo, entry.raddr_hi, entry.raddr_lo, ports)
        for offset in range(0, len(entry.vids), 2):
            value = hash5(k0, k1, value, load_u16(entry.vids, offset), 1, 0, 0)
        return hash5(k0, k1, value, entry.cdom, extra & MASK32, len(entry.vids), 2)

    def beginning(self, entry: Entry) -> int:
        """What a connection begins with: 32 bits for its ISN, and above them 32 for its timestamp offset."""
        return hash5(self.begin_k0, self.begin_k1, entry.hash, 0, 0, 0, 0)

    def isn(self, entry: Entry, now: int) -> int:
        """The initial send sequence number of a connection that begins now (RFC 6528, 3); of a marked one the clock's
        alone, as in RFC 793."""
        if entry.marks & TRIVIAL_ISN:
            return now // ISN_TICK & MASK32
        return ((self.beginning(entry) & MASK32) + now // ISN_TICK) & MASK32

    def timestamp_offset(self, entry: Entry) -> int:
        """What is added to the timestamp clock on this connection."""
        return self.beginning(entry) >> 32

    def cookie(self, entry: Entry, irs: int, mss: int, now: int) -> int:
        """A SYN cookie: 5 bits of time, 3 bits of MSS, 24 bits of keyed hash."""
        index = LARGEST
        while index > 0:
            most = COOKIE_MSS[index]
            if most <= mss:
                break
            index -= 1
        return self._cookie(entry, irs, index, now // COOKIE_PERIOD)

    def _cookie(self, entry: Entry, irs: int, index: int, period: int) -> int:
        low = period & MASK32
        turn = period & 31
        mac = hash5(self.cookie_k0, self.cookie_k1, entry.hash, irs & MASK32, low, index, 0)
        return (turn << 27) | (index << 24) | (mac & 0xFFFFFF)

    def check_cookie(self, entry: Entry, irs: int, cookie: int, now: int) -> int:
        """The MSS that `cookie` carries, if it is ours and at most two periods old; else 0."""
        period = now // COOKIE_PERIOD
        index = (cookie >> 24) & 7
        for age in range(2):
            if self._cookie(entry, irs, index, period - age) == cookie:
                return COOKIE_MSS[index]
        return 0
