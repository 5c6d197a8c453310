"""One network interface: its addresses, its groups, and the queue of frames that wait for its device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uinet.errors import AddressError, AddressNotAvailable, InvalidArgument
from uinet.ip.address import (
    ALL_NODES_INTERFACE,
    ALL_NODES_LINK,
    ALL_SYSTEMS,
    LIMITED_BROADCAST,
    in_prefix,
    link_local_of,
)
from uinet.wire.addresses import is_multicast, network_of, parse_prefix
from uinet.wire.frame import Frame
from uinet.wire.nd import is_link_local, solicited_node

if TYPE_CHECKING:
    from uinet.ip.network import Network

OUTPUT_LIMIT = 4096  # frames


class InterfaceAddress:
    """An address of ours and the length of the prefix that is on its link."""

    __slots__ = ("address", "prefix_length")

    def __init__(self, address: bytes, prefix_length: int) -> None:
        self.address = address
        self.prefix_length = prefix_length

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
    link needs none. `bridge`: where frames go that nobody here wants. `output`: frames that wait for the
    device.
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
        self.bridge: Interface | None = None
        self.addresses: list[InterfaceAddress] = []
        self.owned: dict[bytes, InterfaceAddress] = {}
        self.broadcasts: dict[bytes, int] = {}  # directed broadcast address -> addresses that have it
        self.groups: dict[bytes, int] = {}  # multicast group -> who joined it, counted
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

    def add_address(self, prefix: str, *, announce: bool = False) -> None:
        """Adds an address such as "10.0.0.1/24" and the route to its prefix.

        The first IPv6 address of a layer-2 interface brings the link-local one along (RFC 4291, section 2.8).
        `announce`: send a gratuitous ARP or an unsolicited neighbour advertisement. AddressError if the
        address is no unicast address or already there, InvalidArgument on an interface outside domain 0.
        """
        address, length = parse_prefix(prefix)
        if self.promiscuous or self.cdom:
            raise InvalidArgument(f"{self.name} is promiscuous: it has no addresses of its own")
        if address in self.owned:
            raise AddressError(f"{self.name} already has {prefix}")
        if not any(address) or is_multicast(address) or address == LIMITED_BROADCAST:
            raise AddressError(f"{prefix} is not a unicast address")
        if len(address) == 16 and self.layer == 2 and not (is_link_local(address) or self._has_link_local()):
            self._add(InterfaceAddress(link_local_of(self.mac), 64))
        self._add(InterfaceAddress(address, length))
        if announce:
            self.network.announce(self, address)

    def remove_address(self, prefix: str) -> None:
        """Removes an address, with or without its prefix length; AddressNotAvailable if it is not there."""
        address = parse_prefix(prefix)[0]
        entry = self.owned.get(address)
        if entry is None:
            raise AddressNotAvailable(f"{self.name} does not have {prefix}")
        self._remove(entry)

    def _has_link_local(self) -> bool:
        found = False
        for entry in self.addresses:
            found = found or is_link_local(entry.address)
        return found

    def _add(self, entry: InterfaceAddress) -> None:
        self.addresses.append(entry)
        self.owned[entry.address] = entry
        broadcast = entry.broadcast
        if broadcast is not None:
            self.broadcasts[broadcast] = self.broadcasts.get(broadcast, 0) + 1
        if len(entry.address) == 16:
            self.join(solicited_node(entry.address))
        self.network.address_added(self, entry)

    def _remove(self, entry: InterfaceAddress) -> None:
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
        """Removes every address."""
        for entry in list(self.addresses):
            self._remove(entry)

    def owns(self, address: bytes) -> bool:
        """Whether the packed `address` is a unicast address of this interface."""
        return address in self.owned

    def on_link(self, address: bytes) -> bool:
        """Whether the packed `address` is in a prefix of this interface: a neighbour's, not just anybody's."""
        for entry in self.addresses:
            if len(entry.address) == len(address) and in_prefix(address, entry.address, entry.prefix_length):
                return True
        return False

    # groups

    def join(self, group: bytes) -> None:
        """Takes packets to the multicast `group` from now on; counted, so that each join wants its own
        `leave`.
        """
        self.groups[group] = self.groups.get(group, 0) + 1

    def leave(self, group: bytes) -> None:
        """Undoes one `join`; AddressNotAvailable without one."""
        members = self.groups.get(group, 0)
        if members == 0:
            raise AddressNotAvailable(f"{self.name} has not joined that group")
        if members == 1:
            del self.groups[group]
        else:
            self.groups[group] = members - 1

    def in_group(self, group: bytes) -> bool:
        """Whether packets to the multicast `group` are for this interface."""
        if len(group) == 4:
            return group == ALL_SYSTEMS or group in self.groups
        return group in (ALL_NODES_LINK, ALL_NODES_INTERFACE) or group in self.groups

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
        if frames:
            self.output = []
            stats = self.network.stats
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
