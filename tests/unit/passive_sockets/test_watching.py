"""Passive listeners: which connections they watch, what their sockets say, and that nothing is ever sent."""

from __future__ import annotations

from typing import Any

import pytest

import uinet
from tests.unit.passive_sockets.lab import End, Silent, Talk, both, watched
from tests.unit.promiscuous.lab import CLIENT, CLIENT6, SECOND, SERVER, SERVER6, Log, l2
from uinet import (
    EV_ACCEPT,
    EV_CLOSED,
    EV_CONNECTED,
    EV_EOF,
    EV_ERROR,
    EV_READABLE,
    IP_SERIALNO,
    IPPROTO_IP,
    SO_L2INFO,
    SO_PASSIVE,
    SO_PROMISC,
    SO_SETFIB,
    SOL_SOCKET,
    AddressInUse,
    BadSocket,
    ConnectionAborted,
    ConnectionReset,
    InvalidArgument,
    NotConnected,
    NotSupported,
    PassiveSocket,
    TimedOut,
    VlanTag,
    WouldBlock,
)
from uinet.passive.options import Limits, Options

STACKS: list[Any] = [(), 100, (100, 200), (VlanTag(7, 5, 1, 0x88A8), 8, 9), tuple(range(1, 17))]


@pytest.mark.parametrize("v6", [False, True], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("vlans", STACKS, ids=["untagged", "one", "QinQ", "three", "sixteen"])
def test_both_streams_of_any_connection_on_any_vlans(v6: bool, vlans: Any) -> None:
    lab = Silent()
    talk = Talk(lab, v6=v6, vlans=vlans)
    primary, peer = watched(lab, talk)
    talk.client.send("P.", b"question")
    talk.server.send("P.", b"answer, part 1")
    talk.server.send("P.", b", part 2")
    assert primary.recv(100) == b"question"
    assert peer.recv(8) == b"answer, "
    assert peer.recv(100) == b"part 1, part 2"
    client, server = (CLIENT6, SERVER6) if v6 else (CLIENT, SERVER)
    assert [str(primary.getsockname()[0]), primary.getsockname()[1]] == [server, 80]
    assert [str(primary.getpeername()[0]), primary.getpeername()[1]] == [client, 4000]
    assert (peer.getsockname(), peer.getpeername()) == (primary.getpeername(), primary.getsockname())
    assert primary.l2info == primary.getsockopt(SOL_SOCKET, SO_L2INFO) == l2(vlans)
    assert peer.l2info == l2(vlans).reversed()
    assert (primary.cdom, peer.cdom) == (1, 1)
    assert primary.serialno == peer.serialno == primary.getsockopt(IPPROTO_IP, IP_SERIALNO) == 1
    assert primary.get_passive_peer() is peer
    assert peer.get_passive_peer() is primary
    assert primary.passive and peer.passive and primary.getsockopt(SOL_SOCKET, SO_PASSIVE) == 1
    talk.finish()
    assert primary.recv(100) == peer.recv(100) == b""
    assert (primary.state, peer.state, primary.error, peer.error) == ("CLOSED", "CLOSED", None, None)
    assert lab.count("passive_watched") == 1
    lab.pause(100 * SECOND)
    assert len(lab.stack.tcp.table) == 0


def test_by_the_option() -> None:
    lab = Silent()
    listener = lab.stack.socket()
    listener.setsockopt(SOL_SOCKET, SO_SETFIB, 1)
    listener.setsockopt(SOL_SOCKET, SO_PROMISC, True)
    listener.setsockopt(SOL_SOCKET, SO_PASSIVE, True)
    listener.bind((SERVER, 80))
    listener.listen(5)
    assert listener.passive
    with pytest.raises(InvalidArgument):
        listener.setsockopt(SOL_SOCKET, SO_PASSIVE, False)
    talk = Talk(lab)
    talk.shake()
    primary, _ = both(listener)
    talk.client.send("P.", b"x")
    assert primary.recv(9) == b"x"


def test_the_most_specific_listener_decides_passive_or_not() -> None:
    lab = Silent()
    everything = lab.watch()
    web = lab.watch(SERVER, 80, vlans=(5,))
    lab.listen(SERVER, 22)
    with pytest.raises(AddressInUse):
        lab.listen(SERVER, 80, vlans=(5,))
    for vlans, port in (((5,), 80), ((6,), 80), ((5,), 81)):
        Talk(lab, vlans=vlans, dport=port).shake()
    assert [web.accept().l2info.vlans[0].vid, web.readable] == [5, False]  # type: ignore[union-attr]
    assert sorted((everything.accept().getsockname()[1], everything.accept().getsockname()[1])) == [80, 81]
    # the ordinary listener takes part
    peer = lab.peer(dport=22)
    assert [answer.flags for answer in peer.send("S")] == ["S."]


def test_nothing_is_sent_in_any_state() -> None:
    """Segments of every kind, to and from everybody, in every state: `Silent` looks at what comes out."""
    lab = Silent(answer_any=True)
    listener = lab.watch()
    for step in range(7):
        talk = Talk(lab, sport=4000 + step)
        ends = (talk.client, talk.server)
        done = [
            lambda: talk.client.send("S"),  # noqa: B023
            lambda: talk.server.send("S."),  # noqa: B023
            lambda: talk.client.send("."),  # noqa: B023
            lambda: talk.client.send("P.", b"data"),  # noqa: B023
            lambda: talk.client.send("F."),  # noqa: B023
            lambda: talk.server.send("F."),  # noqa: B023
        ]
        for move in done[:step]:
            move()
        for end in ends:
            for flags in ("S", "S.", ".", "", "P.", "F.", "R", "R.", "SF", "SR", "SFRP.", "F"):
                for seq in (end.seq, (end.seq + 5000) & 0xFFFFFFFF, (end.seq - 5000) & 0xFFFFFFFF, 77):
                    end.send(flags, b"?" if "P" in flags else b"", seq=seq, ack=12345)
    lab.pause(1000 * SECOND)
    assert len(lab.stack.tcp.table) == 0
    assert lab.stack.stats["tcp_tx"] == 0
    listener.close()


@pytest.mark.parametrize("missing", ["SYN", "SYN|ACK", "ACK", "SYN and ACK"])
def test_a_handshake_with_a_packet_missing(missing: str) -> None:
    lab = Silent()
    listener = lab.watch()
    talk = Talk(lab)
    for end, flags, name in ((talk.client, "S", "SYN"), (talk.server, "S.", "SYN|ACK"), (talk.client, ".", "ACK")):
        (end.lose if name in missing.split(" and ") else end.send)(flags)
    talk.client.send("P.", b"to server")
    talk.server.send("P.", b"to client")
    primary, peer = both(listener)
    assert [str(primary.getsockname()[0]), primary.getsockname()[1]] == [SERVER, 80]
    assert (primary.recv(99), peer.recv(99)) == (b"to server", b"to client")
    assert (primary.l2info, peer.l2info) == (l2(), l2().reversed())
    assert primary.info().handshake is ("SYN" not in missing.split(" and "))
    talk.finish()
    assert (primary.recv(9), peer.recv(9)) == (b"", b"")


def test_one_direction_only() -> None:
    lab = Silent()
    listener = lab.watch()
    talk = Talk(lab, vlans=4)
    talk.client.send("S")
    talk.server.lose("S.")
    talk.client.send(".")
    talk.client.send("P.", b"only this")
    primary, peer = both(listener)
    assert primary.recv(99) == b"only this"
    assert peer.l2info == l2(4).reversed()  # as long as none of its frames was seen
    with pytest.raises(WouldBlock):
        peer.recv(99)
    lab.pause(700 * SECOND)
    assert (primary.recv(1), peer.recv(1)) == (b"", b"")
    assert isinstance(primary.error, TimedOut)


def test_what_a_filter_does_not_see_is_not_watched() -> None:
    """A SYN|ACK alone tells a filter nothing."""
    lab = Silent()
    listener = lab.watch(syn_filter=lambda syn: uinet.Verdict.ACCEPT)
    talk = Talk(lab)
    talk.client.lose("S")
    talk.server.send("S.")
    talk.client.send(".")
    assert not listener.readable
    assert len(lab.stack.tcp.table) == 0


def test_accept_waits_for_more_than_syns() -> None:
    lab = Silent()
    log = Log()
    listener = lab.watch()
    listener.on_event = log
    talk = Talk(lab)
    talk.client.send("S")
    talk.client.send("S", seq=talk.client.isn)
    talk.server.send("S.")
    assert not listener.readable
    with pytest.raises(WouldBlock):
        listener.accept()
    talk.client.send(".")
    assert listener.readable
    assert log.calls == [EV_ACCEPT]
    assert lab.stack.connections() == []
    primary = listener.accept()
    assert lab.stack.connections() == [primary]


def test_a_scan_is_not_accepted() -> None:
    lab = Silent()
    listener = lab.watch()
    talk = Talk(lab)
    talk.client.send("S")
    talk.server.send("R.", seq=0)
    half = Talk(lab, sport=4001)
    half.client.send("S")
    half.server.send("S.")
    half.client.send("R")
    nothing = Talk(lab, sport=4002)
    nothing.client.send("S")
    lab.pause(700 * SECOND)
    assert not listener.readable
    assert len(lab.stack.tcp.table) == 0
    assert lab.stack.tcp.watch is not None
    assert lab.stack.tcp.watch.embryos == 0


def test_events() -> None:
    lab = Silent()
    listener = lab.watch()
    talk = Talk(lab)
    talk.shake()
    talk.client.send("P.", b"early")
    log, other = Log(), Log()
    primary, peer = both(listener)
    primary.on_event, peer.on_event = log, other
    lab.stack.poll(lab.now)
    assert (log.calls, other.calls) == ([EV_CONNECTED | EV_READABLE], [EV_CONNECTED])
    talk.server.send("P.", b"x")
    talk.client.send("F.")
    assert log.calls[1:] == [EV_READABLE | EV_EOF]
    assert primary.state == "CLOSE-WAIT"
    assert other.calls[1:] == [EV_READABLE]
    talk.server.send("F.")
    talk.client.send(".")
    assert log.calls[2:] == [EV_READABLE | EV_EOF | EV_CLOSED]
    assert other.all & EV_ERROR == 0
    assert lab.stack.events() == [(listener, EV_ACCEPT)]


def test_events_without_upcalls() -> None:
    lab = Silent()
    listener = lab.watch()
    talk = Talk(lab)
    talk.shake()
    assert lab.stack.events() == [(listener, EV_ACCEPT)]
    primary, peer = both(listener)
    talk.client.send("P.", b"x")
    assert sorted(lab.stack.events(), key=lambda item: item[1]) == [
        (peer, EV_CONNECTED), (primary, EV_CONNECTED | EV_READABLE),
    ]


def test_a_connection_that_is_over_can_be_accepted_and_read() -> None:
    lab = Silent()
    listener = lab.watch()
    talk = Talk(lab)
    talk.shake()
    talk.client.send("P.", b"question")
    talk.server.send("P.", b"answer")
    talk.finish()
    lab.pause(100 * SECOND)
    assert len(lab.stack.tcp.table) == 0
    primary, peer = both(listener)
    assert (primary.recv(99), primary.recv(99)) == (b"question", b"")
    assert (peer.recv(99), peer.recv(99)) == (b"answer", b"")
    assert primary.info().close == "fin"
    lab.stack.poll(lab.now)
    _, (_, events), (_, more) = lab.stack.events()
    assert events == more == EV_CONNECTED | EV_READABLE | EV_EOF | EV_CLOSED


@pytest.mark.parametrize("by_client", [True, False])
def test_reset(by_client: bool) -> None:
    """The stream ends; `error` says that it was no FIN. A RST counts once its sender is silent for the deadline."""
    lab = Silent()
    talk = Talk(lab)
    primary, peer = watched(lab, talk)
    talk.client.send("P.", b"before")
    end: End = talk.client if by_client else talk.server
    end.send("R.")
    lab.pause(4 * SECOND)
    assert primary.recv(99) == b"before"
    with pytest.raises(WouldBlock):
        primary.recv(99)
    lab.pause(2 * SECOND)
    for sock in (primary, peer):
        assert sock.recv(99) == b""
        assert isinstance(sock.error, ConnectionReset)
        assert sock.getsockopt(SOL_SOCKET, uinet.SO_ERROR) == sock.error.errno
        assert sock.info().close == "rst"


def test_a_reset_that_its_sender_outlives_is_none() -> None:
    lab = Silent()
    talk = Talk(lab)
    primary, _ = watched(lab, talk)
    talk.client.send("R", seq=talk.client.seq)
    lab.pause(SECOND)
    talk.client.send("P.", b"still here")
    lab.pause(20 * SECOND)
    assert primary.recv(99) == b"still here"
    assert primary.state == "ESTABLISHED"


def test_a_fin_then_silence() -> None:
    lab = Silent()
    talk = Talk(lab)
    primary, peer = watched(lab, talk)
    talk.client.send("F.")
    lab.pause(700 * SECOND)
    assert (primary.recv(1), primary.error) == (b"", None)
    assert peer.recv(1) == b""
    assert isinstance(peer.error, TimedOut)


def test_silence_may_last_as_long_as_keepalives_would() -> None:
    lab = Silent()
    talk = Talk(lab)
    primary, _ = watched(lab, talk)
    for name, value in ((uinet.TCP_KEEPIDLE, 10), (uinet.TCP_KEEPINTVL, 1), (uinet.TCP_KEEPCNT, 3)):
        primary.setsockopt(uinet.IPPROTO_TCP, name, value)
    primary.setsockopt(SOL_SOCKET, uinet.SO_KEEPALIVE, True)
    lab.pause(12 * SECOND)
    assert primary.state == "ESTABLISHED"
    lab.pause(2 * SECOND)
    assert isinstance(primary.error, TimedOut)


def test_the_tuple_is_used_again() -> None:
    lab = Silent()
    listener = lab.watch()
    talk = Talk(lab)
    talk.shake()
    talk.client.send("P.", b"first")
    talk.finish()
    again = Talk(lab, seq=0x1000_0000)
    again.shake()
    again.client.send("P.", b"second")
    one, _ = both(listener)
    two, other = both(listener)
    assert (one.recv(9), two.recv(9)) == (b"first", b"second")
    assert (one.serialno, two.serialno) == (1, 2)
    again.server.send("P.", b"!")
    assert other.recv(9) == b"!"
    assert lab.stack.tcp.table.count == 2


def test_the_tuple_is_used_again_though_no_end_was_seen() -> None:
    lab = Silent()
    listener = lab.watch()
    talk = Talk(lab)
    talk.shake()
    talk.client.send("P.", b"first")
    one, peer = both(listener)
    again = Talk(lab, seq=0x1000_0000)
    again.shake()
    again.client.send("P.", b"second")
    assert isinstance(one.error, TimedOut) and "another" in str(one.error)
    assert (one.recv(9), one.recv(9), peer.recv(9)) == (b"first", b"", b"")
    two, _ = both(listener)
    assert two.recv(9) == b"second"
    again.finish()
    lab.pause(60 * SECOND)
    assert lab.stack.tcp.table.count == 0


def test_the_tuple_is_used_again_when_nobody_listens() -> None:
    lab = Silent()
    listener = lab.watch()
    talk = Talk(lab)
    talk.shake()
    one, _ = both(listener)
    listener.close()
    again = Talk(lab, seq=0x1000_0000)
    again.shake()
    again.client.send("P.", b"second")
    assert isinstance(one.error, TimedOut)
    assert lab.stack.tcp.table.count == 0
    lab.pause(700 * SECOND)
    assert lab.stack.tcp.watch is not None and lab.stack.tcp.watch.count == 0


def test_what_a_passive_socket_can_not_do() -> None:
    lab = Silent()
    primary, _ = watched(lab, Talk(lab))
    for call in (
        lambda: primary.connect((SERVER, 80)),
        lambda: primary.shutdown(uinet.SHUT_WR), lambda: primary.shutdown(uinet.SHUT_RDWR),
    ):
        with pytest.raises(NotSupported, match="never sends"):
            call()
    for refused in (
        lambda: primary.bind((SERVER, 81)), primary.listen, lambda: primary.shutdown(9), lambda: primary.accept(),
        lambda: primary.setsockopt(SOL_SOCKET, SO_PASSIVE, 0), lambda: primary.recv(-1),
    ):
        with pytest.raises(InvalidArgument):
            refused()
    assert not primary.writable
    assert primary.send_space == 0
    sock = lab.stack.socket()
    sock.setsockopt(SOL_SOCKET, SO_PASSIVE, True)
    with pytest.raises(InvalidArgument):
        sock.connect((SERVER, 80))
    with pytest.raises(InvalidArgument):
        sock.get_passive_peer()


def test_in_the_ordinary_domain_a_passive_listener_says_nothing_either() -> None:
    lab = Silent()
    eth = lab.stack.add_interface("eth0", mac="02:00:00:00:00:5e")
    eth.add_address(f"{SERVER}/8")
    listener = lab.stack.listen((SERVER, 80), passive=True)
    lab.ports.append(eth)
    talk = Talk(lab, port=eth)
    talk.client.send("S")
    talk.server.lose("S.")
    talk.client.send(".")
    talk.client.send("P.", b"hello?")
    primary, _ = both(listener)
    assert primary.recv(99) == b"hello?"
    stranger = Talk(lab, port=eth, sport=9)
    stranger.client.send("P.", b"of no connection")
    primary.close()
    talk.client.send("P.", b"more")
    talk.client.send("R")
    assert lab.stack.stats["tcp_rst_out"] == 0


def test_backlog() -> None:
    lab = Silent()
    listener = lab.watch(backlog=2)
    talks = [Talk(lab, sport=5000 + i) for i in range(4)]
    for talk in talks[:3]:
        talk.client.send("S")
        talk.server.send("S.")
    for talk in talks[:3]:
        talk.client.send(".")
    assert lab.count("passive_overflow") == 1
    talks[3].shake()
    assert lab.count("passive_overflow") >= 2
    assert lab.stack.tcp.table.count == 4
    assert [listener.accept().getpeername()[1] for _ in range(2)] == [5000, 5001]
    Talk(lab, sport=6000).shake()
    assert listener.accept().getpeername()[1] == 6000


def test_embryos_are_bounded() -> None:
    lab = Silent()
    lab.stack.tcp.settings.syn_cache_limit = 10
    listener = lab.watch()
    for i in range(50):
        Talk(lab, sport=5000 + i).client.send("S")
    assert lab.count("passive_evicted") == 40
    assert lab.stack.tcp.table.count == 20
    last = Talk(lab, sport=5049)
    last.client.seq = (last.client.isn + 1) & 0xFFFFFFFF
    last.server.send("S.")
    last.client.send(".")
    assert listener.accept().getpeername()[1] == 5049


def test_the_number_watched_is_bounded() -> None:
    lab = Silent()
    lab.stack.tcp.settings.passive = Options(limits=Limits(connections=2))
    listener = lab.watch()
    for i in range(3):
        Talk(lab, sport=5000 + i).shake()
    assert lab.stack.tcp.table.count == 4
    assert lab.count("passive_overflow") >= 1
    assert [listener.accept().getpeername()[1] for _ in range(2)] == [5000, 5001]


def test_close_of_one_of_both_and_of_the_listener() -> None:
    lab = Silent()
    listener = lab.watch()
    talk = Talk(lab)
    talk.shake()
    primary, peer = both(listener)
    waiting = Talk(lab, sport=4001)
    waiting.shake()
    listener.close()
    assert lab.stack.tcp.table.count == 2  # who was not accepted is forgotten
    talk.client.send("P.", b"x" * 1000)
    primary.close()
    primary.close()
    assert (primary.readable, primary.state) == (False, "CLOSED")
    with pytest.raises(BadSocket):
        primary.recv(1)
    with pytest.raises(NotConnected):
        peer.get_passive_peer()
    talk.client.send("P.", b"y" * 1000)
    talk.server.send("P.", b"still read")
    assert peer.recv(99) == b"still read"
    assert lab.stack.tcp.received_bytes == 0
    peer.close()
    assert lab.stack.tcp.table.count == 0
    assert lab.stack.next_deadline() is None
    talk.server.send("P.", b"nobody's")


def test_closing_the_primary_without_its_peer_forgets_the_connection() -> None:
    lab = Silent()
    listener = lab.watch()
    talk = Talk(lab)
    talk.shake()
    listener.accept().close()
    assert lab.stack.tcp.table.count == 0


def test_shutdown_of_reading() -> None:
    lab = Silent()
    talk = Talk(lab)
    primary, _ = watched(lab, talk)
    talk.client.send("P.", b"x")
    primary.shutdown(uinet.SHUT_RD)
    talk.client.send("P.", b"y")
    assert primary.recv(9) == b""
    assert lab.stack.tcp.received_bytes == 0


def test_the_stack_is_closed() -> None:
    lab = Silent()
    talk = Talk(lab)
    primary, peer = watched(lab, talk)
    Talk(lab, sport=4001).client.send("S")
    talk.client.send("P.", b"arrived")
    talk.server.send("P.", b"late", seq=(talk.server.seq + 3) & 0xFFFFFFFF)
    lab.stack.close()
    assert (primary.recv(99), primary.recv(99)) == (b"arrived", b"")
    assert peer.recv(99) == b"\0\0\0late"
    assert isinstance(primary.error, ConnectionAborted)
    assert lab.stack.tcp.table.count == 0
    primary.close()
    peer.close()


def test_an_upcall_may_close() -> None:
    lab = Silent()
    listener = lab.watch()
    talk = Talk(lab)
    talk.shake()
    primary, peer = both(listener)
    primary.on_event = lambda sock, events: (primary.close(), peer.close())
    talk.client.send("P.", b"x")
    talk.client.send("P.", b"y")
    assert lab.stack.tcp.table.count == 0


def test_repr_and_family() -> None:
    lab = Silent()
    primary, _ = watched(lab, Talk(lab, v6=True))
    assert isinstance(primary, PassiveSocket)
    assert (primary.family, primary.type, primary.fileno()) == (uinet.AF_INET6, uinet.SOCK_STREAM, -1)
    assert repr(primary) == "<PassiveSocket ESTABLISHED>"
    assert primary.getsockopt(SOL_SOCKET, uinet.SO_ACCEPTCONN) == 0
