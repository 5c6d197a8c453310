"""What a control socket shows of a proxy: its connections, and its counters."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from uinet.codecs.store import COUNTERS as STORE_COUNTERS
from uinet.codecs.tally import COUNTERS as CODEC_COUNTERS
from uinet.control.fields import ADDRESS, NUMBER, SECONDS, TEXT, Field, Fields
from uinet.control.tables import STATISTICS, Counted, Table, some
from uinet.proxy.connection import OUTCOMES
from uinet.proxy.engine import COUNTERS
from uinet.units import SECOND

if TYPE_CHECKING:
    from uinet.control.served import Served
    from uinet.proxy.coding import Coding
    from uinet.proxy.connection import Connection
    from uinet.proxy.engine import Proxy


def tables(proxy: Proxy, coding: Coding | None = None) -> dict[str, Table]:
    """The tables of `proxy`, by name; with `coding`, that of its codecs too."""
    fields = Fields(
        Field("serial", NUMBER, lambda one: one.serial, "number of the connection in the proxy's records"),
        Field("phase", TEXT, lambda one: one.phase, "held, connecting, accepting or open"),
        Field("vlans", TEXT, lambda one: ":".join(str(tag.vid) for tag in one.vlans), "VLAN IDs, outermost first"),
        Field("client", ADDRESS, lambda one: str(one.flow.source), "who opened it"),
        Field("client_port", NUMBER, lambda one: one.flow.source_port, "and its port"),
        Field("server", ADDRESS, lambda one: str(one.flow.destination), "whom it asked for"),
        Field("server_port", NUMBER, lambda one: one.flow.destination_port, "and its port"),
        Field("from", TEXT, lambda one: "server" if one.flow.from_server else "client", "side that opened it", False),
        Field("client_bytes", NUMBER, lambda one: one.client_bytes, "bytes from client to server"),
        Field("server_bytes", NUMBER, lambda one: one.server_bytes, "bytes from server to client"),
        Field("age", SECONDS, partial(_age, proxy), "since its SYN"),
    )
    found = {
        "flows": Table(fields, partial(_flows, proxy), "connections through the proxy"),
        "proxy": Table(STATISTICS, partial(_counters, proxy), "counters of the proxy, and how its connections ended"),
    }
    return found | coding_tables(coding)


def coding_tables(coding: Coding | None) -> dict[str, Table]:
    """The table of a proxy's codecs; none without any."""
    if coding is None:
        return {}
    return {"codec": Table(STATISTICS, partial(_coded, coding), "what codecs towards the other proxy have done")}


def _coded(coding: Coding, served: Served) -> Iterator[list[Any]]:
    total = coding.total()
    counts = [Counted(name, getattr(total, name), help) for name, help in CODEC_COUNTERS.items()]
    if coding.store is not None:
        store = coding.store.statistics()
        counts += [Counted(f"store_{name}", store[name], help) for name, help in STORE_COUNTERS.items()]
    return some(iter(counts))


def _age(proxy: Proxy, connection: Connection) -> float:
    return max(0, proxy.stack.now - connection.started) / SECOND


def _flows(proxy: Proxy, served: Served) -> Iterator[list[Any]]:
    return some(iter(list(proxy.active.values())))


def _counters(proxy: Proxy, served: Served) -> Iterator[list[Any]]:
    counts = [Counted(name, proxy.counts[name], help) for name, help in COUNTERS.items()]
    ended = [Counted(name, proxy.outcomes.get(name, 0), help) for name, help in OUTCOMES.items()]
    return some(iter([*counts, *ended]))
