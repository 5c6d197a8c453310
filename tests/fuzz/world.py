"""The world that the fuzz tests attack: one stack with every kind of interface and socket, and a peer that lies.

Everything comes from one seed: the frames, the calls, the time between them. A run says what it saw as a digest of all
frames that came out and of all counters, so that two builds can be compared.
"""

from __future__ import annotations

import hashlib
import logging
import struct
from collections.abc import Callable
from ipaddress import IPv4Address
from random import Random
from typing import Any

import uinet
from uinet.link.offload import finish
from uinet.wire import build, checksums
from uinet.wire.addresses import L2Info, Mac, pack_address, parse_vlans
from uinet.wire.frame import Frame
from uinet.wire.tcp import TcpHeader
from uinet.wire.tcp_options import Timestamps

MILLISECOND = 1_000_000
SECOND = 1_000_000_000
MASK32 = 0xFFFFFFFF

OUR_MAC = Mac("02:00:00:00:00:02")
PEER_MAC = Mac("02:00:00:00:00:01")
OURS = {4: "10.0.0.2", 6: "fd00::2"}
PEERS = {4: ["10.0.0.1", "10.0.0.77", "192.0.2.9"], 6: ["fd00::1", "2001:db8::9"]}
NASTY_NUMBERS = (0, 1, 2, 7, 8, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF)
STACKS: tuple[tuple[int, ...], ...] = ((), (5,), (0,), (5, 6), (100, 200, 300), tuple(range(1, 17)))

ALL_VERDICTS = list(uinet.Verdict)


class World:
    """One stack under attack. `step` does one thing; `digest` says what has come out so far."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.now = self.random.choice((0, 1, SECOND, 1_700_000_000 * SECOND))
        self.hash = hashlib.sha256()
        self.frames_in = 0
        self.frames_out = 0
        self.stack = stack = uinet.Stack(seed=b"fuzz%d" % seed, now=self.now)
        stack.tcp.settings.syn_cache_limit = 64
        stack.tcp.settings.out_of_order_islands = 16
        self.eth = stack.add_interface("eth", mac=str(OUR_MAC))
        self.eth.add_address("10.0.0.2/24")
        self.eth.add_address("fd00::2/64")
        self.tun = stack.add_interface("tun", layer=3, mtu=1280)
        self.tun.add_address("10.9.0.1/24")
        self.tun.add_address("fd09::1/64")
        self.any = stack.add_interface("any", cdom=1, answer_any=True)
        self.left = stack.add_interface("left", cdom=2)
        self.right = stack.add_interface("right", cdom=3)
        self.left.bridge, self.right.bridge = self.right, self.left
        self.interfaces = [self.eth, self.tun, self.any, self.left, self.right]
        stack.neighbors.add("10.0.0.1", PEER_MAC, self.eth)
        stack.neighbors.add("fd00::1", PEER_MAC, self.eth)
        for prefix in ("0.0.0.0/0", "::/0"):
            stack.routes.add(prefix, via="10.0.0.1" if "." in prefix else "fd00::1")
        self.sockets: list[Any] = []
        self.listeners: list[Any] = []
        self.splices: list[Any] = []
        self.deferred: list[Any] = []
        self.forgotten: list[Any] = []
        self.seen: list[tuple[Any, bytes]] = []  # (interface, frame) that went out or in lately
        self.flows: list[tuple[Any, Any]] = []  # (interface, dissected segment of ours)
        self.depth = 0
        self.bridged: set[bytes] = set()
        self._open_sockets()

    def _open_sockets(self) -> None:
        stack = self.stack
        any_ = uinet.ANY
        self.listeners = [
            stack.listen((any_, 80), backlog=4), stack.listen(("10.0.0.2", 81), backlog=2, reuse_port=True),
            stack.listen((any_, any_), cdom=1, vlans=any_, promiscuous=True, backlog=4),
            stack.listen((any_, 80), cdom=1, vlans=(5, 6), promiscuous=True, syn_filter=self.filter),
            stack.listen((any_, 80), cdom=2, vlans=any_, promiscuous=True, syn_filter=self.filter),
        ]
        for listener in self.listeners[1:4]:
            listener.on_event = self.upcall
        for port, cdom in ((53, 0), (5353, 0), (53, 1)):
            sock = stack.socket(uinet.AF_UNSPEC, uinet.SOCK_DGRAM)
            if cdom:
                sock.setsockopt(uinet.SOL_SOCKET, uinet.SO_PROMISC, True)
                sock.setsockopt(uinet.SOL_SOCKET, uinet.SO_SETFIB, cdom)
                sock.setsockopt(uinet.SOL_SOCKET, uinet.SO_VLANS, any_)
            sock.bind((any_, port))
            self.sockets.append(sock)

    # what user code does

    def filter(self, syn: Any) -> Any:
        """A SYN filter that answers anything."""
        random = self.random
        what = random.random()
        if what < 0.03:
            raise RuntimeError("a filter that raises")
        if what < 0.06:
            return "nonsense"
        if what < 0.2:
            self.call()
        syn.context = "context"
        syn.on_gone = lambda syn, why: None
        verdict = random.choice(ALL_VERDICTS)
        if verdict is uinet.Verdict.DEFER:
            if random.random() < 0.2:
                syn.deliver(uinet.Verdict.ACCEPT)
            self.deferred.append(syn)
        return verdict

    def upcall(self, sock: Any, events: int) -> None:
        """An upcall that does anything, now and then."""
        if self.random.random() < 0.02:
            raise RuntimeError("an upcall that raises")
        if self.depth == 0 and self.random.random() < 0.5:
            self.depth = 1
            try:
                self.call()
            finally:
                self.depth = 0

    def call(self) -> None:
        """One call of the API; what it answers may be an error of ours, and nothing else."""
        try:
            self.random.choice(self.CALLS)(self)
        except uinet.Error:
            pass

    def _accept(self) -> None:
        listener = self.random.choice(self.listeners)
        sock = listener.accept()
        if self.random.random() < 0.5:
            sock.on_event = self.upcall
        self.sockets.append(sock)

    def _connect(self) -> None:
        random = self.random
        family = random.choice((4, 6))
        peer = random.choice([*PEERS[family], OURS[family], "127.0.0.1", "10.9.0.7"])
        if random.random() < 0.5:
            sock = self.stack.connect((peer, random.choice((80, 81, 9, 65535))))
        else:
            l2 = L2Info(OUR_MAC, PEER_MAC, parse_vlans(random.choice(STACKS)))
            cdom = random.choice((1, 2, 3))
            source = (random.choice(PEERS[4 if "." in peer else 6]), random.choice((0, 1, 4000)))
            sock = self.stack.connect((peer, 80), source=source, l2=l2, cdom=cdom)
        if random.random() < 0.5:
            sock.on_event = self.upcall
        self.sockets.append(sock)

    def _some(self) -> Any:
        pool = self.sockets or self.listeners
        return self.random.choice(pool)

    def _send(self) -> None:
        sock = self._some()
        data = self.random.randbytes(self.random.choice((0, 1, 100, 1448, 5000, 70_000, 300_000)))
        sock.send(bytearray(data) if self.random.random() < 0.2 else data)

    def _sendto(self) -> None:
        family = self.random.choice((4, 6))
        size = self.random.choice((0, 1, 1472, 1473, 9000, 65507))
        self._some().sendto(bytes(size), (self.random.choice(PEERS[family]), self.random.choice((1, 53))))

    def _recv(self) -> None:
        sock = self._some()
        what = self.random.random()
        if what < 0.6:
            sock.recv(self.random.choice((0, 1, 100, 1 << 20)))
        elif what < 0.8:
            sock.recv_into(bytearray(self.random.choice((0, 1, 4096))))
        else:
            sock.recvmsg(2048)

    def _close(self) -> None:
        sock = self._some()
        self.random.choice((sock.close, sock.abort, lambda: sock.shutdown(self.random.choice((0, 1, 2)))))()
        if sock.closed and sock in self.sockets and len(self.sockets) > 3:
            self.sockets.remove(sock)

    def _relisten(self) -> None:
        index = self.random.randrange(len(self.listeners))
        old = self.listeners[index]
        if index == 0 and self.random.random() < 0.2:
            old.close()
        if old.closed:
            self.listeners[index] = self.stack.listen((uinet.ANY, 80), backlog=self.random.choice((-1, 0, 1, 200)))

    def _option(self) -> None:
        random = self.random
        level, name = random.choice(OPTIONS)
        value = random.choice((0, 1, True, 2048, 65536, -1, 1 << 20, (1, 0), (1, 5), (0, 0)))
        sock = random.choice([*self.sockets, *self.listeners])
        try:
            sock.setsockopt(level, name, value)
        except (TypeError, ValueError):
            pass  # a value of the wrong type
        sock.getsockopt(level, name)

    def _splice(self) -> None:
        joined = uinet.splice(self._some(), self._some())
        self.splices.append(joined)

    def _deliver(self) -> None:
        if self.deferred:
            self.deferred.pop(self.random.randrange(len(self.deferred))).deliver(self.random.choice(ALL_VERDICTS))

    def _look(self) -> None:
        sock = self.random.choice([*self.sockets, *self.listeners])
        for name in ("state", "error", "readable", "writable", "send_space", "l2info", "serialno", "cdom", "context"):
            getattr(sock, name)
        repr(sock)
        sock.getsockname()
        sock.info()

    def _feed_inside(self) -> None:
        if self.seen:
            interface, data = self.random.choice(self.seen)
            self.bridged.add(data)
            self.stack.input(interface, [data], self.now)

    def _ping(self) -> None:
        self.stack.ping(self.random.choice(PEERS[4])).send()

    CALLS: list[Callable[[World], None]] = [
        _accept, _accept, _accept, _connect, _connect, _send, _send, _send, _sendto, _recv, _recv, _recv, _close,
        _relisten, _option, _splice, _deliver, _deliver, _look, _feed_inside, _ping,
    ]

    # what the network does

    def step(self) -> None:
        """One batch of frames, a call, or time."""
        what = self.random.random()
        if what < 0.70:
            interface, frames = self.batch()
            self.frames_in += len(frames)
            self.stack.input(interface, frames, self.now)
        elif what < 0.88:
            self.call()
        else:
            self.tick()
        self.collect()

    def tick(self) -> None:
        """Lets time pass: a little, up to the next deadline, or a lot."""
        random = self.random
        deadline = self.stack.next_deadline()
        what = random.random()
        if what < 0.5:
            self.now += random.randrange(50 * MILLISECOND)
        elif what < 0.97 and deadline is not None:
            self.now = max(self.now, deadline)
        else:
            self.now += random.choice((SECOND, 61 * SECOND, 1000 * SECOND))
        self.stack.poll(self.now)

    def collect(self) -> None:
        """Takes what goes out: it must be sound, and the digest and the peer's memory grow by it."""
        for sock, _ in self.stack.events():
            if self.random.random() < 0.2 and sock not in self.sockets and sock not in self.listeners:
                self.sockets.append(sock)
        for interface in self.interfaces:
            for frame in self.stack.output(interface):
                self.frames_out += 1
                for part in finish(frame, interface.layer):
                    self.hash.update(interface.name.encode() + struct.pack(">I", len(part.data)) + part.data)
                    self._remember(interface, part)
        del self.seen[:-200]
        del self.flows[:-60]
        if len(self.sockets) > 40:
            self.forgotten.extend(self.sockets[:-40])
            del self.sockets[:-40]
        del self.deferred[:-40]

    def _remember(self, interface: Any, frame: Frame) -> None:
        data = frame.data
        self.seen.append((interface, data))
        if data in self.bridged:
            return  # what a bridge passes on is as bad as it came
        seen = build.dissect(data, interface.layer)
        assert checksums.verify_packet(seen.packet) is not False, f"a bad checksum went out: {data[:150].hex()}"
        tcp = seen.get(TcpHeader)
        if tcp is not None and not tcp.flags & 4:
            self.flows.append((interface, seen))

    def batch(self) -> tuple[Any, list[Any]]:
        """Some frames for one interface."""
        random = self.random
        if self.flows and random.random() < 0.75:
            interface, seen = random.choice(self.flows[-12:] if random.random() < 0.8 else self.flows)
            frames = [self.answer(interface, seen) for _ in range(random.choice((1, 1, 1, 2, 5)))]
        else:
            interface = random.choice(self.interfaces)
            frames = [self.fresh(interface) for _ in range(random.choice((1, 1, 3)))]
        frames = [self.mutate(frame) if random.random() < 0.15 else frame for frame in frames]
        self.bridged.update(frames if interface in (self.left, self.right) else ())
        self.seen.extend((interface, frame) for frame in frames)
        return interface, [Frame(frame, random.choice((0, 0, 0, 1))) if random.random() < 0.3 else frame
                           for frame in frames]

    def answer(self, interface: Any, seen: Any) -> bytes:
        """A segment to a connection that has sent `seen`, near to what it expects."""
        random = self.random
        tcp = seen.get(TcpHeader)
        ip = seen.ip
        syn = tcp.flags & 2
        seq = tcp.ack if tcp.flags & 16 else random.getrandbits(32)
        ack = tcp.seq + len(seen.payload) + (1 if syn else 0) + (1 if tcp.flags & 1 else 0)
        if random.random() < 0.2:
            seq += random.choice((-1, 1, -1000, 100, 513, 1000, 1448, 5000, 60000, 1 << 20, 1 << 31, -(1 << 31)))
        if random.random() < 0.1:
            ack += random.choice((-1, 1, -1000, 1000, 1 << 16, 1 << 31))
        flags = "." if not syn else ("S." if not tcp.flags & 16 else ".")
        if random.random() < 0.1:
            flags = random.choice(("F.", "R", "R.", "S", "S.", "", "F", "P.U", "FPU", "SFRPUEC.", "E.", "C."))
        size = 0 if random.random() < 0.4 else random.choice((1, 1, 2, 100, 513, 1000, 1400, 1400, 4500, 9000))
        options = self.tcp_options(tcp)
        payload = random.randbytes(size) if size < 600 else bytes(size)
        window = random.choice((0, 1, 4, 1000, 65535, 65535, 65535))
        segment = raw_tcp(
            ip.destination, ip.source, tcp.destination_port, tcp.source_port, seq & MASK32, ack & MASK32, flags, window,
            options, payload, random.choice((0, 0, 0, 1, size, 65535)),
        )
        packet = build.ip(ip.destination, ip.source, 6, segment)
        if interface.layer == 3:
            return packet
        link = seen.l2info.reversed()
        if random.random() < 0.03:
            link = link._replace(vlans=parse_vlans(random.choice(STACKS)))
        frame = build.frame(packet, link)
        if random.random() < 0.05:
            return self.fragment(packet, link)
        return frame

    def tcp_options(self, tcp: Any) -> bytes:
        """Options: those that a connection with `tcp` wants, others, or garbage."""
        random = self.random
        what = random.random()
        stamps = [option for option in tcp.options if isinstance(option, Timestamps)]
        if what < 0.75 and not stamps:
            return b""
        if what < 0.75:
            stamp = (self.now // MILLISECOND + 4096 + random.choice((0, 0, 0, 0, 0, 0, -5, 5, 1 << 31))) & MASK32
            return b"\x01\x01\x08\x0a" + struct.pack(">II", stamp, stamps[0].value)
        if what < 0.9:
            count = random.randrange(5)
            edges = [(tcp.seq + random.choice((-100, 0, 1, 1448, 2896, 10000, 1 << 31))) & MASK32
                     for _ in range(2 * count)]
            return (b"\x01\x01" + bytes((5, 2 + 8 * count)) + struct.pack(f">{2 * count}I", *edges))[:40]
        if what < 0.95:
            return random.choice(BAD_OPTIONS)
        return random.randbytes(random.randrange(41))

    def fresh(self, interface: Any) -> bytes:
        """A frame that belongs to no connection: SYNs, datagrams, ICMP, ARP, ND, fragments, extension headers."""
        random = self.random
        family = random.choice((4, 4, 6))
        peer = random.choice(PEERS[family])
        ours = OURS[family]
        if interface is self.tun:
            ours = {4: "10.9.0.1", 6: "fd09::1"}[family]
        elif random.random() < 0.1:
            ours = random.choice({4: ["10.0.0.255", "224.0.0.1", "255.255.255.255", "127.0.0.1", peer, "0.0.0.0"],
                                  6: ["ff02::1", "::1", "::", peer, "ff02::1:ff00:2"]}[family])
        l2 = L2Info(PEER_MAC, random.choice((OUR_MAC, OUR_MAC, OUR_MAC, Mac(b"\xff" * 6), Mac("33:33:00:00:00:01"))),
                    parse_vlans(random.choice(STACKS) if interface.cdom else random.choice(((), (), (), (5,)))))
        kind = random.randrange(9)
        layer: Any = interface.layer
        if kind < 3:
            options = random.choice((b"", SYN_OPTIONS, SYN_OPTIONS, random.choice(BAD_OPTIONS)))
            segment = raw_tcp(pack_address(peer), pack_address(ours), random.randrange(65536),
                              random.choice((80, 80, 80, 81, 9, 0)), random.getrandbits(32), 0, "S", 65535, options,
                              b"" if random.random() < 0.9 else b"early", 0)
            return build.frame(build.ip(peer, ours, 6, segment), l2, layer=layer)
        if kind == 3:
            data = random.randbytes(random.choice((0, 1, 100, 1400)))
            return build.udp(peer, ours, random.randrange(65536), random.choice((53, 5353, 9)), data, l2, layer=layer)
        if kind == 4:
            return build.icmp_echo(peer, ours, 1, 2, bytes(random.choice((0, 56, 1400))), l2, layer=layer)
        if kind == 5 and self.seen:
            quoted_interface, quoted = random.choice(self.seen)
            packet = build.dissect(quoted, quoted_interface.layer).packet[: random.choice((0, 8, 20, 28, 48, 1200))]
            kinds = ((3, 0), (3, 1), (3, 3), (3, 4), (4, 0), (5, 1), (11, 0), (11, 1), (12, 0))
            code: Any = random.choice(kinds if family == 4 else ((1, 0), (1, 4), (2, 0), (3, 0), (4, 1), (137, 0)))
            info = random.choice((0, 68, 552, 1280, 1400, MASK32))
            return build.icmp_message(peer, ours, *code, info, packet, l2, layer=layer)
        if kind == 6 and family == 4 and layer == 2:
            sender = IPv4Address(random.choice((0x0A000001, 0x0A000002, random.getrandbits(32))))
            if random.random() < 0.5:
                return build.arp_request(sender, ours if "." in ours else "10.0.0.2", l2=l2)
            return build.arp_reply(sender, "10.0.0.2", l2=l2)
        if kind == 6:
            body = random.randbytes(random.choice((0, 4, 16, 20, 28)))
            return build.icmp_message("fe80::1" if random.random() < 0.5 else PEERS[6][0], "fd00::2",
                                      random.choice((133, 134, 135, 136, 137, 130, 131, 143, 200)), 0,
                                      random.getrandbits(32), body, l2, ttl=255, layer=layer)
        if kind == 7 and family == 6:
            headers = b""
            chain = [random.choice((0, 43, 44, 60, 51, 135)) for _ in range(random.choice((1, 2, 3, 12)))]
            for at in range(len(chain)):
                after = chain[at + 1] if at + 1 < len(chain) else random.choice((6, 17, 58, 59, 41, 255))
                headers += bytes((after, random.choice((0, 0, 0, 1, 255)))) + random.randbytes(6)
            return build.frame(build.ip(peer, ours, chain[0], headers + random.randbytes(30)), l2, layer=layer)
        packet = build.udp(peer, ours, 7, 53, bytes(random.choice((100, 3000))), layer=3)
        return self.fragment(packet, l2 if layer == 2 else None)

    def fragment(self, packet: bytes, l2: L2Info | None) -> bytes:
        """One fragment of `packet`, perhaps with a wrong offset."""
        random = self.random
        pieces = build.fragments(packet, random.choice((8, 16, 512, 1280)), random.randrange(4))
        piece = random.choice(pieces)
        if random.random() < 0.3 and piece[0] >> 4 == 4:
            changed = bytearray(piece)
            changed[6:8] = struct.pack(">H", random.choice((0x2000, 0x1FFF, 0x3FFF, 1, 0x2001, 0x0003)))
            piece = fix(bytes(changed), 0)
        return piece if l2 is None else build.frame(piece, l2)

    def mutate(self, frame: bytes) -> bytes:
        """`frame` with something wrong, and half of the time with checksums that say nothing is."""
        random = self.random
        data = bytearray(frame)
        for _ in range(random.choice((1, 1, 2, 6))):
            what = random.random()
            if not data:
                break
            at = random.randrange(min(len(data), 90))
            if what < 0.4:
                data[at] ^= 1 << random.randrange(8)
            elif what < 0.7 and len(data) > at + 1:
                data[at : at + 2] = struct.pack(">H", random.choice(NASTY_NUMBERS))
            elif what < 0.85:
                del data[random.randrange(len(data)) :]
            elif what < 0.95:
                data += bytes(random.choice((1, 46, 1400)))
            else:
                data[12:12] = b"\x81\x00\x00\x05" * random.choice((1, 16, 17))
        if random.random() < 0.5:
            offset = 14
            while data[offset - 2 : offset] in (b"\x81\x00", b"\x88\xa8"):
                offset += 4
            return fix(bytes(data), 0 if data[:1] and data[0] >> 4 in (4, 6) and len(data) < 14 else offset)
        return bytes(data)

    def end(self) -> None:
        """Closes everything and lets all timers run out: nothing may be left."""
        for splice in self.splices:
            splice.abort()
        for sock in [*self.listeners, *self.sockets, *self.forgotten, *self.stack.connections()]:
            sock.on_event = None
            sock.close()
        for _ in range(4000):
            deadline = self.stack.next_deadline()
            if deadline is None:
                break
            self.now = max(self.now, deadline)
            self.stack.poll(self.now)
            for interface in self.interfaces:
                for frame in self.stack.output(interface):
                    self.hash.update(frame.data)

    def digest(self) -> str:
        """What has come out, and every counter."""
        told = repr(sorted(self.stack.stats.as_dict().items()))
        return f"{self.frames_in} {self.frames_out} {self.hash.hexdigest()} {told}"


SYN_OPTIONS = b"\x02\x04\x05\xb4\x01\x03\x03\x07\x04\x02\x08\x0a\x00\x00\x10\x00\x00\x00\x00\x00"
BAD_OPTIONS = [
    b"\x08\x00\x00\x00", b"\x02\x04\x00\x00", b"\x02\x04\x00\x01", b"\x03\x03\xff\x00", b"\x05\x02\x01\x01",
    b"\x05\x22" + b"\xff" * 32, b"\x01" * 40, b"\x00" + b"\xff" * 39, b"\x22\x01\x01\x01", b"\xfe\xff\x01\x01", b"\x02",
    b"\x13\x12" + bytes(16) + b"\x01\x01", b"\x02\x04\xff\xff\x02\x04\x00\x30",
]
OPTIONS = [
    (uinet.SOL_SOCKET, uinet.SO_RCVBUF), (uinet.SOL_SOCKET, uinet.SO_SNDBUF), (uinet.SOL_SOCKET, uinet.SO_KEEPALIVE),
    (uinet.SOL_SOCKET, uinet.SO_LINGER), (uinet.SOL_SOCKET, uinet.SO_L2INFO), (uinet.SOL_SOCKET, uinet.SO_ERROR),
    (uinet.SOL_SOCKET, uinet.SO_REUSEPORT), (uinet.IPPROTO_TCP, uinet.TCP_NODELAY), (uinet.IPPROTO_IP, uinet.IP_TTL),
    (uinet.IPPROTO_TCP, uinet.TCP_CORK), (uinet.IPPROTO_TCP, uinet.TCP_KEEPIDLE),
    (uinet.IPPROTO_TCP, uinet.TCP_KEEPCNT),
    (uinet.IPPROTO_TCP, uinet.TCP_USER_TIMEOUT), (uinet.IPPROTO_IP, uinet.IP_TOS),
]


def raw_tcp(
    source: bytes, destination: bytes, sport: int, dport: int, seq: int, ack: int, flags: str, window: int,
    options: bytes, payload: bytes, urgent: int,
) -> bytes:
    """A segment with any bytes as its options, and a right checksum."""
    bits = sum(1 << "FSRP.UEC".index(letter) for letter in flags)
    options += bytes(-len(options) % 4)
    head = struct.pack(">HHIIBBHHH", sport, dport, seq, ack, (5 + len(options) // 4) << 4, bits, window, 0, urgent)
    segment = head + options + payload
    value = checksums.transport(source, destination, 6, segment)
    return segment[:16] + struct.pack(">H", value) + segment[18:]


def fix(data: bytes, offset: int) -> bytes:
    """`data` with the checksums of the IP packet at `offset` made right, as far as there are any."""
    packet = bytearray(data[offset:])
    if len(packet) < 20:
        return data
    try:
        if packet[0] >> 4 == 4:
            header = packet[: (packet[0] & 15) * 4]
            packet[10:12] = bytes(2)
            total = sum(struct.unpack(f">{len(header) // 2}H", bytes(packet[: len(header) // 2 * 2])))
            while total >> 16:
                total = (total & 0xFFFF) + (total >> 16)
            packet[10:12] = struct.pack(">H", ~total & 0xFFFF)
        return data[:offset] + checksums.fill_packet(bytes(packet))
    except (ValueError, IndexError, struct.error):
        return data[:offset] + bytes(packet)


def attack(seed: int, steps: int) -> str:
    """Runs one world for `steps` steps and to its end; its digest."""
    logging.getLogger("uinet").disabled = True
    try:
        world = World(seed)
        for _ in range(steps):
            world.step()
        world.end()
        return world.digest()
    finally:
        logging.getLogger("uinet").disabled = False
