"""TCP MD5 signatures (RFC 2385) on connections, half-open ones, TIME-WAITs and resets."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.tcp.peer import FULL, ISN, PLAIN, PORT, Peer, error_of, read
from tests.unit.tcp.signed import Md5Peer, greet, talk_and_close
from uinet import AoKey, Md5Key
from uinet.errors import ConnectionRefused, InvalidArgument, TimedOut, WouldBlock
from uinet.sockopt import IPPROTO_TCP, TCP_AO_ADD_KEY, TCP_FASTOPEN, TCP_MD5SIG
from uinet.units import MASK32
from uinet.wire.tcp_options import FastOpen, Mss, Sack, Timestamps, Unknown, WindowScale

KEY = b"secret"


def keyed(sock: Any, peer: str = "10.0.0.0/24", key: bytes = KEY) -> None:
    sock.setsockopt(IPPROTO_TCP, TCP_MD5SIG, Md5Key(peer, key))
    sock.setsockopt(IPPROTO_TCP, TCP_MD5SIG, Md5Key("2001:db8::/64", key))


def server(**settings: Any) -> Md5Peer:
    peer = Md5Peer(**settings)
    keyed(peer.listen())
    return peer


@pytest.mark.parametrize("v6", [False, True])
@pytest.mark.parametrize("options", [(), PLAIN, FULL])
@pytest.mark.rfc("2385", "2.0", "every segment of the connection carries the digest, in an option of kind 19")
def test_passive_open_data_and_close_are_signed_throughout(v6: bool, options: Any) -> None:
    peer = server(v6=v6)
    sock = peer.passive(options)
    talk_and_close(peer, sock)
    assert peer.count("tcp_md5_wrong") == peer.count("tcp_md5_missing") == 0


@pytest.mark.parametrize("v6", [False, True])
@pytest.mark.parametrize("options", [PLAIN, FULL])
def test_active_open_is_signed(v6: bool, options: Any) -> None:
    peer = Md5Peer(v6=v6)
    sock = peer.active(options, before=keyed)
    greet(peer, sock)


@pytest.mark.rfc("2385", "4.1", "the connection falls back to nothing: an unsigned SYN,ACK is not taken")
def test_syn_sent_unsigned_answers_are_dropped() -> None:
    peer = Md5Peer()
    sock, _ = peer.connecting(keyed)
    peer.signing = False
    peer.send("S.", options=PLAIN)
    peer.send("R.")
    peer.quiet()
    assert sock.state == "SYN-SENT" and peer.count("tcp_md5_missing") == 2
    peer.signing = True
    peer.send("R.")
    assert isinstance(sock.error, ConnectionRefused)


@pytest.mark.rfc("2385", "2.0", "a segment with a wrong digest, or without one, is dropped and not answered")
@pytest.mark.parametrize("flags", ["S", "P.", ".", "F.", "R", "R.", "S."])
@pytest.mark.parametrize("how", ["unsigned", "wrong key"])
def test_segments_of_others_are_dropped_whatever_they_are(flags: str, how: str) -> None:
    peer = server()
    sock = peer.passive()
    if how == "unsigned":
        peer.signing = False
    else:
        peer.key = b"guessed"
    peer.send(flags, data=b"evil" if "P" in flags else b"")
    peer.quiet()
    assert sock.state == "ESTABLISHED" and not sock.readable
    assert peer.count("tcp_md5_missing" if how == "unsigned" else "tcp_md5_wrong") == 1
    peer.signing, peer.key = True, KEY
    peer.data(b"good")
    assert read(sock) == b"good"


@pytest.mark.threat(46)
def test_listen_unsigned_syn_of_a_keyed_peer_gets_no_answer_and_others_connect() -> None:
    peer = Md5Peer()
    peer.listen().setsockopt(IPPROTO_TCP, TCP_MD5SIG, Md5Key("10.0.0.1", KEY))
    peer.signing = False
    peer.send("S", ISN, options=PLAIN)
    peer.quiet()
    assert peer.count("tcp_md5_missing") == 1
    peer.there = "10.0.0.77"
    peer.stack.neighbors.add("10.0.0.77", "02:00:00:00:00:01")
    peer.strict = False
    peer.send("S", ISN, options=PLAIN)
    assert not any(isinstance(option, Unknown) for option in peer.expect("S.").options)


@pytest.mark.parametrize("drop", [False, True])
def test_signed_syn_of_a_peer_without_key_is_ignored_or_dropped_as_set(drop: bool) -> None:
    peer = Md5Peer(drop_unexpected_signatures=drop)
    peer.strict = False
    peer.listen()
    peer.send("S", ISN, options=PLAIN)
    assert len(peer.drain()) == (0 if drop else 1)
    assert peer.count("tcp_signature_unexpected") == drop


@pytest.mark.threat(46)
@pytest.mark.parametrize("data", [b"", bytes(15), bytes(17)])
def test_signature_of_a_wrong_length_is_malformed(data: bytes) -> None:
    peer = server()
    peer.signing = False
    peer.send("S", ISN, options=(*PLAIN, Unknown(19, data)))
    peer.send("S", ISN, options=(Unknown(19, bytes(16)), Unknown(19, bytes(16))))
    peer.send("S", ISN, options=(Unknown(29, bytes(14)),))
    peer.quiet()
    assert peer.count("tcp_signature_malformed") == 3


@pytest.mark.rfc("2385", "4.3", "the MSS and the options allow for the 18 bytes of the option")
def test_segments_and_options_leave_room_for_the_signature() -> None:
    peer = server()
    sock = peer.passive(FULL)
    assert sock.info().snd_mss == 1460 - 12 - 20
    sock.send(bytes(5000))
    peer.flush()
    seg = peer.expect(".")
    assert len(seg.frame.packet) == 1500
    peer.send(".", peer.seq + 100, data=b"x")  # no room for SACK beside timestamps
    assert all(not seg.option(Sack) for seg in peer.drain())


def test_sack_without_timestamps_has_two_blocks_beside_the_signature() -> None:
    peer = server(timestamps=False)
    peer.passive(FULL)
    for offset in (100, 200, 300):
        peer.send(".", peer.seq + offset, data=b"x")
    assert [len(seg.option(Sack).blocks) for seg in peer.drain()] == [1, 2, 2]


@pytest.mark.parametrize("v6", [False, True])
def test_syn_cookie_carries_a_signed_handshake(v6: bool) -> None:
    peer = Md5Peer(v6=v6)
    keyed(peer.listen(backlog=1))
    peer.send("S", ISN, options=FULL)
    peer.drain()
    peer.peer_port += 1
    seg = peer.syn(FULL)
    assert peer.count("tcp_syncookie_sent") == 1 and seg.option(WindowScale)
    peer.signing = False
    peer.send(".")
    peer.quiet()
    assert error_of(peer.listener.accept) is WouldBlock and peer.count("tcp_md5_missing") == 1
    peer.signing = True
    peer.send(".")
    sock = peer.listener.accept()
    peer.data(b"hello")
    assert read(sock) == b"hello" and peer.count("tcp_syncookie_ok") == 1


def test_syn_cache_entry_takes_only_signed_segments() -> None:
    peer = server()
    peer.syn(PLAIN)
    peer.signing = False
    peer.send("R")
    peer.send(".")
    peer.quiet()
    assert peer.count("tcp_md5_missing") == 2 and peer.stack.tcp.syn_count == 1
    peer.signing = True
    peer.send(".")
    assert peer.listener.accept().state == "ESTABLISHED"


@pytest.mark.rfc("2385", "4.1", "resets are signed, so that the peer takes them")
def test_resets_are_signed_for_connections_and_for_strangers_with_a_key() -> None:
    peer = server()
    sock = peer.passive()
    sock.abort()
    peer.collect()
    peer.expect("R.")
    peer.send(".")  # of a connection that is no more, signed
    peer.expect("R", seq=peer.ack)
    peer.signing = False
    peer.send(".")  # the same by somebody else
    peer.quiet()
    assert peer.count("tcp_md5_missing") == 1


def test_time_wait_takes_only_signed_segments() -> None:
    peer = Md5Peer()
    keyed(peer.listen())
    peer.time_wait()
    peer.signing = False
    peer.send("S", ISN + 100_000, options=PLAIN)
    peer.quiet()
    assert len(peer.stack.tcp.time_wait) == 1 and peer.count("tcp_md5_missing") == 1
    peer.signing = True
    peer.seq = (ISN + 100_000) & MASK32
    peer.watch = None
    peer.syn(PLAIN)
    assert peer.count("tcp_time_wait_recycled") == 1


def test_longest_prefix_has_the_key() -> None:
    peer = Md5Peer()
    listener = peer.listen()
    listener.setsockopt(IPPROTO_TCP, TCP_MD5SIG, Md5Key("10.0.0.0/8", b"wide"))
    listener.setsockopt(IPPROTO_TCP, TCP_MD5SIG, Md5Key("10.0.0.1", KEY))
    listener.setsockopt(IPPROTO_TCP, TCP_MD5SIG, Md5Key("10.0.0.0/16", b"middle"))
    assert peer.passive().state == "ESTABLISHED"
    assert [key.peer for key in listener.getsockopt(IPPROTO_TCP, TCP_MD5SIG)] == [
        "10.0.0.0/8", "10.0.0.1", "10.0.0.0/16",
    ]


def test_key_of_a_connection_can_be_changed_but_not_begun_or_ended() -> None:
    peer = server()
    sock = peer.passive()
    sock.setsockopt(IPPROTO_TCP, TCP_MD5SIG, Md5Key("10.0.0.0/24", b"other"))
    peer.key = b"other"
    peer.data(b"x")
    assert read(sock) == b"x"
    assert error_of(sock.setsockopt, IPPROTO_TCP, TCP_MD5SIG, Md5Key("10.0.0.0/24", b"")) is InvalidArgument
    peer.data(b"y")
    assert read(sock) == b"y"
    plain = Peer().passive()
    assert error_of(plain.setsockopt, IPPROTO_TCP, TCP_MD5SIG, Md5Key("10.0.0.1", b"k")) is InvalidArgument


def test_listener_key_taken_away_takes_unsigned_connections() -> None:
    peer = server()
    peer.listener.setsockopt(IPPROTO_TCP, TCP_MD5SIG, Md5Key("10.0.0.0/24", b""))
    peer.signing = peer.strict = False
    assert peer.passive().state == "ESTABLISHED"


def test_fast_open_is_off_where_segments_are_signed() -> None:
    peer = server()
    peer.listener.setsockopt(IPPROTO_TCP, TCP_FASTOPEN, 5)
    peer.send("S", ISN, options=(FastOpen(),))
    assert peer.expect("S.").option(FastOpen) is None
    sock = peer.stack.socket()
    keyed(sock)
    sock.bind((peer.here, PORT + 1))
    sock.sendto(b"early", (peer.there, 7), 0x20000000)
    peer.collect()
    seg = peer.expect("S", length=0)
    assert seg.option(FastOpen) is None and seg.option(Timestamps) and seg.option(Mss)


@pytest.mark.parametrize(
    "value",
    [
        b"key", Md5Key("10.0.0.1", bytes(81)), Md5Key("nowhere", b"k"), Md5Key("10.0.0.1", "text"),  # type: ignore[arg-type]
        Md5Key(None, b"k"), None,  # type: ignore[arg-type]
    ],
)
def test_wrong_keys_are_told(value: Any) -> None:
    sock = Peer().stack.socket()
    assert error_of(sock.setsockopt, IPPROTO_TCP, TCP_MD5SIG, value) is InvalidArgument


@pytest.mark.rfc("5925", "1", "no connection has both MD5 and TCP-AO")
def test_md5_and_ao_keys_of_one_peer_exclude_each_other() -> None:
    sock = Peer().stack.socket()
    sock.setsockopt(IPPROTO_TCP, TCP_MD5SIG, Md5Key("10.0.0.0/8", b"k"))
    assert error_of(sock.setsockopt, IPPROTO_TCP, TCP_AO_ADD_KEY, AoKey("10.1.0.0/16", b"k", 1, 2)) is InvalidArgument
    sock.setsockopt(IPPROTO_TCP, TCP_AO_ADD_KEY, AoKey("11.0.0.0/8", b"k", 1, 2))
    assert error_of(sock.setsockopt, IPPROTO_TCP, TCP_MD5SIG, Md5Key("11.1.1.1", b"k")) is InvalidArgument


def test_key_is_not_printed_and_keys_are_bounded() -> None:
    assert "secret" not in repr(Md5Key("10.0.0.1", KEY)) and "secret" not in repr(AoKey("10.0.0.1", KEY, 1, 1))
    sock = Peer().stack.socket()
    for number in range(256):
        sock.setsockopt(IPPROTO_TCP, TCP_MD5SIG, Md5Key(f"10.0.{number}.1", KEY))
    assert error_of(sock.setsockopt, IPPROTO_TCP, TCP_MD5SIG, Md5Key("10.1.0.1", KEY)) is InvalidArgument


def test_connect_to_a_peer_that_does_not_sign_times_out() -> None:
    peer = Md5Peer()
    sock, _ = peer.connecting(keyed)
    peer.signing = False
    for _ in range(6):
        peer.send("S.", options=PLAIN)
        peer.advance(30)
    peer.advance(30)
    with pytest.raises(TimedOut):
        sock.recv(1)
