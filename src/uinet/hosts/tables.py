"""What a control socket shows of a fleet: the hosts that are awake, and its counters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from uinet.control import connections
from uinet.control.fields import ADDRESS, NUMBER, SECONDS, TEXT, Field, Fields
from uinet.control.tables import STATISTICS, Counted, Table, some
from uinet.hashing import Walk
from uinet.hosts import directory
from uinet.hosts.fleet import COUNTERS
from uinet.units import SECOND

if TYPE_CHECKING:
    from uinet.control.served import Served
    from uinet.hosts.fleet import Fleet


def tables(fleet: Fleet) -> dict[str, Table]:
    """The tables of a fleet, by name."""
    fields = Fields(
        Field("name", TEXT, lambda one: one.name, "the host's group and number"),
        Field("ip", ADDRESS, lambda one: str(one.ip), "its first address"),
        Field("mac", TEXT, lambda one: one.plan.mac.hex(":"), "its MAC"),
        Field("vlans", TEXT, lambda one: ":".join(str(tag.vid) for tag in one.plan.tags), "VLAN IDs"),
        Field("connections", NUMBER, lambda one: len(one.open), "that are open"),
        Field("idle", SECONDS, partial(_idle, fleet), "since a frame came for it"),
    )
    opened = Fields(
        Field("host", TEXT, lambda one: one[0].name, "whose it is"),
        *(replace(field, get=partial(_of_entry, field.get)) for field in connections.FIELDS.by_name.values()),
    )
    return {
        "sessions": Table(opened, partial(_sessions, fleet), "TCP connections of the hosts that are awake"),
        "awake": Table(fields, partial(_awake, fleet), "hosts that have a stack"),
        "hosts": Table(STATISTICS, partial(_counters, fleet), "counters of the hosts"),
    }


def _idle(fleet: Fleet, host: Any) -> float:
    return float(max(0, fleet.clock() - host.last)) / SECOND


def _of_entry(get: Callable[[Any], Any], one: tuple[Any, Any]) -> Any:
    return get(one[1])


def _sessions(fleet: Fleet, served: Served) -> Iterator[list[Any]]:
    for host in list(fleet.awake.values()):
        walk = Walk(host.stack.tcp.table)
        while not walk.done:
            yield [(host, entry) for entry in walk.step(connections.BUCKETS)]


def _awake(fleet: Fleet, served: Served) -> Iterator[list[Any]]:
    return some(iter(list(fleet.awake.values())))


def _counters(fleet: Fleet, served: Served) -> Iterator[list[Any]]:
    whole = [
        Counted("hosts", len(fleet.directory), "hosts there are"),
        Counted("awake", len(fleet.awake), "of them, those that have a stack"),
    ]
    counts = [Counted(name, fleet.counts[name], help) for name, help in COUNTERS.items()]
    frames = [Counted(name, fleet.directory.counts[name], help) for name, help in directory.COUNTERS.items()]
    return some(iter([*whole, *counts, *frames]))
