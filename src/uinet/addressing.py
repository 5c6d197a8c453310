"""Addresses of an interface as programs ask for them: given ones, and "dhcp", "slaac", "link-local", "auto"."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from uinet.errors import AddressConflict, InvalidArgument
from uinet.ip.interface import DHCP, SLAAC
from uinet.ip.notice import ADDRESS_DUPLICATE, AUTOCONF_FAILED, LinkEvent
from uinet.wire.addresses import parse_prefix

if TYPE_CHECKING:
    from uinet.ip.interface import Interface
    from uinet.stack import Stack

WORDS = ("auto", "dhcp", "link-local", "slaac")


class Addressing:
    """What one interface is to get. `words`: of the above; `prefixes`: such as "10.0.0.2/24".

    `probe`: ask the link for duplicates of the prefixes' addresses before they are used. `on_progress`: None, or called
    when it is worth to ask again what is `outstanding`.
    """

    def __init__(self, stack: Stack, interface: Interface, addresses: str | Sequence[str], *, probe: bool) -> None:
        wanted = [addresses] if isinstance(addresses, str) else list(addresses)
        self.stack = stack
        self.interface = interface
        self.words = [word for word in wanted if word in WORDS]
        self.prefixes = [prefix for prefix in wanted if prefix not in WORDS]
        self.probe = probe and interface.layer == 2
        self.conflict: AddressConflict | None = None
        self.on_progress: Callable[[], object] | None = None

    @property
    def waits(self) -> bool:
        """Whether there is anything that takes time."""
        return bool(self.words) or (self.probe and bool(self.prefixes))

    def start(self, host_name: str = "") -> None:
        """Adds what is given and sets the rest going. AddressError, InvalidArgument, AddressInUse."""
        interface = self.interface
        if self.words and (interface.promiscuous or interface.layer != 2):
            raise InvalidArgument(f"{self.words[0]!r} needs an ordinary Ethernet interface: {interface.name} is none")
        self.stack.link_watchers.append(self._event)
        try:
            for prefix in self.prefixes:
                interface.add_address(prefix, probe=self.probe)
            if {"auto", "slaac", "link-local"} & set(self.words):
                interface.autoconfigure()
            if {"auto", "dhcp"} & set(self.words) and self.stack.dhcp.client_of(interface) is None:
                self.stack.start_dhcp(interface, host_name=host_name)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Watches no longer; what runs goes on."""
        if self._event in self.stack.link_watchers:
            self.stack.link_watchers.remove(self._event)

    def outstanding(self) -> str:
        """What is not there yet, for people; "" if nothing. AddressConflict if it never will be."""
        missing = self.missing()
        if missing and self.conflict is not None:
            raise self.conflict
        return missing

    def missing(self) -> str:
        """What is not there yet, for people; "" if nothing."""
        for prefix in self.prefixes:
            if not self.interface.owns(parse_prefix(prefix)[0]):
                return f"{prefix} was not found free"
        for word in self.words:
            if not self._has(word):
                return self._complaint(word)
        return ""

    def _has(self, word: str) -> bool:
        if word == "link-local":
            return self.interface.link_local() is not None
        origins = {"dhcp": (DHCP,), "slaac": (SLAAC,), "auto": (DHCP, SLAAC)}[word]
        return any(entry.origin in origins and not entry.deprecated for entry in self.interface.addresses)

    def _complaint(self, word: str) -> str:
        client = self.stack.dhcp.client_of(self.interface)
        autoconf = self.interface.autoconf
        routers = "no router has advertised itself"
        if autoconf is not None and autoconf.heard:
            routers = "no router has advertised a prefix to make an address of"
        if word == "link-local":
            return "no link-local address was found free"
        if word == "slaac":
            return routers
        dhcp = client.error if client is not None else "the DHCP client has stopped"
        return dhcp if word == "dhcp" else f"{dhcp}, and {routers}"

    def _event(self, event: LinkEvent) -> None:
        if event.interface is not self.interface:
            return
        own = [parse_prefix(prefix)[0] for prefix in self.prefixes]
        if event.kind == ADDRESS_DUPLICATE and event.address is not None and event.address.packed in own:
            self.conflict = AddressConflict(f"{self.interface.name}: another host has {event.address}")
        elif event.kind == AUTOCONF_FAILED and ("slaac" in self.words or "link-local" in self.words):
            self.conflict = AddressConflict(f"{self.interface.name}: {event.detail}")
        if self.on_progress is not None:
            self.on_progress()
