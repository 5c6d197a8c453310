"""Takes every connection and datagram to the prefixes, and logs what came of each.

Bounded whatever comes: SYNs beyond the backlog are answered with cookies; of more than `connections` open ones that
which has been idle the longest is reset; of a stream no more than its first bytes are kept; conversations in datagrams
are a bounded number as well, and get a bounded number of answers, none longer than what it answers.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from uinet.errors import ConnectionReset, Error, TimedOut, WouldBlock
from uinet.events import EV_CLOSED, EV_EOF, EV_ERROR, EV_READABLE
from uinet.honeypot.fingerprint import fingerprint
from uinet.honeypot.lures import BANNERS, answer_to
from uinet.honeypot.records import first_bytes, link_fields, scan_record
from uinet.honeypot.watch import Watch
from uinet.socket import Socket
from uinet.sockopt import IP_ORIGDSTADDR as ORIGINAL_DESTINATION
from uinet.sockopt import IPPROTO_IP, SO_L2INFO, SO_PROMISC, SO_SETFIB, SO_VLANS, SOCK_DGRAM, SOL_SOCKET
from uinet.stack import Stack
from uinet.units import SECOND
from uinet.wheel import Timer
from uinet.wire.addresses import ANY, L2Info, vids

DOMAIN = 1
TICK = SECOND // 2
READ = 65536
Write = Callable[[dict[str, Any], int], object]

COUNTERS: dict[str, str] = {
    "connections": "connections accepted",
    "evicted": "connections reset because there were too many: the longest idle",
    "received": "bytes of connections",
    "sent": "bytes said to them",
    "datagrams": "UDP datagrams",
    "answered": "of them, those that were answered",
    "conversations": "of them, different addresses and ports",
}


@dataclass
class Options:
    """How the honeypot behaves. Times in seconds. `connections`, `conversations`: that may be open at once. `first`:
    bytes of each direction that are logged. `idle`, `longest`: a connection ends after. `most`: bytes that it may send
    us. `scans`: interval of the reports on sources; `scan_lines`: of those with most SYNs, at most so many in a report.
    `echo_udp`: datagrams are answered with what they brought; `answers`: to each conversation at most so many."""

    connections: int = 10000
    conversations: int = 4096
    backlog: int = 1024
    first: int = 512
    idle: float = 30.0
    longest: float = 300.0
    most: int = 1 << 20
    scans: float = 10.0
    scan_lines: int = 100
    echo_udp: bool = True
    answers: int = 8
    banners: dict[int, bytes] = field(default_factory=lambda: dict(BANNERS))


class Visit:
    """One connection."""

    __slots__ = ("began", "first", "frame", "l2", "last", "received", "replied", "sent", "serial", "sock")

    def __init__(self, sock: Socket, now: int) -> None:
        self.sock = sock
        self.serial = sock.serialno
        self.began = self.last = now
        self.l2 = sock.l2info
        self.frame = b""
        self.first = b""
        self.received = 0
        self.sent = 0
        self.replied = False


class Conversation:
    """Datagrams of one source to one of our ports."""

    __slots__ = ("answers", "began", "datagrams", "destination", "first", "l2", "last", "received", "sent", "source")

    def __init__(self, source: Any, destination: Any, l2: L2Info | None, first: bytes, now: int) -> None:
        self.source = source
        self.destination = destination
        self.l2 = l2
        self.began = self.last = now
        self.first = first
        self.datagrams = self.received = self.answers = self.sent = 0


class Honeypot(Timer):
    """The sockets of the domain of `stack` that `watch` sifts frames for. `write`: gets each record and the time, ns.
    `epoch`: ns to be added to the stack's times, for the time of day."""

    def __init__(self, stack: Stack, watch: Watch, options: Options, write: Write, epoch: int = 0) -> None:
        super().__init__()
        self.stack = stack
        self.watch = watch
        self.options = options
        self.write = write
        self.epoch = epoch
        self.visits: OrderedDict[Socket, Visit] = OrderedDict()  # the longest idle first
        self.talks: OrderedDict[Any, Conversation] = OrderedDict()
        self.counts: Counter[str] = Counter()
        self.reported = stack.now
        self.listener = stack.listen((ANY, ANY), vlans=ANY, cdom=DOMAIN, promiscuous=True, backlog=options.backlog)
        self.listener.on_event = self._accept
        self.datagrams = stack.socket(kind=SOCK_DGRAM)
        self.datagrams.setsockopt(SOL_SOCKET, SO_PROMISC, True)
        self.datagrams.setsockopt(SOL_SOCKET, SO_SETFIB, DOMAIN)
        self.datagrams.setsockopt(SOL_SOCKET, SO_VLANS, ANY)
        self.datagrams.bind((ANY, ANY))
        self.datagrams.on_event = self._hear
        stack.wheel.arm(self, stack.now + TICK)

    # connections

    def _accept(self, listener: Socket, events: int) -> None:
        while listener.readable:
            sock = listener.accept()
            now = self.stack.now
            if len(self.visits) >= self.options.connections:
                self.counts["evicted"] += 1
                oldest = next(iter(self.visits.values()))
                self._end(oldest, "evicted")
            visit = Visit(sock, now)
            self._identify(visit)
            self.visits[sock] = visit
            self.counts["connections"] += 1
            sock.on_event = self._on_event
            banner = self.options.banners.get(sock.getsockname()[1])
            if banner:
                self._say(visit, banner)

    def _identify(self, visit: Visit) -> None:
        """Finds the SYN that the connection came of."""
        (peer, port), (ours, our_port) = visit.sock.getpeername(), visit.sock.getsockname()
        tags = vids(visit.l2.vlans) if visit.l2 is not None else b""
        ports = port.to_bytes(2, "big") + our_port.to_bytes(2, "big")
        visit.frame = self.watch.recall(peer.packed + ours.packed + ports + tags)
        self.watch.connected(peer.packed + tags)

    def _say(self, visit: Visit, data: bytes) -> None:
        try:
            sent = visit.sock.send(data)
        except (WouldBlock, Error):
            return  # whoever does not listen misses it
        visit.sent += sent
        self.counts["sent"] += sent

    def _on_event(self, sock: Socket, events: int) -> None:
        visit = self.visits.get(sock)
        if visit is None:
            return
        if events & EV_READABLE:
            self._read(visit)
        if sock not in self.visits:
            return
        if events & (EV_ERROR | EV_CLOSED):
            self._end(visit, reason(sock))
        elif events & EV_EOF:
            self._end(visit, "fin")

    def _read(self, visit: Visit) -> None:
        sock = visit.sock
        visit.last = self.stack.now
        self.visits.move_to_end(sock)
        while True:
            try:
                data = sock.recv(READ)
            except WouldBlock:
                break
            except Error:
                self._end(visit, reason(sock))
                return
            if not data:
                break
            visit.received += len(data)
            self.counts["received"] += len(data)
            if len(visit.first) < self.options.first:
                visit.first += data[: self.options.first - len(visit.first)]
        if visit.received > self.options.most:
            self._end(visit, "limit")
        elif not visit.replied:
            answer = answer_to(visit.first)
            if answer:
                visit.replied = True
                self._say(visit, answer)

    def _end(self, visit: Visit, how: str) -> None:
        """Ends a connection and logs it."""
        del self.visits[visit.sock]
        visit.sock.on_event = None
        if how in ("fin", "idle", "limit"):
            visit.sock.close()
        else:
            visit.sock.abort()
        self.write(self.visit_record(visit, how), self.stack.now)

    def visit_record(self, visit: Visit, how: str) -> dict[str, Any]:
        """What is logged of a connection."""
        (peer, port), (ours, our_port) = visit.sock.getpeername(), visit.sock.getsockname()
        now = self.stack.now
        return {
            "event": "connection", "serial": visit.serial,
            "start": (visit.began + self.epoch) / 1e9, "end": (now + self.epoch) / 1e9,
            "duration": (now - visit.began) / 1e9, "source": str(peer), "source_port": port, "destination": str(ours),
            "port": our_port, **link_fields(visit.l2), "received": visit.received, "sent": visit.sent,
            "first": first_bytes(visit.first), "close": how,
            "fingerprint": fingerprint(visit.frame, self.watch.layer) if visit.frame else None,
        }

    # datagrams

    def _hear(self, sock: Socket, events: int) -> None:
        while sock.readable:
            try:
                data, ancillary, _, source = sock.recvmsg(READ)
            except WouldBlock:
                return
            except Error:
                continue  # an ICMP error that a datagram of ours has brought
            found = {(level, name): value for level, name, value in ancillary}
            destination = found[IPPROTO_IP, ORIGINAL_DESTINATION]
            self._heard(data, source, destination, found.get((SOL_SOCKET, SO_L2INFO)))

    def _heard(self, data: bytes, source: Any, destination: Any, l2: L2Info | None) -> None:
        now = self.stack.now
        self.counts["datagrams"] += 1
        key = source, destination, l2.vlans if l2 is not None else ()
        talk = self.talks.get(key)
        if talk is None:
            if len(self.talks) >= self.options.conversations:
                self._end_talk(next(iter(self.talks)))
            talk = self.talks[key] = Conversation(source, destination, l2, data[: self.options.first], now)
            self.counts["conversations"] += 1
        talk.last = now
        talk.datagrams += 1
        talk.received += len(data)
        self.talks.move_to_end(key)
        if self.options.echo_udp and talk.answers < self.options.answers and source[1]:
            self._reply(talk, data)

    def _reply(self, talk: Conversation, data: bytes) -> None:
        ancillary: list[tuple[int, int, Any]] = [(IPPROTO_IP, ORIGINAL_DESTINATION, talk.destination)]
        if talk.l2 is not None:
            ancillary.append((SOL_SOCKET, SO_L2INFO, talk.l2.reversed()))
        try:
            talk.sent += self.datagrams.sendmsg([data], ancillary, 0, talk.source)
        except Error:
            return  # a source that can't be answered, such as ::
        talk.answers += 1
        self.counts["answered"] += 1

    def _end_talk(self, key: Any) -> None:
        talk = self.talks.pop(key)
        self.write({
            "event": "datagrams", "start": (talk.began + self.epoch) / 1e9, "end": (talk.last + self.epoch) / 1e9,
            "source": str(talk.source[0]), "source_port": talk.source[1], "destination": str(talk.destination[0]),
            "port": talk.destination[1], **link_fields(talk.l2), "datagrams": talk.datagrams,
            "received": talk.received, "answers": talk.answers, "sent": talk.sent, "first": first_bytes(talk.first),
        }, self.stack.now)

    # time

    def expire(self, now: int) -> None:
        """Twice a second: ends what has been idle, or has lasted, for too long; reports on sources when it is time."""
        idle = now - round(self.options.idle * SECOND)
        longest = now - round(self.options.longest * SECOND)
        for visit in list(self.visits.values()):
            if visit.last > idle:
                break
            self._end(visit, "idle")
        for visit in [visit for visit in self.visits.values() if visit.began <= longest]:
            self._end(visit, "limit")
        for key, talk in list(self.talks.items()):
            if talk.last > idle:
                break
            self._end_talk(key)
        if now - self.reported >= self.options.scans * SECOND:
            self.report()
        self.stack.wheel.arm(self, now + TICK)

    def report(self) -> None:
        """Logs what sources did since the last report, except those of which every SYN came to a connection."""
        self.reported = now = self.stack.now
        found = [
            source for source in self.watch.report()
            if source.syns > source.connections or source.echoes or source.odd or source.others
        ]
        found.sort(key=lambda source: source.syns + source.echoes + source.odd, reverse=True)
        for source in found[: self.options.scan_lines]:
            self.write(scan_record(source, self.watch.layer, self.epoch), now)
        rest = found[self.options.scan_lines :]
        if rest:
            self.write({
                "event": "scans", "sources": len(rest), "syns": sum(source.syns for source in rest),
                "pings": sum(source.echoes for source in rest), "odd": sum(source.odd for source in rest),
                "end": (now + self.epoch) / 1e9,
            }, now)

    def close(self) -> None:
        """Ends everything, and logs what is left."""
        self.stack.wheel.disarm(self)
        for visit in list(self.visits.values()):
            self._end(visit, "stop")
        for key in list(self.talks):
            self._end_talk(key)
        self.report()
        self.listener.close()
        self.datagrams.close()


def reason(sock: Socket) -> str:
    """How a connection ended that is gone."""
    error = sock.error
    if isinstance(error, ConnectionReset):
        return "rst"
    if isinstance(error, TimedOut):
        return "timeout"
    return "fin" if error is None else "error"
