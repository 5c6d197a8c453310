"""Socket options by name: what is set is read back, what is wrong is told, what is set shows on the wire."""

from __future__ import annotations

from typing import Any

import pytest

import uinet
from tests.unit.promiscuous.lab import CLIENT, SECOND, SERVER, Lab, Log, connected, l2, serve
from uinet import (
    ANY,
    IPPROTO_IP,
    IPPROTO_IPV6,
    IPPROTO_TCP,
    SOL_SOCKET,
    InvalidArgument,
    NotSupported,
    VlanTag,
    sockopt,
)

SET_AND_READ: list[tuple[int, str, Any, Any]] = [
    (SOL_SOCKET, "SO_PROMISC", True, 1),
    (SOL_SOCKET, "SO_ACTIVE_RESET", True, 1),
    (SOL_SOCKET, "SO_SETFIB", 7, 7),
    (SOL_SOCKET, "SO_SETFIB", 0xFFFFFFFF, 0xFFFFFFFF),
    (SOL_SOCKET, "SO_VLANS", (5, VlanTag(6, 1)), (VlanTag(5), VlanTag(6, 1))),
    (SOL_SOCKET, "SO_VLANS", ANY, ANY),
    (SOL_SOCKET, "SO_VLANS", (), ()),
    (SOL_SOCKET, "SO_L2INFO", l2(4), l2(4)),
    (SOL_SOCKET, "SO_L2INFO", None, None),
    (SOL_SOCKET, "SO_REUSEPORT", 1, 1),
    (SOL_SOCKET, "SO_REUSEADDR", 1, 1),
    (SOL_SOCKET, "SO_BROADCAST", 1, 1),
    (SOL_SOCKET, "SO_SNDBUF", 70000, 70000),
    (SOL_SOCKET, "SO_RCVBUF", 70000, 70000),
    (SOL_SOCKET, "SO_RCVBUF", 1, sockopt.MIN_BUFFER),
    (SOL_SOCKET, "SO_SNDBUF", 1 << 31, 1 << 26),
    (SOL_SOCKET, "SO_KEEPALIVE", 1, 1),
    (SOL_SOCKET, "SO_LINGER", (1, 2.5), (1, 2.5)),
    (SOL_SOCKET, "SO_LINGER", (1, 0), (1, 0)),
    (SOL_SOCKET, "SO_LINGER", (0, 9), (0, 0)),
    (IPPROTO_IP, "IP_BINDANY", 1, 1),
    (IPPROTO_IP, "IP_SYNFILTER", print, print),
    (IPPROTO_IP, "IP_SYNFILTER", None, None),
    (IPPROTO_IP, "IP_RECVERR", 1, 1),
    (IPPROTO_IPV6, "IPV6_RECVERR", True, 1),
    (IPPROTO_IP, "IP_TTL", 3, 3),
    (IPPROTO_IP, "IP_TOS", 0xB8, 0xB8),
    (IPPROTO_IPV6, "IPV6_UNICAST_HOPS", 255, 255),
    (IPPROTO_IPV6, "IPV6_TCLASS", 1, 1),
    (IPPROTO_IP, "IP_MTU_DISCOVER", uinet.IP_PMTUDISC_DONT, 0),
    (IPPROTO_IP, "IP_MTU_DISCOVER", uinet.IP_PMTUDISC_PROBE, 3),
    (IPPROTO_IPV6, "IPV6_MTU_DISCOVER", uinet.IP_PMTUDISC_DO, 2),
    (IPPROTO_TCP, "TCP_MTU_PROBING", -1, -1),
    (IPPROTO_TCP, "TCP_MTU_PROBING", 2, 2),
    (SOL_SOCKET, "SO_MAX_PACING_RATE", 125_000, 125_000),
    (IPPROTO_TCP, "TCP_CONGESTION", "bbr", "bbr"),
    (IPPROTO_TCP, "TCP_CONGESTION", b"reno", "newreno"),
    (IPPROTO_TCP, "TCP_NODELAY", 1, 1),
    (IPPROTO_TCP, "TCP_CORK", 1, 1),
    (IPPROTO_TCP, "TCP_NOPUSH", 1, 1),
    (IPPROTO_TCP, "TCP_QUICKACK", 1, 1),
    (IPPROTO_TCP, "TCP_KEEPIDLE", 30, 30),
    (IPPROTO_TCP, "TCP_KEEPIDLE", 0.25, 0.25),
    (IPPROTO_TCP, "TCP_KEEPINTVL", 5, 5),
    (IPPROTO_TCP, "TCP_KEEPCNT", 127, 127),
    (IPPROTO_TCP, "TCP_USER_TIMEOUT", 1500, 1500),
    (IPPROTO_TCP, "TCP_LINGER2", 5, 5),
    (IPPROTO_TCP, "TCP_LINGER2", 0, 60),
    (SOL_SOCKET, "SO_OOBINLINE", 1, 1),
    (SOL_SOCKET, "SO_RCVLOWAT", 100, 100),
    (SOL_SOCKET, "SO_RCVLOWAT", 0, 1),
    (IPPROTO_TCP, "TCP_MAXSEG", 500, 500),
    (IPPROTO_TCP, "TCP_WINDOW_CLAMP", 4096, 4096),
    (IPPROTO_TCP, "TCP_WINDOW_CLAMP", 0, 0),
    (IPPROTO_TCP, "TCP_NOTSENT_LOWAT", 16384, 16384),
    (IPPROTO_TCP, "TCP_DEFER_ACCEPT", 5, 5),
    (IPPROTO_TCP, "TCP_UTO", 1, 1),
    (IPPROTO_TCP, "TCP_FASTOPEN", 16, 16),
    (IPPROTO_TCP, "TCP_FASTOPEN_CONNECT", 1, 1),
    (IPPROTO_TCP, "TCP_FASTOPEN_KEY", bytes(16), bytes(16)),
    (IPPROTO_TCP, "TCP_FASTOPEN_KEY", bytearray(32), bytes(32)),
    (SOL_SOCKET, "SO_CATCHALL", 1, 1),
    (SOL_SOCKET, "SO_TIMESTAMPNS", 1, 1),
    (IPPROTO_IP, "IP_TXIF", None, None),
    (IPPROTO_IP, "IP_COPY_MODE", uinet.IP_COPY_MODE_MAYBE | uinet.IP_COPY_MODE_RX, 5),
    (IPPROTO_IP, "IP_COPY_MODE", uinet.IP_COPY_MODE_ON, 2),
    (IPPROTO_IP, "IP_COPY_LIMIT", 1 << 40, 1 << 40),
    (IPPROTO_IP, "IP_COPY_TARGET", None, None),
    (IPPROTO_TCP, "TCP_NOTIMEWAIT", True, 1),
    (IPPROTO_TCP, "TCP_TRIVIAL_ISN", uinet.TCP_TRIVIAL_ISN_FORCE, 2),
    (SOL_SOCKET, "SO_PASSIVE", 0, 0),
    (SOL_SOCKET, "SO_PASSIVE", True, 1),
    (IPPROTO_TCP, "TCP_REASSDL", 0, 0),
    (IPPROTO_TCP, "TCP_REASSDL", 100, 100),
    (IPPROTO_TCP, "TCP_REASSDL", 0.5, 0.5),
]

WRONG: list[tuple[int, str, Any, type[Exception]]] = [
    (SOL_SOCKET, "SO_SETFIB", -1, InvalidArgument),
    (SOL_SOCKET, "SO_SETFIB", 1 << 32, InvalidArgument),
    (SOL_SOCKET, "SO_SETFIB", "1", InvalidArgument),
    (SOL_SOCKET, "SO_VLANS", 4096, InvalidArgument),
    (SOL_SOCKET, "SO_VLANS", "5", InvalidArgument),
    (SOL_SOCKET, "SO_VLANS", (VlanTag(1, 9),), InvalidArgument),
    (SOL_SOCKET, "SO_VLANS", (VlanTag(1, 0, 0, 0x800),), InvalidArgument),
    (SOL_SOCKET, "SO_VLANS", range(17), InvalidArgument),
    (SOL_SOCKET, "SO_L2INFO", b"\0" * 14, InvalidArgument),
    (SOL_SOCKET, "SO_L2INFO", l2()._replace(source="x"), InvalidArgument),  # type: ignore[arg-type]
    (SOL_SOCKET, "SO_SNDBUF", 0, InvalidArgument),
    (SOL_SOCKET, "SO_RCVBUF", -5, InvalidArgument),
    (SOL_SOCKET, "SO_RCVBUF", "big", InvalidArgument),
    (SOL_SOCKET, "SO_LINGER", 5, InvalidArgument),
    (SOL_SOCKET, "SO_LINGER", (1, -1), InvalidArgument),
    (SOL_SOCKET, "SO_LINGER", (1, float("inf")), InvalidArgument),
    (SOL_SOCKET, "SO_LINGER", (1, float("nan")), InvalidArgument),
    (SOL_SOCKET, "SO_LINGER", (1, "x"), InvalidArgument),
    (IPPROTO_IP, "IP_SYNFILTER", 5, InvalidArgument),
    (IPPROTO_IP, "IP_TTL", 0, InvalidArgument),
    (IPPROTO_IP, "IP_TTL", 256, InvalidArgument),
    (IPPROTO_IP, "IP_TOS", 256, InvalidArgument),
    (IPPROTO_IP, "IP_TOS", 1.5, InvalidArgument),
    (IPPROTO_IPV6, "IPV6_UNICAST_HOPS", 0, InvalidArgument),
    (IPPROTO_IPV6, "IPV6_TCLASS", -1, InvalidArgument),
    (IPPROTO_IP, "IP_MTU_DISCOVER", 4, InvalidArgument),
    (IPPROTO_IPV6, "IPV6_MTU_DISCOVER", -1, InvalidArgument),
    (IPPROTO_TCP, "TCP_MTU_PROBING", 3, InvalidArgument),
    (IPPROTO_TCP, "TCP_KEEPIDLE", -1, InvalidArgument),
    (IPPROTO_TCP, "TCP_KEEPIDLE", 1e300, InvalidArgument),
    (IPPROTO_TCP, "TCP_KEEPINTVL", "1", InvalidArgument),
    (IPPROTO_TCP, "TCP_KEEPCNT", 0, InvalidArgument),
    (IPPROTO_TCP, "TCP_USER_TIMEOUT", -1, InvalidArgument),
    (IPPROTO_TCP, "TCP_LINGER2", -1, InvalidArgument),
    (IPPROTO_TCP, "TCP_USER_TIMEOUT", 1 << 60, InvalidArgument),
    (IPPROTO_TCP, "TCP_REASSDL", -5, InvalidArgument),
    (IPPROTO_TCP, "TCP_FASTOPEN", -1, InvalidArgument),
    (IPPROTO_TCP, "TCP_FASTOPEN_KEY", bytes(15), InvalidArgument),
    (IPPROTO_TCP, "TCP_FASTOPEN_KEY", 16, InvalidArgument),
    (IPPROTO_TCP, "TCP_MAXSEG", 87, InvalidArgument),
    (IPPROTO_TCP, "TCP_MAXSEG", 70000, InvalidArgument),
    (IPPROTO_TCP, "TCP_WINDOW_CLAMP", 10, InvalidArgument),
    (IPPROTO_TCP, "TCP_NOTSENT_LOWAT", -1, InvalidArgument),
    (IPPROTO_TCP, "TCP_DEFER_ACCEPT", -1, InvalidArgument),
    (SOL_SOCKET, "SO_RCVLOWAT", "1", InvalidArgument),
    (IPPROTO_IP, "IP_TXIF", "eth9", InvalidArgument),
    (IPPROTO_IP, "IP_TXIF", 5, InvalidArgument),
    (IPPROTO_IP, "IP_COPY_MODE", 3, InvalidArgument),
    (IPPROTO_IP, "IP_COPY_MODE", 16, InvalidArgument),
    (IPPROTO_IP, "IP_COPY_MODE", "on", InvalidArgument),
    (IPPROTO_IP, "IP_COPY_LIMIT", -1, InvalidArgument),
    (IPPROTO_IP, "IP_COPY_TARGET", print, InvalidArgument),
    (IPPROTO_TCP, "TCP_TRIVIAL_ISN", 1, InvalidArgument),  # not in a simulation
    (IPPROTO_TCP, "TCP_TRIVIAL_ISN", 3, InvalidArgument),
    (IPPROTO_TCP, "SO_VLANS", 1, NotSupported),
    (IPPROTO_TCP, "TCP_CONGESTION", "vegas", InvalidArgument),
    (IPPROTO_TCP, "TCP_CONGESTION", 5, InvalidArgument),
    (SOL_SOCKET, "SO_MAX_PACING_RATE", -1, InvalidArgument),
    (SOL_SOCKET, "SO_MAX_PACING_RATE", 1.5, InvalidArgument),
]

KEYS = {"TCP_AO_ADD_KEY", "TCP_AO_DEL_KEY", "TCP_AO_GET_KEYS", "TCP_AO_INFO", "TCP_MD5SIG"}  # see test_ao, test_md5
READ_ONLY = {
    "SO_TYPE", "SO_ERROR", "SO_ACCEPTCONN", "SO_PROTOCOL", "SO_DOMAIN", "TCP_INFO", "IP_SERIALNO",
    "IP_MTU", "IPV6_MTU",
}
MULTICAST = {  # tests/unit/test_multicast.py
    "IP_ADD_MEMBERSHIP", "IP_DROP_MEMBERSHIP", "IP_MULTICAST_IF", "IP_MULTICAST_LOOP", "IP_MULTICAST_TTL",
    "IPV6_JOIN_GROUP", "IPV6_LEAVE_GROUP", "IPV6_MULTICAST_HOPS", "IPV6_MULTICAST_IF", "IPV6_MULTICAST_LOOP",
}
VALUES = {
    "IP_COPY_MODE_MAYBE", "IP_COPY_MODE_OFF", "IP_COPY_MODE_ON", "IP_COPY_MODE_RX", "IP_COPY_MODE_TX",
    "IP_COPY_MODE_TXRX", "TCP_TRIVIAL_ISN_FORCE", "IP_PMTUDISC_DO", "IP_PMTUDISC_DONT", "IP_PMTUDISC_PROBE",
    "IP_PMTUDISC_WANT",
}
ANCILLARY = {"IP_ORIGDSTADDR", "TCP_HOLE"}


@pytest.mark.parametrize("level, name, value, read", SET_AND_READ)
def test_what_is_set_is_read_back(level: int, name: str, value: Any, read: Any) -> None:
    sock = uinet.Stack().socket()
    sock.setsockopt(level, getattr(uinet, name), value)
    assert sock.getsockopt(level, getattr(uinet, name)) == read


@pytest.mark.parametrize("level, name, value, error", WRONG)
def test_a_wrong_value_is_told_in_one_line_and_changes_nothing(
    level: int, name: str, value: Any, error: type[Exception]
) -> None:
    sock = uinet.Stack().socket()
    before = {slot: getattr(sock.config, slot) for slot in sock.config.__slots__}
    with pytest.raises(error) as caught:
        sock.setsockopt(level, getattr(uinet, name), value)
    assert str(caught.value)
    assert "\n" not in str(caught.value)
    assert {slot: getattr(sock.config, slot) for slot in sock.config.__slots__} == before


def test_every_name_is_covered() -> None:
    names = {name for name in sockopt.__all__ if name.startswith(("SO_", "IP_", "IPV6_", "TCP_"))}
    assert names == {name for _, name, _, _ in SET_AND_READ} | READ_ONLY | VALUES | ANCILLARY | KEYS | MULTICAST
    assert all(hasattr(uinet, name) for name in sockopt.__all__)


def test_options_that_are_only_read() -> None:
    lab = Lab()
    sock = lab.stack.socket(uinet.AF_INET)
    assert sock.getsockopt(SOL_SOCKET, uinet.SO_TYPE) == uinet.SOCK_STREAM
    assert sock.getsockopt(SOL_SOCKET, uinet.SO_DOMAIN) == uinet.AF_INET
    assert sock.getsockopt(SOL_SOCKET, uinet.SO_PROTOCOL) == uinet.IPPROTO_TCP
    assert sock.getsockopt(SOL_SOCKET, uinet.SO_ACCEPTCONN) == 0
    assert sock.getsockopt(SOL_SOCKET, uinet.SO_ERROR) == 0
    assert sock.getsockopt(IPPROTO_TCP, uinet.TCP_MAXSEG) == 0
    assert sock.getsockopt(IPPROTO_IP, uinet.IP_SERIALNO) == 0
    datagrams = lab.stack.socket(uinet.AF_INET6, uinet.SOCK_DGRAM)
    assert datagrams.getsockopt(SOL_SOCKET, uinet.SO_TYPE) == uinet.SOCK_DGRAM
    assert datagrams.getsockopt(SOL_SOCKET, uinet.SO_PROTOCOL) == uinet.IPPROTO_UDP
    assert lab.listen().getsockopt(SOL_SOCKET, uinet.SO_ACCEPTCONN) == 1
    peer = lab.peer(vlans=3)
    peer.connect()
    listener = lab.listen(SERVER, 81)
    lab.peer(dport=81).connect()
    second = listener.accept()
    assert second.getsockopt(IPPROTO_IP, uinet.IP_SERIALNO) == 2
    assert second.serialno == 2
    assert second.getsockopt(IPPROTO_TCP, uinet.TCP_MAXSEG) == 536
    assert second.getsockopt(IPPROTO_TCP, uinet.TCP_INFO).state == "ESTABLISHED"
    assert second.getsockopt(SOL_SOCKET, uinet.SO_SETFIB) == 1
    for name in READ_ONLY - {"IP_SERIALNO", "TCP_INFO", "TCP_MAXSEG"}:
        with pytest.raises(NotSupported):
            second.setsockopt(SOL_SOCKET, getattr(uinet, name), 1)


def test_an_unknown_option() -> None:
    sock = uinet.Stack().socket()
    with pytest.raises(NotSupported, match="no option 999 at level 1"):
        sock.getsockopt(SOL_SOCKET, 999)
    with pytest.raises(NotSupported, match="no option 999 at level 1"):
        sock.setsockopt(SOL_SOCKET, 999, 1)


@pytest.mark.parametrize(
    "name, value", [("SO_PROMISC", 1), ("SO_SETFIB", 2), ("SO_VLANS", (5,)), ("SO_L2INFO", l2(9))]
)
def test_where_a_socket_belongs_does_not_change_behind_its_back(name: str, value: Any) -> None:
    lab = Lab(2)
    listener = lab.listen()
    lab.peer(sport=1).connect()
    for sock in (listener, listener.accept(), connected(lab, lab.peer(sport=2))):
        before = sock.getsockopt(SOL_SOCKET, getattr(uinet, name))
        with pytest.raises(InvalidArgument, match="before bind"):
            sock.setsockopt(SOL_SOCKET, getattr(uinet, name), value)
        assert sock.getsockopt(SOL_SOCKET, getattr(uinet, name)) == before


def test_accepted_sockets_share_their_options_until_one_is_set() -> None:
    lab = Lab()
    listener = lab.listen()
    listener.setsockopt(IPPROTO_IP, uinet.IP_TOS, 8)
    listener.setsockopt(IPPROTO_TCP, uinet.TCP_NODELAY, 1)
    listener.setsockopt(SOL_SOCKET, uinet.SO_SNDBUF, 5000)
    lab.peer(sport=1).connect()
    lab.peer(sport=2).connect()
    first, second = listener.accept(), listener.accept()
    assert first.config is second.config is listener.config
    assert first.send_space == 5000
    first.setsockopt(IPPROTO_IP, uinet.IP_TOS, 16)
    listener.setsockopt(IPPROTO_IP, uinet.IP_TOS, 24)
    assert [each.getsockopt(IPPROTO_IP, uinet.IP_TOS) for each in (first, second, listener)] == [16, 8, 24]
    for sock in (first, second):
        sock.send(b"x")
    assert [frame.ipv4.tos for frame in lab.out()] == [16, 8]
    lab.peer(sport=3).connect()
    assert listener.accept().getsockopt(IPPROTO_IP, uinet.IP_TOS) == 24
    assert first.getsockopt(IPPROTO_TCP, uinet.TCP_NODELAY) == 1


def test_a_wrong_value_on_an_accepted_socket_leaves_the_others_alone() -> None:
    lab = Lab()
    listener = lab.listen()
    lab.peer().connect()
    sock = listener.accept()
    with pytest.raises(InvalidArgument):
        sock.setsockopt(IPPROTO_IP, uinet.IP_TTL, 0)
    assert sock.getsockopt(IPPROTO_IP, uinet.IP_TTL) == listener.getsockopt(IPPROTO_IP, uinet.IP_TTL) == 64


@pytest.mark.rfc("9293", "MUST-49", "TTL and hop limit can be set")
@pytest.mark.rfc("9293", "MUST-48", "the user sets the DiffServ field")
@pytest.mark.parametrize("client, server", [(CLIENT, SERVER), ("2001:db8::1", "2001:db8::2")])
def test_ttl_and_tos_on_the_wire(client: str, server: str) -> None:
    lab = Lab()
    peer = lab.peer(src=client, dst=server)
    sock = serve(lab, peer)
    level, ttl, tos = (
        (IPPROTO_IP, uinet.IP_TTL, uinet.IP_TOS) if "." in client
        else (IPPROTO_IPV6, uinet.IPV6_UNICAST_HOPS, uinet.IPV6_TCLASS)
    )
    sock.setsockopt(level, ttl, 7)
    sock.setsockopt(level, tos, 0xFC)
    sock.send(b"x")
    (frame,) = lab.out()
    if "." in client:
        assert (frame.ipv4.ttl, frame.ipv4.tos) == (7, 0xFC)
    else:
        assert (frame.ipv6.hop_limit, frame.ipv6.traffic_class) == (7, 0xFC)


def test_the_receive_buffer_is_the_window() -> None:
    lab = Lab()
    listener = lab.listen()
    listener.setsockopt(SOL_SOCKET, uinet.SO_RCVBUF, 10_000)
    peer = lab.peer()
    assert peer.connect().tcp.window == 10_000
    sock = listener.accept()
    for _ in range(10):
        peer.send(".", bytes(1000))
    answer = lab.wait(SECOND)
    assert answer == [] or answer[-1].tcp.window == 0
    peer.send(".", bytes(1000))
    assert len(sock.recv(100_000)) == 10_000
    (update,) = lab.out()
    assert update.tcp.window == 10_000


def test_the_send_buffer_is_what_send_takes() -> None:
    lab = Lab()
    sock = serve(lab, lab.peer())
    sock.setsockopt(SOL_SOCKET, uinet.SO_SNDBUF, 3000)
    assert sock.send_space == 3000
    assert sock.send(bytes(10_000)) == 3000
    assert sock.send_space == 0
    assert not sock.writable
    sock.setsockopt(SOL_SOCKET, uinet.SO_SNDBUF, 4000)
    assert sock.send_space == 1000


def test_linger_zero_resets() -> None:
    lab = Lab()
    peer = lab.peer()
    sock = serve(lab, peer)
    sock.setsockopt(SOL_SOCKET, uinet.SO_LINGER, (1, 0))
    sock.send(b"never mind")
    sock.close()
    assert [frame.flags for frame in lab.out()] == ["R."]
    assert len(lab.stack.tcp.table) == 0


def test_linger_gives_up_after_its_time() -> None:
    lab = Lab()
    log = Log()
    sock = serve(lab, lab.peer())
    sock.on_event = log
    sock.setsockopt(SOL_SOCKET, uinet.SO_LINGER, (1, 3))
    sock.send(b"nobody acknowledges this")
    sock.close()
    sent = lab.wait(2900_000_000)
    assert "R" not in "".join(frame.flags for frame in sent)
    assert lab.wait(SECOND)[-1].flags == "R."
    assert log.calls == [uinet.EV_ERROR | uinet.EV_CLOSED]
    assert isinstance(sock.error, TimeoutError)


def test_cork_holds_small_segments_until_it_is_off() -> None:
    lab = Lab()
    sock = serve(lab, lab.peer())
    sock.setsockopt(IPPROTO_TCP, uinet.TCP_CORK, 1)
    sock.send(b"a")
    sock.send(b"b")
    assert lab.out() == []
    sock.setsockopt(IPPROTO_TCP, uinet.TCP_CORK, 0)
    assert [frame.payload for frame in lab.out()] == [b"ab"]


def test_nodelay_against_nagle() -> None:
    lab = Lab()
    peers = lab.peer(sport=1), lab.peer(sport=2)
    listener = lab.listen()
    for peer in peers:
        peer.connect()
    slow, fast = listener.accept(), listener.accept()
    fast.setsockopt(IPPROTO_TCP, uinet.TCP_NODELAY, 1)
    for sock, payloads in ((slow, [b"a"]), (fast, [b"a", b"b", b"c"])):
        for letter in (b"a", b"b", b"c"):
            sock.send(letter)
            lab.stack.poll(lab.now)
        assert [frame.payload for frame in lab.out()] == payloads


def test_quickack_acknowledges_at_once() -> None:
    lab = Lab()
    peer = lab.peer()
    sock = serve(lab, peer)
    assert peer.send("P.", b"x") == []
    sock.setsockopt(IPPROTO_TCP, uinet.TCP_QUICKACK, 1)
    lab.out()
    assert [answer.flags for answer in peer.send("P.", b"x")] == ["."]


def test_keepalive_of_an_established_connection() -> None:
    lab = Lab()
    log = Log()
    peer = lab.peer()
    sock = serve(lab, peer)
    lab.stack.poll(lab.now)
    sock.on_event = log
    for name, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 2), ("TCP_KEEPCNT", 3)):
        sock.setsockopt(IPPROTO_TCP, getattr(uinet, name), value)
    sock.setsockopt(SOL_SOCKET, uinet.SO_KEEPALIVE, 1)
    (probe,) = lab.wait(11 * SECOND)
    assert probe.tcp.seq == (peer.ack - 1) & 0xFFFFFFFF
    peer.send(".")
    assert [frame.flags for frame in lab.wait(20 * SECOND)] == [".", ".", ".", "R."]
    assert isinstance(sock.error, TimeoutError)
    assert log.all & uinet.EV_ERROR


def test_user_timeout() -> None:
    lab = Lab()
    sock = serve(lab, lab.peer())
    sock.setsockopt(IPPROTO_TCP, uinet.TCP_USER_TIMEOUT, 4000)
    sock.send(b"x")
    lab.wait(3 * SECOND)
    assert sock.error is None
    lab.wait(8 * SECOND)
    assert isinstance(sock.error, TimeoutError)
