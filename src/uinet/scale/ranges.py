"""Ranges of VLAN stacks, MACs, addresses and ports, as people write them."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from itertools import accumulate

from uinet.errors import Error, InvalidArgument
from uinet.wire.addresses import Mac, VlanTag

MOST_LEVELS = 16
LARGEST = {4: 1 << 32, 16: 1 << 128}


def parse_span(text: str, low: int, high: int, what: str) -> range:
    """``7`` or ``100-200``, both ends included, within `low` to `high`; InvalidArgument."""
    first, dash, last = text.strip().partition("-")
    if first.isascii() and first.isdigit() and ((last.isascii() and last.isdigit()) or not dash):
        span = range(int(first), int(last if dash else first) + 1)
        if span and span[0] >= low and span[-1] <= high:
            return span
    raise InvalidArgument(f"{text!r} is no {what}: want a number from {low} to {high}, or two with a - between")


class Stacks:
    """VLAN stacks by number: all that ``1:10:100-200`` and others like it describe, one after the other.

    ``none`` is untagged; levels are outermost first.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self.levels = [self._parse(text) for text in texts or ("none",)]
        counts = []
        for levels in self.levels:
            count = 1
            for level in levels:
                count *= len(level)
            counts.append(count)
        self.ends = list(accumulate(counts))

    @staticmethod
    def _parse(text: str) -> list[range]:
        if text.strip() == "none":
            return []
        levels = [parse_span(level, 1, 4094, "VLAN ID") for level in text.split(":")]
        if len(levels) > MOST_LEVELS:
            raise InvalidArgument(f"{text!r} has {len(levels)} levels: a VLAN stack has at most {MOST_LEVELS}")
        return levels

    def __len__(self) -> int:
        return self.ends[-1]

    def __getitem__(self, number: int) -> tuple[VlanTag, ...]:
        which = 0
        while number >= self.ends[which]:
            which += 1
        if which:
            number -= self.ends[which - 1]
        vids = []
        for level in reversed(self.levels[which]):
            number, index = divmod(number, len(level))
            vids.append(level[index])
        return tuple(VlanTag(vid) for vid in reversed(vids))


class Addresses:
    """IP addresses by number, packed: ``10.0.0.0/12`` (all of them), ``10.0.0.1-10.0.3.7``, or a single one."""

    def __init__(self, text: str) -> None:
        try:
            if "/" in text:
                network = ipaddress.ip_network(text.strip(), strict=False)
                first, last = network[0], network[-1]
            else:
                low, dash, high = text.partition("-")
                first = ipaddress.ip_address(low.strip())
                last = ipaddress.ip_address(high.strip()) if dash else first
        except ValueError as error:
            raise InvalidArgument(f"{text!r} is no range of addresses: {error}") from None
        if first.version != last.version or int(last) < int(first):
            raise InvalidArgument(f"{text!r} is no range of addresses: the second is below the first")
        groups = ipaddress.ip_network("224.0.0.0/4" if first.version == 4 else "ff00::/8")
        if int(first) <= int(groups[-1]) and int(last) >= int(groups[0]):
            raise InvalidArgument(f"{text!r} reaches into multicast: no TCP connection goes there")
        for end in (first, last):
            if end.is_unspecified or end == ipaddress.ip_address("255.255.255.255"):
                raise InvalidArgument(f"{text!r}: no TCP connection goes to or from {end}")
        self.size = len(first.packed)
        self.first = int(first)
        self.count = int(last) - int(first) + 1

    def __len__(self) -> int:
        return min(self.count, 1 << 62)

    def __getitem__(self, number: int) -> bytes:
        return (self.first + number).to_bytes(self.size, "big")


class Macs:
    """MACs by number: ``02:00:00:00:00:01``, or so many from it on: ``02:00:00:00:00:01+1000``."""

    def __init__(self, text: str) -> None:
        first, plus, count = text.strip().partition("+")
        try:
            self.first = int.from_bytes(bytes(Mac(first)), "big")
            self.count = int(count) if plus else 1
        except (ValueError, Error) as error:
            raise InvalidArgument(f"{text!r} is no range of MACs: {error}") from None
        last = self.first + self.count - 1
        if self.count < 1 or last >> 48 or (self.first ^ last) >> 40 or self.first >> 40 & 1:
            raise InvalidArgument(f"{text!r} is no range of MACs of single interfaces")

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> Mac:
        return Mac((self.first + number).to_bytes(6, "big"))
