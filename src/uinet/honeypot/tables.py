"""What a control socket shows of a honeypot: its connections, and its counters."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from uinet.control.fields import ADDRESS, NUMBER, SECONDS, TEXT, Field, Fields
from uinet.control.tables import STATISTICS, Counted, Table, some
from uinet.honeypot.engine import COUNTERS
from uinet.units import SECOND

if TYPE_CHECKING:
    from uinet.control.served import Served
    from uinet.honeypot.running import Running

WATCHED: dict[str, str] = {
    "passed": "frames for the prefixes",
    "elsewhere": "frames dropped: for others",
    "unreadable": "frames dropped: malformed",
    "syns": "SYNs for the prefixes",
    "unlisted": "packets of sources that were too many to tell apart",
}


def tables(running: Running) -> dict[str, Table]:
    """The tables of a honeypot, by name."""
    fields = Fields(
        Field("serial", NUMBER, lambda one: one.serial, "number of the connection (IP_SERIALNO)"),
        Field("source", ADDRESS, lambda one: str(one.sock.getpeername()[0]), "who connected"),
        Field("source_port", NUMBER, lambda one: one.sock.getpeername()[1], "and its port"),
        Field("vlans", TEXT, lambda one: ":".join(str(tag.vid) for tag in one.l2.vlans) if one.l2 else "", "VLAN IDs"),
        Field("destination", ADDRESS, lambda one: str(one.sock.getsockname()[0]), "to what address"),
        Field("port", NUMBER, lambda one: one.sock.getsockname()[1], "and port"),
        Field("received", NUMBER, lambda one: one.received, "bytes that came"),
        Field("age", SECONDS, partial(_age, running), "since its handshake"),
    )
    return {
        "visits": Table(fields, partial(_visits, running), "connections to the honeypot"),
        "honeypot": Table(STATISTICS, partial(_counters, running), "counters of the honeypot"),
    }


def _age(running: Running, visit: Any) -> float:
    return float(max(0, running.stack.now - visit.began)) / SECOND


def _visits(running: Running, served: Served) -> Iterator[list[Any]]:
    return some(iter(list(running.honeypot.visits.values())))


def _counters(running: Running, served: Served) -> Iterator[list[Any]]:
    counts = [Counted(name, running.honeypot.counts[name], help) for name, help in COUNTERS.items()]
    watched = [Counted(name, getattr(running.watch, name), help) for name, help in WATCHED.items()]
    journal = [
        Counted("records", running.journal.lines, "records written"),
        Counted("suppressed", running.journal.suppressed, "records left out: too many, or no room on the disk"),
    ]
    return some(iter([*counts, *watched, *journal]))
