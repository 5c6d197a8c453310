"""Groups of hosts, as a file describes them: number n of a group has its MAC, VLAN stack and addresses by counting.

::

    [defaults]                       what every [[hosts]] begins with
    gateway = "10.9.0.1"

    [template.web]                   what those begin with that say  use = "web"
    tcp = { 80 = "http" }

    [[hosts]]
    use = "web"
    count = 1000
    ip = ["10.9.4.1/16", "fd00:9::1/64"]
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

from uinet.errors import InvalidArgument
from uinet.hosts.reading import File, Section
from uinet.hosts.services import Service, parse_service
from uinet.ip.address import in_prefix, link_local_of
from uinet.scale.ranges import Stacks, parse_span
from uinet.wire.addresses import (
    Mac,
    VlanTag,
    is_multicast,
    network_of,
    pack_address,
    parse_prefix,
    unpack_address,
    vids,
)
from uinet.wire.nd import is_link_local

MOST_HOSTS = 1 << 20
MOST_SERVICES = 1024  # ports of one protocol on one host: whoever wants every port wants `uinet listen`
FIRST_MAC = 0x0275_0000_0000


@dataclass(frozen=True)
class First:
    """Addresses of a group: packed, that of host 0, and the length of the prefix on the link."""

    packed: bytes
    length: int

    def of(self, number: int, step: int) -> bytes:
        """The address of host `number`."""
        return (int.from_bytes(self.packed, "big") + number * step).to_bytes(len(self.packed), "big")


@dataclass
class Group:
    """Hosts that are alike. `stacks`: VLAN stacks that they have in turn, all of `count` hosts in each of them with
    `per_vlan`. `quiet`: ports without a service say nothing, where others say that they are closed."""

    name: str
    count: int
    stacks: list[tuple[VlanTag, ...]]
    per_vlan: bool
    first_mac: int
    addresses: list[First]
    step: int
    gateways: list[str]
    routes: list[tuple[str, str]]
    ping: bool
    quiet: bool
    mtu: int
    tcp: dict[int, Service] = field(default_factory=dict)
    udp: dict[int, Service] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """How many hosts it has."""
        return self.count * len(self.stacks) if self.per_vlan else self.count

    def host(self, number: int) -> HostPlan:
        """Host `number`."""
        stack = self.stacks[number // self.count if self.per_vlan else number % len(self.stacks)]
        counted = number % self.count
        mac = (self.first_mac + number).to_bytes(6, "big")
        return HostPlan(self, number, mac, stack, [first.of(counted, self.step) for first in self.addresses])


class HostPlan:
    """One host: its MAC, VLAN stack and packed addresses. `awake`: its stack, while it has one."""

    __slots__ = ("addresses", "awake", "group", "mac", "number", "tags")

    def __init__(
        self, group: Group, number: int, mac: bytes, tags: tuple[VlanTag, ...], addresses: list[bytes]
    ) -> None:
        self.group = group
        self.number = number
        self.mac = mac
        self.tags = tags
        self.addresses = addresses
        self.awake: object | None = None

    @property
    def name(self) -> str:
        """Its group's name and its number."""
        return f"{self.group.name}-{self.number}"

    @property
    def vids(self) -> bytes:
        """Its VLAN stack as lookups compare it."""
        return vids(self.tags)

    def reachable(self) -> Iterator[bytes]:
        """Its addresses, the link-local one that IPv6 brings along too."""
        yield from self.addresses
        if any(len(address) == 16 for address in self.addresses):
            if not any(len(address) == 16 and is_link_local(address) for address in self.addresses):
                yield link_local_of(self.mac)


@dataclass
class Plan:
    """What a file says. `device`: a URL, "" if it says none."""

    device: str
    groups: list[Group]

    @property
    def size(self) -> int:
        """How many hosts there are."""
        return sum(group.size for group in self.groups)

    def hosts(self) -> Iterator[HostPlan]:
        """All of them."""
        for group in self.groups:
            for number in range(group.size):
                yield group.host(number)


def read_plan(path: str, text: str | None = None) -> Plan:
    """The plan in a file (or in `text`, called `path`); FileError."""
    file = File(path, text)
    whole = Section(file, [((), file.values)])
    device = whole.text("device")
    defaults = whole.table("defaults")
    templates = whole.raw("template", {})
    if not isinstance(templates, dict):
        whole.fail("template", "want tables: [template.NAME]")
    tables = whole.raw("hosts", [])
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        whole.fail("hosts", "want one or more [[hosts]] tables")
    whole.finish()
    plan = Plan(device, [])
    for number, table in enumerate(tables):
        layers = [(("hosts", number), table)]
        use = table.get("use")
        if use is not None:
            if use not in templates or not isinstance(templates[use], dict):
                known = ", ".join(templates) or "none"
                file.fail(("hosts", number, "use"), f"{use!r} is no template; there are: {known}")
            layers.append((("template", use), templates[use]))
        section = Section(file, [*layers, *defaults])
        group = read_group(section, number, plan.size)
        if plan.size + group.size > MOST_HOSTS:
            section.fail("count", f"more than {MOST_HOSTS} hosts in all: want fewer")
        plan.groups.append(group)
    return plan


def read_group(section: Section, number: int, before: int) -> Group:
    """The group that a [[hosts]] table describes; `before`: how many hosts there are before it."""
    section.raw("use")
    stacks_of = section.parsed("vlan", lambda: Stacks(section.texts("vlan")))
    if len(stacks_of) > MOST_HOSTS:
        section.fail("vlan", f"{len(stacks_of)} VLAN stacks: want at most {MOST_HOSTS}")
    stacks = [stacks_of[index] for index in range(len(stacks_of))]
    count = section.number("count", 1, 1, MOST_HOSTS)
    step = section.number("step", 1, 1, 1 << 64)
    per_vlan = section.flag("per-vlan", False)
    size = count * len(stacks) if per_vlan else count
    group = Group(
        name=section.text("name", f"hosts{number}"), count=count, stacks=stacks, per_vlan=per_vlan,
        first_mac=read_mac(section, size, FIRST_MAC + before), addresses=read_addresses(section, count, step),
        step=step, gateways=section.texts("gateway"), routes=read_routes(section),
        ping=section.flag("ping", True),
        quiet=section.choice("closed", ("reset", "silent")) == "silent",
        mtu=section.number("mtu", 1500, 68, 65535),
    )
    if group.mtu < 1280 and any(len(first.packed) == 16 for first in group.addresses):
        section.fail("mtu", f"{group.mtu}: IPv6 wants 1280 or more")
    for protocol, services in (("tcp", group.tcp), ("udp", group.udp)):
        read_services(section, protocol, services)
    check_gateways(section, group)
    section.finish()
    return group


def read_mac(section: Section, size: int, default: int) -> int:
    """The first MAC of a group of `size`."""
    text = section.text("mac")
    if not text:
        return default
    mac = section.parsed("mac", lambda: int.from_bytes(bytes(Mac(text)), "big"))
    last = mac + size - 1
    if mac >> 40 & 1 or last >> 48 or (mac ^ last) >> 40:
        section.fail("mac", f"{text} and the {size - 1} behind it are not MACs of single interfaces: begin lower")
    return int(mac)


def read_addresses(section: Section, count: int, step: int) -> list[First]:
    """The addresses of host 0."""
    found = []
    for text in section.texts("ip"):
        packed, length = section.parsed("ip", partial(parse_prefix, text))
        bits = 8 * len(packed)
        if "/" not in text:
            section.fail("ip", f"{text} has no prefix length: want {text}/{24 if bits == 32 else 64} or the like")
        first = First(packed, length)
        last = int.from_bytes(packed, "big") + (count - 1) * step
        inside = last >> bits == 0 and in_prefix(last.to_bytes(bits // 8, "big"), packed, length)
        if not inside and count > 1:
            section.fail(
                "ip", f"{count} hosts from {text} on leave its prefix: want a shorter prefix, or fewer hosts"
            )
        for number in (0, count - 1):
            check_unicast(section, first.of(number, step), length)
        found.append(first)
    if not found:
        section.fail("ip", "a host needs an address: want the first host's, such as 10.9.0.1/16")
    return found


def check_unicast(section: Section, address: bytes, length: int) -> None:
    """FileError if no host can have that address."""
    text = unpack_address(address)
    if is_multicast(address) or not any(address):
        section.fail("ip", f"{text} is no address of a host: want a unicast address")
    if len(address) == 4 and length <= 30:
        rest = int.from_bytes(address, "big") & ((1 << (32 - length)) - 1)
        if rest in (0, (1 << (32 - length)) - 1):
            section.fail("ip", f"{text}/{length} is the prefix's own address or its broadcast: want others")


def read_routes(section: Section) -> list[tuple[str, str]]:
    """Routes beside the default ones: (prefix, gateway)."""
    found = []
    for text in section.texts("routes"):
        prefix, via, gateway = (part.strip() for part in text.partition(" via "))
        if not via:
            section.fail("routes", f"{text!r}: want a prefix and a gateway, such as '192.0.2.0/24 via 10.9.0.3'")
        packed, length = section.parsed("routes", partial(parse_prefix, prefix))
        if network_of(packed, length) != packed:
            good = f"{unpack_address(network_of(packed, length))}/{length}"
            section.fail("routes", f"{prefix} has bits behind its prefix: want {good}")
        found.append((prefix, gateway))
    return found


def check_gateways(section: Section, group: Group) -> None:
    """FileError if a gateway is on no link of the group's hosts."""
    hops = [("gateway", gateway) for gateway in group.gateways] + [("routes", via) for _, via in group.routes]
    for key, text in hops:
        packed = section.parsed(key, partial(pack_address, text))
        if len(packed) == 16 and is_link_local(packed):
            continue
        if not any(in_prefix(packed, first.packed, first.length) for first in group.addresses):
            section.fail(key, f"{text} is in no prefix of these hosts' addresses: want one that they reach")
    for key, texts in (("gateway", group.gateways),):
        versions = [len(pack_address(text)) for text in texts]
        if len(set(versions)) != len(versions):
            section.fail(key, "two gateways of one IP version: want one of each")


def read_services(section: Section, protocol: str, services: dict[int, Service]) -> None:
    """Fills `services` of a protocol, "tcp" or "udp"; tables that come first count first."""
    for path, table in section.table(protocol):
        for key, value in table.items():
            where = (*path, key)
            try:
                ports = parse_span(key, 1, 65535, "port")
                service = parse_service(protocol, value)
            except InvalidArgument as error:
                section.file.fail(where, str(error))
            for port in ports:
                services.setdefault(port, service)
            if len(services) > MOST_SERVICES:
                section.file.fail(where, f"more than {MOST_SERVICES} ports with services: uinet listen has every port")
