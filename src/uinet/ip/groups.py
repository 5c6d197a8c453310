"""Multicast groups that are joined here, told to routers and switches: MLD (RFC 3810, 2710), IGMP (RFC 3376, 2236).

Everybody here joins a group with all its sources, so the filter of a joined group is always EXCLUDE of nothing. A
querier of an older version is answered in that version, until it has not been heard for a while (RFC 3810 section 8,
RFC 3376 section 7). Unasked reports are sent where `Interface.report_groups`; queries are answered in any case.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from uinet.errors import Error, InvalidArgument
from uinet.ip import fragment
from uinet.ip.address import ALL_NODES_LINK, ALL_ROUTERS_LINK, ALL_SYSTEMS
from uinet.ip.settings import NEVER
from uinet.units import MILLISECOND, SECOND
from uinet.wheel import Timer
from uinet.wire import icmpv6, igmp, mld
from uinet.wire.addresses import multicast_mac
from uinet.wire.frame import Frame
from uinet.wire.kernels import checksum, load_u8
from uinet.wire.nd import is_link_local

if TYPE_CHECKING:
    from uinet.ip.interface import Interface
    from uinet.ip.network import Network
    from uinet.wire.packet import Packet

ROBUSTNESS = 2  # RFC 3810, section 9.1
QUERY_INTERVAL = 125 * SECOND
RESPONSE_INTERVAL = 10 * SECOND
UNSOLICITED_NEW = 1 * SECOND  # between repetitions of a report, at most: RFC 3810 9.11, RFC 3376 8.11
UNSOLICITED_OLD = 10 * SECOND  # RFC 2710 7.10, RFC 2236 8.10
V1_ROUTER_PRESENT = 400 * SECOND  # RFC 2236, section 8.11
MAX_SOURCES = 64  # of a query, remembered for its answer
MAX_RECORDS_BYTES = 1232  # of records in one report: what fits 1280 bytes

PRECEDENCE = 0xC0  # Internetwork control (RFC 3376, section 4)


class Change:
    """A group was joined or left: `left` more reports are to say so, the next at `at`."""

    def __init__(self, kind: int, left: int, at: int) -> None:
        self.kind = kind
        self.left = left
        self.at = at


class Membership(Timer):
    """One interface's groups of one family. `newest`: the version that is spoken where no older querier is heard."""

    def __init__(self, groups: Groups, interface: Interface, size: int) -> None:
        super().__init__()
        self.groups = groups
        self.network = groups.network
        self.interface = interface
        self.size = size
        self.newest = 2 if size == 16 else 3
        self.older: dict[int, int] = {}  # version -> until when queriers of it count as present, ns
        self.robustness = ROBUSTNESS
        self.query_interval = QUERY_INTERVAL
        self.general_at = 0  # ns, when a general query is answered; 0: none waits
        self.answers: dict[bytes, tuple[int, tuple[bytes, ...] | None]] = {}  # group -> (when, sources; None: all)
        self.changes: dict[bytes, Change] = {}
        self.reporter: set[bytes] = set()  # groups that we were the last to report

    @property
    def version(self) -> int:
        """The version to speak now."""
        now = self.network.now
        return min((version for version, until in self.older.items() if until > now), default=self.newest)

    def joined(self) -> list[bytes]:
        """The groups that are reported."""
        return [group for group in self.interface.groups if len(group) == self.size and is_reported(group)]

    # joining and leaving

    def change(self, group: bytes, kind: int) -> None:
        """`group` was joined (CHANGE_TO_EXCLUDE) or left (CHANGE_TO_INCLUDE): says so now, and again later."""
        self.answers.pop(group, None)
        if self.version < self.newest and kind == mld.CHANGE_TO_INCLUDE:
            self.changes.pop(group, None)
            if group in self.reporter and self.version > (0 if self.size == 16 else 1):
                self.groups.send_done(self, group)  # IGMPv1 has no way to say it
            self.reporter.discard(group)
            return
        self.changes[group] = Change(kind, self.robustness, self.network.now)
        self.expire(self.network.now)

    # queries

    def asked(self, query: mld.Query) -> None:
        """Takes a query (RFC 3810, section 6.2): answers wait a random time of up to what it allows."""
        now = self.network.now
        if query.version == self.newest:
            if query.robustness:
                self.robustness = query.robustness
            if query.interval:
                self.query_interval = query.interval * SECOND
        else:
            lasts = self.robustness * self.query_interval + max(query.response * MILLISECOND, RESPONSE_INTERVAL)
            if self.size == 4 and query.version == 1:
                lasts = V1_ROUTER_PRESENT
            if self.version > query.version:
                self.changes.clear()  # RFC 3810, section 8.2.1: what waits is in a version that is not spoken
            self.older[query.version] = now + lasts
        at = now + self.network.random.below(max(1, query.response)) * MILLISECOND
        if self.general_at and self.general_at <= at:
            return  # an answer with everything is under way
        if not any(query.group):
            if self.version == self.newest:
                self.general_at = at
            else:
                for group in self.joined():
                    self._answer_older(group, now, query.response)
        elif query.group in self.joined():
            self._answer(query, at)
        self.rearm()

    def _answer_older(self, group: bytes, now: int, response: int) -> None:
        """Each group has a time of its own (RFC 2710, section 4); one that is earlier already stays."""
        at = now + self.network.random.below(max(1, response)) * MILLISECOND
        waiting = self.answers.get(group)
        if waiting is None or waiting[0] > at:
            self.answers[group] = at, None

    def _answer(self, query: mld.Query, at: int) -> None:
        sources = query.sources[:MAX_SOURCES] if query.sources and self.version == self.newest else None
        waiting = self.answers.get(query.group)
        if waiting is not None:
            at = min(at, waiting[0])
            if sources is None or waiting[1] is None:
                sources = None
            else:
                sources = tuple(dict.fromkeys(waiting[1] + sources))[:MAX_SOURCES]
        self.answers[query.group] = at, sources

    def heard(self, group: bytes) -> None:
        """Another host has reported `group` in an older version: our report is not needed (RFC 2710, section 4)."""
        if self.version < self.newest and self.answers.pop(group, None) is not None:
            self.reporter.discard(group)
            self.rearm()

    # time

    def expire(self, now: int) -> None:
        """Sends what is due."""
        records: list[mld.Record] = []
        for group, change in list(self.changes.items()):
            if change.at <= now:
                change.left -= 1
                records.append(mld.Record(change.kind, group))
                if change.left <= 0:
                    del self.changes[group]
                else:
                    longest = UNSOLICITED_NEW if self.version == self.newest else UNSOLICITED_OLD
                    change.at = now + (1 + self.network.random.below(longest // MILLISECOND)) * MILLISECOND
        if self.general_at and self.general_at <= now:
            self.general_at = 0
            self.answers.clear()
            records += [mld.Record(mld.MODE_IS_EXCLUDE, group) for group in self.joined()]
        for group, (at, sources) in list(self.answers.items()):
            if at <= now:
                del self.answers[group]
                kind = mld.MODE_IS_EXCLUDE if sources is None else mld.MODE_IS_INCLUDE
                records.append(mld.Record(kind, group, sources or ()))
        if records:
            self._report(records)
        self.rearm()

    def _report(self, records: list[mld.Record]) -> None:
        if self.version < self.newest:
            for record in records:
                if record.kind != mld.CHANGE_TO_INCLUDE:
                    self.reporter.add(record.group)
                    self.groups.send_older(self, record.group)
            return
        for record in records:
            if record.kind == mld.CHANGE_TO_INCLUDE:
                self.reporter.discard(record.group)
            else:
                self.reporter.add(record.group)  # should an older querier come, the group's end is ours to tell
        batch: list[mld.Record] = []
        size = 0
        for record in records:
            cost = 4 + self.size * (1 + len(record.sources))
            if batch and size + cost > MAX_RECORDS_BYTES:
                self.groups.send_report(self, batch)
                batch, size = [], 0
            batch.append(record)
            size += cost
        self.groups.send_report(self, batch)

    def rearm(self) -> None:
        """Sets the timer for what is due next."""
        soonest = min(
            self.general_at or NEVER,
            min((change.at for change in self.changes.values()), default=NEVER),
            min((at for at, _ in self.answers.values()), default=NEVER),
        )
        if soonest < NEVER:
            self.network.wheel.arm(self, max(soonest, 1))
        else:
            self.network.wheel.disarm(self)


class Groups:
    """MLD and IGMP of one stack (a `TransportHandler` of IGMP)."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.memberships: dict[tuple[int, int], Membership] = {}  # (interface's index, address size)

    def membership(self, interface: Interface, size: int) -> Membership:
        """That of an interface and a family (4 or 16 bytes of address)."""
        key = (interface.index, size)
        if key not in self.memberships:
            self.memberships[key] = Membership(self, interface, size)
        return self.memberships[key]

    def changed(self, interface: Interface, group: bytes, joined: bool) -> None:
        """The first member of a group has come, or its last has left."""
        if speaks(interface) and interface.report_groups and is_reported(group):
            kind = mld.CHANGE_TO_EXCLUDE if joined else mld.CHANGE_TO_INCLUDE
            self.network.refresh()
            self.membership(interface, len(group)).change(group, kind)

    def repeat(self, interface: Interface) -> None:
        """Reports all groups: the interface has begun to speak, or has a link-local address now (RFC 3590)."""
        for group in list(interface.groups):
            self.changed(interface, group, True)

    def remove_interface(self, interface: Interface) -> None:
        """Forgets a link."""
        for size in (4, 16):
            membership = self.memberships.pop((interface.index, size), None)
            if membership is not None:
                self.network.wheel.disarm(membership)

    # in

    def input_v6(self, packet: Packet) -> bool:
        """Takes an MLD message at `packet.l4`, its checksum verified; whether it was of any use.

        RFC 3810, section 6.2: only with hop limit 1, from a link-local address, behind a Router Alert.
        """
        self.network.stats.count("mld_rx")
        data, interface = packet.data, packet.interface
        kind = load_u8(data, packet.l4)
        unsaid = kind == icmpv6.MLD_REPORT and not any(packet.src)
        if packet.ttl != 1 or not (is_link_local(packet.src) or unsaid) or not mld.has_router_alert(
            data, packet.l3, packet.end
        ):
            self.network.stats.count("mld_malformed")
            return False
        if not speaks(interface):
            return False
        try:
            if kind == icmpv6.MLD_QUERY:
                self.membership(interface, 16).asked(mld.parse_query(data, packet.l4, packet.end))
                return True
            if kind == icmpv6.MLD_REPORT:
                self.membership(interface, 16).heard(mld.parse_v1(data, packet.l4, packet.end))
                return True
        except InvalidArgument:
            self.network.stats.count("mld_malformed")
        return False

    def input(self, packet: Packet) -> None:
        """Takes an IGMP message."""
        stats = self.network.stats
        stats.count("igmp_rx")
        data, at, interface = packet.data, packet.l4, packet.interface
        if not igmp.check(data, at, packet.end) or packet.version != 4:
            stats.count("igmp_malformed")
            return
        if not speaks(interface):
            return
        kind = igmp.kind_of(data, at)
        try:
            if kind == igmp.QUERY:
                query = igmp.parse_query(data, at, packet.end)
                if query.version == 3 and not packet.options:
                    stats.count("igmp_malformed")  # RFC 3376, section 9.1: without a Router Alert it is forged
                    return
                self.membership(interface, 4).asked(query)
            elif kind in (igmp.V1_REPORT, igmp.V2_REPORT):
                self.membership(interface, 4).heard(igmp.group_of(data, at))
        except InvalidArgument:
            stats.count("igmp_malformed")

    def icmp_error(self, *details: object) -> bool:
        """An ICMP error about a report: nobody needs to know."""
        return False

    # out

    def send_report(self, membership: Membership, records: list[mld.Record]) -> None:
        """A report of the newest version."""
        if membership.size == 16:
            self._send_v6(membership.interface, mld.ALL_MLDV2_ROUTERS, mld.report(records))
        else:
            self._send_v4(membership.interface, igmp.ALL_V3_ROUTERS, igmp.report(records))

    def send_older(self, membership: Membership, group: bytes) -> None:
        """A report of the version that the querier speaks: to the group itself."""
        if membership.size == 16:
            self._send_v6(membership.interface, group, mld.report_v1(group))
        else:
            kind = igmp.V1_REPORT if membership.version == 1 else igmp.V2_REPORT
            self._send_v4(membership.interface, group, igmp.about(kind, group))

    def send_done(self, membership: Membership, group: bytes) -> None:
        """To routers of an older version: nobody here listens any more."""
        if membership.size == 16:
            self._send_v6(membership.interface, ALL_ROUTERS_LINK, mld.done(group))
        else:
            self._send_v4(membership.interface, igmp.ALL_ROUTERS, igmp.about(igmp.LEAVE, group))

    def _send_v6(self, interface: Interface, destination: bytes, message: icmpv6.Icmpv6Message) -> None:
        source = interface.link_local() or bytes(16)
        body = mld.HOP_BY_HOP + icmpv6.emit(message, source, destination)
        header = fragment.ipv6_header(source, destination, 0, len(body), 1, 0)
        self.network.stats.count("mld_tx")
        self._transmit(interface, destination, b"\x86\xdd", header + body)

    def _send_v4(self, interface: Interface, destination: bytes, message: bytes) -> None:
        try:
            source = self.network.select_source(destination, interface, destination)
        except Error:
            source = bytes(4)
        if source not in interface.owned:
            source = bytes(4)
        header = bytearray(
            fragment.ipv4_header(source, destination, igmp.PROTOCOL, len(message) + 4, 1, PRECEDENCE, 0, 0x4000)
            + igmp.ROUTER_ALERT
        )
        header[0] = 0x46
        header[10:12] = bytes(2)
        header[10:12] = (checksum(bytes(header), 0, 24, 0) ^ 0xFFFF).to_bytes(2, "big")
        self.network.stats.count("igmp_tx")
        self._transmit(interface, destination, b"\x08\x00", bytes(header) + message)

    def _transmit(self, interface: Interface, destination: bytes, ethertype: bytes, packet: bytes) -> None:
        interface.transmit(Frame(bytes(multicast_mac(destination)) + interface.mac + ethertype + packet))


def speaks(interface: Interface) -> bool:
    """Whether groups mean anything on a link, and it is for us to tell of them."""
    return interface.layer == 2 and not (interface.promiscuous or interface.loopback or interface.quiet)


def is_reported(group: bytes) -> bool:
    """Whether anybody wants to know (RFC 3810 section 6, RFC 3376 section 5): not of all nodes, nor of one host."""
    if len(group) == 4:
        return group != ALL_SYSTEMS
    return group != ALL_NODES_LINK and group[1] & 0x0F > 1
