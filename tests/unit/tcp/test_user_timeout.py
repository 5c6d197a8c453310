"""User timeouts: the local one (RFC 9293 3.8.3) and the option that tells it (RFC 5482)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.tcp.peer import FULL, ISN, PLAIN, Peer, read
from tests.unit.tcp.signed import Md5Peer
from uinet import Md5Key
from uinet.errors import TimedOut
from uinet.sockopt import IPPROTO_TCP, TCP_FASTOPEN, TCP_MD5SIG, TCP_USER_TIMEOUT, TCP_UTO
from uinet.wire.tcp_options import FastOpen, Unknown


def uto(seconds: int, minutes: bool = False) -> Unknown:
    return Unknown(28, (seconds | (0x8000 if minutes else 0)).to_bytes(2, "big"))


def told(seg: Any) -> int | None:
    """The field of the option in a segment of the stack."""
    for option in seg.options:
        if isinstance(option, Unknown) and option.kind == 28:
            return int.from_bytes(option.data, "big")
    return None


def asking(sock: Any) -> None:
    sock.setsockopt(IPPROTO_TCP, TCP_UTO, True)


def test_local_timeout_ends_a_connection_that_nobody_acknowledges() -> None:
    peer = Peer()
    sock = peer.passive()
    sock.setsockopt(IPPROTO_TCP, TCP_USER_TIMEOUT, 5000)
    sock.send(b"x")
    peer.advance(4.9)
    assert sock.state == "ESTABLISHED"
    peer.advance(0.2)
    with pytest.raises(TimedOut):
        sock.recv(1)


@pytest.mark.rfc("5482", "3.1", "the option is neither sent nor followed unless it is enabled")
def test_without_the_socket_option_nothing_is_told_and_nothing_taken() -> None:
    peer = Peer()
    peer.listen()
    seg = peer.syn((*PLAIN, uto(2000)))
    assert told(seg) is None
    peer.send(".")
    assert peer.listener.accept().info().user_timeout == 900
    _, syn = Peer().connecting()
    assert told(syn) is None


@pytest.mark.rfc("5482", "3.1", "enabled, the option is in the SYN, with the timeout in use, in seconds or minutes")
@pytest.mark.parametrize(
    ("timeout", "field"), [(0, 900), (1_500_000, 1500), (32_767_000, 32767), (32_768_000, 0x8000 | 546), (1, 1)]
)
def test_connect_tells_the_timeout(timeout: int, field: int) -> None:
    peer = Peer()

    def before(sock: Any) -> None:
        asking(sock)
        if timeout:
            sock.setsockopt(IPPROTO_TCP, TCP_USER_TIMEOUT, timeout)

    _, seg = peer.connecting(before)
    assert told(seg) == field


@pytest.mark.rfc("5482", "3.1", "USER_TIMEOUT = min(U_LIMIT, max(ADV_UTO, REMOTE_UTO, L_LIMIT))")
@pytest.mark.parametrize(
    ("remote", "wanted"),
    [
        (uto(1), 900), (uto(901), 901), (uto(2000), 2000), (uto(20, True), 1200), (uto(0x7FFF, True), 3600),
        (uto(0), 900), (uto(0, True), 900), (Unknown(28, b"\x10"), 900), (Unknown(28, b"\x10\x00\x00"), 900),
    ],
)
def test_peers_timeout_is_taken_within_limits(remote: Unknown, wanted: int) -> None:
    for server in (True, False):
        peer = Peer()
        if server:
            asking(peer.listen())
            seg = peer.syn((*FULL, remote))
            whole = len(remote.data) == 2 and remote.data not in (b"\0\0", b"\x80\0")
            assert told(seg) == (900 if whole or remote.data == b"\x80\0" else None)
            peer.send(".")
            sock = peer.listener.accept()
        else:
            sock = peer.active((*PLAIN, remote), before=asking)
        assert sock.info().user_timeout == wanted
        peer.data(b"x")
        assert read(sock) == b"x"


@pytest.mark.rfc("5482", "3.1", "a timeout that the user has set is not changed by the peer")
def test_peers_timeout_does_not_change_the_users_own() -> None:
    peer = Peer()

    def before(sock: Any) -> None:
        asking(sock)
        sock.setsockopt(IPPROTO_TCP, TCP_USER_TIMEOUT, 7000)

    sock = peer.active((*PLAIN, uto(2000)), before=before)
    assert sock.info().user_timeout == 7
    sock.setsockopt(IPPROTO_TCP, TCP_UTO, False)
    assert sock.info().user_timeout == 7


@pytest.mark.rfc("5482", "3.1", "the option may be ignored, in any segment")
def test_option_in_other_segments_is_skipped() -> None:
    peer = Peer()
    sock = peer.passive(before=asking)
    peer.data(b"data", options=(uto(2000),))
    assert read(sock) == b"data" and sock.info().user_timeout == 900


def test_option_gives_way_to_cookies_and_signatures() -> None:
    peer = Peer()
    asking(peer.listen())
    peer.listener.setsockopt(IPPROTO_TCP, TCP_FASTOPEN, 3)
    peer.send("S", ISN, options=(*FULL, FastOpen(), uto(100)))
    seg = peer.expect("S.")
    assert told(seg) is None and seg.option(FastOpen)
    signed = Md5Peer()
    asking(signed.listen())
    signed.listener.setsockopt(IPPROTO_TCP, TCP_MD5SIG, Md5Key("10.0.0.1", b"secret"))
    assert told(signed.syn((*PLAIN, uto(100)))) is None
