"""The transparent proxy, without I/O: what happens between two promiscuous interfaces of one stack.

A client's SYN is held while the proxy connects onward as the client: same VLAN stack, MACs, addresses and
ports. What the server answers decides what the client gets: a RST for a RST, silence for silence; once the
server has accepted, the client's handshake completes and the two connections are joined. What isn't proxied
passes from one interface to the other untouched, so that inserting the proxy breaks nothing.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from uinet.bridging.constants import PASS, TRACK
from uinet.bridging.index import FLOWS
from uinet.bridging.table import FlowTable
from uinet.errors import (
    AddressInUse,
    ConnectionAborted,
    ConnectionRefused,
    HostUnreachable,
    InvalidArgument,
    NetworkUnreachable,
    TimedOut,
)
from uinet.events import EV_CLOSED, EV_CONNECTED, EV_ERROR
from uinet.proxy import states
from uinet.proxy.connection import ACCEPTING, CONNECTING, FINISHED, HELD, OPEN, Connection, Joint
from uinet.proxy.match import EVERYTHING, Flow, Match
from uinet.proxy.policy import Policy, PolicyError, verdict_of
from uinet.socket import Socket, abort_socket, accept_one
from uinet.splicing import Splice, splice
from uinet.stack import Stack
from uinet.tcp.calls import acknowledge_now
from uinet.tcp.syn import Syn, Verdict
from uinet.units import SECOND
from uinet.wire.addresses import ANY

if TYPE_CHECKING:
    from uinet.ip.interface import Interface

log = logging.getLogger("uinet")

ACCEPT = Verdict.ACCEPT
DEFER = Verdict.DEFER

CONNECT_TIMEOUT = 30 * SECOND
"""How long a server may stay silent: Linux clients have sent their SYN five times by then."""
BACKLOG = 16384
"""Clients that may be in their handshake at a time, on each side."""

COUNTERS: dict[str, str] = {
    "syns": "SYNs seen (retransmissions of held ones are not)",
    "excluded": "SYNs that --match excludes",
    "bridged": "SYNs that the policy bridged",
    "tracked": "those of them that it has tracked",
    "taken_over": "connections taken over in their middle",
    "let_go": "connections let go, to be bridged from then on",
    "rejected": "SYNs that the policy rejected",
    "draining": "SYNs that came after the proxy had begun to stop",
    "opened": "connections joined",
    "client_bytes": "bytes from clients to servers, of finished connections",
    "server_bytes": "bytes from servers to clients, of finished connections",
}

PASSING = "passing"  # in statistics: flows that are bridged, and known

Joiner = Callable[[Connection, "Socket", "Socket"], Joint]
Later = Callable[[Any], None]
Runner = Callable[[Awaitable[object], Later], None]


def splice_sockets(connection: Connection, client: Socket, server: Socket) -> Joint:
    """Joins the sockets in the engine: bytes never become Python objects."""
    return splice(client, server)


class Proxy:
    """Proxies TCP between two promiscuous interfaces of `stack`, each in a connection domain of its own.

    `policy`: a :class:`Policy`; one with an ``async def decide`` needs `run`, which is given the awaitable
    and a function to call with its result or exception. `match`: which flows are proxied. `bridge`: whether
    what isn't proxied passes untouched; if not, it is dropped. `one_way`: only connections from the client
    side are proxied. `connect_timeout`: ns that a server may stay silent. `join`: what joins two sockets, the
    engine's splice unless streams are rewritten. `on_event` is called with ("held" | "open" | "state" | "refused" |
    "finished", connection), and `on_error` with one line about each error of the policy.
    """

    def __init__(
        self,
        stack: Stack,
        client_side: Interface,
        server_side: Interface,
        *,
        policy: Policy | None = None,
        match: Match = EVERYTHING,
        connect_timeout: int = CONNECT_TIMEOUT,
        bridge: bool = True,
        one_way: bool = False,
        join: Joiner = splice_sockets,
        run: Runner | None = None,
        on_event: Callable[[str, Connection], None] | None = None,
        on_error: Callable[[str], None] | None = None,
        flow_limit: int = FLOWS,
    ) -> None:
        for side in (client_side, server_side):
            if not (side.promiscuous and side.cdom):
                raise InvalidArgument(f"interface {side.name} of a proxy is not promiscuous")
        if policy is not None and policy.needs_loop and run is None:
            raise PolicyError(f"{policy.path}: has async functions, which need an event loop")
        if policy is not None and policy.rewrites and join is splice_sockets:
            raise PolicyError(f"{policy.path}: rewrites streams, which a splice does not")
        self.stack = stack
        self.sides = (client_side, server_side)
        self.policy = policy
        self.match = match
        self.connect_timeout = connect_timeout
        self.bridge = bridge
        self.join = join
        self.run = run
        self.on_event = on_event
        self.on_error = on_error
        self.draining = False
        self.active: dict[int, Connection] = {}  # those that are held, or proxied
        self.passing: dict[int, Connection] = {}  # those that are bridged, as far as anybody has asked for them
        self.flows: FlowTable | None = None
        self.counts: dict[str, int] = dict.fromkeys(COUNTERS, 0)
        self.outcomes: dict[str, int] = {}
        self._serial = 0
        if bridge:
            client_side.bridge, server_side.bridge = server_side, client_side
            self.flows = FlowTable(stack, client_side, server_side, limit=flow_limit)
            self.flows.on_end = partial(states.ended, self)
        self.listeners = [self._listen(side) for side in self.sides[: 1 if one_way else 2]]

    def _listen(self, side: Interface) -> Socket:
        from_server = side is self.sides[1]
        listener = self.stack.listen(
            (ANY, ANY),
            backlog=BACKLOG,
            vlans=ANY,
            cdom=side.cdom,
            promiscuous=True,
            syn_filter=partial(self._on_syn, from_server),
        )
        listener.on_event = self._on_accept
        return listener

    # The SYN.

    def _on_syn(self, from_server: bool, syn: Syn) -> Verdict:
        """The SYN filter of both sides' listeners."""
        return self._take(from_server, syn)

    def _take(self, from_server: bool, syn: Syn) -> Verdict:
        self.counts["syns"] += 1
        if self.draining or not (self.match is EVERYTHING or self.match(Flow.of(syn, from_server))):
            self.counts["draining" if self.draining else "excluded"] += 1
            return self._pass()
        connection = self.new_connection(syn, from_server)
        if self.policy is None or self.policy.decide is None:
            return self._begin(connection)
        try:
            decision = self.policy.decide(syn)
            if not inspect.isawaitable(decision):
                return self._apply(connection, verdict_of(decision))
        except (Exception, SystemExit) as error:
            return self._policy_failed(connection, error)
        assert self.run is not None
        self._hold(connection)
        self.run(decision, partial(self.decided, connection))
        return Verdict.DEFER

    def new_connection(self, syn: Syn, from_server: bool) -> Connection:
        """A connection with the next serial number."""
        self._serial += 1
        return Connection(self, self._serial, syn, from_server, self.stack.tcp.now)

    def _pass(self) -> Verdict:
        return Verdict.BRIDGE if self.bridge else Verdict.REJECT_SILENT

    def _apply(self, connection: Connection, verdict: Verdict) -> Verdict:
        """Does what the policy decided, and answers what the stack is to do with the SYN."""
        if verdict == Verdict.ACCEPT:
            return self._begin(connection)
        if verdict == Verdict.DEFER:
            self._hold(connection)
            states.note(self, connection)
            return verdict
        if verdict in (Verdict.BRIDGE, Verdict.ACCEPT_PASSIVE):
            tracked = verdict == Verdict.ACCEPT_PASSIVE
            self.counts["bridged"] += 1
            self.counts["tracked"] += tracked
            states.begin_bridged(self, connection, TRACK if tracked else PASS)
            return self._pass()
        self.counts["rejected"] += 1
        self.finish(connection, "policy")
        return verdict

    def decided(self, connection: Connection, result: object) -> None:
        """What has become of a held SYN: the end of an ``async def decide``, or somebody's word; `result` is what was
        returned or raised."""
        if connection.phase != HELD or connection.syn is None:
            return  # the client has gone, or the proxy has stopped
        self.stack.tcp.refresh()
        syn = connection.syn
        if isinstance(result, BaseException):
            verdict = self._policy_failed(connection, result)
        else:
            try:
                verdict = self._apply(connection, verdict_of(result))
            except Exception as error:
                verdict = self._policy_failed(connection, error)
        if verdict != Verdict.DEFER:
            syn.deliver(verdict)

    def _policy_failed(self, connection: Connection, error: BaseException) -> Verdict:
        assert self.policy is not None
        self._told_failed(connection, PolicyError(self.policy.describe(error)))  # with file and line
        return Verdict.REJECT_SILENT

    def _told_failed(self, connection: Connection, said: PolicyError) -> None:
        """The end of a connection whose policy failed: a line, and its record."""
        if self.on_error is not None:
            self.on_error(str(said))
        self.finish(connection, "policy-error", said)

    def _hold(self, connection: Connection) -> None:
        if connection.serial not in self.active:
            self.active[connection.serial] = connection
            syn = connection.first
            syn.context = connection
            syn.on_gone = connection.on_client_gone  # reset, or given up
            self.tell("held", connection)

    # The server's side.

    def _begin(self, connection: Connection) -> Verdict:
        """Connects onward as the client; the SYN waits for what the server says."""
        onward = self.sides[0 if connection.from_server else 1]
        try:
            server = self.stack.connect_onward(connection.first, onward)
        except AddressInUse as error:
            self.finish(connection, "busy", error)
            return Verdict.REJECT_SILENT
        self._hold(connection)
        connection.phase = CONNECTING
        connection.changes.append((self.stack.tcp.now, connection.state))
        connection.recorded = True
        connection.server = server
        server.on_event = connection.on_server
        self.stack.wheel.arm(connection, self.stack.tcp.now + self.connect_timeout)
        return DEFER

    def on_server(self, connection: Connection, server: Socket, events: int) -> None:
        """Upcall of the socket towards the server, until it is joined."""
        if events & (EV_ERROR | EV_CLOSED):
            self._server_failed(connection, server.error)
        elif events & EV_CONNECTED and connection.phase == CONNECTING:
            connection.phase = ACCEPTING
            self.stack.wheel.disarm(connection)
            if not connection.first.deliver(ACCEPT):
                self.finish(connection, "client-gone")

    def _server_failed(self, connection: Connection, error: BaseException | None) -> None:
        if connection.phase == ACCEPTING:
            # Too late to take the SYN|ACK back: the client gets its RST as soon as its handshake completes.
            connection.error = error
        elif isinstance(error, ConnectionRefused):
            self._reject(connection, Verdict.REJECT_RST, "refused", error)
        elif isinstance(error, (HostUnreachable, NetworkUnreachable)):
            self._reject(connection, Verdict.REJECT_SILENT, "unreachable", error)
        else:
            self._reject(connection, Verdict.REJECT_SILENT, "silent", error)

    def server_silent(self, connection: Connection) -> None:
        """Its time to answer is over."""
        self._reject(connection, Verdict.REJECT_SILENT, "silent", None)

    def _reject(
        self, connection: Connection, verdict: Verdict, outcome: str, error: BaseException | None
    ) -> None:
        self.finish(connection, outcome, error)
        connection.first.deliver(verdict)

    # The client's side.

    def client_gone(self, connection: Connection) -> None:
        """The client has reset its attempt, or did not complete its handshake in time."""
        self.finish(connection, "handshake" if connection.phase == ACCEPTING else "client-gone")

    def _on_accept(self, listener: Socket, events: int) -> None:
        """Upcall of the listeners: clients whose handshake has completed."""
        while listener.readable:
            self._accept(accept_one(listener))

    def _accept(self, client: Socket) -> None:
        connection = client.user_context
        if not isinstance(connection, Connection) or connection.phase != ACCEPTING:
            abort_socket(client)  # finished meanwhile: its server has gone
        else:
            self._open(connection, client)

    def _open(self, connection: Connection, client: Socket) -> None:
        server = connection.server
        assert server is not None
        connection.client = client
        if connection.error is not None or server.error is not None:
            self.finish(connection, "reset", connection.error or server.error)
            return
        connection.phase = OPEN
        connection.syn = None
        self.counts["opened"] += 1
        server.on_event = None
        self.join_sockets(connection, client, server)

    def join_sockets(self, connection: Connection, client: Socket, server: Socket) -> None:
        """Joins the two sockets of an open connection."""
        try:
            joint = connection.joint = self.join(connection, client, server)
        except PolicyError as error:
            self._told_failed(connection, error)
            return
        except Exception as error:  # an upcall that raises would cost the listener
            log.exception("joining %r failed", connection)
            self.finish(connection, "reset", error)
            return
        if server.tcb is not None:
            acknowledge_now(server.tcb)  # with what the client's ACK has brought along
        self.tell("open", connection)
        if joint.done:
            self.joint_done(connection, joint)
        else:
            joint.on_done = connection.on_joint_done

    def joint_done(self, connection: Connection, joint: Joint) -> None:
        """Both streams have ended, or something has ended them."""
        error = joint.error
        if error is None:
            self.finish(connection, "closed")
        elif isinstance(error, PolicyError):
            if self.on_error is not None:
                self.on_error(str(error))
            self.finish(connection, "policy-error", error)
        else:
            self.finish(connection, "timeout" if isinstance(error, TimedOut) else "reset", error)

    # The end.

    def finish(self, connection: Connection, outcome: str, error: BaseException | None = None) -> None:
        """Ends `connection`, whatever its phase; what is still open of it is reset."""
        if connection.phase == FINISHED:
            return
        connection.phase = FINISHED
        connection.outcome = outcome
        connection.error = error
        connection.ended = self.stack.tcp.now
        self.stack.wheel.disarm(connection)
        self.active.pop(connection.serial, None)
        passed = self.passing.pop(connection.serial, None) is not None and not connection.recorded
        if passed:  # nobody has asked for more than that it passes
            connection.release()
            return
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        self.counts["client_bytes"] += connection.client_bytes
        self.counts["server_bytes"] += connection.server_bytes
        joint = connection.joint
        if joint is not None:
            joint.on_done = None
            if type(joint) is not Splice or not joint.done:
                joint.abort()
        else:
            for end in (connection.client, connection.server):
                if end is not None:
                    end.on_event = None
                    abort_socket(end)
        connection.release()
        self.tell("finished", connection)

    def tell(self, what: str, connection: Connection) -> None:
        """Calls `on_event`; that it raises is its own affair, and the proxy goes on."""
        if self.on_event is not None:
            try:
                self.on_event(what, connection)
            except Exception:
                log.exception("on_event of the proxy raised for %r", connection)

    # What an operator does and asks.

    def change(self, connection: Connection, state: str, wait: float = 5.0) -> str:
        """Brings a connection to another state: see :func:`uinet.proxy.states.change`."""
        return states.change(self, connection, state, wait)

    def try_change(self, connection: Connection) -> None:
        """Looks whether what a connection waits for is safe by now."""
        states.try_change(self, connection)

    def connection(self, serial: int) -> Connection | None:
        """The connection of that number, if there is one."""
        return self.active.get(serial) or self.passing.get(serial)

    def connections(self) -> list[Connection]:
        """All of them: held, proxied, and bridged ones that are known, records of which are made if need be."""
        if self.flows is not None:
            for flow in self.flows.table.nodes():
                states.connection_of(self, flow)
        return [*self.active.values(), *self.passing.values()]

    def drain(self) -> None:
        """Takes no new connections from now on: they pass untouched, or are dropped without `bridge`."""
        self.draining = True

    def abort(self) -> None:
        """Resets every connection and stops listening; what the interfaces bridge goes on passing."""
        self.draining = True
        self.stack.tcp.refresh()
        for connection in list(self.active.values()):
            syn = connection.syn if connection.phase in (HELD, CONNECTING) else None
            self.finish(connection, "shutdown", ConnectionAborted("the proxy stopped"))
            if syn is not None:
                syn.deliver(Verdict.REJECT_RST)
        for listener in self.listeners:
            listener.close()
        self.listeners = []

    def statistics(self) -> dict[str, int]:
        """The counters by name, with bytes up to now, connections by phase and outcomes."""
        phases = dict.fromkeys((HELD, CONNECTING, ACCEPTING, OPEN, PASSING), 0)
        if self.flows is not None:
            phases[PASSING] = len(self.flows)
        counts = dict(self.counts)
        for connection in self.active.values():
            phases[connection.phase] += 1
            counts["client_bytes"] += connection.client_bytes
            counts["server_bytes"] += connection.server_bytes
        return {**counts, **phases, **self.outcomes}
