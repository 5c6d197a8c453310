"""Whatever peers send and whatever programs call, in any order: no exception leaves the engine, and when all is closed
nothing is left.
"""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import uinet
from tests.unit.promiscuous.lab import SECOND, Lab, Peer, l2
from uinet import ANY, Error, Socket, Splice, Verdict
from uinet.wire.tcp_options import Mss, SackPermitted, Timestamps, WindowScale

FLAGS = ["S", "S", "S.", ".", ".", "P.", "P.", "F.", "FP.", "R", "R.", "SF", "SR", "", "FPU", "SFRPU."]
VERDICTS: list[Any] = [*Verdict, Verdict.ACCEPT, Verdict.DEFER, Verdict.DEFER, None, ValueError]


class Chaos:
    """A stack with two domains, a few peers, and programs that do anything."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.lab = Lab(2, bridge=self.random.random() < 0.3, answer_any=self.random.random() < 0.3)
        self.lab.stack.tcp.settings.defer_limit = 4
        self.lab.stack.tcp.settings.syn_cache_limit = 6
        self.socks: list[Socket] = []
        self.splices: list[Splice] = []
        self.held: list[Any] = []
        self.asked = 0
        self.over = False
        self.gone: dict[int, int] = {}  # number of a question -> how often its on_gone was called
        self.peers = [
            Peer(self.lab, sport=port, vlans=vlans, port=side, seq=self.random.getrandbits(32))
            for side in self.lab.ports for port in (1, 2) for vlans in ((), (5,))
        ]

    def filter(self, syn: Any) -> Any:
        self.asked += 1
        number = self.asked
        self.held.append(syn)
        syn.on_gone = lambda it, why: self.gone.update({number: self.gone.get(number, 0) + 1})
        verdict = self.random.choice(VERDICTS)
        if self.random.random() < 0.2:
            self.act()
        if verdict is ValueError:
            raise ValueError("a filter's bug")
        return verdict

    def upcall(self, sock: Socket, events: int) -> None:
        if self.random.random() < 0.3:
            self.act()

    def add(self, sock: Socket) -> None:
        self.socks.append(sock)
        if self.random.random() < 0.5:
            sock.on_event = self.upcall

    def act(self) -> None:
        """One call of a program; only the package's own errors may come of it."""
        try:
            if not self.over:
                self.random.choice(ACTIONS)(self)
        except Error:
            pass

    def listen(self) -> None:
        choose = self.random.choice
        self.add(self.lab.stack.listen(
            ("10.2.0.9" if choose((0, 1)) else ANY, choose((80, ANY))), cdom=choose((1, 2)), promiscuous=True,
            vlans=choose(((), (5,), ANY)), backlog=choose((1, 3)), reuse_port=choose((False, True)),
            syn_filter=choose((None, self.filter, self.filter)),
        ))

    def connect(self) -> None:
        peer = self.random.choice(self.peers)
        self.add(self.lab.stack.connect(
            (peer.src, peer.sport), source=(peer.dst, peer.dport), l2=peer.link.reversed(), cdom=peer.port.cdom
        ))

    def deliver(self) -> None:
        if self.held:
            self.held.pop(self.random.randrange(len(self.held))).deliver(self.random.choice(list(Verdict)))

    def splice(self) -> None:
        if len(self.socks) > 1:
            self.splices.append(uinet.splice(*self.random.sample(self.socks, 2)))

    def use(self) -> None:
        if not self.socks:
            return
        sock = self.random.choice(self.socks)
        what = self.random.randrange(9)
        if what == 0:
            self.add(sock.accept())
        elif what == 1:
            sock.send(self.random.randbytes(self.random.choice((0, 1, 3000))))
        elif what == 2:
            sock.recv(self.random.choice((0, 1, 5000)), self.random.choice((0, uinet.MSG_PEEK)))
        elif what == 3:
            sock.shutdown(self.random.randrange(3))
        elif what == 4:
            self.socks.remove(sock)
            self.random.choice((sock.close, sock.abort))()
        elif what == 5:
            sock.setsockopt(uinet.SOL_SOCKET, uinet.SO_RCVBUF, self.random.choice((2048, 50_000)))
        elif what == 6:
            sock.setsockopt(uinet.SOL_SOCKET, uinet.SO_LINGER, (1, self.random.randrange(3)))
        elif what == 7:
            sock.recv_into(bytearray(100))
        else:
            assert sock.getsockname() and sock.cdom >= 0 and repr(sock) and sock.l2info is not sock

    def engine(self) -> None:
        for port in self.lab.ports:
            self.lab.stack.output(port)
        self.lab.stack.events()
        self.lab.stack.poll(self.lab.now)

    def segment(self) -> None:
        """One segment: often what comes next in its connection, sometimes anything."""
        peer, random = self.random.choice(self.peers), self.random
        flags = random.choice(FLAGS)
        if random.random() < 0.2:
            peer.seq = (peer.seq + random.choice((-1, 1, 5000, 1 << 31))) & 0xFFFFFFFF
        options = [
            option for option in (Mss(random.choice((0, 100, 1460))), WindowScale(random.randrange(20)),
                                  SackPermitted(), Timestamps(random.getrandbits(32), 0)) if random.random() < 0.2
        ]
        payload = random.randbytes(random.choice((0, 0, 1, 600)))
        link = l2(peer.link.vlans, source=f"02:00:00:00:00:{random.randrange(4):02x}")
        try:
            peer.send(flags, payload, link=link, options=options, window=random.choice((0, 1, 500, 65535)))
        except uinet.InvalidArgument:
            pass  # an answer that is no TCP
        if random.random() < 0.3:
            for each in self.peers:
                each.hear([frame for frame in self.lab.out(each.port) if frame.flags])


ACTIONS = [Chaos.listen, Chaos.connect, Chaos.deliver, Chaos.splice, Chaos.use, Chaos.use, Chaos.use, Chaos.engine]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1 << 32))
def test_nothing_breaks_and_nothing_is_left(seed: int) -> None:
    chaos = Chaos(seed)
    lab = chaos.lab
    tcp = lab.stack.tcp
    for _ in range(150):
        if chaos.random.random() < 0.5:
            chaos.segment()
        else:
            chaos.act()
        if chaos.random.random() < 0.1:
            lab.now += chaos.random.choice((1, SECOND // 10, 5 * SECOND))
            lab.stack.poll(lab.now)
        assert not tcp.busy
        assert tcp.syn_count <= 6
        for sock in chaos.socks:
            assert sock.listener is None or len(sock.listener.deferred) <= 4
    chaos.over = True
    for sock in chaos.socks:
        sock.abort()
    for splice in chaos.splices:
        splice.abort()
    lab.wait(400 * SECOND)
    lab.stack.events()
    assert all(splice.done for splice in chaos.splices)
    assert lab.count("upcall_error") == 0
    assert max(chaos.gone.values(), default=1) == 1
    assert not any(syn.waiting for syn in chaos.held)
    assert (len(tcp.table), tcp.listeners.count, tcp.syn_count, tcp.received_bytes, tcp.connections) == (0, 0, 0, 0, 0)
    assert lab.stack.wheel.count == 0
    assert lab.stack.connections() == []
