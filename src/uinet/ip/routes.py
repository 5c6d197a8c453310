"""Routes: which link, and which neighbour on it, leads to a destination. Longest prefix first (RFC 1122,
3.3.1).

Only domain 0 is routed. A route has a prefix, an interface, and a gateway if the prefix is not on the link
itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from uinet.errors import AddressError, InvalidArgument, NetworkUnreachable
from uinet.wire.addresses import (
    AddressLike,
    PrefixLike,
    network_of,
    pack_address,
    parse_prefix,
    unpack_address,
)

if TYPE_CHECKING:
    from uinet.ip.interface import Interface, InterfaceAddress
    from uinet.ip.network import Network


STATIC = "static"
CONNECTED = "connected"  # from an address of the interface
ROUTER = "router"  # from a router advertisement
REDIRECT = "redirect"
DHCP = "dhcp"


class RouteEntry:
    """One route. `via`: the gateway, None if the prefix is on the link. `metric`: the lowest wins.

    `references`: for a connected route, how many addresses of the interface have this prefix; 0 for one that
    was added. `origin`: who made it, one of the words above. `suspect`: 0, or its gateway does not answer
    (`Gateways`); the larger, the later that was found.
    """

    __slots__ = ("interface", "length", "metric", "origin", "prefix", "references", "suspect", "via")

    def __init__(
        self,
        prefix: bytes,
        length: int,
        via: bytes | None,
        interface: Interface,
        metric: int,
        references: int = 0,
        origin: str = STATIC,
    ) -> None:
        self.prefix = prefix
        self.length = length
        self.via = via
        self.interface = interface
        self.metric = metric
        self.references = references
        self.origin = origin
        self.suspect = 0

    @property
    def connected(self) -> bool:
        """Whether it comes from an address of the interface."""
        return self.references > 0

    def __str__(self) -> str:
        via = f" via {unpack_address(self.via)}" if self.via is not None else ""
        metric = f" metric {self.metric}" if self.metric else ""
        return f"{unpack_address(self.prefix)}/{self.length}{via} dev {self.interface.name}{metric}"

    def __repr__(self) -> str:
        return f"<RouteEntry {self}>"


class Routes:
    """The routing table. Iterating gives every route, the longest prefixes first."""

    def __init__(self, network: Network) -> None:
        self.network = network
        # for each address length: prefix length -> prefix -> routes, the best first
        self.tables: dict[int, dict[int, dict[bytes, list[RouteEntry]]]] = {4: {}, 16: {}}
        self.lengths: dict[int, list[int]] = {4: [], 16: []}  # prefix lengths in use, longest first
        self.count = 0
        self.through: dict[tuple[int, bytes], list[RouteEntry]] = {}  # (interface's index, gateway) -> routes

    def add(
        self,
        prefix: PrefixLike,
        via: AddressLike | None = None,
        interface: Interface | None = None,
        metric: int = 0,
    ) -> RouteEntry:
        """Adds a route to `prefix` through the gateway `via`, or straight on `interface`.

        Without `interface` the gateway tells it: NetworkUnreachable if the gateway is on no link.
        AddressError for a prefix with host bits, InvalidArgument if the same route is there already, or on a
        promiscuous interface.
        """
        address, length = parse_prefix(prefix)
        if network_of(address, length) != address:
            raise AddressError(f"{prefix} has bits set behind its prefix")
        gateway = pack_address(via) if via is not None else None
        if gateway is not None and len(gateway) != len(address):
            raise AddressError(f"{via} can't be a gateway to {prefix}")
        if interface is None:
            interface = self._interface_to(gateway)
        if interface.promiscuous:
            raise InvalidArgument(f"{interface.name} is promiscuous: nothing is routed there")
        entry = RouteEntry(address, length, gateway, interface, metric)
        for other in self._entries(address, length):
            if other.interface is interface and other.via == gateway and other.metric == metric:
                raise InvalidArgument(f"there already is a route {other}")
        self._insert(entry)
        return entry

    def remove(
        self, prefix: PrefixLike, via: AddressLike | None = None, interface: Interface | None = None
    ) -> None:
        """Removes the routes to exactly `prefix`, those through `via` and on `interface` if given; connected
        ones stay.

        NetworkUnreachable if there is none.
        """
        address, length = parse_prefix(prefix)
        gateway = pack_address(via) if via is not None else None
        found = False
        for entry in list(self._entries(network_of(address, length), length)):
            if entry.connected or (gateway is not None and entry.via != gateway):
                continue
            if interface is not None and entry.interface is not interface:
                continue
            self._delete(entry)
            found = True
        if not found:
            raise NetworkUnreachable(f"there is no such route to {prefix}")

    def lookup(self, destination: bytes, interface: Interface | None = None) -> RouteEntry | None:
        """The best route to the packed `destination`, of those on `interface` if given.

        Of the longest prefix the lowest metric whose gateway answers; if none does, the one that failed first.
        """
        size = len(destination)
        tables = self.tables[size]
        value = int.from_bytes(destination, "big")
        bits = size * 8
        for length in self.lengths[size]:
            shift = bits - length
            entries = tables[length].get((value >> shift << shift).to_bytes(size, "big"))
            if entries is not None:
                suspect: RouteEntry | None = None
                for entry in entries:
                    if entry.interface.up and (interface is None or entry.interface is interface):
                        if entry.suspect == 0:
                            return entry
                        if suspect is None or entry.suspect < suspect.suspect:
                            suspect = entry
                if suspect is not None:
                    return suspect
        return None

    def __iter__(self) -> Iterator[RouteEntry]:
        found = []
        for size in (4, 16):
            for length in self.lengths[size]:
                for entries in self.tables[size][length].values():
                    found.extend(entries)
        return iter(found)

    def __len__(self) -> int:
        return self.count

    # what the network layer calls

    def add_connected(self, interface: Interface, address: InterfaceAddress) -> None:
        """An address was added: its prefix is on the link."""
        prefix = address.prefix
        for entry in self._entries(prefix, address.prefix_length):
            if entry.connected and entry.interface is interface:
                entry.references += 1
                return
        self._insert(RouteEntry(prefix, address.prefix_length, None, interface, 0, 1, CONNECTED))

    def remove_connected(self, interface: Interface, address: InterfaceAddress) -> None:
        """An address was removed."""
        for entry in list(self._entries(address.prefix, address.prefix_length)):
            if entry.connected and entry.interface is interface:
                if entry.references == 1:
                    self._delete(entry)
                else:
                    entry.references -= 1

    def remove_interface(self, interface: Interface) -> None:
        """Removes every route on `interface`."""
        for entry in list(self):
            if entry.interface is interface:
                self._delete(entry)

    def learn(
        self, prefix: bytes, length: int, via: bytes | None, interface: Interface, metric: int, origin: str
    ) -> RouteEntry:
        """Adds a route that the link told us; the same one may be there already, from somebody else."""
        entry = RouteEntry(network_of(prefix, length), length, via, interface, metric, 0, origin)
        self._insert(entry)
        return entry

    def forget(self, entry: RouteEntry) -> None:
        """Removes a route that `learn` made, if it is still there."""
        if entry in self._entries(entry.prefix, entry.length):
            self._delete(entry)

    # inside

    def _interface_to(self, gateway: bytes | None) -> Interface:
        if gateway is None:
            raise InvalidArgument("a route needs a gateway or an interface")
        entry = self.lookup(gateway)
        if entry is None or entry.via is not None or entry.interface.loopback:
            raise NetworkUnreachable(f"the gateway {unpack_address(gateway)} is on no link of this stack")
        return entry.interface

    def _entries(self, prefix: bytes, length: int) -> list[RouteEntry]:
        return self.tables[len(prefix)].get(length, {}).get(prefix, [])

    def _insert(self, entry: RouteEntry) -> None:
        size = len(entry.prefix)
        table = self.tables[size].setdefault(entry.length, {})
        entries = table.setdefault(entry.prefix, [])
        place = 0
        while place < len(entries) and entries[place].metric <= entry.metric:
            place += 1
        entries.insert(place, entry)
        self.count += 1
        if entry.via is not None:
            key = (entry.interface.index, entry.via)
            entry.suspect = self.network.gateways.suspects.get(key, 0)
            self.through.setdefault(key, []).append(entry)
        self._lengths_changed(size)

    def _delete(self, entry: RouteEntry) -> None:
        size = len(entry.prefix)
        table = self.tables[size][entry.length]
        table[entry.prefix].remove(entry)
        self.count -= 1
        if not table[entry.prefix]:
            del table[entry.prefix]
        if not table:
            del self.tables[size][entry.length]
        if entry.via is not None:
            key = (entry.interface.index, entry.via)
            self.through[key].remove(entry)
            if not self.through[key]:
                del self.through[key]
                self.network.gateways.forget(key)
        self._lengths_changed(size)

    def _lengths_changed(self, size: int) -> None:
        self.lengths[size] = sorted(self.tables[size], reverse=True)
        self.network.changed()
