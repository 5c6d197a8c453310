"""What a control socket shows of a fleet: the hosts that are awake, and its counters."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from uinet.control.fields import ADDRESS, NUMBER, SECONDS, TEXT, Field, Fields
from uinet.control.tables import STATISTICS, Counted, Table, some
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
    return {
        "awake": Table(fields, partial(_awake, fleet), "hosts that have a stack"),
        "hosts": Table(STATISTICS, partial(_counters, fleet), "counters of the hosts"),
    }


def _idle(fleet: Fleet, host: Any) -> float:
    return float(max(0, fleet.clock() - host.last)) / SECOND


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
