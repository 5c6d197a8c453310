"""The engine from outside: batches, calls from inside a batch, closing with everything open, datagrams, ping."""

from __future__ import annotations

import logging
from typing import Any

import pytest

import uinet
from tests.unit.promiscuous.lab import CLIENT, CLIENT6, SECOND, SERVER, SERVER6, Filter, Lab, Log, connected, l2, serve
from uinet import (
    ANY,
    EV_CLOSED,
    EV_ERROR,
    EV_READABLE,
    BadSocket,
    InvalidArgument,
    L2Info,
    Socket,
    Stack,
    Verdict,
    VlanTag,
    WouldBlock,
)
from uinet.wire import build
from uinet.wire.addresses import pack_address
from uinet.wire.build import dissect
from uinet.wire.frame import Frame

# batches


def test_a_seed_makes_a_run_repeatable() -> None:
    def run(seed: bytes) -> list[bytes]:
        stack = Stack(seed, now=SECOND)
        stack.add_interface("p", cdom=1)
        stack.connect((SERVER, 80), source=(CLIENT, ANY), l2=l2(), cdom=1)
        stack.poll(5 * SECOND)
        return [frame.data for frame in stack.output(stack.interfaces[0])]

    assert run(b"one") == run(b"one")
    assert run(b"one") != run(b"two")
    with pytest.raises(InvalidArgument, match="a seed is bytes"):
        Stack("text")  # type: ignore[arg-type]


def test_time_never_goes_back() -> None:
    stack = Stack(now=50)
    stack.poll(100)
    stack.poll(70)
    assert stack.now == 100


def test_no_deadline_without_anything_to_do() -> None:
    stack = Stack()
    assert stack.poll(1) is None
    assert stack.next_deadline() is None


def test_bytes_and_frames_are_taken() -> None:
    lab = Lab()
    lab.listen()
    frames: list[Any] = [lab.peer(sport=1).segment("S"), Frame(lab.peer(sport=2).segment("S")),
                         bytearray(lab.peer(sport=3).segment("S"))]
    lab.stack.input(lab.p1, frames, lab.now)
    assert len(lab.out()) == 3
    lab.stack.input(lab.p1, iter([lab.peer(sport=4).segment("S")]), lab.now)
    assert len(lab.out()) == 1


def test_calls_from_an_upcall_do_not_disturb_the_batch() -> None:
    lab = Lab()
    other = lab.peer(sport=9)

    def meddle(sock: Socket, events: int) -> None:
        if events & EV_READABLE:
            lab.stack.input(lab.p1, [other.segment("S")], lab.now)
            lab.stack.poll(lab.now + SECOND)
            lab.stack.output(lab.p1)
            lab.stack.events()
            lab.stack.next_deadline()

    peer = lab.peer()
    listener = lab.listen()
    peer.connect()
    sock = listener.accept()
    sock.on_event = meddle
    lab.stack.poll(lab.now)
    before = lab.stack.now
    (answer,) = peer.send("P.", b"x")
    assert (answer.flags, answer.tcp.destination_port) == ("S.", 9)
    assert lab.stack.now == before
    assert not lab.stack.tcp.busy


def test_an_upcall_without_end_does_not_hang_a_batch() -> None:
    stack = Stack()
    ends = [stack.socket(kind=uinet.SOCK_DGRAM) for _ in range(2)]
    for sock in ends:
        sock.bind(("127.0.0.1", 0))
    for sock, peer in zip(ends, ends[::-1], strict=True):
        sock.connect(peer.getsockname())

    def echo(sock: Socket, events: int) -> None:
        sock.send(sock.recv(10))

    for sock in ends:
        sock.on_event = echo
    ends[0].send(b"ball")
    assert stack.poll(1) == stack.now  # there is more to do
    assert stack.poll(2) == stack.now


def test_a_timer_that_raises_does_not_stop_the_engine() -> None:
    from uinet.wheel import Timer

    class Bad(Timer):
        def expire(self, now: int) -> None:
            raise ValueError("a bug")

    lab = Lab()
    timer = Bad()
    lab.stack.wheel.arm(timer, lab.now + 1)
    with pytest.raises(ValueError, match="a bug"):
        lab.stack.poll(lab.now + SECOND)
    lab.now += 2 * SECOND
    lab.listen()
    lab.peer().connect()


# closing


def test_closing_with_everything_open() -> None:
    lab = Lab(2)
    eth = lab.stack.add_interface("eth0")
    eth.add_address("10.0.0.1/24")
    log = Log()
    decide = Filter(Verdict.DEFER)
    listener = lab.listen(SERVER, 80)
    older = lab.listen(SERVER, 443, reuse_port=True)
    newer = lab.listen(SERVER, 443, reuse_port=True)
    held = lab.listen(SERVER, 22, syn_filter=decide)
    lab.peer(dport=22).send("S")
    peer = lab.peer()
    peer.connect()
    lab.peer(sport=9).connect()  # never accepted
    lab.peer(sport=10).send("S")  # half open
    accepted = listener.accept()
    accepted.on_event = log
    lab.stack.poll(lab.now)
    log.calls.clear()
    peer.send("P.", b"unread")
    closing = connected(lab, lab.peer(sport=11))
    closing.close()
    connecting = lab.stack.connect(("10.0.0.9", 80))
    datagrams = lab.stack.socket(kind=uinet.SOCK_DGRAM)
    datagrams.bind((ANY, 53))
    one, two = (connected(lab, lab.peer(sport=port, port=lab.p2)) for port in (12, 13))
    splice = uinet.splice(one, two)
    done: list[Any] = []
    splice.on_done = done.append
    ping = lab.stack.ping("10.0.0.9")
    ping.send()
    log.calls.clear()
    lab.out()
    lab.out(lab.p2)
    lab.stack.close()
    lab.stack.close()
    assert lab.stack.output(lab.p1) == []
    assert log.calls == [EV_ERROR | EV_READABLE | uinet.EV_WRITABLE | EV_CLOSED]
    assert decide.gone == ["closed"]
    assert done == [splice]
    assert accepted.recv(100) == b"unread"
    for sock in (accepted, connecting):
        with pytest.raises(ConnectionAbortedError):
            sock.recv(1)
    for sock in (listener, older, newer, held, datagrams, accepted, connecting):
        with pytest.raises(BadSocket):
            sock.send(b"x")
        sock.close()
    for call in (lab.stack.socket, lambda: lab.stack.listen((ANY, 1)), lambda: lab.stack.poll(lab.now),
                 lambda: lab.stack.input(lab.p1, [], lab.now), ping.send):
        with pytest.raises(BadSocket, match="closed"):
            call()
    assert lab.stack.next_deadline() is None
    assert len(lab.stack.tcp.table) == 0
    assert lab.stack.tcp.listeners.count == 0
    assert lab.stack.interfaces == []
    assert lab.stack.udp.endpoints == {}
    assert lab.stack.wheel.count == 0


def test_closing_from_an_upcall(caplog: pytest.LogCaptureFixture) -> None:
    lab = Lab()
    peers = [lab.peer(sport=port) for port in (1, 2)]
    listener = lab.listen()
    for peer in peers:
        peer.connect()
    log = Log(lambda sock, events: lab.stack.close())
    for _ in peers:
        listener.accept().on_event = log
    with caplog.at_level(logging.ERROR, "uinet"):
        assert lab.stack.input(lab.p1, [peer.segment("P.", b"x") for peer in peers], lab.now) is None
    assert lab.stack.closed
    assert not caplog.records


def test_an_interface_that_goes_away() -> None:
    lab = Lab()
    sock = serve(lab, lab.peer())
    lab.stack.remove_interface(lab.p1)
    sock.send(b"x")
    lab.stack.poll(lab.now)
    assert lab.count("link_down") == 1
    with pytest.raises(InvalidArgument):
        lab.stack.connect((SERVER, 80), source=(CLIENT, 5), l2=l2(), cdom=1)
    with pytest.raises(InvalidArgument):
        lab.listen()


def test_connections_lists_what_is_accepted() -> None:
    lab = Lab()
    listener = lab.listen()
    lab.peer(sport=1).connect()
    lab.peer(sport=2).connect()
    sock = listener.accept()
    assert lab.stack.connections() == [sock]


# datagrams


def pair() -> tuple[Stack, Socket, Socket]:
    stack = Stack()
    server, client = stack.socket(kind=uinet.SOCK_DGRAM), stack.socket(uinet.AF_INET, uinet.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    return stack, server, client


def test_datagrams_through_the_socket_api() -> None:
    stack, server, client = pair()
    assert server.writable
    assert not server.readable
    with pytest.raises(WouldBlock):
        server.recv(10)
    assert client.sendto(b"query", ("127.0.0.1", 53)) == 5
    assert client.sendto(memoryview(b"second"), ("127.0.0.1", 53)) == 6
    stack.poll(1)
    assert stack.events() == [(server, EV_READABLE)]
    assert server.recvfrom(100, uinet.MSG_PEEK)[0] == b"query"
    data, source = server.recvfrom(3)
    assert data == b"que"
    assert server.recv(100) == b"second"
    assert (str(source[0]), source[1]) == ("127.0.0.1", client.getsockname()[1])
    server.sendto(b"answer", source)
    stack.poll(2)
    into = bytearray(10)
    assert client.recv_into(into) == 6
    assert into[:6] == b"answer"
    client.connect(("127.0.0.1", 53))
    assert client.getpeername()[1] == 53
    assert client.send(b"third") == 5
    assert client.sendmsg([b"fo", b"urth"]) == 6
    stack.poll(3)
    assert [server.recv(9), server.recv(9)] == [b"third", b"fourth"]
    server.sendto(b"x", client.getsockname())
    stack.poll(4)
    assert client.recvmsg(9)[1] == [(uinet.IPPROTO_IP, uinet.IP_ORIGDSTADDR, client.getsockname())]
    server.close()
    with pytest.raises(BadSocket):
        server.recv(1)
    with pytest.raises(BadSocket):
        server.sendto(b"x", ("127.0.0.1", 53))


def test_a_refused_datagram() -> None:
    stack, server, client = pair()
    server.close()
    client.connect(("127.0.0.1", 53))
    client.send(b"anybody?")
    stack.poll(1)
    assert stack.events() == [(client, EV_READABLE | EV_ERROR)]
    assert isinstance(client.error, ConnectionRefusedError)
    with pytest.raises(ConnectionRefusedError):
        client.recv(1)
    with pytest.raises(WouldBlock):
        client.recv(1)


def test_errors_of_datagram_sockets() -> None:
    stack, server, client = pair()
    with pytest.raises(uinet.NotSupported):
        server.listen()
    with pytest.raises(uinet.NotConnected):
        client.send(b"x")
    with pytest.raises(uinet.NotConnected):
        client.getpeername()
    with pytest.raises(uinet.NetworkUnreachable):
        client.sendto(b"x", ("192.0.2.1", 5))
    with pytest.raises(uinet.AddressError):
        client.sendto(b"x", ("127.0.0.1", 0))
    with pytest.raises(uinet.AddressError):
        client.sendto(b"x", "127.0.0.1")  # type: ignore[arg-type]
    with pytest.raises(uinet.MessageTooLong):
        client.sendto(bytes(65508), ("127.0.0.1", 5))
    with pytest.raises(InvalidArgument):
        client.sendmsg([b"x"], [(1, 2, 3)], 0, ("127.0.0.1", 5))
    other = stack.socket(kind=uinet.SOCK_DGRAM)
    with pytest.raises(uinet.AddressInUse):
        other.bind(("127.0.0.1", 53))
    other.setsockopt(uinet.SOL_SOCKET, uinet.SO_SETFIB, 5)
    with pytest.raises(InvalidArgument, match="domain 5 has no interface"):
        other.bind((ANY, 53))
    tagged = stack.socket(kind=uinet.SOCK_DGRAM)
    tagged.setsockopt(uinet.SOL_SOCKET, uinet.SO_VLANS, (5,))
    with pytest.raises(InvalidArgument, match="VLAN"):
        tagged.bind((ANY, 54))


def promiscuous(lab: Lab, address: tuple[Any, Any], vlans: Any = ANY) -> Socket:
    sock = lab.stack.socket(kind=uinet.SOCK_DGRAM)
    for name, value in (("SO_PROMISC", 1), ("SO_SETFIB", 1), ("SO_VLANS", vlans)):
        sock.setsockopt(uinet.SOL_SOCKET, getattr(uinet, name), value)
    sock.bind(address)
    return sock


@pytest.mark.parametrize("client, server", [(CLIENT, SERVER), (CLIENT6, SERVER6)])
def test_a_promiscuous_datagram_socket_answers_as_anybody(client: str, server: str) -> None:
    lab = Lab()
    sock = promiscuous(lab, (ANY, ANY))
    assert sock.getsockname() == (ANY, ANY)
    link = l2((VlanTag(5, 3), 6))
    assert lab.put(build.udp(client, server, 7, 53, b"query", link)) == []
    data, ancillary, _, source = sock.recvmsg(100)
    assert data == b"query"
    assert (str(source[0]), source[1]) == (client, 7)
    found = {(level, name): value for level, name, value in ancillary}
    assert found[uinet.SOL_SOCKET, uinet.SO_L2INFO] == link
    destination = found[uinet.IPPROTO_IP, uinet.IP_ORIGDSTADDR]
    assert (str(destination[0]), destination[1]) == (server, 53)
    sock.sendmsg(
        [b"answer"],
        [(uinet.SOL_SOCKET, uinet.SO_L2INFO, link.reversed()), (uinet.IPPROTO_IP, uinet.IP_ORIGDSTADDR, destination)],
        address=source,
    )
    (answer,) = lab.out()
    assert answer.l2info == link.reversed()
    assert (answer.source, answer.destination) == (pack_address(server), pack_address(client))
    assert (answer.udp.source_port, answer.udp.destination_port, answer.payload) == (53, 7, b"answer")
    with pytest.raises(InvalidArgument):  # it was for that datagram alone
        sock.sendmsg([b"x"], [(uinet.IPPROTO_IP, uinet.IP_ORIGDSTADDR, destination)], address=source)
    with pytest.raises(uinet.Error):
        sock.sendto(b"x", source)


def test_promiscuous_datagrams_by_vlan_and_domain() -> None:
    lab = Lab(2)
    exact, some = promiscuous(lab, (SERVER, 53), (7,)), promiscuous(lab, (ANY, 53))
    lab.put(build.udp(CLIENT, SERVER, 1, 53, b"a", vlans=7), build.udp(CLIENT, SERVER, 1, 53, b"b", vlans=8))
    lab.put(build.udp(CLIENT, SERVER, 1, 53, b"c", vlans=7), port=lab.p2)
    assert exact.recv(9) == b"a"
    assert some.recv(9) == b"b"
    for sock in (exact, some):
        with pytest.raises(WouldBlock):
            sock.recv(9)
    with pytest.raises(InvalidArgument, match="before bind"):
        exact.setsockopt(uinet.SOL_SOCKET, uinet.SO_VLANS, ANY)


def test_a_promiscuous_datagram_socket_that_is_somebody() -> None:
    lab = Lab()
    sock = promiscuous(lab, (CLIENT, 5))
    sock.setsockopt(uinet.SOL_SOCKET, uinet.SO_L2INFO, l2(9))
    sock.setsockopt(uinet.IPPROTO_IP, uinet.IP_TTL, 9)
    sock.sendto(b"x", (SERVER, 53))
    sock.connect((SERVER, 53))
    sock.send(b"y")
    first, second = lab.out()
    assert first.l2info == second.l2info == l2(9)
    assert (first.udp.source_port, first.ipv4.ttl) == (5, 9)
    assert sock.cdom == 1


def test_a_datagram_upcall_that_raises_keeps_its_socket(caplog: pytest.LogCaptureFixture) -> None:
    stack, server, client = pair()

    def fail(sock: Socket, events: int) -> None:
        raise ValueError("a bug")

    server.on_event = fail
    with caplog.at_level(logging.ERROR, "uinet"):
        client.sendto(b"x", ("127.0.0.1", 53))
        stack.poll(1)
    assert server.recv(9) == b"x"
    assert "a bug" in caplog.text


# ping


def routed() -> tuple[Stack, Any]:
    stack = Stack(b"ping", now=SECOND)
    eth = stack.add_interface("eth0", mac="02:00:00:00:00:01")
    eth.add_address("10.0.0.1/24")
    eth.add_address("2001:db8::1/64")
    return stack, eth


@pytest.mark.parametrize("target", ["127.0.0.1", "::1", "10.0.0.1", "2001:db8::1"])
def test_ping_ourselves(target: str) -> None:
    stack, _ = routed()
    replies: list[tuple[int, int]] = []
    ping = stack.ping(target, payload=b"abc", on_reply=lambda _, sequence, rtt: replies.append((sequence, rtt)))
    assert [ping.send(), ping.send()] == [0, 1]
    stack.poll(SECOND + 5)
    assert replies == [(0, 5), (1, 5)] or replies == [(0, 0), (1, 0)]
    assert (ping.sent, ping.received) == (2, 2)
    ping.close()
    ping.close()


def test_ping_a_neighbour() -> None:
    stack, eth = routed()
    replies: list[tuple[int, int]] = []
    ping = stack.ping("10.0.0.2", payload=b"abc", on_reply=lambda _, sequence, rtt: replies.append((sequence, rtt)))
    ping.send()
    (question,) = (dissect(frame.data) for frame in stack.output(eth))
    assert question.arp.tpa == pack_address("10.0.0.2")
    link = L2Info.make("02:00:00:00:00:02", eth.mac)
    stack.input(eth, [build.arp_reply("10.0.0.2", "10.0.0.1", l2=link)], 2 * SECOND)
    (request,) = (dissect(frame.data) for frame in stack.output(eth))
    ident = request.icmp.identifier
    wrong = [
        build.icmp_echo("10.0.0.2", "10.0.0.1", ident, 0, b"xyz", link, reply=True),
        build.icmp_echo("10.0.0.3", "10.0.0.1", ident, 0, b"abc", link, reply=True),
        build.icmp_echo("10.0.0.2", "10.0.0.1", ident, 9, b"abc", link, reply=True),
        build.icmp_echo("10.0.0.2", "10.0.0.1", ident ^ 1, 0, b"abc", link, reply=True),
    ]
    right = build.icmp_echo("10.0.0.2", "10.0.0.1", ident, 0, b"abc", link, reply=True)
    stack.input(eth, [*wrong, right, right], 3 * SECOND)
    assert replies == [(0, 2 * SECOND)]
    ping.send()
    stack.output(eth)
    ping.close()
    stack.input(eth, [build.icmp_echo("10.0.0.2", "10.0.0.1", ident, 1, b"abc", link, reply=True)], 4 * SECOND)
    assert ping.received == 1


def test_ping_without_a_way() -> None:
    stack = Stack()
    with pytest.raises(uinet.NetworkUnreachable):
        stack.ping("192.0.2.1").send()
    with pytest.raises(uinet.AddressError):
        stack.ping("nowhere")


def test_ping_is_told_of_errors() -> None:
    stack, eth = routed()
    errors: list[tuple[int, Exception]] = []
    ping = stack.ping("10.0.0.2")
    ping.on_error = lambda _, sequence, error: errors.append((sequence, error))
    ping.send()
    stack.output(eth)
    for second in range(2, 20):
        stack.poll(second * SECOND)
    assert [(sequence, type(error)) for sequence, error in errors] == [(0, uinet.HostUnreachable)]


@pytest.mark.parametrize("hook", ["on_reply", "on_error"])
def test_a_ping_whose_user_raises_does_not_stop_the_engine(hook: str, caplog: pytest.LogCaptureFixture) -> None:
    stack, eth = routed()

    def fail(*_: Any) -> None:
        raise ValueError("a bug")

    ping = stack.ping("127.0.0.1" if hook == "on_reply" else "10.0.0.2")
    setattr(ping, hook, fail)
    with caplog.at_level(logging.ERROR, "uinet"):
        ping.send()
        stack.output(eth)
        for second in range(2, 20):
            stack.poll(second * SECOND)
    assert "a bug" in caplog.text
    assert stack.stats["upcall_error"] == 1
