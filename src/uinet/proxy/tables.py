"""What a control socket shows of a proxy, its flows and its counters, and how it changes the states of flows."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from uinet.bridging.constants import STATES
from uinet.codecs.store import COUNTERS as STORE_COUNTERS
from uinet.codecs.tally import COUNTERS as CODEC_COUNTERS
from uinet.control.fields import ADDRESS, NUMBER, SECONDS, TEXT, Field, Fields
from uinet.control.tables import STATISTICS, Counted, Table, some
from uinet.errors import ControlError, Unsafe
from uinet.link.flow_files import COUNTERS as FILES
from uinet.proxy.connection import OUTCOMES
from uinet.proxy.engine import COUNTERS
from uinet.units import SECOND

if TYPE_CHECKING:
    from uinet.control.served import Served
    from uinet.control.server import Server
    from uinet.link.flow_files import FlowFiles
    from uinet.proxy.coding import Coding
    from uinet.proxy.connection import Connection
    from uinet.proxy.engine import Proxy

MOST_WAIT = 3600  # seconds


def serve(
    server: Server, proxy: Proxy, files: FlowFiles | None = None, coding: Coding | None = None
) -> None:
    """Shows the tables of `proxy` on a control socket, and takes the command ``flow``."""
    for name, table in tables(proxy, files, coding).items():
        server.add_table(name, table)
    server.add_command("flow", partial(change_flows, proxy))


def change_flows(proxy: Proxy, served: Served, request: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
    """Brings the flows that meet all conditions of ``filter`` to ``state``, trying for ``wait`` seconds where that is
    not safe at once. A row for each: its state then, and why it is not the one wanted."""
    state, wait = request.get("state"), request.get("wait", 5.0)
    if state not in STATES:
        raise ControlError(f'"state" is one of {", ".join(STATES)}')
    if isinstance(wait, bool) or not isinstance(wait, int | float) or not 0 <= wait <= MOST_WAIT:
        raise ControlError(f'"wait" is a number of seconds, 0 to {MOST_WAIT}')
    test = fields_of(proxy).test(request.get("filter"))
    if test is None:
        raise ControlError('wants a "filter" that says which flows: ["serial=7"], say')
    served.refresh()
    for connections in _flows(proxy, served):
        yield [_changed(connection, str(state), float(wait)) for connection in connections if test(connection)]


def _changed(connection: Connection, state: str, wait: float) -> dict[str, Any]:
    before = connection.state
    try:
        why = connection.change(state, wait)
    except Unsafe as error:
        why = str(error)
    row: dict[str, Any] = {"serial": connection.serial, "before": before, "state": connection.state}
    if connection.wanted:
        row["wanted"] = connection.wanted
    if why:
        row["why"] = why
    return row


def fields_of(proxy: Proxy) -> Fields:
    """What is told of a flow."""
    return Fields(
        Field("serial", NUMBER, lambda one: one.serial, "number of the connection in the proxy's records"),
        Field("state", TEXT, lambda one: one.state, "pass, track, hold or intercept"),
        Field("phase", TEXT, lambda one: one.phase, "held, connecting, accepting, open or bridged"),
        Field("wanted", TEXT, lambda one: one.wanted or None, "state that it is to come to as soon as that is safe"),
        Field("refusal", TEXT, lambda one: one.refusal or None, "why it is not there yet, or stays as it is", False),
        Field("vlans", TEXT, lambda one: ":".join(str(tag.vid) for tag in one.vlans), "VLAN IDs, outermost first"),
        Field("client", ADDRESS, lambda one: str(one.flow.source), "who opened it"),
        Field("client_port", NUMBER, lambda one: one.flow.source_port, "and its port"),
        Field("server", ADDRESS, lambda one: str(one.flow.destination), "whom it asked for"),
        Field("server_port", NUMBER, lambda one: one.flow.destination_port, "and its port"),
        Field("from", TEXT, lambda one: "server" if one.flow.from_server else "client", "side that opened it", False),
        Field("client_bytes", NUMBER, lambda one: one.client_bytes, "bytes from client to server"),
        Field("server_bytes", NUMBER, lambda one: one.server_bytes, "bytes from server to client"),
        Field("client_serial", NUMBER, lambda one: one.serials[0], "IP_SERIALNO of the client's connection", False),
        Field("server_serial", NUMBER, lambda one: one.serials[1], "and of the server's", False),
        Field("age", SECONDS, partial(_age, proxy), "since its SYN"),
    )


def tables(proxy: Proxy, files: FlowFiles | None = None, coding: Coding | None = None) -> dict[str, Table]:
    """The tables of `proxy`, by name. `files`: the captures of its connections, `coding`: its codecs, if there are."""
    found = {
        "flows": Table(fields_of(proxy), partial(_flows, proxy), "flows through the proxy"),
        "proxy": Table(STATISTICS, partial(_counters, proxy), "counters of the proxy, and how its connections ended"),
    }
    if files is not None:
        found["captures"] = Table(STATISTICS, partial(_captures, files), "the captures of single connections")
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
    return some(iter(proxy.connections()))


def _captures(files: FlowFiles, served: Served) -> Iterator[list[Any]]:
    counts = files.statistics()
    return some(iter([Counted(name, counts[name], help) for name, help in FILES.items()]))


def _counters(proxy: Proxy, served: Served) -> Iterator[list[Any]]:
    counts = [Counted(name, proxy.counts[name], help) for name, help in COUNTERS.items()]
    ended = [Counted(name, proxy.outcomes.get(name, 0), help) for name, help in OUTCOMES.items()]
    return some(iter([*counts, *ended]))
