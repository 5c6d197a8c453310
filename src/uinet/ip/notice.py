"""What a link tells: of its addresses, of routers and leases, and of the kernel's interface below
(`Stack.on_link_event`)."""

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
# what the kernel tells of the interface below a device
LINK_UP = "link-up"  # it is set up
LINK_DOWN = "link-down"
LINK_REMOVED = "link-removed"  # it is gone, or in another network namespace
CARRIER_UP = "carrier-up"  # the cable is in, the peer there
CARRIER_DOWN = "carrier-down"
MTU_CHANGED = "mtu-changed"  # `detail`: the new one
KERNEL_ADDRESS_ADDED = "kernel-address-added"  # an address that the kernel has there itself
KERNEL_ADDRESS_REMOVED = "kernel-address-removed"


class LinkEvent(NamedTuple):
    """Something has happened to `interface`: `kind` is one of the words above; `address`: which one."""

    interface: Interface
    kind: str
    address: IPAddress | None = None
    detail: str = ""

    def __str__(self) -> str:
        address = f" {self.address}" if self.address is not None else ""
        return f"{self.interface.name}: {self.kind}{address}{': ' if self.detail else ''}{self.detail}"
