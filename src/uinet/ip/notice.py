"""What a link tells of its addresses: duplicates, routers, leases (`Stack.on_link_event`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from uinet.wire.addresses import IPAddress

if TYPE_CHECKING:
    from uinet.ip.interface import Interface

ADDRESS_ADDED = "address-added"  # an address that was probed for, or that a router or DHCP server gave, is in use
ADDRESS_REMOVED = "address-removed"  # its time is over, or its server or router took it back
ADDRESS_DUPLICATE = "address-duplicate"  # the link has it already: it is not used
ADDRESS_DEPRECATED = "address-deprecated"  # it is used by what uses it, and by nothing new
ADDRESS_CONFLICT = "address-conflict"  # another host claims an address that is in use here
ROUTER_ADDED = "router-added"
ROUTER_REMOVED = "router-removed"
ROUTER_UNREACHABLE = "router-unreachable"  # a gateway does not answer; others are tried first
ROUTER_REACHABLE = "router-reachable"  # and answers again
AUTOCONF_FAILED = "autoconf-failed"  # no link-local address is free: IPv6 can't be configured
DHCP_BOUND = "dhcp-bound"
DHCP_LOST = "dhcp-lost"


class LinkEvent(NamedTuple):
    """Something has happened to `interface`: `kind` is one of the words above; `address`: which one."""

    interface: Interface
    kind: str
    address: IPAddress | None = None
    detail: str = ""

    def __str__(self) -> str:
        address = f" {self.address}" if self.address is not None else ""
        return f"{self.interface.name}: {self.kind}{address}{': ' if self.detail else ''}{self.detail}"
