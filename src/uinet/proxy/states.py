"""The four states of a flow between the proxy's two sides, and the ways between them.

=========== ==========================================================================================================
pass        it is bridged, frame by frame, and nobody looks at it: the cheapest
track       it is bridged, and read passively: what an endpoint would know of it is known here
hold        its SYN is kept until somebody decides
intercept   it is proxied: both ends talk to us
=========== ==========================================================================================================

A tracked flow can be intercepted in its middle, and an intercepted one whose streams nobody rewrites be let go again.
Where that is not safe at once it is tried until it is, for as long as was asked; what stands in the way is the
connection's `refusal`, and after that time the flow is what it was.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from uinet.bridging.constants import PASS, STATES, TRACK
from uinet.bridging.flow import BridgedFlow
from uinet.bridging.moves import let_go, parsed, take_over
from uinet.errors import InvalidArgument, Unsafe
from uinet.proxy.connection import BRIDGED, FINISHED, HELD, OPEN, Connection
from uinet.splicing import Splice
from uinet.tcp.offer import Offer
from uinet.tcp.send import wants_output
from uinet.tcp.syn import Syn
from uinet.units import MILLISECOND, seconds
from uinet.wire.packet import Packet
from uinet.wire.segment import Segment

if TYPE_CHECKING:
    from uinet.proxy.engine import Proxy
    from uinet.tcp.tcb import Tcb

POLL = 1 * MILLISECOND  # how often it is looked whether a connection has drained


def begin_bridged(proxy: Proxy, connection: Connection, state: int) -> None:
    """The SYN of `connection` is about to be bridged: the flow that it begins is known from now on."""
    table = proxy.flows
    syn = connection.first
    syn.on_gone = None
    if syn.context is connection:
        syn.context = None
    found = parsed(syn.interface, syn.original) if table is not None else None
    if table is None or found is None:
        forget(proxy, connection)
        return
    packet, seg = found
    packet.now = proxy.stack.tcp.now
    flow = table.add(packet)
    if flow is None:
        forget(proxy, connection)
        return
    flow.client_offer = Offer(packet.data, seg)
    tracked = state == TRACK and table.start_tracking(flow)
    put_down(proxy, connection, flow)
    if tracked:
        flow.track.segment(True, packet, seg)


def forget(proxy: Proxy, connection: Connection) -> None:
    """The connection passes, and there is no room to know it."""
    proxy.active.pop(connection.serial, None)
    connection.phase = FINISHED
    connection.release()


def put_down(proxy: Proxy, connection: Connection, flow: BridgedFlow) -> None:
    """`connection` is bridged, as `flow`, from now on."""
    connection.bridged = flow
    flow.connection = connection
    connection.phase = BRIDGED
    proxy.active.pop(connection.serial, None)
    proxy.passing[connection.serial] = connection
    read(proxy, connection)
    note(proxy, connection)


def read(proxy: Proxy, connection: Connection) -> None:
    """Gives the policy the streams of a tracked flow, if it wants them."""
    flow = connection.bridged
    if flow is None or flow.track is None or proxy.policy is None or proxy.policy.tracked is None:
        return
    for side, from_client in ((flow.track.client, True), (flow.track.server, False)):
        side.reader = partial(tell_bytes, proxy, connection, from_client)


def tell_bytes(proxy: Proxy, connection: Connection, from_client: bool, data: bytes) -> None:
    """The next bytes of a tracked stream. What the policy's function raises is told once, and ends its reading."""
    assert proxy.policy is not None and proxy.policy.tracked is not None
    try:
        proxy.policy.tracked(data, from_client, connection)
    except (Exception, SystemExit) as error:
        if proxy.on_error is not None:
            proxy.on_error(proxy.policy.describe(error))
        track = connection.bridged.track if connection.bridged is not None else None
        if track is not None:
            track.client.reader = track.server.reader = None


def note(proxy: Proxy, connection: Connection) -> None:
    """The connection has come to another state."""
    state = connection.state
    if connection.changes and connection.changes[-1][1] == state:
        return
    connection.changes.append((proxy.stack.tcp.now, state))
    if state != STATES[PASS]:
        connection.recorded = True
    proxy.tell("state", connection)


def ended(proxy: Proxy, flow: BridgedFlow, why: str) -> None:
    """A flow has left the table."""
    connection = flow.connection
    if isinstance(connection, Connection):
        proxy.finish(connection, why, None)


def connection_of(proxy: Proxy, flow: BridgedFlow) -> Connection:
    """The record of a flow, made if it has none: its SYN was not seen, or excluded."""
    if isinstance(flow.connection, Connection):
        return flow.connection
    packet, seg = Packet(), Segment()
    packet.data = flow.header
    packet.l3 = len(flow.header)
    packet.vids = flow.vids
    packet.interface = flow.near
    packet.src_hi, packet.src_lo, seg.source_port = flow.client_hi, flow.client_lo, flow.client_port
    packet.dst_hi, packet.dst_lo, seg.destination_port = flow.server_hi, flow.server_lo, flow.server_port
    connection = proxy.new_connection(Syn(packet, seg), flow.near is proxy.sides[1])
    put_down(proxy, connection, flow)
    return connection


# changes


def change(proxy: Proxy, connection: Connection, state: str, wait: float) -> str:
    """Brings a connection to `state`; "" if it is there, else why not yet: it is tried for `wait` seconds.

    Unsafe if that can't be, or not at once where `wait` is 0; it is what it was then. InvalidArgument for what is no
    state.
    """
    if state not in STATES:
        raise InvalidArgument(f"{state!r} is no state of a flow: there are {', '.join(STATES)}")
    if connection.phase == FINISHED:
        raise Unsafe("it is over")
    proxy.stack.tcp.refresh()
    give_up(proxy, connection, "")
    if connection.state == state and (connection.phase in (HELD, BRIDGED, OPEN)):
        return ""
    if connection.phase == HELD:
        proxy.decided(connection, state)
        return ""
    if state == "hold":
        raise Unsafe("only a SYN can be held")
    if connection.phase not in (BRIDGED, OPEN):
        raise Unsafe("its handshake is not complete")
    if connection.phase == BRIDGED and state != "intercept":
        track(proxy, connection, state == "track")
        return ""
    return begin_change(proxy, connection, state, wait)


def track(proxy: Proxy, connection: Connection, wanted: bool) -> None:
    """Between pass and track."""
    flow, table = connection.bridged, proxy.flows
    assert flow is not None and table is not None
    if wanted:
        if not table.start_tracking(flow):
            raise Unsafe(f"{table.tracked_limit} flows are tracked already")
        read(proxy, connection)
    else:
        connection.count_bytes()
        table.untrack(flow)
    note(proxy, connection)


def begin_change(proxy: Proxy, connection: Connection, state: str, wait: float) -> str:
    """A takeover, or the way back: now if it is safe, else as soon as it is."""
    flow = connection.bridged
    if flow is not None and flow.state == PASS:
        track(proxy, connection, True)
        connection.only_to_take_over = True
    why = attempt(proxy, connection, state)
    if not why:
        return ""
    connection.refusal = why
    if wait <= 0 or not Unsafe(why).may_pass:
        give_up(proxy, connection, why)
        raise Unsafe(why)
    connection.wanted = state
    connection.give_up_at = proxy.stack.tcp.now + seconds(wait)
    if flow is not None:
        flow.waiting = connection.on_segment
    else:
        squeeze(connection)
    proxy.stack.wheel.arm(connection, proxy.stack.tcp.now + POLL)
    proxy.stack.kick()
    return why


def try_change(proxy: Proxy, connection: Connection) -> None:
    """Something has happened to a connection that waits for a change, or time has passed."""
    why = attempt(proxy, connection, connection.wanted)
    if not why:
        return
    connection.refusal = why
    now = proxy.stack.tcp.now
    if now >= connection.give_up_at or not Unsafe(why).may_pass:
        give_up(proxy, connection, why)
        proxy.tell("refused", connection)
        return
    if connection.deadline == 0:
        proxy.stack.wheel.arm(connection, now + POLL)


def attempt(proxy: Proxy, connection: Connection, state: str) -> str:
    """Does it, and answers "", or why it can't be done."""
    try:
        if connection.phase == BRIDGED:
            intercept(proxy, connection)
        else:
            release(proxy, connection, state)
    except Unsafe as error:
        return str(error)
    return ""


def settle(proxy: Proxy, connection: Connection) -> None:
    """Nothing is waited for any more."""
    connection.wanted = connection.refusal = ""
    connection.only_to_take_over = False
    connection.squeezed = None
    proxy.stack.wheel.disarm(connection)


def give_up(proxy: Proxy, connection: Connection, why: str) -> None:
    """The connection stays what it is, or was before it was tracked to be taken over."""
    flow = connection.bridged
    if flow is not None:
        flow.waiting = None
    if connection.squeezed is not None:
        relax(connection)
    back = connection.only_to_take_over
    settle(proxy, connection)
    connection.refusal = why
    if back and flow is not None and flow.state == TRACK:
        track(proxy, connection, False)


def intercept(proxy: Proxy, connection: Connection) -> None:
    """Takes a tracked flow over."""
    flow, table = connection.bridged, proxy.flows
    assert flow is not None and table is not None
    exact = proxy.policy is not None and proxy.policy.rewrites
    counts = connection.client_bytes, connection.server_bytes
    client, server = take_over(table, flow, exact)
    connection.told_client_bytes, connection.told_server_bytes = counts
    connection.bridged = None
    connection.client, connection.server = client, server
    proxy.passing.pop(connection.serial, None)
    proxy.active[connection.serial] = connection
    settle(proxy, connection)
    proxy.counts["taken_over"] += 1
    connection.phase = OPEN
    note(proxy, connection)
    proxy.join_sockets(connection, client, server)


def release(proxy: Proxy, connection: Connection, state: str) -> None:
    """Lets an intercepted connection go."""
    joint, table = connection.joint, proxy.flows
    client, server = connection.client, connection.server
    if table is None:
        raise Unsafe("this proxy does not bridge")
    if not isinstance(joint, Splice):
        raise Unsafe("its streams pass through a policy")
    assert client is not None and server is not None
    flow = let_go(table, client, server)
    connection.count_bytes()
    joint.on_done = None
    connection.joint = connection.client = connection.server = None
    settle(proxy, connection)
    proxy.counts["let_go"] += 1
    if state == "track":
        table.start_tracking(flow)
    put_down(proxy, connection, flow)
    proxy.stack.kick()


# draining


def squeeze(connection: Connection) -> None:
    """Both halves offer no more window than they have told: what is on its way is passed on, and no more comes."""
    a, b = halves(connection)
    connection.squeezed = (a.rcv_limit, bool(a.receive_auto), b.rcv_limit, bool(b.receive_auto))
    for tcb in (a, b):
        tcb.receive_auto = False
        tcb.rcv_limit = 0


def relax(connection: Connection) -> None:
    """Undoes it."""
    if connection.squeezed is None or connection.client is None:
        return
    a, b = halves(connection)
    a_limit, a_auto, b_limit, b_auto = connection.squeezed
    connection.squeezed = None
    for tcb, limit, auto in ((a, a_limit, a_auto), (b, b_limit, b_auto)):
        tcb.rcv_limit = limit
        tcb.receive_auto = auto
        if tcb.state:
            tcb.ack_now = True
            wants_output(tcb)


def halves(connection: Connection) -> tuple[Tcb, Tcb]:
    """The two connections of an intercepted one."""
    assert connection.client is not None and connection.server is not None
    a, b = connection.client.tcb, connection.server.tcb
    assert a is not None and b is not None
    return a, b

