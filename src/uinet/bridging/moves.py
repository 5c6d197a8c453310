"""Between bridge and proxy: taking a tracked flow over in its middle, and letting an intercepted one go again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uinet.bridging.constants import CLIENT_FIN, SERVER_FIN
from uinet.bridging.flow import BridgedFlow
from uinet.bridging.track import Side, Track, why_not
from uinet.bridging.translate import Translation
from uinet.errors import Unsafe
from uinet.seq import seq_diff, seq_gt
from uinet.socket import adopt_connection
from uinet.tcp.close import release
from uinet.tcp.layout import mss_within
from uinet.tcp.offer import made_offer, uses_ecn
from uinet.tcp.state import CLOSE_WAIT, CLOSED, ESTABLISHED, FIN_WAIT_2, change
from uinet.tcp.takeover import Learned, establish, is_taken, tell_window
from uinet.tcp.tcb import Tcb
from uinet.units import MASK32, MILLISECOND
from uinet.wire.constants import ETHERTYPE_IPV4
from uinet.wire.frame import CHECKSUM_VALID, Frame
from uinet.wire.packet import Packet
from uinet.wire.segment import Segment

if TYPE_CHECKING:
    from uinet.bridging.table import FlowTable
    from uinet.ip.interface import Interface
    from uinet.socket import Socket
    from uinet.stack import Stack

LEAST_WINDOW = 32  # units of the scale that was told: a window of fewer would be told much too inexactly


def parsed(interface: Interface, frame: Frame) -> tuple[Packet, Segment] | None:
    """A whole TCP packet taken apart once more; None if that can't be."""
    packet = Packet()
    seg = Segment()
    packet.interface = interface
    if packet.parse_link(frame, interface.layer):
        return None
    if packet.parse_ipv4() if packet.ethertype == ETHERTYPE_IPV4 else packet.parse_ipv6():
        return None
    if packet.version == 6:
        interface.network.extensions.walk(packet)
    packet.checksum = CHECKSUM_VALID  # it was verified when it came
    return None if seg.parse(packet) else (packet, seg)


def take_over(table: FlowTable, flow: BridgedFlow, exact: bool = False) -> tuple[Socket, Socket]:
    """Goes on as both ends of a tracked flow, which leaves the table: the sockets towards its client and its server.

    `exact`: its streams will be rewritten. Unsafe, with the reason; then nothing has happened.
    """
    stack = table.stack
    track: Track | None = flow.track
    if track is None:
        raise Unsafe("it is not tracked")
    why = why_not(track, exact, stack.now)
    if why:
        raise Unsafe(why)
    near, far = learn(flow, track, True), learn(flow, track, False)
    stack.tcp.refresh()
    for learned in (near, far):
        if is_taken(stack.tcp, learned):
            raise Unsafe("another connection of this stack has its addresses and ports")
    if flow.translation is not None:
        to_far_side(far, flow.translation)
    client, server = make(stack, near), make(stack, far)
    table.remove(flow, "")
    return client, server


def make(stack: Stack, learned: Learned) -> Socket:
    """A socket that goes on as the endpoint of `learned`."""
    assert learned.interface is not None
    config = stack.promiscuous_config(learned.interface.cdom)
    return adopt_connection(stack, establish(stack.tcp, learned, config), config)


def learn(flow: BridgedFlow, track: Track, near: bool) -> Learned:
    """What the endpoint knows that is played towards the client (`near`), or towards the server."""
    we, peer = (track.server, track.client) if near else (track.client, track.server)
    assert track.client.offer is not None and track.server.offer is not None
    assert we.offer is not None and peer.offer is not None
    found = Learned()
    send_state(found, we)
    receive_state(found, we, peer)
    found.peer_mss = peer.offer.mss
    found.scale, found.peer_scale = we.scale, peer.scale
    found.sack = we.offer.sack and peer.offer.sack
    found.timestamps = we.offer.timestamps and peer.offer.timestamps
    found.ecn = uses_ecn(track.client.offer, track.server.offer)
    found.tsval, found.tsval_at = we.tsval, we.tsval_at
    found.ts_recent = we.tsecr if we.tsecr_known else peer.tsval
    found.ttl = we.ttl
    found.interface = flow.near if near else flow.far
    found.vids = flow.vids
    found.link_header = we.header
    client = (flow.client_hi, flow.client_lo, flow.client_port)
    server = (flow.server_hi, flow.server_lo, flow.server_port)
    found.local, found.remote = (server, client) if near else (client, server)
    return found


def send_state(found: Learned, we: Side) -> None:
    """The send sequence space of one side."""
    found.una = we.una
    found.nxt = we.nxt
    if seq_gt(we.una, we.nxt):
        found.nxt = we.una
    found.fin = we.fin and we.nxt == we.fin_at
    found.fin_acked = we.fin_acked
    found.passed = we.high
    if we.fin and seq_diff(we.fin_at, we.high) >= 0:
        found.passed = (we.fin_at + 1) & MASK32
    if we.midstream and seq_gt(we.edge, found.passed):
        found.passed = (we.edge + 1) & MASK32  # what had passed before is in the window, or is a probe
    found.unacked = we.queue
    found.window, found.wl1, found.wl2 = we.window, we.wl1, we.wl2
    found.max_window = we.max_window
    found.sacks = we.sacks
    found.rtt = we.rtt


def receive_state(found: Learned, we: Side, peer: Side) -> None:
    """The receive sequence space of one side: what its peer has sent."""
    found.acked = (peer.una + 1) & MASK32 if peer.fin_acked else peer.una
    found.rcv_nxt = peer.nxt
    found.edge = peer.edge
    found.islands = peer.islands
    found.peer_fin = peer.fin and peer.nxt == peer.fin_at
    found.peer_fin_at = peer.fin_at if peer.fin and not found.peer_fin else -1


def to_far_side(found: Learned, by: Translation) -> None:
    """Numbers of the near side become those that the server knows."""
    for name in ("una", "nxt", "passed", "wl2"):
        setattr(found, name, (getattr(found, name) + by.client_seq) & MASK32)
    for name in ("rcv_nxt", "acked", "edge", "wl1"):
        setattr(found, name, (getattr(found, name) - by.server_seq) & MASK32)
    if found.peer_fin_at >= 0:
        found.peer_fin_at = (found.peer_fin_at - by.server_seq) & MASK32
    found.sacks = [(edge + by.client_seq) & MASK32 for edge in found.sacks]
    found.tsval = (found.tsval + by.client_ts) & MASK32
    found.ts_recent = (found.ts_recent - by.server_ts) & MASK32
    if found.islands is not None:
        for island in found.islands.islands:
            island.start = (island.start - by.server_seq) & MASK32
            island.end = (island.end - by.server_seq) & MASK32
    found.scale = by.client_told
    found.peer_scale = by.server_scale


# the way back


def why_not_let_go(a: Tcb, b: Tcb) -> str:
    """Why the two halves of a spliced connection can't be one flow now; "" if they can."""
    for tcb in (a, b):
        if tcb.state not in (ESTABLISHED, CLOSE_WAIT, FIN_WAIT_2):
            return "it is being opened or closed"
        if tcb.auth is not None:
            return "its segments are signed"
        if tcb.accecn is not None:
            return "it uses accurate ECN"
        if tcb.urgent_out or tcb.urgent_in:
            return "there is urgent data"
    if a.state != ESTABLISHED and a.state == b.state:
        return "it is being opened or closed"
    if bool(a.ts_ok) != bool(b.ts_ok):
        return "only one of its halves uses timestamps"
    if bool(a.ecn_ok) != bool(b.ecn_ok):
        return "only one of its halves uses ECN"
    why = unequal(a, b) or unequal(b, a)
    return why or undrained(a, b) or undrained(b, a)


def unequal(a: Tcb, b: Tcb) -> str:
    """What the two ends have agreed on that does not fit together, as far as `a` has told it its peer."""
    taken = a.extras is not None and a.extras.taken and b.extras is not None and b.extras.taken
    if not taken and mss_within(a, a.max_segment) > b.peer_mss:
        return f"one side was told that segments may be larger than the {b.peer_mss} bytes that the other takes"
    if a.rcv_scale > b.snd_scale and b.max_snd_wnd < LEAST_WINDOW << a.rcv_scale:
        return "one side's window is too small for the scale that the other was told"
    return ""


def undrained(a: Tcb, b: Tcb) -> str:
    """What of the stream from `a` to `b` is still here."""
    if a.rcv_buf is not None or a.fin_held:
        return "bytes that were received have not been passed on: drain first"
    if a.reassembly is not None:
        return "bytes wait for what is missing before them: drain first"
    if b.snd_buf is not None or b.snd_una != b.snd_nxt or b.persisting:
        return "bytes that were acknowledged to one side are not by the other: drain first"
    if a.fin_received and not b.fin_acked:
        return "the end of a stream has not been passed on: drain first"
    return ""


def let_go(table: FlowTable, client: Socket, server: Socket) -> BridgedFlow:
    """Makes a spliced connection one flow of the table: from now on its ends talk to each other. Both sockets are over;
    nobody is told, and nothing is sent but the window of each side to the other.

    Unsafe, with the reason; then nothing has happened.
    """
    a, b = client.tcb, server.tcb
    assert a is not None and b is not None
    why = why_not_let_go(a, b)
    if why:
        raise Unsafe(why)
    translation = translation_between(a, b)
    if not translation.trivial and table.translated >= table.translated_limit:
        raise Unsafe(f"{table.translated_limit} flows are translated already")
    flow = flow_between(table, a, b)
    if table.table.count >= table.limit and not table.make_room():
        raise Unsafe("the table of flows is full")
    if not translation.trivial:
        flow.translation = translation
    flow.client_offer = made_offer(a.snd_scale, a.peer_mss, a, False)
    flow.server_offer = made_offer(a.rcv_scale, b.peer_mss, a, True)
    flow.ends = (CLIENT_FIN if a.fin_received else 0) | (SERVER_FIN if b.fin_received else 0)
    if a.fin_received:
        flow.client_fin = (a.rcv_nxt - 1) & MASK32
    if b.fin_received:
        flow.server_fin = (a.snd_nxt - 1) & MASK32
    table.put(flow)
    tell_window(a, b.snd_wnd)
    tell_window(b, a.snd_wnd)
    for sock in (client, server):
        step_aside(sock)
        table.stack.stats.count("tcp_let_go")
    return flow


def translation_between(a: Tcb, b: Tcb) -> Translation:
    """What is different between the half towards the client and the one towards the server; both are drained."""
    found = Translation()
    found.client_seq = (b.snd_nxt - a.rcv_nxt) & MASK32
    found.server_seq = (a.snd_nxt - b.rcv_nxt) & MASK32
    found.client_scale, found.client_told = a.snd_scale, b.rcv_scale
    found.server_scale, found.server_told = b.snd_scale, a.rcv_scale
    found.sack = bool(a.sack_ok and b.sack_ok) or not (a.sack_ok or b.sack_ok)
    if a.ts_ok:
        found.client_ts = clock_step(b, a.ts_recent)
        found.server_ts = clock_step(a, b.ts_recent)
    return found


def clock_step(tcb: Tcb, theirs: int) -> int:
    """What to add to the timestamps of an endpoint, whose last was `theirs`, so that they follow those that `tcb` has
    sent as that endpoint: none may be older than one before."""
    last = (tcb.context.now // MILLISECOND + tcb.ts_offset) & MASK32
    return (last - theirs) & MASK32 if seq_gt(last, theirs) or not (tcb.extras and tcb.extras.taken) else 0


def flow_between(table: FlowTable, a: Tcb, b: Tcb) -> BridgedFlow:
    """A flow with the key of a connection's two halves, in no table yet."""
    flow = BridgedFlow()
    flow.table = table
    flow.near, flow.far = a.interface, b.interface
    flow.vids = a.vids
    flow.header = b.link_header or b""
    flow.client_hi, flow.client_lo, flow.client_port = a.raddr_hi, a.raddr_lo, a.rport
    flow.server_hi, flow.server_lo, flow.server_port = a.laddr_hi, a.laddr_lo, a.lport
    flow.hash = table.hash_of(
        a.raddr_hi, a.raddr_lo, a.rport, a.laddr_hi, a.laddr_lo, a.lport, a.vids
    )
    flow.last = table.stack.now
    flow.client_frames = flow.server_frames = 1  # both were heard
    return flow


def step_aside(sock: Socket) -> None:
    """Forgets a connection that goes on without us: nothing is sent, and nobody is told."""
    tcb = sock.tcb
    assert tcb is not None
    sock.on_event = None
    sock.closed = True
    if tcb.state == CLOSED:
        return
    tcb.orphan = True
    if tcb.extras is not None:
        tcb.extras.splice = None
    change(tcb, CLOSED)
    tcb.context.ended += 1
    release(tcb)
    tcb.events = 0
    tcb.owner = None

