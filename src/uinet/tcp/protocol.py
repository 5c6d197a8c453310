"""TCP of one stack: where segments come in, connections are kept, and timers come due."""

from __future__ import annotations

from collections import OrderedDict

from uinet.errors import (
    AddressInUse,
    ConnectionAborted,
)
from uinet.events import EV_ACCEPT, EV_CLOSED
from uinet.interning import Interned
from uinet.ip.icmp import PORT_UNREACHABLE, PROHIBITED, PROTOCOL_UNREACHABLE, TOO_BIG, exception_of
from uinet.ip.input import SegmentInput
from uinet.ip.interface import Interface
from uinet.ip.network import Network
from uinet.seq import seq_geq, seq_lt
from uinet.tcp.arrive import segment_arrives
from uinet.tcp.calls import open_active
from uinet.tcp.close import abort, finish, forget_unread, release
from uinet.tcp.config import configure
from uinet.tcp.congestion.growth import initial_window
from uinet.tcp.constants import COPIED, COPY_RX, NO_TIME_WAIT
from uinet.tcp.context import Context
from uinet.tcp.cookies import answer_flood, flooded
from uinet.tcp.cork import Corked
from uinet.tcp.discovery import BELIEVED, REFUSED, too_big
from uinet.tcp.fast_open import ClientCookies, FastOpen, ServerCookies, begin_client
from uinet.tcp.feedback import enter, take_last_ack
from uinet.tcp.go_active import wait_for_answer
from uinet.tcp.half_open import entry_from_cookie, segment_for_entry
from uinet.tcp.keys import NO_KEYS
from uinet.tcp.layout import is_v4
from uinet.tcp.listen import syn_arrives
from uinet.tcp.listener import NO_QUEUE, Listener, Listeners
from uinet.tcp.negotiate import agree, established
from uinet.tcp.notify import note_soft_error, notify
from uinet.tcp.passive import Watch
from uinet.tcp.ports import Ports
from uinet.tcp.receive import take_data
from uinet.tcp.reception import Reception
from uinet.tcp.recovery import send_all_again
from uinet.tcp.reset import RstLimit, path_back, reset_for
from uinet.tcp.rtt import sample
from uinet.tcp.send import output, wants_output
from uinet.tcp.signing import admitted
from uinet.tcp.sound import source_is_sound
from uinet.tcp.state import CLOSED, ESTABLISHED, SYN_RECEIVED, SYN_SENT, change
from uinet.tcp.syn import Syn, Verdict
from uinet.tcp.syn_answer import cookie_for, entry_due
from uinet.tcp.syn_cache import SynEntry, drop, keep, unfile
from uinet.tcp.syn_events import BACKLOG, note_packet
from uinet.tcp.syn_filter import decide
from uinet.tcp.table import Entry, Table
from uinet.tcp.tcb import Tcb, new_tcb
from uinet.tcp.time_wait import TimeWait, remains_of, segment_for
from uinet.tcp.timeout import expire
from uinet.tcp.timers import RTO_AFTER_LOST_SYN, rearm, start_retransmit
from uinet.tcp.user_timeout import adopt
from uinet.units import MASK32
from uinet.wheel import Timer
from uinet.wire.addresses import split
from uinet.wire.constants import ACK, FIN, RST, SYN
from uinet.wire.kernels import load_u16, load_u32, track
from uinet.wire.packet import Packet
from uinet.wire.segment import SEGMENT_DROPS, Segment

FLUSH_ROUNDS = 16


class Tcp(Context):
    """The TCP of a stack."""

    def __init__(self, network: Network) -> None:
        super().__init__(network)
        self.seg_scratch = Segment()
        self.listeners = Listeners(Table(self.table.k1, self.table.k0))
        self.time_wait: OrderedDict[TimeWait, None] = OrderedDict()
        self.ports = Ports(self)
        self.rst_limit = RstLimit()
        self.fast_server = ServerCookies(network.random.secret("tcp fast open"), self.settings)
        self.fast_client = ClientCookies(self.settings)
        self.gone: list[tuple[Syn, str]] = []
        self.rx = 0
        self.connections = 0
        self.watch: Watch | None = None  # made when first needed
        self.deferred = 0  # SYNs that wait for a verdict
        self.kept = 0  # bytes of segments kept for them
        self.interned = Interned()
        self.keyed = False  # some socket has had keys for signed segments

    # segments in

    def input(self, packet: Packet) -> bool:
        """Takes a TCP packet; False if nobody here wants it (and it was not answered): it may be bridged."""
        seg = self.seg_scratch
        self.rx += 1
        code = seg.parse(packet)
        if code:
            self.stats.count(SEGMENT_DROPS[code])
            return packet.interface.bridge is None
        interface = packet.interface
        entry = self.table.find(
            interface.cdom, packet.vids, packet.dst_hi, packet.dst_lo, seg.destination_port, packet.src_hi,
            packet.src_lo, seg.source_port,
        )
        if packet.beyond and (not isinstance(entry, Tcb) or entry.auth is not None):
            packet.gather()
        if entry is None:
            return self.without_connection(packet, seg, -1)
        if entry.marks & COPY_RX:
            self.copies.came(entry, packet)
        if isinstance(entry, Tcb):
            segment_arrives(entry, packet, seg)
        elif isinstance(entry, Reception):
            assert self.watch is not None
            return self.watch.input(entry, packet, seg)
        elif isinstance(entry, SynEntry):
            return self.for_half_open(entry, packet, seg)
        elif entry.auth is not None and not admitted(self, entry, packet, seg):
            return True
        elif isinstance(entry, TimeWait) and segment_for(entry, seg, self.has_listener(packet, seg)):
            floor = (entry.snd_nxt + 65536) & MASK32
            self.end_time_wait(entry)
            self.stats.count("tcp_time_wait_recycled")
            return self.without_connection(packet, seg, floor)
        return True

    def listener_for(self, packet: Packet, seg: Segment) -> Listener | None:
        """Who listens where the segment wants to go."""
        interface: Interface = packet.interface
        return self.listeners.find(
            interface.cdom, packet.vids, packet.dst_hi, packet.dst_lo, seg.destination_port
        )

    def has_listener(self, packet: Packet, seg: Segment) -> bool:
        """Whether the segment is a SYN that somebody listens for."""
        return seg.flags & SYN != 0 and self.listener_for(packet, seg) is not None

    def for_half_open(self, entry: SynEntry, packet: Packet, seg: Segment) -> bool:
        """A segment for an entry of the SYN cache; False if it is to be bridged: a passive listener holds nothing."""
        if entry.auth is not None and not admitted(self, entry, packet, seg):
            return True
        passes = entry.listener is not None and entry.listener.passive and packet.interface.bridge is not None
        if segment_for_entry(self, entry, packet, seg):
            self.complete(entry, packet, seg)
        return not passes

    def watching(self) -> Watch:
        """What watches connections."""
        if self.watch is None:
            self.watch = Watch(self)
        return self.watch

    def wait_for_answer(self, listener: Listener, primary: Reception, syn: Syn) -> None:
        """Answers a watched SYN if nobody else does in the time that its filter has set."""
        wait_for_answer(self, listener, primary, syn)

    def without_connection(self, packet: Packet, seg: Segment, floor: int) -> bool:
        """A segment of no connection: a SYN or a cookie for a listener, or RFC 9293 3.10.7.1."""
        interface = packet.interface
        if seg.source_port == 0 or seg.destination_port == 0:
            self.stats.count("tcp_bad_port")
            return interface.bridge is None
        if self.deferred and self.kept_for_later(packet, seg):
            return interface.bridge is None
        if self.listeners.passive and self.overheard(packet, seg):
            return interface.bridge is None
        if not seg.flags & RST and (seg.flags & (SYN | ACK)) != (SYN | ACK):
            listener = self.listener_for(packet, seg)
            if listener is not None:
                if seg.flags & SYN:
                    if self.is_flood(listener, packet, seg):
                        answer_flood(self, listener, packet, seg)
                        return True
                    return syn_arrives(self, listener, packet, seg, floor)
                if not seg.flags & ACK:
                    self.stats.count("tcp_no_ack")  # RFC 9293 3.10.7.2, fourth
                    return True
                if seg.flags & ACK and listener.cookies_until > self.now:
                    if listener.accepted is not NO_QUEUE and len(listener.accepted) >= listener.backlog:
                        self.stats.count("tcp_listen_overflow")
                        if self.syn_events is not None:
                            note_packet(self, BACKLOG, packet, seg)
                        return True
                    entry = entry_from_cookie(self, listener, packet, seg)
                    if entry is not None:
                        self.table.insert(entry)
                        self.syn_count += 1
                        listener.begin(entry)
                        self.complete(entry, packet, seg)
                        return True
        if interface.bridge is not None:
            return False
        self.stats.count("tcp_no_connection")
        if interface.promiscuous and not (interface.answer_any and packet.for_me(interface.mac)):
            return True  # somebody else's traffic: only an interface that claims every address may reset it
        if not packet.group and not self.in_blackhole(seg):
            self.reset_stranger(packet, seg)
        return True

    def is_flood(self, listener: Listener, packet: Packet, seg: Segment) -> bool:
        """Whether a SYN is one of so many that only a cookie can answer it, and nothing else about it matters."""
        return (
            flooded(self, listener) and not self.keyed and not listener.passive and seg.cookie_length < 0
            and not seg.signed and not seg.flags & (FIN | RST)
            and (listener.accepted is NO_QUEUE or len(listener.accepted) < listener.backlog)
            and source_is_sound(packet, seg)
        )

    def reset_stranger(self, packet: Packet, seg: Segment) -> None:
        """Resets a segment of no connection. Where a listener has a key for its sender the segment has to be signed,
        and the RST is: with TCP-AO nothing can sign one for who has no connection (RFC 5925, 7.7)."""
        auth = None
        listener = self.listener_for(packet, seg) if self.keyed else None
        if listener is not None and listener.config.keys is not NO_KEYS:
            probe = Entry()
            path_back(self, probe, packet, seg)
            auth = probe.auth = listener.config.keys.signer(probe.raddr_hi, probe.raddr_lo, probe.rport)
            if auth is not None:
                if not auth.stateless:
                    self.stats.count("tcp_rst_unsigned")
                    return
                if not admitted(self, probe, packet, seg):
                    return
        reset_for(self, packet, seg, auth)

    def in_blackhole(self, seg: Segment) -> bool:
        """Whether a segment of no connection meets silence (net.inet.tcp.blackhole), counted."""
        mode = self.settings.blackhole
        if mode == 0 or (mode == 1 and not seg.flags & SYN):
            return False
        self.stats.count("tcp_blackholed")
        return True

    def overheard(self, packet: Packet, seg: Segment) -> bool:
        """Whether a segment, no SYN, goes to or comes from where a passive listener listens: nobody answers it.

        A SYN|ACK begins a connection whose SYN is missing in the copy, unless a filter would have to see the SYN.
        """
        flags = seg.flags & (SYN | ACK | RST | FIN)
        if flags & (SYN | ACK) != SYN | ACK:
            if flags & SYN:
                return False
            listener = self.listener_for(packet, seg)
            if listener is not None and listener.passive:
                self.stats.count("tcp_no_connection")
                return True
        listener = self.listeners.find(
            packet.interface.cdom, packet.vids, packet.src_hi, packet.src_lo, seg.source_port
        )
        if listener is None or not listener.passive:
            return False
        if flags == SYN | ACK and listener.syn_filter is None and source_is_sound(packet, seg):
            self.watching().start(listener, packet, seg, None)
        else:
            self.stats.count("tcp_no_connection")
        return True

    def kept_for_later(self, packet: Packet, seg: Segment) -> bool:
        """Whether a segment answers a SYN that is deferred; it is kept then, should the connection be watched."""
        if seg.flags & (SYN | ACK) == SYN:
            return False
        entry = self.table.find(
            packet.interface.cdom, packet.vids, packet.src_hi, packet.src_lo, seg.source_port, packet.dst_hi,
            packet.dst_lo, seg.destination_port,
        )
        if not isinstance(entry, SynEntry) or not entry.deferred:
            return False
        keep(self, entry, packet)
        return True

    def complete(self, entry: SynEntry, packet: Packet, seg: Segment) -> None:
        """The handshake is complete: makes the connection, queues it for accept, and gives it the segment."""
        listener = entry.listener
        assert listener is not None
        chosen = entry.syn is not None and entry.syn.answer_header is not None  # by its SYN filter
        tcb = self.connection_of(entry)
        interface: Interface = packet.interface
        if interface.promiscuous and not chosen:
            tcb.link_header = self.interned.one(packet.reply_header())  # of the handshake's final ACK
        tcb.snd_wnd = seg.window << tcb.snd_scale
        tcb.max_snd_wnd = tcb.snd_wnd
        tcb.snd_wl1 = seg.seq
        tcb.snd_wl2 = seg.ack
        unfile(self, entry)
        if entry.sent_at and not entry.retries and self.now > entry.sent_at:
            sample(tcb, self.now - entry.sent_at, 0)  # our SYN,ACK went once: a round trip (RFC 6298, 2.2)
        if entry.retries and tcb.rto < RTO_AFTER_LOST_SYN:
            tcb.rto = RTO_AFTER_LOST_SYN
        if tcb.accecn is not None:
            take_last_ack(tcb, tcb.accecn, seg)
        self.admit(tcb)
        change(tcb, ESTABLISHED)
        established(tcb)
        self.offer(tcb, listener)
        segment_arrives(tcb, packet, seg)

    def open_early(self, entry: SynEntry, packet: Packet, seg: Segment) -> None:
        """A SYN with a good Fast Open cookie (RFC 7413, 4.2.2): makes the connection in SYN-RECEIVED, with the SYN's
        data readable, and queues it for accept. Its SYN,ACK goes when the batch is done."""
        listener = entry.listener
        assert listener is not None
        self.stats.count("tcp_fastopen_passive")
        tcb = self.connection_of(entry)
        fast = FastOpen()
        fast.listener = listener
        fast.counted = True
        listener.fast_pending += 1
        if entry.gives_cookie:
            fast.offers = True
            fast.cookie = cookie_for(self, entry)
        tcb.fast_open = fast
        tcb.snd_una = tcb.iss
        # the window of a SYN is never scaled (RFC 7323, 2.2)
        tcb.snd_wnd = tcb.max_snd_wnd = seg.window
        tcb.snd_wl1 = seg.seq
        tcb.snd_wl2 = tcb.snd_una
        tcb.last_heard = self.now
        self.admit(tcb)
        change(tcb, SYN_RECEIVED)
        self.offer(tcb, listener)
        tcb.cwnd = initial_window(tcb.mss, self.settings.initial_window_segments)
        if seg.length:
            fast.taken = True
            take_data(tcb, tcb.rcv_nxt, packet.text, seg.offset - packet.text_start, seg.length)
            tcb.delack_at = 0
        tcb.timing = True
        start_retransmit(tcb)
        tcb.ack_now = True
        wants_output(tcb)
        rearm(tcb)

    def offer(self, tcb: Tcb, listener: Listener) -> None:
        """Queues a connection for accept."""
        listener.queue(tcb)
        listener.owner.mark(EV_ACCEPT)
        self.accepted += 1

    def connection_of(self, entry: SynEntry) -> Tcb:
        """The connection of a SYN that a listener has taken: key, numbers, and what the SYNs agree on."""
        listener = entry.listener
        assert listener is not None
        tcb = new_tcb(self)
        tcb.copy_key(entry)
        if entry.marks & COPIED:
            self.copies.adopt(entry, tcb)
        tcb.vids = self.interned.one(entry.vids)
        tcb.passive_open = True
        tcb.iss = entry.iss
        tcb.irs = entry.irs
        tcb.snd_una = tcb.snd_nxt = (entry.iss + 1) & MASK32
        tcb.rcv_nxt = (entry.irs + 1) & MASK32
        tcb.ts_offset = entry.ts_offset
        configure(tcb, listener.config)
        tcb.rcv_adv = (tcb.rcv_nxt + min(tcb.rcv_limit, 0xFFFF)) & MASK32
        tcb.last_ack_sent = tcb.rcv_nxt
        tcb.rcv_scale = entry.rcv_scale
        agree(
            tcb, entry.peer_mss, entry.peer_wscale, entry.sack, entry.timestamps, entry.tsval,
        )
        enter(tcb, entry.ecn_mode, entry.syn_ecn)
        if tcb.accecn is not None:
            tcb.accecn.ect = not entry.not_ect
            tcb.accecn.offer = entry.retries == 0
        if entry.user_timeout > 0:
            adopt(tcb, listener.config, entry.user_timeout)
        syn = entry.syn
        if syn is not None:
            tcb.user_context = syn.context
            syn.entry = None
            syn.on_gone = None
            entry.syn = None
        return tcb

    def admit(self, tcb: Tcb) -> None:
        """Puts a connection into the table and numbers it."""
        self.serial += 1
        tcb.serial = self.serial
        self.table.insert(tcb)
        self.connections += 1
        if tcb.marks & COPIED:
            self.copies.named(tcb, tcb.serial, tcb.passive_open)

    # opening and closing

    def connect(self, tcb: Tcb, fast_open: bool = False, hold: bool = False) -> None:
        """Opens `tcb`, whose key and path are set (local port 0: choose one); AddressInUse if its tuple is taken.

        `fast_open`: with Fast Open if the peer is known; `hold`: then the SYN waits for the first data.
        """
        if tcb.lport == 0:
            if not self.ports.choose(tcb):
                raise AddressInUse("no local port is free")
        there = self.table.find(
            tcb.cdom, tcb.vids, tcb.laddr_hi, tcb.laddr_lo, tcb.lport, tcb.raddr_hi, tcb.raddr_lo, tcb.rport
        )
        floor = -1
        if isinstance(there, TimeWait):
            self.stats.count("tcp_time_wait_recycled")
            floor = (there.snd_nxt + 65536) & MASK32
            self.end_time_wait(there)
        elif there is not None:
            raise AddressInUse("this connection exists already")
        if self.copies is not None and tcb.owner is not None:
            self.copies.begin(tcb.owner.config, tcb)
        self.admit(tcb)
        if fast_open:
            begin_client(tcb, hold)
        open_active(self, tcb, floor)

    def close_listener(self, listener: Listener) -> None:
        """Stops listening: half-open and deferred SYNs are dropped, connections that nobody accepted are reset."""
        if not listener.open:
            return
        listener.open = False
        self.listeners.remove(listener)
        track(listener)
        listener.owner.let_go()
        while listener.oldest is not None:
            drop(self, listener.oldest, "closed")  # type: ignore[arg-type]  # nothing else is in that list
        for entry in list(listener.deferred):
            drop(self, entry, "closed")
        for entry in list(listener.embryos):
            self.watching().abandon(entry, "closed")
        while listener.accepted:
            tcb = listener.take()
            if isinstance(tcb, Reception):
                self.watching().abandon(tcb, "closed")
                continue
            tcb.orphan = True
            abort(tcb)
            forget_unread(tcb)  # of one that was over before

    def closed(self, entry: Entry) -> None:
        """A connection is over: out of the table it goes."""
        if self.table.remove(entry):
            self.connections -= 1

    def begin_time_wait(self, entry: Entry) -> None:
        """Keeps only what TIME-WAIT needs of a connection, for 2 MSL; the user is told that it is over."""
        assert isinstance(entry, Tcb)
        if entry.marks & NO_TIME_WAIT:
            self.stats.count("tcp_time_wait_skipped")
            change(entry, CLOSED)
            self.ended += 1
            release(entry)
            notify(entry, EV_CLOSED)
            return
        remains = remains_of(entry)
        change(entry, CLOSED)
        self.ended += 1
        release(entry)
        while len(self.time_wait) >= self.settings.time_wait_limit:
            oldest = next(iter(self.time_wait))
            self.stats.count("tcp_time_wait_evicted")
            self.end_time_wait(oldest)
        self.table.insert(remains)
        self.time_wait[remains] = None
        self.wheel.arm(remains, self.now + 2 * self.settings.msl)
        notify(entry, EV_CLOSED)

    def end_time_wait(self, entry: TimeWait) -> None:
        """Forgets a connection in TIME-WAIT."""
        self.wheel.disarm(entry)
        self.time_wait.pop(entry, None)
        self.table.remove(entry)

    # deferred SYNs

    def decide_deferred(self, entry: SynEntry, verdict: Verdict) -> None:
        """The verdict on a deferred SYN."""
        self.refresh()
        decide(self, entry, verdict)
        if not self.busy and self.on_pending is not None:
            self.on_pending()

    def tell_gone(self, syn: Syn, why: str) -> None:
        """Notes that a SYN has come to nothing; its filter hears of it after the batch."""
        if syn.on_gone is not None:
            self.gone.append((syn, why))

    # time and work

    def timeout(self, timer: Timer, now: int) -> None:
        """A timer of ours is due."""
        if isinstance(timer, Tcb):
            if timer.state != CLOSED:
                expire(timer, now)
        elif isinstance(timer, SynEntry):
            entry_due(self, timer)
        elif isinstance(timer, Corked):
            timer.due = True
            wants_output(timer.tcb)
        elif isinstance(timer, TimeWait):
            self.end_time_wait(timer)

    def flush(self) -> None:
        """Sends what the batch has left to be sent."""
        rounds = 0
        while self.pending and rounds < FLUSH_ROUNDS:
            rounds += 1
            pending = self.pending
            self.pending = []
            for tcb in pending:
                self.flush_one(tcb)

    def flush_one(self, tcb: Tcb) -> None:
        """Sends what one connection has to send."""
        tcb.pending_queued = False
        if tcb.state != CLOSED:
            output(tcb)

    def shut_down(self) -> None:
        """The stack is closed: forgets everything, silently."""
        for entry in list(self.table):
            if isinstance(entry, SynEntry):
                drop(self, entry, "closed")
            elif isinstance(entry, TimeWait):
                self.end_time_wait(entry)
            elif isinstance(entry, Reception):
                self.watching().shut_down(entry)
            elif isinstance(entry, Tcb):
                entry.orphan = entry.orphan or entry.owner is None  # what a user holds can still be read
                finish(entry, ConnectionAborted("the stack is closed"))
        while self.listeners.count:
            for entry in list(self.listeners.table):
                assert isinstance(entry, Listener)
                self.close_listener(entry)
        self.pending = []

    # errors that ICMP reports

    def icmp_error(
        self, kind: int, code: int, info: int, source: bytes, destination: bytes, quoted: bytes, packet: Packet | None
    ) -> int:
        """An ICMP error quotes a segment of ours (RFC 5927, RFC 5461); whether a connection believes it, now or
        later."""
        if len(quoted) < 8:
            return False
        cdom = packet.interface.cdom if packet is not None else 0
        vids = packet.vids if packet is not None else b""
        laddr = split(source)
        raddr = split(destination)
        entry = self.table.find(
            cdom, vids, laddr[0], laddr[1], load_u16(quoted, 0), raddr[0], raddr[1], load_u16(quoted, 2)
        )
        if not isinstance(entry, Tcb):
            return False
        tcb: Tcb = entry
        seq = load_u32(quoted, 4)
        if tcb.auth is not None and self.ignored_by_auth(tcb, kind, code, packet):
            self.stats.count("tcp_ao_icmp_ignored")
            return REFUSED
        if not (seq_geq(seq, tcb.snd_una) and seq_lt(seq, tcb.snd_nxt)):
            self.stats.count("icmp_bad_quote")
            return False
        if kind == TOO_BIG:
            return self.too_big(tcb, info, seq)
        self.unreachable(tcb, kind, packet is None)
        return BELIEVED

    def ignored_by_auth(self, tcb: Tcb, kind: int, code: int, packet: Packet | None) -> bool:
        """Whether a hard ICMP error does not count: anybody can send one, and TCP-AO is there because of that (RFC
        5925, 7.8: ICMP type 3, codes 2 to 4; ICMPv6 type 1, codes 1 and 4; in the synchronized states)."""
        if packet is None or tcb.state < ESTABLISHED or not tcb.auth.ignores_icmp:
            return False
        if is_v4(tcb):
            return kind in (PROTOCOL_UNREACHABLE, PORT_UNREACHABLE, TOO_BIG)
        return kind == PORT_UNREACHABLE or (kind == PROHIBITED and code == 1)

    def too_big(self, tcb: Tcb, mtu: int, seq: int) -> int:
        """The path carries only packets of `mtu` bytes: if that is believed now, what is outstanding goes in smaller
        segments again. A SYN is never too large."""
        if tcb.state < ESTABLISHED:
            return REFUSED
        verdict = too_big(tcb, mtu, seq)
        if verdict == BELIEVED:
            send_all_again(tcb)
        if verdict:
            wants_output(tcb)
        return verdict

    def unreachable(self, tcb: Tcb, kind: int, own: bool) -> None:
        """Hard errors abort only a connection that is being opened; afterwards all are soft (RFC 5461, RFC 5927).

        `own`: this stack has found out itself, because a neighbour does not answer: nobody can forge that.
        """
        error = exception_of(kind)
        hard = own or kind in (PORT_UNREACHABLE, PROTOCOL_UNREACHABLE)
        note_soft_error(tcb, error)
        if hard and tcb.state in (SYN_SENT, SYN_RECEIVED):
            finish(tcb, error)


class TcpInput(SegmentInput):
    """What the network layer calls for a TCP packet."""

    def __init__(self, tcp: Tcp) -> None:
        self.tcp = tcp

    def segment(self, packet: Packet) -> bool:
        return self.tcp.input(packet)
