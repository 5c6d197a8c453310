"""Which address to send from (RFC 1122 section 3.3.4.3, RFC 6724 section 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uinet.errors import AddressNotAvailable
from uinet.ip.address import in_prefix, scope
from uinet.wire.nd import is_link_local

if TYPE_CHECKING:
    from collections.abc import Iterable

    from uinet.ip.interface import Interface, InterfaceAddress

Rank = tuple[int, ...]

# RFC 6724, section 2.1: prefix, its length, its label; the longest match counts
POLICY = (
    (bytes(15) + b"\x01", 128, 0),
    (bytes(10) + b"\xff\xff" + bytes(4), 96, 4),
    (bytes(16), 96, 3),
    (bytes.fromhex("20010000") + bytes(12), 32, 5),
    (bytes.fromhex("2002") + bytes(14), 16, 2),
    (bytes.fromhex("3ffe") + bytes(14), 16, 12),
    (bytes.fromhex("fec0") + bytes(14), 10, 11),
    (bytes.fromhex("fc00") + bytes(14), 7, 13),
)
DEFAULT_LABEL = 1


def label(address: bytes) -> int:
    """The label of an IPv6 address in the default policy table."""
    for prefix, length, value in POLICY:
        if in_prefix(address, prefix, length):
            return value
    return DEFAULT_LABEL


def select(
    destination: bytes, interface: Interface, gateway: bytes, others: Iterable[Interface], temporary: bool
) -> bytes:
    """The address to send to `destination` from by `interface`, through `gateway`.

    The outgoing interface's own come first (rule 5), then those of `others`; `temporary`: whether temporary addresses
    are preferred to public ones (rule 7). AddressNotAvailable if there is none of the family.
    """
    best: bytes | None = None
    best_rank: Rank = ()
    for candidate in (interface, *others):
        if candidate.promiscuous or (best is not None and candidate is not interface):
            continue
        for entry in candidate.addresses:
            if len(entry.address) != len(destination):
                continue
            if is_link_local(entry.address) and candidate is not interface:
                continue
            rank = rank_of(entry, destination, gateway, temporary)
            if rank > best_rank:
                best, best_rank = entry.address, rank
    if best is None:
        raise AddressNotAvailable(f"no address on {interface.name} to send from")
    return best


def rank_of(entry: InterfaceAddress, destination: bytes, gateway: bytes, temporary: bool) -> Rank:
    """How good `entry` is as the source for `destination`: the larger, the better."""
    on_its_link = int(in_prefix(gateway, entry.address, entry.prefix_length))
    if len(destination) == 4:
        return (on_its_link,)
    same = 128 - (int.from_bytes(entry.address, "big") ^ int.from_bytes(destination, "big")).bit_length()
    return (
        int(entry.address == destination),  # rule 1
        _scope_rank(scope(entry.address), scope(destination)),
        int(not entry.deprecated),  # rule 3
        int(entry.router == gateway),  # rule 5.5: its prefix came from this first hop
        int(label(entry.address) == label(destination)),  # rule 6
        int(entry.temporary == temporary),  # rule 7
        on_its_link,
        min(same, entry.prefix_length),  # rule 8
    )


def _scope_rank(own: int, wanted: int) -> int:
    """Rule 2: a scope that reaches, the smallest of those; else the largest."""
    return 100 - own if own >= wanted else own
