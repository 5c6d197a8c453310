"""One network interface: its addresses, its groups, and the queue of frames that wait for its device."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from uinet.errors import AddressError, AddressNotAvailable, InvalidArgument
from uinet.ip.address import (
    ALL_NODES_INTERFACE,
    ALL_NODES_LINK,
    ALL_SYSTEMS,
    LIMITED_BROADCAST,
    in_prefix,
    link_local_of,
)
from uinet.ip.flows import FlowInput
from uinet.stats import Stats
from uinet.units import SECOND
from uinet.wire.addresses import IPAddress, is_multicast, network_of, parse_prefix, unpack_address
from uinet.wire.frame import Frame
from uinet.wire.nd import is_link_local, solicited_node

if TYPE_CHECKING:
    from uinet.ip.autoconf import Autoconf
    from uinet.ip.dad import Detection
    from uinet.ip.hooks import FirstLook, Hooks, PacketFilter
    from uinet.ip.network import Network

OUTPUT_LIMIT = 4096  # frames
MIN_MTU_V6 = 1280  # RFC 8200, section 5
DEFAULT_HOP_LIMIT = 64  # RFC 1700 and everybody
REACHABLE_TIME = 30 * SECOND  # RFC 4861, section 10
RETRANS_TIMER = 1 * SECOND

MANUAL = "manual"
LINK_LOCAL = "link-local"
SLAAC = "slaac"
DHCP = "dhcp"


class Owner(Protocol):
    """Who gave an address, and decides what becomes of it when another host claims it too."""

    def conflict(self, entry: InterfaceAddress) -> bool:
        """Another host uses the address of `entry`; whether it is still to be defended."""


class InterfaceAddress:
    """An address of ours and the length of the prefix that is on its link.

    `origin`: MANUAL, LINK_LOCAL, SLAAC or DHCP. `on_link`: False if its prefix says nothing of the link (RFC 5942).
    `preferred_until`, `valid_until`: ns; 0 is for ever. `deprecated`: not for anything new (RFC 4862, 5.5.4).
    `temporary`: one of RFC 8981. `router`: who advertised its prefix, b"" if nobody.
    """

    __slots__ = (
        "address", "created", "deprecated", "on_link", "origin", "owner", "preferred_until", "prefix_length", "router",
        "temporary", "valid_until",
    )

    def __init__(
        self, address: bytes, prefix_length: int, *, origin: str = MANUAL, on_link: bool = True, router: bytes = b"",
        temporary: bool = False, owner: Owner | None = None,
    ) -> None:
        self.address = address
        self.prefix_length = prefix_length
        self.origin = origin
        self.on_link = on_link
        self.router = router
        self.temporary = temporary
        self.owner = owner
        self.deprecated = False
        self.preferred_until = 0
        self.valid_until = 0
        self.created = 0

    def __repr__(self) -> str:
        return f"<InterfaceAddress {unpack_address(self.address)}/{self.prefix_length} {self.origin}>"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, InterfaceAddress)
            and self.address == other.address
            and self.prefix_length == other.prefix_length
        )

    def __hash__(self) -> int:
        return hash((self.address, self.prefix_length))

    @property
    def broadcast(self) -> bytes | None:
        """The directed broadcast address (RFC 919); None for IPv6 and for prefixes too long to have one."""
        if len(self.address) != 4 or self.prefix_length > 30:
            return None
        host = (1 << (32 - self.prefix_length)) - 1
        return (int.from_bytes(self.address, "big") | host).to_bytes(4, "big")

    @property
    def prefix(self) -> bytes:
        """The network's own address: the host part is zero."""
        return network_of(self.address, self.prefix_length)


class Interface:
    """A link of the stack. Made by `Network.add_interface`.

    `mac`: b"" on layer 3. `mtu`: bytes of the largest IP packet. `cdom`: connection domain, 0 is the routed
    one. `answer_any`: a promiscuous interface answers ARP and ND for every address. `checksums`: False if the
    link needs none. `bridge`: where frames go that nobody here wants, and `flows` what knows them. `output`: frames
    that wait for the device.

    `tentative`: addresses that are being tested for duplicates. `autoconf`: IPv6 autoconfiguration, if it runs.
    `hop_limit`, `base_reachable_time`, `retrans_time`: of IPv6, routers may change them. `mtu_v4`, `mtu_v6`: what DHCP
    servers and routers say of the MTU; 0 is `mtu`. `accept_redirects`: believe routers that tell a better way.
    `report_groups`: tell routers and switches, unasked, of the groups that are joined here (MLD, IGMP); queries are
    answered in any case.

    `asks`: a DHCP client waits for answers here, which may be sent to the address that they offer.
    `quiet`: another stack has the same addresses, and speaks for them: this one tests, announces and defends none,
    answers no ARP and ND, and asks for nobody but its own neighbours. `relay`: is given each ARP and ND packet.

    `gathers`: whoever takes the output takes frames that stand for many segments and have `pieces` (see
    :class:`uinet.wire.frame.Frame`). `hooks`: what looks at its frames, None if nothing does.
    """

    def __init__(
        self,
        network: Network,
        name: str,
        index: int,
        mac: bytes,
        *,
        mtu: int = 1500,
        layer: int = 2,
        cdom: int = 0,
        promiscuous: bool = False,
        checksums: bool = True,
    ) -> None:
        self.network = network
        self.name = name
        self.index = index
        self.mac = mac
        self.mtu = mtu
        self.layer = layer
        self.cdom = cdom
        self.promiscuous = promiscuous
        self.checksums = checksums
        self.up = True
        self.answer_any = False
        self.answer_prefixes: list[tuple[bytes, int]] = []  # (prefix, length); empty: all
        self.loopback = False
        self.asks = False
        self.quiet = False
        self.relay: Callable[[Frame], None] | None = None
        self.bridge: Interface | None = None
        self.flows: FlowInput | None = None  # what knows the flows that are bridged
        self.carrier: Any = None  # the pump that moves its frames
        self.addresses: list[InterfaceAddress] = []
        self.owned: dict[bytes, InterfaceAddress] = {}
        self.broadcasts: dict[bytes, int] = {}  # directed broadcast address -> addresses that have it
        self.groups: dict[bytes, int] = {}  # multicast group -> who joined it, counted
        self.tentative: dict[bytes, Detection] = {}
        self.autoconf: Autoconf | None = None
        self.hop_limit = DEFAULT_HOP_LIMIT
        self.mtu_v4 = 0
        self.mtu_v6 = 0
        self.base_reachable_time = REACHABLE_TIME
        self.retrans_time = RETRANS_TIMER
        self.accept_redirects = False
        self.report_groups = False
        self.gathers = False
        self.hooks: Hooks | None = None
        self.output: list[Frame] = []
        self.output_limit = OUTPUT_LIMIT
        self.rx_frames = 0
        self.rx_bytes = 0
        self.tx_frames = 0
        self.tx_bytes = 0
        self.tx_dropped = 0
        self.counted_frames = 0  # of tx_frames and tx_bytes: what the stack's counters have seen
        self.counted_bytes = 0

    def __repr__(self) -> str:
        return f"<Interface {self.name}>"

    # addresses

    def add_address(self, prefix: str, *, announce: bool = False, probe: bool = False) -> None:
        """Adds an address such as "10.0.0.1/24" and the route to its prefix.

        The first IPv6 address of a layer-2 interface brings the link-local one along (RFC 4291, section 2.8).
        `probe`: ask the link first whether another host has it (RFC 4862 5.4, RFC 5227 2.1); until then it is
        `tentative`, and a `LinkEvent` tells how it ends. `announce`: send a gratuitous ARP or an unsolicited neighbour
        advertisement. AddressError if the address is no unicast address or already there, InvalidArgument on an
        interface outside domain 0.
        """
        address, length = parse_prefix(prefix)
        if self.promiscuous or self.cdom:
            raise InvalidArgument(f"{self.name} is promiscuous: it has no addresses of its own")
        if address in self.owned or address in self.tentative:
            raise AddressError(f"{self.name} already has {prefix}")
        if not any(address) or is_multicast(address) or address == LIMITED_BROADCAST:
            raise AddressError(f"{prefix} is not a unicast address")
        if len(address) == 16:
            self._check_mtu_v6()
        entries = [InterfaceAddress(address, length)]
        if len(address) == 16 and self.layer == 2 and not (is_link_local(address) or self.has_link_local()):
            entries.insert(0, InterfaceAddress(link_local_of(self.mac), 64, origin=LINK_LOCAL))
        self.network.refresh()
        for entry in entries:
            if probe:
                self.network.detector.start(self, entry)
            else:
                self.take(entry)
        if probe:
            self.network.kick()
        elif announce:
            self.network.announce(self, address)

    def _check_mtu_v6(self) -> None:
        if self.mtu < MIN_MTU_V6:
            raise InvalidArgument(f"IPv6 needs an MTU of at least {MIN_MTU_V6}: {self.name} has {self.mtu}")

    def remove_address(self, prefix: str) -> None:
        """Removes an address, with or without its prefix length; AddressNotAvailable if it is not there."""
        address = parse_prefix(prefix)[0]
        entry = self.owned.get(address)
        if self.network.detector.cancel(self, address):
            return
        if entry is None:
            raise AddressNotAvailable(f"{self.name} does not have {prefix}")
        self.drop(entry)

    def link_local(self) -> bytes | None:
        """The link-local IPv6 address, if there is one; not one that is still being tested."""
        for entry in self.addresses:
            if is_link_local(entry.address):
                return entry.address
        return None

    def has_link_local(self) -> bool:
        """Whether there is a link-local IPv6 address, or one is being tested."""
        if self.link_local() is not None:
            return True
        return any(is_link_local(address) for address in self.tentative)

    def autoconfigure(self) -> Autoconf:
        """Starts IPv6 autoconfiguration (RFC 4862), if it does not run: a link-local address, then whatever routers
        advertise. `Stack.on_link_event` tells what comes of it. InvalidArgument outside domain 0 and on layer 3.
        """
        if self.autoconf is None:
            from uinet.ip.autoconf import Autoconf

            if self.promiscuous or self.layer != 2:
                raise InvalidArgument(f"{self.name} can't be autoconfigured: that takes an ordinary Ethernet interface")
            self._check_mtu_v6()
            self.network.refresh()
            self.announce_groups()
            self.autoconf = Autoconf(self)
            self.autoconf.start()
            self.network.kick()
        return self.autoconf

    @property
    def ip_addresses(self) -> list[IPAddress]:
        """The addresses, oldest first."""
        return [unpack_address(entry.address) for entry in self.addresses]

    def take(self, entry: InterfaceAddress) -> None:
        """Makes `entry` one of the addresses, as it is."""
        entry.created = self.network.now
        self.addresses.append(entry)
        self.owned[entry.address] = entry
        broadcast = entry.broadcast
        if broadcast is not None:
            self.broadcasts[broadcast] = self.broadcasts.get(broadcast, 0) + 1
        if len(entry.address) == 16:
            self.join(solicited_node(entry.address))
        self.network.address_added(self, entry)

    def drop(self, entry: InterfaceAddress) -> None:
        """Takes `entry` out of the addresses."""
        self.addresses.remove(entry)
        del self.owned[entry.address]
        broadcast = entry.broadcast
        if broadcast is not None:
            self.broadcasts[broadcast] -= 1
            if self.broadcasts[broadcast] == 0:
                del self.broadcasts[broadcast]
        if len(entry.address) == 16:
            self.leave(solicited_node(entry.address))
        self.network.address_removed(self, entry)

    def remove_all_addresses(self) -> None:
        """Removes every address, and those that are still being tested."""
        for address in list(self.tentative):
            self.network.detector.cancel(self, address)
        for entry in list(self.addresses):
            self.drop(entry)

    def owns(self, address: bytes) -> bool:
        """Whether the packed `address` is a unicast address of this interface."""
        return address in self.owned

    def on_link(self, address: bytes) -> bool:
        """Whether the packed `address` is in a prefix of this interface: a neighbour's, not just anybody's."""
        for entry in self.addresses:
            if entry.on_link and in_prefix(address, entry.address, entry.prefix_length):
                return True
        return self.autoconf is not None and self.autoconf.is_on_link(address)

    # groups

    def join(self, group: bytes) -> None:
        """Takes packets to the multicast `group` from now on; counted, so that each join wants its own
        `leave`.
        """
        members = self.groups.get(group, 0)
        self.groups[group] = members + 1
        if members == 0:
            self.network.groups.changed(self, group, True)

    def leave(self, group: bytes) -> None:
        """Undoes one `join`; AddressNotAvailable without one."""
        members = self.groups.get(group, 0)
        if members == 0:
            raise AddressNotAvailable(f"{self.name} has not joined that group")
        if members == 1:
            del self.groups[group]
            self.network.groups.changed(self, group, False)
        else:
            self.groups[group] = members - 1

    def announce_groups(self) -> None:
        """Tells routers and switches from now on, unasked, of the groups that are joined here."""
        if not self.report_groups:
            self.report_groups = True
            self.network.groups.repeat(self)

    def in_group(self, group: bytes) -> bool:
        """Whether packets to the multicast `group` are for this interface."""
        if len(group) == 4:
            return group == ALL_SYSTEMS or group in self.groups
        return group in (ALL_NODES_LINK, ALL_NODES_INTERFACE) or group in self.groups

    # who looks on

    @property
    def first_look(self) -> FirstLook | None:
        """Called with each batch of frames that comes in, a :class:`uinet.FrameBatch`, before anything else sees it:
        its marks say what becomes of each frame. One that raises costs its batch. None: nobody looks."""
        return self.hooks.first_look if self.hooks is not None else None

    @first_look.setter
    def first_look(self, handler: FirstLook | None) -> None:
        from uinet.ip.hooks import check_handler

        check_handler("a first look", handler)
        self.looked_at().first_look = handler
        self.let_hooks_go()

    @property
    def timestamps(self) -> bool:
        """Whether frames whose device tells no time of theirs get that at which the stack was given them."""
        return self.hooks is not None and self.hooks.stamps

    @timestamps.setter
    def timestamps(self, wanted: bool) -> None:
        self.looked_at().stamps = bool(wanted)
        self.let_hooks_go()

    def add_filter(self, hook: PacketFilter) -> None:
        """Has `hook` see the IP packets of this interface, in both directions: see `Stack.add_packet_filter`."""
        from uinet.ip.hooks import check_handler

        if hook is None:
            raise InvalidArgument("a packet filter is a callable")
        check_handler("a packet filter", hook)
        self.looked_at().filters.append(hook)

    def remove_filter(self, hook: PacketFilter) -> None:
        """Undoes one `add_filter`; InvalidArgument without it."""
        if self.hooks is None or hook not in self.hooks.filters:
            raise InvalidArgument(f"{hook!r} is no packet filter of {self.name}")
        self.hooks.filters.remove(hook)
        self.let_hooks_go()

    def looked_at(self) -> Hooks:
        """What looks at its frames, made if nothing does."""
        if self.hooks is None:
            from uinet.ip.hooks import Hooks

            self.hooks = Hooks(self)
        return self.hooks

    def let_hooks_go(self) -> None:
        """Nothing looks any more, perhaps."""
        if self.hooks is not None and self.hooks.idle:
            self.hooks = None

    # output

    def transmit(self, frame: Frame) -> None:
        """Queues a whole frame for the device; drops it, counted, where the queue is full or the interface is
        down.
        """
        if not self.up:
            self.tx_dropped += 1
            self.network.stats.count("link_down")
            return
        if len(self.output) >= self.output_limit:
            self.tx_dropped += 1
            self.network.stats.count("link_output_full")
            return
        self.output.append(frame)
        self.tx_frames += 1
        self.tx_bytes += len(frame.data)

    def take_output(self) -> list[Frame]:
        """The frames that wait, oldest first; they are the caller's now."""
        frames = self.output
        if not frames:
            return []  # not the one that the next frames will go to
        self.output = []
        if self.hooks is not None:
            frames = self.hooks.outgoing(frames)
        stats: Stats = self.network.stats
        stats.count("link_tx_frames", self.tx_frames - self.counted_frames)
        stats.count("link_tx_bytes", self.tx_bytes - self.counted_bytes)
        self.counted_frames = self.tx_frames
        self.counted_bytes = self.tx_bytes
        return frames

    def statistics(self) -> dict[str, int]:
        """The counters of this interface."""
        return {
            "rx_frames": self.rx_frames,
            "rx_bytes": self.rx_bytes,
            "tx_frames": self.tx_frames,
            "tx_bytes": self.tx_bytes,
            "tx_dropped": self.tx_dropped,
            "output": len(self.output),
        }


def hop_limit(chosen: int, interface: Interface | None, version6: bool) -> int:
    """What packets of a socket carry: what it has chosen; in place of the default, what routers say (4861, 6.3.2)."""
    if chosen != DEFAULT_HOP_LIMIT or interface is None or not version6:
        return chosen
    return interface.hop_limit
