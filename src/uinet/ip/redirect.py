"""Redirects: a router tells a better first hop (RFC 4861 section 8, RFC 792, RFC 1122 section 3.2.2.2).

Ignored unless `Interface.accept_redirects`: whoever is on the link can send them (RFC 6980 and 7126 say what comes of
that). Believed only from the first hop that the destination has now, for a destination that is not ours, to a target on
the link. What they tell is a host route, forgotten after ten minutes or as soon as its target does not answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from uinet.ip.address import is_one_host
from uinet.ip.routes import REDIRECT, RouteEntry
from uinet.wheel import Timer
from uinet.wire import nd
from uinet.wire.addresses import is_multicast

if TYPE_CHECKING:
    from uinet.ip.interface import Interface
    from uinet.ip.neighbors import NextHop
    from uinet.ip.network import Network
    from uinet.wire.packet import Packet

Key = tuple[int, bytes]  # interface's index, destination


class Redirects(Timer):
    """The redirects that are believed, oldest first."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.table: dict[Key, tuple[RouteEntry, int]] = {}  # -> its route, and when it is forgotten

    def input_v6(self, packet: Packet, message: nd.Redirect) -> bool:
        """Takes a redirect that has passed `nd.valid`; whether it is believed."""
        self.network.stats.count("redirect_in")
        on_link = message.target == message.destination
        if not self._believed(packet.interface, packet.src, message.target, message.destination):
            return False
        self._install(packet.interface, message.destination, None if on_link else message.target)
        mac = nd.link_layer(message.options, nd.TARGET_LINK_LAYER)
        if mac is not None and not mac.is_group:
            hop = self.network.neighbors.lookup(packet.interface, message.target)
            self.network.neighbors.heard(hop, mac)
        return True

    def input_v4(self, packet: Packet, gateway: bytes, destination: bytes) -> bool:
        """Takes an ICMP redirect about a packet of ours to `destination`; whether it is believed.

        Those for a network are taken as for the host (RFC 1122, section 3.2.2.2).
        """
        self.network.stats.count("redirect_in")
        interface = packet.interface
        if not interface.on_link(gateway) or not self._believed(interface, packet.src, gateway, destination):
            return False
        self._install(interface, destination, None if gateway == destination else gateway)
        return True

    def _believed(self, interface: Interface, source: bytes, target: bytes, destination: bytes) -> bool:
        network = self.network
        entry = network.routes.lookup(destination, interface)
        good = (
            interface.accept_redirects
            and entry is not None
            and entry.via == source
            and is_one_host(target)
            and not is_multicast(destination)
            and not network.is_local(target)
            and not network.is_local(destination)
            and not network.is_broadcast(target, interface)
        )
        if not good:
            network.stats.count("redirect_ignored")
        return good

    def _install(self, interface: Interface, destination: bytes, via: bytes | None) -> None:
        network = self.network
        self._drop((interface.index, destination))
        own = [key for key in self.table if key[0] == interface.index]
        if len(own) >= network.settings.redirect_limit:
            self._drop(own[0])
        entry = network.routes.learn(destination, len(destination) * 8, via, interface, 0, REDIRECT)
        until = network.now + network.settings.redirect_lifetime
        self.table[(interface.index, destination)] = entry, until
        if self.deadline == 0:
            network.wheel.arm(self, until)

    def _drop(self, key: Key) -> None:
        found = self.table.pop(key, None)
        if found is not None:
            self.network.routes.forget(found[0])
            if not self.table:
                self.network.wheel.disarm(self)

    def failed(self, hop: NextHop) -> None:
        """`hop` does not answer: what leads to it is wrong."""
        for key, (entry, _) in list(self.table.items()):
            if key[0] == hop.interface.index and hop.address in (entry.via, key[1]):
                self._drop(key)

    def remove_interface(self, interface: Interface) -> None:
        """Forgets the redirects of a link."""
        for key in list(self.table):
            if key[0] == interface.index:
                self._drop(key)

    def expire(self, now: int) -> None:
        """Forgets what is too old."""
        for key, (_, until) in list(self.table.items()):
            if until > now:
                self.network.wheel.arm(self, until)
                break
            self._drop(key)
