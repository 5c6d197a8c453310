"""Socket calls: what each does and which error it raises, in every state; events and upcalls."""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import uinet
from tests.unit.promiscuous.lab import CLIENT, SECOND, SERVER, SERVER6, Lab, Log, connected, l2, serve
from uinet import (
    ANY,
    EV_ACCEPT,
    EV_CLOSED,
    EV_CONNECTED,
    EV_EOF,
    EV_ERROR,
    EV_READABLE,
    EV_WRITABLE,
    SHUT_RD,
    SHUT_RDWR,
    SHUT_WR,
    AddressError,
    AddressInUse,
    AddressNotAvailable,
    AlreadyConnected,
    BadSocket,
    BrokenPipe,
    InvalidArgument,
    NetworkUnreachable,
    NotConnected,
    NotSupported,
    Socket,
    Stack,
    WouldBlock,
)

CALLS: dict[str, Callable[[Socket], Any]] = {
    "bind": lambda sock: sock.bind(("127.0.0.1", 7)),
    "listen": lambda sock: sock.listen(),
    "accept": lambda sock: sock.accept(),
    "connect": lambda sock: sock.connect(("127.0.0.1", 9)),
    "send": lambda sock: sock.send(b"x"),
    "recv": lambda sock: sock.recv(1),
    "recv_into": lambda sock: sock.recv_into(bytearray(1)),
    "recvmsg": lambda sock: sock.recvmsg(1),
    "shutdown": lambda sock: sock.shutdown(SHUT_WR),
    "getpeername": lambda sock: sock.getpeername(),
    "info": lambda sock: sock.info(),
    "setsockopt": lambda sock: sock.setsockopt(uinet.IPPROTO_TCP, uinet.TCP_NODELAY, 1),
}
OF_NO_CONNECTION = dict.fromkeys(
    ("send", "recv", "recv_into", "recvmsg", "shutdown", "getpeername", "info"), NotConnected
)

FAILS: dict[str, dict[str, type[Exception]]] = {
    "open": {**OF_NO_CONNECTION, "accept": InvalidArgument},
    "bound": {**OF_NO_CONNECTION, "accept": InvalidArgument, "bind": InvalidArgument},
    "listening": {**OF_NO_CONNECTION, "accept": WouldBlock, "bind": InvalidArgument, "connect": InvalidArgument},
    "connecting": {
        "accept": InvalidArgument, "bind": InvalidArgument, "listen": InvalidArgument, "connect": AlreadyConnected,
        "send": WouldBlock, "recv": WouldBlock, "recv_into": WouldBlock, "recvmsg": WouldBlock,
    },
    "connected": {
        "accept": InvalidArgument, "bind": InvalidArgument, "listen": InvalidArgument, "connect": AlreadyConnected,
        "recv": WouldBlock, "recv_into": WouldBlock, "recvmsg": WouldBlock,
    },
    "shut": {
        "accept": InvalidArgument, "bind": InvalidArgument, "listen": InvalidArgument, "connect": AlreadyConnected,
        "recv": WouldBlock, "recv_into": WouldBlock, "recvmsg": WouldBlock, "send": BrokenPipe,
    },
    "reset": {
        "accept": InvalidArgument, "bind": InvalidArgument, "listen": InvalidArgument, "connect": AlreadyConnected,
        "recv": uinet.ConnectionReset, "recv_into": uinet.ConnectionReset, "recvmsg": uinet.ConnectionReset,
        "send": uinet.ConnectionReset, "shutdown": NotConnected,
    },
    "finished": {
        "accept": InvalidArgument, "bind": InvalidArgument, "listen": InvalidArgument, "connect": AlreadyConnected,
        "send": BrokenPipe, "shutdown": NotConnected,
    },
    "closed": {name: BadSocket for name in CALLS if name not in ("getpeername", "info")},
    "closed unconnected": {**dict.fromkeys(CALLS, BadSocket), "getpeername": NotConnected, "info": NotConnected},
    "stack closed": {
        **{name: BadSocket for name in CALLS if name not in ("getpeername", "info")},
        **dict.fromkeys(("recv", "recv_into", "recvmsg"), uinet.ConnectionAborted),
    },
}


def in_state(name: str) -> Socket:
    """A socket in one of the states above."""
    lab = Lab()
    if name in ("open", "bound", "listening", "closed unconnected"):
        sock = lab.stack.socket()
        if name == "bound":
            sock.bind(("127.0.0.1", 7))
        if name == "listening":
            sock.bind(("127.0.0.1", 7))
            sock.listen()
        if name == "closed unconnected":
            sock.close()
        return sock
    if name == "connecting":
        return lab.stack.connect((SERVER, 80), source=(CLIENT, 5), l2=l2(), cdom=1)
    peer = lab.peer()
    sock = connected(lab, peer)
    if name == "shut":
        sock.shutdown(SHUT_WR)
    elif name == "reset":
        peer.send("R.")
    elif name == "finished":
        sock.shutdown(SHUT_WR)
        peer.hear(lab.out())
        peer.send("F.")
        assert sock.state == "CLOSED"
    elif name == "closed":
        sock.close()
    elif name == "stack closed":
        lab.stack.close()
    return sock


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("state", FAILS)
def test_every_call_in_every_state(state: str, call: str) -> None:
    sock = in_state(state)
    error = FAILS[state].get(call)
    if error is None:
        CALLS[call](sock)
    else:
        with pytest.raises(error) as caught:
            CALLS[call](sock)
        assert type(caught.value) is error
        assert str(caught.value)
        assert "\n" not in str(caught.value)


def test_closing_twice_and_aborting_what_is_closed() -> None:
    for state in FAILS:
        sock = in_state(state)
        sock.close()
        sock.close()
        sock.abort()
        assert sock.state == "CLOSED"


def test_states_by_name() -> None:
    names = {
        "open": "OPEN", "bound": "BOUND", "listening": "LISTEN", "connecting": "SYN-SENT", "connected": "ESTABLISHED",
        "shut": "FIN-WAIT-1", "reset": "CLOSED", "finished": "CLOSED", "closed": "FIN-WAIT-1",
        "closed unconnected": "CLOSED", "stack closed": "CLOSED",
    }
    assert {state: in_state(state).state for state in FAILS} == names
    assert repr(in_state("connected")) == "<Socket 1 ESTABLISHED>"


def test_abort_of_a_closed_connection_that_lingers() -> None:
    lab = Lab()
    sock = serve(lab, lab.peer())
    sock.send(b"x")
    sock.close()
    assert lab.out()[-1].flags == "FP."
    sock.abort()
    assert [frame.flags for frame in lab.out()] == ["R."]
    assert len(lab.stack.tcp.table) == 0


# binding


@pytest.mark.parametrize("address", [("10.0.0.256", 1), ("127.0.0.1", -1), ("127.0.0.1", 65536), ("127.0.0.1", "80"),
                                     ("localhost", 80), ("127.0.0.1",), "127.0.0.1:80", None, ("fe80::1%lo", 80)])
def test_bad_addresses(address: Any) -> None:
    stack = Stack()
    for call in (stack.socket().bind, stack.socket().connect, stack.socket(kind=uinet.SOCK_DGRAM).bind,
                 stack.socket(kind=uinet.SOCK_DGRAM).connect):
        with pytest.raises(AddressError) as caught:
            call(address)
        assert "\n" not in str(caught.value)


def test_families() -> None:
    stack = Stack()
    for family, wrong in ((uinet.AF_INET, "::1"), (uinet.AF_INET6, "127.0.0.1")):
        for kind in (uinet.SOCK_STREAM, uinet.SOCK_DGRAM):
            with pytest.raises(AddressError, match="family"):
                stack.socket(family, kind).bind((wrong, 80))
            with pytest.raises(AddressError, match="family"):
                stack.socket(family, kind).connect((wrong, 80))
    with pytest.raises(NotSupported):
        stack.socket(99)
    with pytest.raises(NotSupported):
        stack.socket(kind=99)


def test_an_address_of_somebody_else() -> None:
    stack = Stack()
    for kind in (uinet.SOCK_STREAM, uinet.SOCK_DGRAM):
        with pytest.raises(AddressNotAvailable):
            stack.socket(kind=kind).bind(("192.0.2.1", 80))
    sock = stack.socket()
    sock.setsockopt(uinet.IPPROTO_IP, uinet.IP_BINDANY, 1)
    sock.bind(("192.0.2.1", 80))
    sock.listen()
    assert str(sock.getsockname()[0]) == "192.0.2.1"


def test_names_of_what_is_bound() -> None:
    stack = Stack()
    sock = stack.socket()
    assert sock.getsockname() == (ANY, ANY)
    sock.bind((ANY, 80))
    assert sock.getsockname() == (ANY, 80)
    other = stack.listen(("127.0.0.1", ANY))
    assert str(other.getsockname()[0]) == "127.0.0.1"
    assert 32768 <= other.getsockname()[1] <= 60999
    assert stack.listen(("", 0)).getsockname()[1] != other.getsockname()[1]


def test_an_ephemeral_port_is_a_free_one() -> None:
    stack = Stack()
    stack.tcp.settings.port_low, stack.tcp.settings.port_high = 40000, 40003
    taken = {stack.listen(("127.0.0.1", 0)).getsockname()[1] for _ in range(4)}
    assert taken == {40000, 40001, 40002, 40003}
    with pytest.raises(AddressNotAvailable, match="no port is free"):
        stack.listen(("127.0.0.1", 0))
    with pytest.raises(AddressInUse):
        stack.listen(("127.0.0.1", 40000))


def test_listening_again_changes_the_backlog() -> None:
    lab = Lab()
    listener = lab.listen(backlog=1)
    for port in (1, 2):
        lab.peer(sport=port).send("S")
    assert lab.count("tcp_syncookie_sent") == 1
    listener.listen(10)
    lab.peer(sport=3).send("S")
    assert lab.count("tcp_syncookie_sent") == 1


def test_connect_without_a_way() -> None:
    stack = Stack()
    sock = stack.socket()
    with pytest.raises(NetworkUnreachable):
        sock.connect(("192.0.2.1", 80))
    assert sock.state == "OPEN"
    assert len(stack.tcp.table) == 0
    eth = stack.add_interface("eth0")
    eth.add_address("10.0.0.1/24")
    with pytest.raises(AddressError, match="broadcast"):
        sock.connect(("10.0.0.255", 80))
    sock.connect(("10.0.0.2", 80))
    assert sock.state == "SYN-SENT"


def test_a_neighbour_that_does_not_answer() -> None:
    stack = Stack()
    eth = stack.add_interface("eth0")
    eth.add_address("10.0.0.1/24")
    log = Log()
    sock = stack.connect(("10.0.0.2", 80))
    sock.on_event = log
    now = 0
    for _ in range(300):
        now += SECOND
        stack.poll(now)
    assert sock.state == "CLOSED"
    assert isinstance(sock.error, uinet.HostUnreachable)
    assert log.calls == [EV_ERROR | EV_READABLE | EV_WRITABLE | EV_CLOSED]
    with pytest.raises(type(sock.error)):
        sock.recv(1)


# data


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_what_can_be_sent(kind: Callable[[bytes], Any]) -> None:
    lab = Lab()
    peer = lab.peer()
    sock = serve(lab, peer)
    data = kind(bytearray(b"some data")) if kind is memoryview else kind(b"some data")
    assert sock.send(data) == 9
    if not isinstance(data, bytes):
        data[:4] = b"SOME"  # what was sent was copied
    assert [frame.payload for frame in lab.out()] == [b"some data"]
    assert sock.send(b"") == 0
    assert lab.out() == []


def test_sending_views_subclasses_and_several_buffers() -> None:
    lab = Lab()
    sock = serve(lab, lab.peer())

    class Odd(bytes):
        pass

    assert sock.send(memoryview(b"abcdef")[::2]) == 3
    assert sock.send(Odd(b"xyz")) == 3
    assert sock.sendmsg([b"1", bytearray(b"2"), memoryview(b"3")]) == 3
    assert b"".join(frame.payload for frame in lab.out()) == b"acexyz123"
    with pytest.raises(TypeError):
        sock.send("text")  # type: ignore[arg-type]


def test_a_full_buffer_and_the_event_when_there_is_room() -> None:
    lab = Lab()
    peer = lab.peer()
    listener = lab.listen()
    listener.setsockopt(uinet.SOL_SOCKET, uinet.SO_SNDBUF, 4000)
    peer.connect()
    sock = listener.accept()
    log = Log()
    sock.on_event = log
    lab.stack.poll(lab.now)
    log.calls.clear()
    assert sock.send(bytes(5000)) == 4000
    with pytest.raises(WouldBlock):
        sock.send(b"x")
    assert not sock.writable
    peer.hear(lab.out())
    peer.send(".")
    assert log.calls == [EV_WRITABLE]
    assert sock.writable
    assert sock.send_space == 4000
    peer.hear(lab.out())
    assert sock.send(b"x") == 1
    peer.hear(lab.out())
    peer.send(".")
    assert log.calls == [EV_WRITABLE]  # nobody was refused meanwhile


def test_reading() -> None:
    lab = Lab()
    peer = lab.peer()
    sock = serve(lab, peer)
    with pytest.raises(WouldBlock):
        sock.recv(10)
    assert not sock.readable
    peer.send("P.", b"abcdefghij")
    assert sock.readable
    assert sock.recv(0) == b""
    assert sock.recv(3, uinet.MSG_PEEK) == b"abc"
    assert sock.recv(100, uinet.MSG_PEEK) == b"abcdefghij"
    peeked = bytearray(2)
    assert sock.recv_into(peeked, 0, uinet.MSG_PEEK) == 2
    assert peeked == b"ab"
    assert sock.recv(3) == b"abc"
    into = bytearray(b"........")
    assert sock.recv_into(into, 2) == 2
    assert into == b"de......"
    assert sock.recv_into(memoryview(into)[4:6]) == 2
    assert into == b"de..fg.."
    assert sock.recvmsg(2)[0] == b"hi"
    assert sock.recv(9) == b"j"
    with pytest.raises(InvalidArgument):
        sock.recv(-1)
    with pytest.raises(WouldBlock):
        sock.recv(1)


def test_peeking_over_many_segments() -> None:
    lab = Lab()
    peer = lab.peer()
    sock = serve(lab, peer)
    data = bytes(range(256)) * 60
    for at in range(0, len(data), 1400):
        peer.send(".", data[at : at + 1400])
    assert sock.recv(3, uinet.MSG_PEEK) == data[:3]
    assert sock.recv(len(data), uinet.MSG_PEEK) == data
    assert sock.recv(2000) == data[:2000]
    assert sock.recv(9000, uinet.MSG_PEEK) == data[2000:11000]
    assert sock.recv(len(data)) == data[2000:]


def test_the_end_of_the_stream() -> None:
    lab = Lab()
    peer = lab.peer()
    sock = serve(lab, peer)
    lab.stack.poll(lab.now)
    lab.stack.events()
    peer.send("FP.", b"last")
    assert lab.stack.events() == [(sock, EV_READABLE | EV_EOF)]
    assert sock.recv(10) == b"last"
    assert sock.recv(10) == b""
    assert sock.recv_into(bytearray(4)) == 0
    assert sock.readable
    assert sock.send(b"and still") == 9
    assert sock.state == "CLOSE-WAIT"


def test_data_before_a_reset_is_read_first() -> None:
    lab = Lab()
    peer = lab.peer()
    sock = serve(lab, peer)
    peer.send("P.", b"before")
    peer.send("R.")
    assert sock.state == "CLOSED"
    assert sock.recv(3) == b"bef"
    assert sock.recv(9) == b"ore"
    for _ in range(2):
        with pytest.raises(ConnectionResetError):
            sock.recv(9)
    with pytest.raises(ConnectionResetError):
        sock.send(b"x")
    assert sock.getsockopt(uinet.SOL_SOCKET, uinet.SO_ERROR) == uinet.ConnectionReset.code


def test_shutting_the_reading_side() -> None:
    lab = Lab()
    peer = lab.peer()
    listener = lab.listen()
    listener.setsockopt(uinet.SOL_SOCKET, uinet.SO_RCVBUF, 4000)
    peer.connect()
    sock = listener.accept()
    for _ in range(4):
        peer.send(".", bytes(1000))
    lab.out()
    sock.shutdown(SHUT_RD)
    assert sock.recv(10) == b""
    assert lab.out()[-1].tcp.window == 4000  # the peer may go on
    (answer,) = peer.send("P.", bytes(1000))
    assert answer.tcp.ack == peer.seq
    assert sock.recv(10) == b""
    sock.send(b"still here")
    assert lab.out()[-1].payload == b"still here"


def test_shutting_both_sides() -> None:
    lab = Lab()
    peer = lab.peer()
    sock = serve(lab, peer)
    sock.shutdown(SHUT_RDWR)
    assert [frame.flags for frame in peer.hear(lab.out())] == ["F."]
    assert sock.recv(1) == b""
    with pytest.raises(BrokenPipe):
        sock.send(b"x")
    with pytest.raises(InvalidArgument):
        sock.shutdown(7)
    peer.send("F.")
    assert sock.state == "CLOSED"


def test_shut_before_the_connection_is_there() -> None:
    lab = Lab()
    peer = lab.peer()
    sock = lab.stack.connect((CLIENT, 4000), source=(SERVER, 80), l2=peer.link.reversed(), cdom=1)
    sock.shutdown(SHUT_WR)
    with pytest.raises(BrokenPipe):
        sock.send(b"x")
    (syn,) = lab.out()
    assert [frame.flags for frame in peer.accept(syn)] == ["F."]


def test_unread_data_makes_closing_a_reset() -> None:
    lab = Lab()
    peer = lab.peer()
    sock = serve(lab, peer)
    peer.send("P.", b"never read")
    sock.close()
    assert [frame.flags for frame in lab.out()] == ["R."]
    assert lab.stack.tcp.received_bytes == 0


def test_info() -> None:
    lab = Lab()
    peer = lab.peer()
    sock = serve(lab, peer)
    peer.send("P.", b"abc")
    sock.send(b"defgh")
    lab.out()
    info = sock.info()
    assert (info.state, info.unread, info.bytes_received, info.bytes_sent) == ("ESTABLISHED", 3, 3, 5)
    assert (info.unacked, info.unsent, info.snd_wnd, info.snd_mss) == (5, 0, 65535, 536)
    assert not info.timestamps
    assert not info.sack


# events


def test_the_events_of_a_connection_once_each_and_after_the_batch() -> None:
    lab = Lab()
    inside: list[bool] = []
    log = Log(lambda sock, events: inside.append(lab.stack.tcp.busy))
    peer = lab.peer()
    sock = lab.stack.connect((CLIENT, 4000), source=(SERVER, 80), l2=peer.link.reversed(), cdom=1)
    sock.on_event = log
    (syn,) = lab.out()
    assert log.calls == []
    peer.accept(syn)
    assert log.calls == [EV_CONNECTED | EV_WRITABLE]
    batch = [peer.segment("P.", b"x", seq=(peer.seq + at) & 0xFFFFFFFF) for at in range(5)]
    lab.put(*batch)
    assert log.calls[1:] == [EV_READABLE]
    peer.seq = (peer.seq + 5) & 0xFFFFFFFF
    assert sock.recv(9) == b"xxxxx"
    peer.send("F.")
    assert log.calls[2:] == [EV_READABLE | EV_EOF]
    sock.shutdown(SHUT_WR)
    peer.hear(lab.out())
    peer.send(".")
    assert log.calls[3:] == [EV_READABLE | EV_CLOSED]
    assert lab.wait(300 * SECOND) == []
    assert len(log.calls) == 4
    assert lab.stack.events() == []
    assert all(inside)


def test_the_list_of_events() -> None:
    lab = Lab()
    peer = lab.peer()
    listener = lab.listen()
    peer.connect()
    assert lab.stack.events() == [(listener, EV_ACCEPT)]
    assert lab.stack.events() == []
    sock = listener.accept()
    assert lab.stack.events() == []
    lab.stack.poll(lab.now)
    assert lab.stack.events() == [(sock, EV_CONNECTED | EV_WRITABLE)]
    peer.send("P.", b"x")
    peer.send("P.", b"x")
    peer.send("F.")
    assert lab.stack.events() == [(sock, EV_READABLE | EV_EOF)]
    peer.send("R.")
    sock.close()
    lab.stack.poll(lab.now)
    assert lab.stack.events() == []  # who has closed it asks no more


def test_nothing_is_told_of_a_closed_socket_but_its_end() -> None:
    lab = Lab()
    peer = lab.peer()
    sock = serve(lab, peer)
    lab.stack.poll(lab.now)
    log = Log(lambda sock, events: sock.recv(10) if events & EV_READABLE else None)
    sock.on_event = log
    sock.close()
    peer.hear(lab.out())
    peer.send(".")
    assert log.calls == []
    peer.send("F.")
    assert log.calls == [EV_CLOSED]
    assert lab.count("upcall_error") == 0


def test_a_closed_socket_is_neither_readable_nor_writable() -> None:
    lab = Lab()
    peer = lab.peer()
    sock = serve(lab, peer)
    lab.stack.poll(lab.now)
    seen = []
    sock.on_event = lambda sock, events: seen.append((events, sock.readable, sock.writable))
    sock.close()
    assert (sock.readable, sock.writable) == (False, False)
    peer.hear(lab.out())
    peer.send("F.")
    assert seen == [(EV_CLOSED, False, False)]


def test_a_closed_listener_is_not_readable() -> None:
    lab = Lab()
    listener = lab.listen()
    lab.peer().connect()
    assert listener.readable
    listener.close()
    assert not listener.readable


def test_accept_tells_what_has_happened_before() -> None:
    lab = Lab()
    listener = lab.listen()
    peers = [lab.peer(sport=port) for port in (1, 2, 3)]
    for peer in peers:
        peer.connect()
    peers[0].send("P.", b"data")
    peers[1].send("FP.", b"data")
    peers[2].send("P.", b"data")
    peers[2].send("R.")
    lab.stack.events()
    socks = [listener.accept() for _ in peers]
    lab.stack.poll(lab.now)
    assert lab.stack.events() == [
        (socks[0], EV_CONNECTED | EV_WRITABLE | EV_READABLE),
        (socks[1], EV_CONNECTED | EV_WRITABLE | EV_READABLE | EV_EOF),
        (socks[2], EV_CONNECTED | EV_WRITABLE | EV_READABLE | EV_ERROR | EV_CLOSED),
    ]
    assert [sock.recv(9) for sock in socks] == [b"data"] * 3
    with pytest.raises(ConnectionResetError):
        socks[2].recv(9)


def test_accepting_and_answering_in_one_batch() -> None:
    """The upcall of the listener accepts, that of the connection reads, answers and closes."""
    lab = Lab()

    def serve_one(sock: Socket, events: int) -> None:
        if events & EV_READABLE:
            sock.send(sock.recv(100).upper())
            sock.close()

    def take(listener: Socket, events: int) -> None:
        assert events == EV_ACCEPT
        sock = listener.accept()
        sock.on_event = log
        socks.append(sock)

    socks: list[Socket] = []
    log = Log(serve_one)
    listener = lab.listen()
    listener.on_event = take
    peer = lab.peer()
    peer.send("S")
    answers = peer.send("P.", b"hello")
    assert [(answer.flags, answer.payload) for answer in answers] == [("FP.", b"HELLO")]
    assert log.calls == [EV_CONNECTED | EV_WRITABLE | EV_READABLE]
    assert peer.send("F.")[-1].flags == "."
    assert log.calls[1:] == [EV_CLOSED]


@pytest.mark.parametrize("what", ["close", "abort"])
def test_upcalls_may_close_this_and_other_sockets(what: str) -> None:
    lab = Lab()
    listener = lab.listen()
    peers = [lab.peer(sport=port) for port in (1, 2, 3)]
    for peer in peers:
        peer.connect()
    socks = [listener.accept() for _ in peers]
    lab.stack.poll(lab.now)
    log = Log(lambda sock, events: [getattr(each, what)() for each in [*socks, listener]] and None)
    for sock in socks:
        sock.on_event = log
    lab.put(*(peer.segment("P.", b"x") for peer in peers))
    assert sum(1 for events in log.calls if events & EV_READABLE) == 1
    assert len(lab.stack.tcp.table) == 0
    assert lab.stack.tcp.listeners.count == 0
    assert lab.count("upcall_error") == 0


def test_an_upcall_connects() -> None:
    lab = Lab()

    def onward(listener: Socket, events: int) -> None:
        sock = listener.accept()
        opened.append(lab.stack.connect(("10.9.9.9", 99), source=sock.getpeername(), l2=l2(4), cdom=1))

    opened: list[Socket] = []
    listener = lab.listen()
    listener.on_event = onward
    peer = lab.peer()
    peer.send("S")
    answers = lab.put(peer.segment("."))
    assert [(answer.flags, answer.l2info) for answer in answers] == [("S", l2(4))]
    assert opened[0].state == "SYN-SENT"


def test_an_upcall_that_raises_costs_its_connection_alone(caplog: pytest.LogCaptureFixture) -> None:
    lab = Lab()
    listener = lab.listen()
    peers = [lab.peer(sport=port) for port in (1, 2)]
    for peer in peers:
        peer.connect()
    bad, good = listener.accept(), listener.accept()
    lab.stack.poll(lab.now)

    def fail(sock: Socket, events: int) -> None:
        raise ValueError("a bug")

    log = Log()
    bad.on_event, good.on_event = fail, log
    with caplog.at_level(logging.ERROR, "uinet"):
        answers = lab.put(*(peer.segment("P.", b"x") for peer in peers))
    assert [(answer.flags, answer.tcp.destination_port) for answer in answers] == [("R.", 1)]
    assert log.calls == [EV_READABLE]
    assert bad.state == "CLOSED"
    assert lab.count("upcall_error") == 1
    assert len(caplog.records) == 1
    assert "ValueError: a bug" in caplog.text
    lab.peer(sport=3).connect()
    listener.accept()


def test_a_listener_survives_its_upcall(caplog: pytest.LogCaptureFixture) -> None:
    lab = Lab()

    def fail(sock: Socket, events: int) -> None:
        raise ValueError("a bug")

    listener = lab.listen()
    listener.on_event = fail
    with caplog.at_level(logging.ERROR, "uinet"):
        lab.peer().connect()
    assert lab.count("upcall_error") == 1
    assert listener.accept().state == "ESTABLISHED"


def test_the_event_loop_is_told_of_calls_between_batches() -> None:
    lab = Lab()
    peer = lab.peer()
    listener = lab.listen()
    peer.connect()
    told: list[str] = []

    def expect(what: str, call: Callable[[], Any]) -> Any:
        told.clear()
        lab.stack.poll(lab.now)
        lab.stack.on_pending = lambda: told.append(what)
        result = call()
        lab.stack.on_pending = None
        assert told, what
        assert lab.stack.next_deadline() is not None
        return result

    sock = expect("accept", listener.accept)
    expect("send", lambda: sock.send(b"x"))
    expect("shutdown", lambda: sock.shutdown(SHUT_WR))
    expect("close", sock.close)
    active = expect("connect", lambda: lab.stack.connect((SERVER, 9), source=(CLIENT, 9), l2=l2(), cdom=1))
    expect("abort", active.abort)
    datagrams = lab.stack.socket(kind=uinet.SOCK_DGRAM)
    datagrams.bind(("127.0.0.1", 9))
    datagrams.connect(("127.0.0.1", 9))
    expect("datagram", lambda: datagrams.send(b"x"))
    expect("datagram to", lambda: lab.stack.socket(kind=uinet.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9)))


# nothing is left behind


def released(make: Callable[[Lab], list[Any]]) -> None:
    """The sockets that `make` returns are freed as soon as nobody holds them, without the cyclic collector: compiled,
    it does not see connections.
    """
    lab = Lab()
    gc.collect()
    gc.disable()
    try:
        kept = [weakref.ref(sock) for sock in make(lab)]
        lab.wait(300 * SECOND)
        lab.stack.events()
        assert len(lab.stack.tcp.table) == 0
        assert lab.stack.tcp.received_bytes == 0
        assert [ref() for ref in kept] == [None] * len(kept)
    finally:
        gc.enable()


def test_a_closed_connection_leaves_nothing() -> None:
    def both_fins(lab: Lab) -> list[Any]:
        peer = lab.peer()
        sock = serve(lab, peer)
        sock.close()
        peer.hear(lab.out())
        peer.send("F.")
        return [sock, sock.listener]

    def make(lab: Lab) -> list[Any]:
        return both_fins(lab)[:1]

    released(make)


def test_a_reset_connection_whose_error_was_raised_leaves_nothing() -> None:
    def make(lab: Lab) -> list[Any]:
        peer = lab.peer()
        sock = connected(lab, peer)
        peer.send("P.", b"unread")
        peer.send("R.")
        sock.recv(100)
        for call in (lambda: sock.recv(1), lambda: sock.send(b"x")):
            with pytest.raises(ConnectionResetError):
                call()
        return [sock]

    released(make)


def test_unread_data_counts_while_its_connection_is_open() -> None:
    lab = Lab()
    listener = lab.listen()
    peers = [lab.peer(sport=port) for port in (1, 2)]
    for peer in peers:
        peer.connect()
        peer.send("P.", b"unread")
    assert lab.stack.tcp.received_bytes == 12
    for peer in peers:
        peer.send("R.")
    sock = listener.accept()
    lab.stack.poll(lab.now)
    lab.stack.events()
    assert lab.stack.tcp.received_bytes == 0  # the user's from now on
    assert sock.recv(3) == b"unr"
    assert lab.stack.tcp.received_bytes == 0
    del sock  # without closing it
    listener.close()  # and one that was not accepted
    assert lab.stack.tcp.received_bytes == 0


def test_a_context_that_knows_its_socket_leaves_nothing() -> None:
    class Mine:
        sock: Socket | None = None

    def make(lab: Lab) -> list[Any]:
        def decide(syn: Any) -> uinet.Verdict:
            syn.context = Mine()
            return uinet.Verdict.ACCEPT

        listener = lab.listen(syn_filter=decide)
        peer = lab.peer()
        peer.connect()
        sock = listener.accept()
        sock.context.sock = sock
        sock.abort()
        sock.context.sock = None
        return [sock]

    released(make)


# loopback


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "127.5.6.7", "10.0.0.1", SERVER6])
def test_a_stack_talks_to_itself(address: str) -> None:
    stack = Stack(b"seed", now=SECOND)
    eth = stack.add_interface("eth0")
    eth.add_address("10.0.0.1/24")
    eth.add_address(f"{SERVER6}/64")
    if address == "127.5.6.7":
        stack.network.loopback_interface.add_address("127.5.6.7/8")
    listener = stack.listen((ANY, 80))
    log = Log()
    client = stack.connect((address, 80))
    client.on_event = log
    stack.poll(SECOND)
    server = listener.accept()
    assert log.calls == [EV_CONNECTED | EV_WRITABLE]
    assert str(server.getsockname()[0]) == str(client.getpeername()[0]) == address
    assert server.getpeername() == client.getsockname()
    data = bytes(range(256)) * 4096
    sent, got = 0, bytearray()
    for round_trip in range(1000):
        if sent < len(data) and client.writable:
            sent += client.send(data[sent:])
        stack.poll(SECOND + round_trip * 1_000_000)
        if server.readable:
            got += server.recv(1 << 20)
        if len(got) == len(data):
            break
    assert got == data
    client.close()
    server.close()
    stack.poll(2 * SECOND)
    assert eth.take_output() == []


def test_a_closed_port_of_our_own_refuses() -> None:
    stack = Stack()
    sock = stack.connect(("127.0.0.1", 81))
    stack.poll(1)
    assert isinstance(sock.error, ConnectionRefusedError)


def test_the_same_connection_twice() -> None:
    stack = Stack()
    stack.connect(("127.0.0.1", 81), source=("127.0.0.1", 5))
    with pytest.raises(AddressInUse):
        stack.connect(("127.0.0.1", 81), source=("127.0.0.1", 5))
