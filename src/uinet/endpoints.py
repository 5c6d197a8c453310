"""Where programs listen and connect to: what they write, and what the engine takes."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

from uinet.errors import AddressError
from uinet.wire.addresses import ANY, Any, check_port, pack_address, unpack_address

IPAddress = IPv4Address | IPv6Address
HostLike = str | bytes | IPAddress | Any | None
PortLike = int | Any


def ip_address(host: str | bytes | IPAddress) -> IPAddress:
    """The address that `host` stands for. AddressError for a name: a stack resolves none."""
    try:
        return unpack_address(pack_address(host))
    except AddressError:
        if isinstance(host, str) and host and not host[0].isdigit() and ":" not in host:
            raise AddressError(f"{host!r} is a name: names are not resolved, give an IP address") from None
        raise


def listening_addresses(host: HostLike | Iterable[HostLike]) -> list[IPAddress | Any]:
    """Every address to listen at: None, "" and ANY are all, of both IP versions."""
    if host is None or host == "" or host is ANY:
        return [ANY]
    if isinstance(host, (str, bytes, IPv4Address, IPv6Address)):
        return [ip_address(host)]
    if isinstance(host, Iterable):
        found = [address for one in host for address in listening_addresses(one)]
        return list(dict.fromkeys(found))
    raise AddressError(f"a host is an IP address, ANY, or several of them, not {host!r}")


def listening_port(port: PortLike | None, promiscuous: bool) -> PortLike:
    """`port`; None and 0 mean one that is free, ANY all of them, where the listener is promiscuous."""
    if isinstance(port, Any):
        if not promiscuous:
            raise AddressError("a listener at any port is promiscuous: give it a cdom above 0")
        return ANY
    return 0 if port is None else check_port(port)
