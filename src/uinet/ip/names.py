"""Name servers and search domains that the links have told us: RFC 8106 (routers), RFC 2132 (DHCP)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uinet.ip.interface import Interface
    from uinet.ip.network import Network

ROUTER = "router"
DHCP = "dhcp"

Key = tuple[int, str, "bytes | str"]  # interface's index, who told it, address or domain


class NameServers:
    """What is known of name servers. Times are in ns; an end of 0 is never."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.known: dict[Key, int] = {}  # -> until when; the first told first

    def servers(self) -> list[bytes]:
        """The packed addresses of recursive name servers, the first told first."""
        return [value for value in self._valid() if isinstance(value, bytes)]

    def domains(self) -> list[str]:
        """The domains to search, the first told first."""
        return [value for value in self._valid() if isinstance(value, str)]

    def _valid(self) -> list[bytes | str]:
        found: dict[bytes | str, None] = {}
        for (_, _, value), until in self.known.items():
            if until == 0 or until > self.network.now:
                found[value] = None
        return list(found)

    def learn(self, interface: Interface, origin: str, value: bytes | str, until: int) -> bool:
        """A server or domain is good until then (in the past: no longer); False if there are too many already."""
        key = (interface.index, origin, value)
        now = self.network.now
        if until and until <= now:
            self.known.pop(key, None)
            return True
        if key not in self.known:
            same = [
                other for other, end in list(self.known.items())
                if other[:2] == key[:2] and type(other[2]) is type(value) and not (end and end <= now)
            ]
            settings = self.network.settings
            limit = settings.name_server_limit if isinstance(value, bytes) else settings.search_domain_limit
            if len(same) >= limit:
                self.network.stats.count("nd_dns_limit")
                return False
            self._purge(now)
        self.known[key] = until
        return True

    def forget(self, interface: Interface, origin: str) -> None:
        """Forgets all that `origin` has told on a link."""
        for key in list(self.known):
            if key[:2] == (interface.index, origin):
                del self.known[key]

    def remove_interface(self, interface: Interface) -> None:
        """Forgets all of a link."""
        self.forget(interface, ROUTER)
        self.forget(interface, DHCP)

    def _purge(self, now: int) -> None:
        for key, until in list(self.known.items()):
            if until and until <= now:
                del self.known[key]
