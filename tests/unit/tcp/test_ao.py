"""TCP-AO (RFC 5925) on connections: which key signs, how keys are changed, the 64-bit sequence number, what is
dropped."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from tests.unit.tcp.peer import FULL, ISN, PLAIN, Peer, error_of, read
from tests.unit.tcp.signed import AoPeer, greet, talk_and_close
from uinet import AoInfo, AoKey, Md5Key
from uinet.errors import InvalidArgument, NotSupported, WouldBlock
from uinet.socket import Socket
from uinet.sockopt import (
    IP_SYNFILTER,
    IPPROTO_IP,
    IPPROTO_TCP,
    TCP_AO_ADD_KEY,
    TCP_AO_DEL_KEY,
    TCP_AO_GET_KEYS,
    TCP_AO_INFO,
)
from uinet.tcp.ao import extended
from uinet.tcp.keys import Keys
from uinet.tcp.syn import Verdict
from uinet.units import MASK32
from uinet.wire import build
from uinet.wire.tcp_options import Nop, Sack, Timestamps, Unknown

ONE = AoKey("10.0.0.0/24", b"one", 1, 101)
TWO = AoKey("10.0.0.0/24", b"two", 2, 102)


def keyed(sock: Any, *keys: AoKey, **more: Any) -> None:
    for key in keys or (ONE, TWO):
        for peer in (key.peer, "2001:db8::/64"):
            made = AoKey(peer, key.key, key.send_id, key.receive_id, cover_options=key.cover_options, **more)
            sock.setsockopt(IPPROTO_TCP, TCP_AO_ADD_KEY, made)


def server(**settings: Any) -> AoPeer:
    peer = AoPeer(**settings)
    keyed(peer.listen())
    return peer


def ids(peer: AoPeer) -> tuple[int, int]:
    """KeyID and RNextKeyID of the last segment that the stack has sent."""
    return peer.used[-1]


@pytest.mark.parametrize("v6", [False, True])
@pytest.mark.parametrize("options", [(), PLAIN, FULL])
@pytest.mark.rfc("5925", "7.1", "every segment of the connection is signed, and every one is checked")
def test_passive_open_data_and_close_are_signed_throughout(v6: bool, options: Any) -> None:
    peer = server(v6=v6)
    sock = peer.passive(options)
    assert ids(peer) == (1, 101)
    talk_and_close(peer, sock)
    assert peer.count("tcp_ao_wrong") == peer.count("tcp_ao_missing") == 0


@pytest.mark.parametrize("covers", [True, False])
@pytest.mark.parametrize("options", [PLAIN, FULL])
@pytest.mark.rfc("5925", "3.1", "the key tuple says whether the MAC covers the other options")
def test_active_open_is_signed_by_the_first_key(covers: bool, options: Any) -> None:
    peer = AoPeer()
    peer.covers = covers
    key = AoKey("10.0.0.1", b"one", 1, 101, cover_options=covers)
    sock = peer.active(options, before=lambda sock: keyed(sock, key))
    greet(peer, sock)
    assert sock.getsockopt(IPPROTO_TCP, TCP_AO_INFO) == AoInfo(1, 101, 2, 0, 0, 0)


@pytest.mark.rfc("5925", "7.4", "a SYN is answered with the key that it asks for, and asks for the one that signed it")
def test_listen_second_key_answers_who_comes_with_it() -> None:
    peer = server()
    peer.key_id, peer.next_id = 102, 2
    sock = peer.passive()
    assert ids(peer) == (2, 102)
    assert sock.getsockopt(IPPROTO_TCP, TCP_AO_INFO)[:2] == (2, 102)


@pytest.mark.threat(46)
@pytest.mark.threat(48)
@pytest.mark.rfc("5925", "7.5", "segments without TCP-AO, or with a wrong MAC, are silently discarded")
@pytest.mark.parametrize("flags", ["S", "P.", ".", "F.", "R", "R.", "S."])
@pytest.mark.parametrize("how", ["unsigned", "wrong", "unknown", "malformed"])
def test_segments_of_others_are_dropped_whatever_they_are(flags: str, how: str) -> None:
    peer = server()
    sock = peer.passive()
    seq, isn, base = peer.seq, peer.isn, list(peer.base)
    options: Any = None
    if how == "wrong":
        peer.master = {1: b"guess", 2: b"guess"}
    elif how == "unknown":
        peer.key_id = 1
    elif how == "unsigned":
        peer.signing = False
    else:
        peer.signing, options = False, (Unknown(29, bytes(13)),)
    peer.send(flags, data=b"evil" if "P" in flags else b"", options=options)
    peer.quiet()
    counter = {
        "unsigned": "tcp_ao_missing", "wrong": "tcp_ao_wrong", "unknown": "tcp_ao_unknown_key",
        "malformed": "tcp_signature_malformed",
    }[how]
    assert peer.count(counter) == 1 and sock.state == "ESTABLISHED"
    peer.seq, peer.isn, peer.base = seq, isn, base
    peer.signing, peer.key_id, peer.master = True, 101, {1: b"one", 2: b"two"}
    peer.data(b"good")
    assert read(sock) == b"good"


# keys are changed


@pytest.mark.rfc("5925", "8.1", "who is asked for another key uses it from then on, once it has it")
def test_established_rnext_of_the_peer_changes_the_key_that_signs() -> None:
    peer = server()
    sock = peer.passive()
    peer.next_id = 2
    peer.data(b"x")
    sock.send(b"y")
    peer.flush()
    peer.expect("P.")
    assert ids(peer) == (2, 101)
    peer.next_id = 77  # nobody has it
    peer.data(b"z")
    sock.send(b"w")
    peer.flush()
    assert ids(peer) == (2, 101)


@pytest.mark.rfc("5925", "8.1", "the key that the peer is asked for can be changed, and its old one still counts")
def test_established_user_asks_the_peer_for_another_key() -> None:
    peer = server()
    sock = peer.passive()
    sock.setsockopt(IPPROTO_TCP, TCP_AO_INFO, AoInfo(rnext=102))
    sock.send(b"x")
    peer.flush()
    assert ids(peer) == (1, 102) and peer.take() == b"x"
    peer.data(b"old key")
    peer.key_id = 102
    peer.data(b", new key")
    assert read(sock) == b"old key, new key"
    sock.setsockopt(IPPROTO_TCP, TCP_AO_INFO, AoInfo(current=2))
    sock.send(b"y")
    peer.flush()
    assert ids(peer) == (2, 102)
    assert error_of(sock.setsockopt, IPPROTO_TCP, TCP_AO_INFO, AoInfo(current=9)) is InvalidArgument


def test_established_keys_are_added_and_those_not_in_use_taken_away() -> None:
    peer = AoPeer()
    keyed(peer.listen(), ONE)
    sock = peer.passive()
    assert error_of(sock.setsockopt, IPPROTO_TCP, TCP_AO_DEL_KEY, ONE) is InvalidArgument
    sock.setsockopt(IPPROTO_TCP, TCP_AO_ADD_KEY, TWO)
    peer.next_id, peer.key_id = 2, 102
    peer.data(b"x")
    assert read(sock) == b"x" and peer.count("tcp_ao_unknown_key") == 0
    sock.setsockopt(IPPROTO_TCP, TCP_AO_INFO, AoInfo(rnext=102))
    sock.setsockopt(IPPROTO_TCP, TCP_AO_DEL_KEY, ONE)
    assert [key.send_id for key in sock.getsockopt(IPPROTO_TCP, TCP_AO_GET_KEYS) if key.peer == "10.0.0.0/24"] == [2]
    peer.key_id = 101
    peer.send("P.", data=b"late")
    assert peer.count("tcp_ao_unknown_key") == 1
    # the listener's own keys stay
    assert [key.send_id for key in peer.listener.getsockopt(IPPROTO_TCP, TCP_AO_GET_KEYS)] == [1, 1]


# the 64-bit sequence number


@pytest.mark.rfc("5925", "6.2", "the sequence number extension counts each wrap, for both directions")
def test_established_extension_counts_wraps_both_ways() -> None:
    peer = server()
    sock = peer.passive()  # the peer's stream wraps after nine bytes
    for _ in range(3):
        peer.data(b"ten bytes.")
    assert read(sock) == b"ten bytes." * 3
    assert peer.base[0] >> 32 == 1
    # ours: as if 2**32 bytes had gone by
    tcb: Any = sock.tcb
    start = 0xFFFFFFF0
    shift = (start - tcb.snd_nxt) & MASK32
    tcb.snd_una = tcb.snd_nxt = tcb.snd_wl2 = tcb.small_sent = start
    tcb.auth.sent += shift
    peer.base[1] += shift
    peer.ack = start
    peer.watch = None
    sock.send(bytes(100))
    peer.flush()
    peer.expect("P.", seq=start, length=100)
    peer.ack = (start + 100) & MASK32
    peer.send(".")
    sock.send(b"after")
    peer.flush()
    peer.expect("P.", seq=84, data=b"after")
    assert tcb.auth.sent >> 32 == peer.base[1] >> 32 == 1


def test_established_segment_from_before_the_wrap_is_still_good() -> None:
    peer = server()
    sock = peer.passive()
    first = peer.seq
    peer.data(b"before the wrap, ")
    peer.data(b"after it")
    peer.send("P.", first, data=b"before the wrap, ")  # again: a retransmission
    assert peer.count("tcp_ao_wrong") == 0
    assert read(sock) == b"before the wrap, after it"


@pytest.mark.rfc("5925", "6.2", "a segment of 4 GiB ago is not valid again")
def test_established_replay_after_four_gigabytes_is_dropped() -> None:
    peer = server()
    sock = peer.passive()
    old = peer.frame("P.", data=b"replayed")
    tcb: Any = sock.tcb
    tcb.auth.received += 1 << 32  # the number is in the window once more
    peer.give(old)
    peer.quiet()
    assert peer.count("tcp_ao_wrong") == 1 and not sock.readable


def test_forged_segments_do_not_move_the_extension() -> None:
    peer = server()
    sock = peer.passive()
    tcb: Any = sock.tcb
    before = tcb.auth.received
    peer.master = {1: b"guess"}
    isn, base = peer.isn, list(peer.base)
    peer.send("P.", (peer.seq + 0x7FFFFFF0) & MASK32, data=b"x")
    assert tcb.auth.received == before
    peer.master, peer.isn, peer.base = {1: b"one"}, isn, base
    peer.data(b"good")
    assert read(sock) == b"good"


@pytest.mark.parametrize(
    ("newest", "seq", "wanted"),
    [
        (5, 6, 6), (0xFFFFFFFF, 0, 1 << 32), ((1 << 32) + 5, 0xFFFFFFFE, 0xFFFFFFFE), ((3 << 32) + 7, 8, (3 << 32) + 8),
        (0x80000000, 0, 0), (0x90000000, 0x10000001, 0x10000001),
    ],
)
def test_extension_takes_the_nearest_number(newest: int, seq: int, wanted: int) -> None:
    assert extended(newest, seq) == wanted


# room, resets, ICMP


@pytest.mark.rfc("5925", "7.6", "the MSS and the options allow for TCP-AO")
def test_segments_and_options_leave_room_for_the_option() -> None:
    peer = server()
    sock = peer.passive(FULL)
    assert sock.info().snd_mss == 1460 - 12 - 16
    sock.send(bytes(5000))
    peer.flush()
    assert len(peer.expect(".").frame.packet) == 1500
    peer.drain()
    for offset in (100, 200):
        peer.send(".", peer.seq + offset, data=b"x")
    assert [len(seg.option(Sack).blocks) for seg in peer.drain()] == [1, 1]


def test_syn_cookie_carries_a_signed_handshake() -> None:
    peer = AoPeer()
    keyed(peer.listen(backlog=1))
    peer.send("S", ISN, options=FULL)
    peer.drain()
    peer.peer_port += 1
    peer.key_id, peer.next_id = 102, 2
    peer.syn(FULL)
    assert peer.count("tcp_syncookie_sent") == 1
    base = list(peer.base)
    peer.master = {2: b"guess"}
    peer.send(".")
    assert peer.count("tcp_ao_wrong") == 1 and error_of(peer.listener.accept) is WouldBlock
    peer.master, peer.base = {2: b"two"}, base
    peer.send(".")
    sock = peer.listener.accept()
    peer.data(b"hello")
    assert read(sock) == b"hello" and ids(peer) == (2, 102)


@pytest.mark.rfc("5925", "7.7", "a RST of a connection is signed; who has forgotten it can't send one")
def test_reset_is_signed_and_strangers_get_none() -> None:
    peer = server()
    sock = peer.passive()
    sock.abort()
    peer.collect()
    peer.expect("R.")
    peer.send(".")
    peer.quiet()
    assert peer.count("tcp_rst_unsigned") == 1


def test_reset_of_the_peer_counts_if_it_is_signed() -> None:
    peer = server()
    sock = peer.passive()
    peer.send("R")
    assert sock.state == "CLOSED"


@pytest.mark.parametrize("verdict", [Verdict.REJECT_RST, Verdict.DEFER])
def test_rejected_syn_gets_no_reset_that_nobody_could_check(verdict: Verdict) -> None:
    peer = server()
    held: list[Any] = []

    def judge(syn: Any) -> Verdict:
        held.append(syn)
        return verdict

    peer.listener.setsockopt(IPPROTO_IP, IP_SYNFILTER, judge)
    peer.send("S", ISN, options=PLAIN)
    if verdict is Verdict.DEFER:
        held[0].deliver(Verdict.REJECT_RST)
        peer.flush()
    peer.quiet()
    assert peer.count("tcp_rst_unsigned") == 1


def test_filter_does_not_see_unsigned_syns() -> None:
    peer = server()
    seen: list[Any] = []
    peer.listener.setsockopt(IPPROTO_IP, IP_SYNFILTER, lambda syn: seen.append(syn) or Verdict.ACCEPT)
    peer.signing = False
    peer.send("S", ISN, options=PLAIN)
    peer.quiet()
    assert seen == []
    peer.signing = True
    peer.syn()
    assert len(seen) == 1


def unreachable(peer: Peer, sock: Socket, code: int, info: int = 0) -> None:
    """An ICMP error about a segment in flight."""
    sock.send(b"x" * 1200)
    peer.flush()
    peer.give(build.icmp_message(peer.there, peer.here, 3, code, info, peer.expect().frame.packet[:48]))


@pytest.mark.rfc("5925", "7.8", "hard ICMP errors are ignored in synchronized states, unless the key says otherwise")
@pytest.mark.parametrize("accept", [False, True])
@pytest.mark.parametrize("code", [2, 3, 4])
def test_established_icmp_errors_are_ignored_unless_the_key_takes_them(code: int, accept: bool) -> None:
    peer = AoPeer()
    keyed(peer.listen(), ONE, accept_icmp=accept)
    sock = peer.passive((*PLAIN,))
    mss = sock.info().snd_mss
    unreachable(peer, sock, code, 600)
    assert peer.count("tcp_ao_icmp_ignored") == (not accept)
    assert sock.state == "ESTABLISHED"
    lowered = code == 4 and accept
    assert (sock.info().snd_mss < mss) == lowered
    assert (peer.stack.network.pmtu.get(bytes([10, 0, 0, 1])) > 0) == lowered


# keys


@pytest.mark.rfc("5925", "3.1", "IDs of a connection's key tuples are unique in each direction")
@pytest.mark.parametrize(
    "key",
    [
        AoKey("10.0.0.1", b"k", 1, 50), AoKey("10.0.0.0/8", b"k", 50, 101), AoKey("10.0.0.2", b"", 5, 5),
        AoKey("10.0.0.2", b"k", 256, 5), AoKey("10.0.0.2", b"k", 5, -1), AoKey("10.0.0.2", b"k", 5, 5, "md5"),
        AoKey("10.0.0.2", b"k", 5, 5, port=70000), AoKey("nowhere", b"k", 5, 5), AoKey("10.0.0.2", bytes(81), 5, 5),
        "key",
    ],
)
def test_wrong_keys_are_told(key: Any) -> None:
    sock = Peer().stack.socket()
    sock.setsockopt(IPPROTO_TCP, TCP_AO_ADD_KEY, ONE)
    assert error_of(sock.setsockopt, IPPROTO_TCP, TCP_AO_ADD_KEY, key) is InvalidArgument
    assert sock.getsockopt(IPPROTO_TCP, TCP_AO_GET_KEYS) == (ONE,)


def test_keys_by_port_and_prefix_and_their_removal() -> None:
    sock = Peer().stack.socket()
    for key in (AoKey("10.0.0.1", b"k", 1, 1, port=179), AoKey("10.0.0.1", b"k", 1, 1, port=180)):
        sock.setsockopt(IPPROTO_TCP, TCP_AO_ADD_KEY, key)
    assert error_of(sock.setsockopt, IPPROTO_TCP, TCP_AO_DEL_KEY, TWO) is InvalidArgument
    assert error_of(sock.setsockopt, IPPROTO_TCP, TCP_AO_DEL_KEY, None) is InvalidArgument
    sock.setsockopt(IPPROTO_TCP, TCP_AO_DEL_KEY, AoKey("10.0.0.1", b"", 1, 1))
    assert sock.getsockopt(IPPROTO_TCP, TCP_AO_GET_KEYS) == ()
    assert error_of(sock.getsockopt, IPPROTO_TCP, TCP_AO_INFO) is InvalidArgument
    assert error_of(sock.setsockopt, IPPROTO_TCP, TCP_AO_INFO, AoInfo(1, 1)) is InvalidArgument
    assert error_of(sock.setsockopt, IPPROTO_TCP, TCP_AO_GET_KEYS, ()) is NotSupported


def test_listen_syn_that_asks_for_a_key_nobody_has_is_dropped() -> None:
    peer = server()
    peer.next_id = 9
    peer.send("S", ISN, options=PLAIN)
    peer.quiet()
    assert peer.count("tcp_ao_unknown_key") == 1


@pytest.mark.rfc("5925", "7.3", "signed segments of peers without a key are silently accepted by default")
def test_listen_signed_syn_of_a_peer_without_key_connects_unsigned() -> None:
    peer = AoPeer()
    peer.listen()
    peer.strict = False
    peer.send("S", ISN, options=PLAIN)
    assert not any(isinstance(option, Unknown) for option in peer.expect("S.").options)


def test_simultaneous_open_is_signed_with_both_isns() -> None:
    peer = AoPeer()
    sock, _ = peer.connecting(keyed)
    peer.send("S", options=PLAIN)
    peer.seq = (peer.seq + 1) & MASK32
    peer.expect("S.")
    peer.send(".")
    assert sock.state == "ESTABLISHED"
    peer.data(b"x")
    assert read(sock) == b"x"


def test_syn_sent_forged_answers_leave_no_trace() -> None:
    peer = AoPeer()
    sock, _ = peer.connecting(keyed)
    peer.master = {1: b"guess"}
    for flags in ("S.", "S", "R.", "."):
        peer.send(flags, 12345, options=PLAIN)
    peer.quiet()
    assert sock.state == "SYN-SENT"
    peer.master = {1: b"one"}
    peer.send("S.", options=PLAIN)
    peer.expect(".")
    assert sock.state == "ESTABLISHED"


@pytest.mark.threat(46)
@pytest.mark.parametrize("kind", ["none", "md5", "ao"])
@pytest.mark.parametrize("state", ["listen", "half open", "established", "time wait", "stranger"])
def test_nonsense_in_the_options_is_dropped_in_every_state(state: str, kind: str) -> None:
    """Random options of every length, after segments whose options were whole: nothing of one leaks into the next."""
    peer = AoPeer(seed=b"nonsense")
    peer.strict = peer.signing = False
    listener = peer.listen()
    if state == "established":
        peer.passive()
    elif state == "half open":
        peer.syn()
    elif state == "time wait":
        peer.time_wait()
    # keys come last: the connection is there, and gets them all the same
    if kind != "none":
        keys = Keys().with_md5(Md5Key("10.0.0.0/24", b"k")) if kind == "md5" else Keys().with_ao(ONE)
        listener.config.keys = keys
        peer.stack.tcp.keyed = True
        for entry in peer.stack.tcp.table:
            entry.auth = keys.signer(entry.raddr_hi, entry.raddr_lo, entry.rport)
            entry.auth.begin(7, ISN)
    if state == "stranger":
        peer.peer_port = 5
    peer.watch = None
    random = Random(7)
    for _ in range(400):
        area = bytes(random.choice((0, 1, 2, 3, 8, 10, 16, 18, 19, 29, 34, random.randrange(256))) for _ in range(40))
        flags = random.choice(("S", ".", "P.", "F.", "R", "S.", "U.", ""))
        options = area[: random.randrange(0, 41, 4)] if random.random() < 0.8 else (Nop(), Nop(), Timestamps(5, 6))
        peer.give(peer.frame(flags, data=b"x" * random.randrange(3), options=options))
    counted = sum(
        peer.count(name) for name in ("tcp_md5_missing", "tcp_md5_wrong", "tcp_ao_missing", "tcp_ao_wrong",
                                      "tcp_ao_unknown_key", "tcp_signature_malformed")
    )
    assert (counted > 40) == (kind != "none")
