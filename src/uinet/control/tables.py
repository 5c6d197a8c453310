"""What else a stack has, as rows: interfaces, addresses, routes, neighbours, listeners, datagram sockets, timers,
memory, counters.

Each table has its fields, and a source: a generator of what rows are about, a handful at a time. Where the stack keeps
something in a dictionary a source copies its keys first, which is quick, and looks each up when its turn comes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from uinet.control import connections
from uinet.control.fields import ADDRESS, FLAG, NUMBER, SECONDS, TEXT, Field, Fields
from uinet.control.protocol import SOONEST
from uinet.control.protocol import TABLES as HELP
from uinet.hashing import Walk
from uinet.ip import neighbors
from uinet.link.device import COUNTERS as DEVICE_COUNTERS
from uinet.socket import Socket
from uinet.stats import COUNTERS
from uinet.tcp.constants import IP_EXACT, IP_FAMILY
from uinet.tcp.listener import ORDER, Listener
from uinet.tcp.tcb import Tcb
from uinet.units import SECOND
from uinet.wire.addresses import Mac, join, unpack_address

if TYPE_CHECKING:
    from uinet.control.served import Served
    from uinet.ip.interface import Interface, InterfaceAddress

HANDFUL = 32  # subjects in one step
STATES = {
    neighbors.INCOMPLETE: "INCOMPLETE", neighbors.REACHABLE: "REACHABLE", neighbors.STALE: "STALE",
    neighbors.DELAY: "DELAY", neighbors.PROBE: "PROBE", neighbors.STATIC: "STATIC",
}
TIMERS = {
    "Tcb": "connection", "TimeWait": "TIME-WAIT", "SynEntry": "half-open connection", "NextHop": "neighbour",
    "Corked": "TCP_CORK", "Autoconf": "router solicitation", "Connection": "watched connection",
}

Source = Callable[["Served"], Iterator[list[Any]]]


class Table(NamedTuple):
    """One table. `help`: what its rows are."""

    fields: Fields
    source: Source
    help: str


def some(subjects: Iterator[Any]) -> Iterator[list[Any]]:
    """`subjects`, a handful at a time."""
    while found := list(islice(subjects, HANDFUL)):
        yield found


# interfaces

INTERFACES = Fields(
    Field("name", TEXT, lambda one: one.name, "name"),
    Field("index", NUMBER, lambda one: one.index, "number", False),
    Field("up", FLAG, lambda one: bool(one.up), "whether frames pass"),
    Field("mac", TEXT, lambda one: str(Mac(one.mac)) if one.mac else "", "hardware address; none on layer 3"),
    Field("mtu", NUMBER, lambda one: one.mtu, "bytes of the largest IP packet"),
    Field("layer", NUMBER, lambda one: one.layer, "2: Ethernet frames; 3: IP packets", False),
    Field("cdom", NUMBER, lambda one: one.cdom, "connection domain"),
    Field("promiscuous", FLAG, lambda one: bool(one.promiscuous), "every frame is its own"),
    Field("addresses", NUMBER, lambda one: len(one.addresses), "how many it has", False),
    Field("bridge", TEXT, lambda one: one.bridge.name if one.bridge is not None else None,
          "where frames go that nobody here wants", False),
    Field("output", NUMBER, lambda one: len(one.output), "frames that wait for the device", False),
    Field("rx_frames", NUMBER, lambda one: one.rx_frames, "frames received"),
    Field("rx_bytes", NUMBER, lambda one: one.rx_bytes, "bytes received"),
    Field("tx_frames", NUMBER, lambda one: one.tx_frames, "frames sent"),
    Field("tx_bytes", NUMBER, lambda one: one.tx_bytes, "bytes sent"),
    Field("tx_dropped", NUMBER, lambda one: one.tx_dropped, "frames not sent: the queue was full, or it was down"),
)


def _interfaces(served: Served) -> Iterator[list[Any]]:
    return some(iter(list(served.stack.interfaces)))


class Counted(NamedTuple):
    """A counter: of the stack, or of an interface's device."""

    name: str
    value: int
    help: str
    interface: str = ""


DEVICES = Fields(
    Field("interface", TEXT, lambda one: one.interface, "interface whose device it is"),
    Field("name", TEXT, lambda one: one.name, "counter"),
    Field("value", NUMBER, lambda one: one.value, "how often"),
    Field("help", TEXT, lambda one: one.help, "what it counts"),
)


def _devices(served: Served) -> Iterator[list[Any]]:
    return some(
        Counted(name, value, DEVICE_COUNTERS.get(name, ""), interface)
        for interface, counters in served.devices().items() for name, value in counters.items()
    )


# addresses, routes, neighbours


class Owned(NamedTuple):
    """An address and its interface."""

    interface: Interface
    entry: InterfaceAddress
    now: int
    state: str


def _until(name: str) -> Callable[[Owned], float | None]:
    def get(one: Owned) -> float | None:
        at = getattr(one.entry, name)
        return max(0, at - one.now) / SECOND if at else None

    return get


ADDRESSES = Fields(
    Field("interface", TEXT, lambda one: one.interface.name, "interface"),
    Field("address", ADDRESS, lambda one: str(unpack_address(one.entry.address)), "address"),
    Field("prefix_length", NUMBER, lambda one: one.entry.prefix_length, "bits of its prefix"),
    Field("state", TEXT, lambda one: one.state, "preferred, deprecated, or tentative: being tested for duplicates"),
    Field("origin", TEXT, lambda one: one.entry.origin, "manual, link-local, slaac or dhcp"),
    Field("temporary", FLAG, lambda one: bool(one.entry.temporary), "of RFC 8981", False),
    Field("preferred_for", SECONDS, _until("preferred_until"), "how long it stays preferred; none: for ever"),
    Field("valid_for", SECONDS, _until("valid_until"), "how long it stays valid; none: for ever"),
)


def _addresses(served: Served) -> Iterator[list[Any]]:
    now = served.stack.now
    for interface in list(served.stack.interfaces):
        yield from some(
            Owned(interface, entry, now, "deprecated" if entry.deprecated else "preferred")
            for entry in list(interface.addresses)
        )
        yield [
            Owned(interface, found.entry, now, "tentative") for found in list(interface.tentative.values())
        ]


ROUTES = Fields(
    Field("prefix", ADDRESS, lambda one: f"{unpack_address(one.prefix)}/{one.length}", "destinations"),
    Field("via", ADDRESS, lambda one: str(unpack_address(one.via)) if one.via is not None else None,
          "gateway; none: on the link"),
    Field("interface", TEXT, lambda one: one.interface.name, "interface"),
    Field("metric", NUMBER, lambda one: one.metric, "the lowest wins"),
    Field("origin", TEXT, lambda one: one.origin, "static, connected, router, redirect or dhcp"),
    Field("answers", FLAG, lambda one: one.suspect == 0, "whether the gateway is believed to answer"),
)


def _routes(served: Served) -> Iterator[list[Any]]:
    routes = served.stack.routes
    for size in (4, 16):
        for length in list(routes.lengths[size]):
            prefixes = iter(list(routes.tables[size].get(length, ())))
            while found := list(islice(prefixes, HANDFUL)):
                table = routes.tables[size].get(length, {})
                yield [entry for prefix in found for entry in table.get(prefix, ())]


NEIGHBORS = Fields(
    Field("address", ADDRESS, lambda one: str(unpack_address(one.address)), "its address"),
    Field("mac", TEXT, lambda one: str(Mac(one.mac)) if one.mac else None, "its MAC, if known"),
    Field("interface", TEXT, lambda one: one.interface.name, "interface"),
    Field("state", TEXT, lambda one: STATES.get(one.state, str(one.state)), "state of RFC 4861, 7.3.2"),
    Field("probes", NUMBER, lambda one: one.probes, "solicitations without answer"),
    Field("queue", NUMBER, lambda one: len(one.queue), "packets that wait for it"),
)


def _neighbors(served: Served) -> Iterator[list[Any]]:
    return some(iter(served.stack.neighbors))


# listeners, datagram sockets


def _wildcard(listener: Listener) -> str:
    kind, _ = ORDER[listener.pattern % len(ORDER)]
    if kind == IP_EXACT:
        return str(unpack_address(join(listener.laddr_hi, listener.laddr_lo)))
    if kind == IP_FAMILY:
        return "0.0.0.0" if listener.laddr_lo else "::"
    return "*"


LISTENERS = Fields(
    Field("cdom", NUMBER, lambda one: one.cdom, "connection domain"),
    Field("vlans", TEXT, lambda one: "*" if one.pattern >= len(ORDER) else connections.vlans_of(one.vids),
          "VLAN IDs that it takes; *: any"),
    Field("local", ADDRESS, _wildcard, "address; 0.0.0.0, ::, *: any of IPv4, of IPv6, of both"),
    Field("lport", NUMBER, lambda one: one.lport, "port; 0: any"),
    Field("backlog", NUMBER, lambda one: one.backlog, "connections that may wait to be accepted"),
    Field("waiting", NUMBER, lambda one: len(one.accepted), "connections that do"),
    Field("half_open", NUMBER, lambda one: one.half_open, "its entries of the SYN cache"),
    Field("deferred", NUMBER, lambda one: len(one.deferred), "SYNs that wait for a verdict"),
    Field("passive", FLAG, lambda one: bool(one.passive), "it watches, and sends nothing"),
    Field("syn_filter", FLAG, lambda one: one.syn_filter is not None, "a SYN filter decides"),
    Field("fast_open", NUMBER, lambda one: one.config.fast_open, "Fast Open connections that may be pending",
          False),
    Field("shared", FLAG, lambda one: bool(one.reuse), "SO_REUSEPORT", False),
    Field("hidden", FLAG, lambda one: one.table_hides, "a newer listener with the same pattern hides it", False),
)


class Hidden:
    """A listener as a row sees it: `table_hides` whether a newer one with the same pattern hides it."""

    __slots__ = ("listener", "table_hides")

    def __init__(self, listener: Listener, hides: bool) -> None:
        self.listener = listener
        self.table_hides = hides

    def __getattr__(self, name: str) -> Any:
        return getattr(self.listener, name)


def _listeners(served: Served) -> Iterator[list[Any]]:
    walk = Walk(served.stack.tcp.listeners.table)
    while not walk.done:
        found: list[Any] = []
        for listener in walk.step(connections.BUCKETS):
            hidden = False
            while listener is not None:
                found.append(Hidden(listener, hidden))
                listener, hidden = listener.older, True
        yield found


UDP = Fields(
    Field("cdom", NUMBER, lambda one: one.cdom, "connection domain"),
    Field("vlans", TEXT, lambda one: "*" if one.vids is None else connections.vlans_of(one.vids),
          "VLAN IDs that it takes; *: any"),
    Field("local", ADDRESS, lambda one: str(unpack_address(one.local)) if one.local else "*", "address; *: any"),
    Field("lport", NUMBER, lambda one: one.local_port, "port; 0: any"),
    Field("remote", ADDRESS, lambda one: str(unpack_address(one.remote)) if one.remote else None,
          "the only peer, if it is connected"),
    Field("rport", NUMBER, lambda one: one.remote_port if one.remote else None, "the peer's port"),
    Field("received", NUMBER, lambda one: one.received, "datagrams received"),
    Field("sent", NUMBER, lambda one: one.sent, "datagrams sent"),
    Field("dropped", NUMBER, lambda one: one.dropped, "datagrams dropped for want of room"),
    Field("queued", NUMBER, lambda one: one.queued, "bytes that wait to be read, overhead included"),
    Field("buffer", NUMBER, lambda one: one.receive_limit, "how many may"),
    Field("groups", NUMBER, lambda one: len(one.groups), "multicast groups that it has joined", False),
)


def _udp(served: Served) -> Iterator[list[Any]]:
    return some(iter(list(served.stack.udp.endpoints)))


# timers, memory, counters


class Due(NamedTuple):
    """A timer that waits."""

    timer: Any
    now: int


def _who(one: Due) -> str:
    timer = one.timer
    if hasattr(timer, "rport"):
        return (
            f"{unpack_address(join(timer.laddr_hi, timer.laddr_lo))} {timer.lport} - "
            f"{unpack_address(join(timer.raddr_hi, timer.raddr_lo))} {timer.rport}"
        )
    address = getattr(timer, "address", None)
    return str(unpack_address(address)) if isinstance(address, bytes) else ""


TIMER = Fields(
    Field("due", SECONDS, lambda one: max(0, one.timer.deadline - one.now) / SECOND, "to its deadline"),
    Field("what", TEXT, lambda one: TIMERS.get(type(one.timer).__name__, type(one.timer).__name__), "whose it is"),
    Field("who", TEXT, _who, "addresses and ports, or the neighbour"),
)


def _timers(served: Served) -> Iterator[list[Any]]:
    stack = served.stack
    return some(Due(timer, stack.now) for timer in stack.wheel.waiting(SOONEST) if timer.deadline)


class Memory(NamedTuple):
    """Something that takes memory. `limit` None: bounded by nothing but what is asked of the stack."""

    name: str
    used: int
    limit: int | None
    unit: str
    help: str


MEMORY = Fields(
    Field("name", TEXT, lambda one: one.name, "what takes it"),
    Field("used", NUMBER, lambda one: one.used, "how much is taken"),
    Field("limit", NUMBER, lambda one: one.limit, "how much may be; none: as much as is asked for"),
    Field("unit", TEXT, lambda one: one.unit, "of both"),
    Field("help", TEXT, lambda one: one.help, "what it is"),
)


def memory(served: Served) -> list[Memory]:
    """What takes memory."""
    stack = served.stack
    tcp, network = stack.tcp, stack.network
    settings = tcp.settings
    one = getattr(Tcb, "__basicsize__", 0) + getattr(Socket, "__basicsize__", 0)
    return [
        Memory("process", resident(), None, "bytes", "the whole process, what else it does included"),
        Memory("receive_buffers", tcp.received_bytes, settings.receive_memory, "bytes",
               "unread and out-of-order data of connections"),
        Memory("send_buffers", tcp.queued_bytes, settings.send_memory, "bytes", "queued and unacknowledged data"),
        Memory("connections", tcp.connections * one, None, "bytes", "control blocks and sockets of connections"),
        Memory("connection_table", 8 * tcp.table.size, None, "bytes", "buckets of the table of connections"),
        Memory("fragments", network.reassembler.cost, network.reassembler.memory_limit, "bytes",
               "incomplete datagrams"),
        Memory("deferred", tcp.kept, None, "bytes", "segments kept for SYNs without a verdict; bounded for each"),
        Memory("copies", tcp.copies.held_bytes if tcp.copies is not None else 0, settings.copy_memory, "bytes",
               "packets of flows whose copy is not decided on"),
        Memory("half_open", tcp.syn_count, settings.syn_cache_limit, "entries", "half-open connections"),
        Memory("time_wait", len(tcp.time_wait), settings.time_wait_limit, "entries", "connections in TIME-WAIT"),
        Memory("watched", tcp.watch.count if tcp.watch is not None else 0, settings.passive.limits.connections,
               "entries", "watched connections"),
        Memory("neighbors", len(network.neighbors.table), network.neighbors.limit, "entries",
               "neighbours; those configured do not count against the limit"),
        Memory("path_mtus", len(network.pmtu.table), None, "entries", "destinations whose path MTU is less"),
    ]


def resident() -> int:
    """Bytes of memory that this process occupies; 0 where nothing tells."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def _memory(served: Served) -> Iterator[list[Any]]:
    return some(iter(memory(served)))


STATISTICS = Fields(
    Field("name", TEXT, lambda one: one.name, "counter"),
    Field("value", NUMBER, lambda one: one.value, "how often"),
    Field("help", TEXT, lambda one: one.help, "what it counts"),
)


def _counters(served: Served) -> Iterator[list[Any]]:
    values = served.stack.stats.as_dict(zeros=True)
    return some(Counted(name, values[name], help) for name, help in COUNTERS.items())


SOURCES: dict[str, tuple[Fields, Source]] = {
    "connections": (connections.FIELDS, connections.connections),
    "listeners": (LISTENERS, _listeners),
    "udp": (UDP, _udp),
    "interfaces": (INTERFACES, _interfaces),
    "devices": (DEVICES, _devices),
    "addresses": (ADDRESSES, _addresses),
    "routes": (ROUTES, _routes),
    "neighbors": (NEIGHBORS, _neighbors),
    "timers": (TIMER, _timers),
    "memory": (MEMORY, _memory),
    "counters": (STATISTICS, _counters),
}
TABLES: dict[str, Table] = {name: Table(*SOURCES[name], help) for name, help in HELP.items()}
