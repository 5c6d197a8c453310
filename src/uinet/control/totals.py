"""How a stack is doing, in one record. Everything in it is kept as a number anyway: nothing is walked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uinet.control.tables import STATISTICS, Table, memory
from uinet.tcp.state import NAMES
from uinet.units import SECOND

if TYPE_CHECKING:
    from uinet.control.served import Served


def totals(served: Served) -> dict[str, Any]:
    """Numbers of what there is, connections by state, traffic of interfaces, counters, and "more" of the program."""
    stack = served.stack
    tcp = stack.tcp
    states = {name: count for name, count in zip(NAMES, tcp.states, strict=True) if count}
    states["TIME-WAIT"] = len(tcp.time_wait)
    states["SYN-RECEIVED"] = states.get("SYN-RECEIVED", 0) + tcp.syn_count - tcp.deferred
    states["DEFERRED"] = tcp.deferred
    states["WATCHED"] = tcp.watch.count if tcp.watch is not None else 0
    return {
        "uptime": (stack.now - served.began) / SECOND,
        "connections": tcp.connections,
        "states": {name: count for name, count in states.items() if count},
        "listeners": tcp.listeners.count,
        "udp": len(stack.udp.endpoints),
        "interfaces": len(stack.interfaces),
        "addresses": sum(len(interface.addresses) for interface in stack.interfaces),
        "routes": len(stack.routes),
        "neighbors": len(stack.neighbors.table),
        "timers": stack.wheel.count,
        "memory": {one.name: one.used for one in memory(served)},
        "traffic": {interface.name: interface.statistics() for interface in stack.interfaces},
        "counters": stack.stats.as_dict(zeros=True),
        "more": {name: counts_of(served, table) for name, table in served.tables.items() if is_more(name, table)},
    }


def is_more(name: str, table: Table) -> bool:
    """Whether a table has counters that a program has added."""
    return table.fields is STATISTICS and name != "counters"


def counts_of(served: Served, table: Table) -> dict[str, int]:
    """The counters of such a table; there are few."""
    return {one.name: one.value for found in table.source(served) for one in found}
