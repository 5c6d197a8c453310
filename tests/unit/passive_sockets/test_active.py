"""From passive to active: a watched endpoint is played from then on, and its peer notices nothing."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

import uinet
from tests.unit.bridging.worlds import End
from tests.unit.passive_sockets.lab import Silent, Talk, watched
from tests.unit.promiscuous.lab import Lab
from uinet import ANY, PassiveSocket, Verdict
from uinet.errors import InvalidArgument, Unsafe
from uinet.sim.network import Network
from uinet.wire.tcp_options import Mss

DATA = Random(5).randbytes(300_000)


class Segment:
    """A client, a server and who watches them, on one segment."""

    def __init__(self, *, server_settings: dict[str, Any] | None = None, **link: Any) -> None:
        self.net = Network(seed=7)
        self.a = self.net.host("10.0.0.1/24")
        self.b = self.net.host("10.0.0.2/24")
        self.watcher = self.net.host(promiscuous=True)
        for name, value in (server_settings or {}).items():
            setattr(self.b.stack.tcp.settings, name, value)
        self.wire = self.net.switch(self.a, self.b, self.watcher, delay=0.001, **link)
        self.watching = self.watcher.stack.listen((ANY, 80), vlans=ANY, cdom=1, passive=True)
        self.listener = self.b.stack.listen(("10.0.0.2", 80))

    def cut_off_the_server(self) -> None:
        """Nothing reaches it any more: its host would reset what it knows nothing of."""
        self.wire.ports.remove(self.b.ports[0])

    def connect(self) -> tuple[Any, Any, PassiveSocket]:
        client = self.a.stack.connect(("10.0.0.2", 80), source=("10.0.0.1", 4000))
        self.net.run(until=lambda: self.listener.readable, timeout=5)
        server = self.listener.accept()
        client.send(b"hello")
        self.net.run(timeout=0.1)
        primary = self.watching.accept()
        assert isinstance(primary, PassiveSocket)
        return client, server, primary


def test_writing_to_a_passive_socket_goes_on_as_its_endpoint() -> None:
    segment = Segment()
    client, server, primary = segment.connect()
    peer = primary.get_passive_peer()
    server.send(b"from the server")
    segment.net.run(timeout=0.1)
    assert primary.passive
    primary.setsockopt(uinet.SOL_SOCKET, uinet.SO_ACTIVE_RESET, True)
    assert primary.send(b" and from us") == 12
    segment.net.run(timeout=0.01)
    segment.cut_off_the_server()
    segment.net.run(timeout=0.1)
    assert not primary.passive
    assert primary.recv(99) == b"hello"  # what was unread stays
    assert client.recv(99) == b"from the server and from us"
    assert server.state == "CLOSED" and isinstance(server.error, ConnectionResetError)
    assert peer.recv(99) == b"from the server" and peer.recv(99) == b""
    assert primary.getpeername() == (client.getsockname())
    client.send(b"to you")
    segment.net.run(timeout=0.1)
    assert primary.recv(99) == b"to you"
    client.close()
    segment.net.run(timeout=0.1)
    assert primary.recv(99) == b""
    primary.close()
    segment.net.run(timeout=200)
    assert len(segment.watcher.stack.tcp.table) == 0
    assert segment.watcher.stack.tcp.received_bytes == segment.watcher.stack.tcp.queued_bytes == 0
    assert segment.a.stack.stats["tcp_rst_in"] == 0


def test_as_the_client_and_left_silent() -> None:
    segment = Segment()
    client, server, primary = segment.connect()
    peer = primary.get_passive_peer()  # what the client receives
    peer.go_active(reset=False)
    assert peer.send(b" world") == 6
    segment.net.run(timeout=0.1)
    assert server.recv(99) == b"hello world"
    assert client.state == "ESTABLISHED" and client.error is None
    server.send(b"who?")
    segment.net.run(timeout=0.1)
    assert peer.recv(99) == b"who?"


@pytest.mark.parametrize("reorder", [0.0, 0.02])
def test_in_the_middle_of_a_bulk_transfer(reorder: float) -> None:
    """The client uploads; from the middle on we are its server."""
    segment = Segment(rate=2e7, reorder=reorder)
    client, _, primary = segment.connect()
    sender = End(client, DATA, True)
    sender.send()
    segment.net.run(timeout=0.05)
    got = bytearray()
    while primary.readable:
        got += primary.recv(65536)
    primary.go_active()
    segment.cut_off_the_server()

    def more() -> bool:
        while primary.readable:
            data = primary.recv(65536)
            got.extend(data)
            if not data:
                break
        return len(got) == len(DATA) + 5

    segment.net.run(until=more, timeout=60)
    assert bytes(got) == b"hello" + DATA
    assert client.error is None


def test_what_can_not_go_active() -> None:
    lab = Silent()
    primary, peer = watched(lab, talk := Talk(lab))
    talk.server.send("P.", b"answer")  # not acknowledged
    lab.stack.tcp.watching().recall.rings.clear()
    for half in (primary.reception.conn.client, primary.reception.conn.server):
        half.slot = 0
    with pytest.raises(Unsafe, match="in flight"):
        primary.send(b"x")
    assert primary.passive and lab.out() == []
    talk.server.lose("P.", b"lost")
    talk.client.send(".")
    with pytest.raises(Unsafe, match="missing in the copy"):
        peer.go_active()
    talk = Talk(lab, sport=4001)
    lab.stack.listen((ANY, 80), vlans=ANY, cdom=1, passive=True)
    talk.server.send("S.")
    talk.client.send(".")
    talk.client.send("P.", b"x")
    listener = lab.watch(port=81)
    other = Talk(lab, dport=81, sport=4002)
    other.server.send("S.")
    other.client.send(".")
    other.client.send("P.", b"x")
    sock = listener.accept()
    assert isinstance(sock, PassiveSocket)
    with pytest.raises(Unsafe, match="SYNs were not seen"):
        sock.go_active()
    other.finish()
    assert sock.passive


def test_by_hand_the_numbers_go_on() -> None:
    lab = Silent()
    primary, _ = watched(lab, talk := Talk(lab, vlans=(100, 200)))
    talk.client.send("P.", b"question")
    talk.server.send(".")
    primary.go_active(reset=True)
    primary.send(b"answer")
    frames = lab.out()
    resets = [frame for frame in frames if "R" in frame.flags]
    assert {frame.tcp.source_port for frame in resets} == {4000}  # to the server, as if from the client
    assert [frame.tcp.seq for frame in resets] == [talk.client.seq]
    (data,) = [frame for frame in frames if frame.payload]
    assert (data.tcp.seq, data.tcp.ack, data.payload) == (talk.server.seq, talk.client.seq, b"answer")
    assert data.l2info is not None and [tag.vid for tag in data.l2info.vlans] == [100, 200]
    assert data.tcp.source_port == 80


# SYNs that nobody answers


class Impatient:
    """A filter that watches, and answers itself after 500 ms."""

    def __init__(self, after: float = 500) -> None:
        self.after = after
        self.gone: list[str] = []

    def __call__(self, syn: Any) -> Verdict:
        syn.context = "ours"
        syn.on_gone = lambda syn, why: self.gone.append(why)
        syn.go_active_on_timeout(self.after)
        return Verdict.ACCEPT_PASSIVE


def test_a_syn_that_nobody_answers_is_answered_in_time() -> None:
    lab = Lab()
    listener = lab.listen(passive=True, syn_filter=Impatient())
    talk = Talk(lab, vlans=7)  # type: ignore[arg-type]
    assert lab.put(talk.client.frame("S", options=[Mss(1460)])) == []
    assert lab.wait(400_000_000) == []
    (answer,) = lab.wait(200_000_000)
    assert (answer.flags, answer.tcp.ack, answer.tcp.source_port) == ("S.", talk.client.seq, 80)
    talk.server.seq = (answer.tcp.seq + 1) & 0xFFFFFFFF
    lab.put(talk.client.frame("."))
    lab.put(talk.client.frame("P.", b"hello"))
    sock = listener.accept()
    assert not sock.passive and sock.context == "ours"
    assert sock.recv(9) == b"hello"
    sock.send(b"welcome")
    assert lab.out()[-1].payload == b"welcome"


def test_a_syn_that_is_answered_is_watched() -> None:
    lab = Silent()
    decide = Impatient()
    listener = lab.watch(syn_filter=decide)
    talk = Talk(lab)
    talk.client.send("S")
    talk.server.send("S.")
    lab.pause(1_000_000_000)
    talk.client.send(".")
    assert listener.accept().passive
    assert decide.gone == []


def test_a_syn_that_is_reset_is_not_answered() -> None:
    lab = Silent()
    lab.watch(syn_filter=Impatient())
    talk = Talk(lab)
    talk.client.send("S")
    talk.server.send("R.")
    lab.pause(20_000_000_000)


@pytest.mark.parametrize("wrong", [0, -1, 60_001, "soon", True])
def test_times_that_are_none(wrong: Any) -> None:
    lab = Lab()
    seen: list[BaseException] = []

    def decide(syn: Any) -> Verdict:
        with pytest.raises(InvalidArgument) as caught:
            syn.go_active_on_timeout(wrong)
        seen.append(caught.value)
        return Verdict.ACCEPT_PASSIVE

    lab.listen(passive=True, syn_filter=decide)
    lab.put(Talk(lab).client.frame("S"))  # type: ignore[arg-type]
    assert len(seen) == 1
