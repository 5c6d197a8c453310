"""Handshakes, ends and re-used connections: cases 17 and 22 to 41.

Read first: RFC 9293, 3.5 and 3.6; RFC 5961; RFC 7413. What a running Linux kernel does with each was measured.
"""

from __future__ import annotations

from itertools import combinations

import pytest

from tests.unit.passive.copy import MD5, Copy, check, pattern, timestamps

OLD = (timestamps(1), timestamps(0xF0000000))


# bad checksums


@pytest.mark.parametrize("checksums", ["auto", "verify"])
def test_case_17_tcp_1_fin_and_rst_with_bad_checksums_are_ignored(checksums: str) -> None:
    copy = Copy(checksums=checksums).handshake()
    copy.client(b"hello ")
    copy.server_ack()
    copy.fin(forged=True, checksum="bad")
    copy.rst(checksum="bad")
    copy.server_rst(checksum="bad")
    copy.client(b"world")
    copy.server_ack()
    copy.goodbye().whole(b"hello world")


def test_case_17_where_checksums_are_not_looked_at_the_rst_counts() -> None:
    copy = Copy(checksums="ignore").handshake()
    copy.client(b"hello")
    copy.server_ack()
    copy.rst(checksum="bad")
    copy.finish()
    assert copy.one.client.data == b"hello"
    assert copy.one.close == "rst"


@pytest.mark.parametrize("checksums", ["auto", "verify"])
def test_case_17_a_syn_with_a_bad_checksum_in_a_good_capture_makes_no_connection(checksums: str) -> None:
    copy = Copy(checksums=checksums).handshake()
    for _ in range(10):
        copy.client(b"hello")
        copy.server_ack()
    copy.goodbye()
    copy.other().syn(checksum="bad")
    copy.whole(b"hello" * 10)


# SYNs where none belong


def test_case_22_tcbc_2_syns_of_the_same_parameters_between_the_data_are_ignored() -> None:
    text = pattern(40)
    copy = Copy().handshake()
    for at in range(40):
        copy.client(text[at : at + 1])
        copy.syn(forged=True)
        copy.syn(forged=True, at=at)
    copy.server_ack()
    copy.goodbye().whole(text)


@pytest.mark.parametrize("flags", ["S", "S."])
def test_case_22_a_syn_in_the_window_of_an_established_connection_is_ignored(flags: str) -> None:
    copy = Copy().handshake()
    copy.client(b"abc")
    copy.server(b"ABC")
    copy.client(flags=flags, at=1000, forged=True)
    copy.server(flags=flags, at=1000, forged=True)
    copy.client(b"def")
    copy.server(b"DEF")
    copy.goodbye().whole(b"abcdef", b"ABCDEF")


def test_case_22_a_syn_that_nobody_answers_does_not_end_an_established_connection() -> None:
    """A distant ISN too: the endpoints answer with a challenge ACK and go on (RFC 5961, 4)."""
    copy = Copy().handshake()
    copy.client(b"abc")
    copy.server(b"ABC")
    copy.syn(seq=0x7000_0000, forged=True)
    copy.server_ack()
    copy.client(b"def")
    copy.server(b"DEF")
    copy.goodbye()
    copy.finish()
    check(next(record for record in copy.all if record.client.length), b"abcdef", b"ABCDEF")


@pytest.mark.parametrize("midstream", [False, True])
def test_case_23_tcbc_3_data_before_the_handshake_belongs_to_another_connection(midstream: bool) -> None:
    copy = Copy(midstream=midstream)
    stray = Copy(wire=copy.wire, cisn=0x3000_0000, sisn=0x5000_0000)
    stray.c.received = stray.s.received = 0
    stray.client(b"stray data")
    stray.client(b" and more")
    copy.handshake()
    copy.client(b"the real thing")
    copy.server(b"yes")
    copy.goodbye()
    copy.finish()
    assert len(copy.all) == 1 + midstream
    check(copy.all[-1], b"the real thing", b"yes")
    if midstream:
        check(copy.all[0], b"stray data and more", close=None)
        assert copy.all[0].conn.midstream
    assert not copy.all[-1].conn.midstream


# the same addresses and ports again


def again(copy: Copy, cisn: int = 0x4000_0000, sisn: int = 0x6000_0000) -> Copy:
    """A second connection of the same 4-tuple."""
    return Copy(wire=copy.wire, cisn=cisn, sisn=sisn, cport=copy.c.port, sport=copy.s.port)


@pytest.mark.parametrize("side", ["client", "server"])
def test_case_24_tcbt_1_after_a_rst_the_same_tuple_is_a_new_connection(side: str) -> None:
    copy = Copy().handshake()
    copy.client(b"first")
    copy.server(b"FIRST")
    copy.ack()
    copy.rst() if side == "client" else copy.server_rst()
    second = again(copy).handshake()
    second.client(b"second")
    second.server(b"SECOND")
    second.goodbye()
    copy.finish()
    assert len(copy.all) == 2
    check(copy.all[0], b"first", b"FIRST", "rst")
    check(copy.all[1], b"second", b"SECOND", "fin")


@pytest.mark.parametrize("cisn", [0x4000_0000, 0x0000_0400, 0xFFFF_FF00])
def test_case_24_after_fins_the_same_tuple_is_a_new_connection(cisn: int) -> None:
    """Whether the new ISN is far away, a little above the old end (RFC 6191) or below it."""
    copy = Copy().handshake()
    copy.client(b"first")
    copy.server(b"FIRST")
    copy.goodbye()
    copy.pause(0.01)
    second = again(copy, cisn).handshake()
    second.client(b"second")
    second.server(b"SECOND")
    second.goodbye()
    copy.finish()
    assert len(copy.all) == 2
    check(copy.all[0], b"first", b"FIRST")
    check(copy.all[1], b"second", b"SECOND")


@pytest.mark.parametrize("end", ["missed", "one FIN", "nothing sent"])
def test_case_25_a_syn_far_outside_the_old_window_is_a_new_connection(end: str) -> None:
    copy = Copy().handshake()
    if end != "nothing sent":
        copy.client(b"first")
        copy.server(b"FIRST")
    if end == "one FIN":
        copy.fin()
    copy.pause(1)
    second = again(copy).handshake()
    second.client(b"second")
    second.server(b"SECOND")
    second.goodbye()
    copy.finish()
    assert len(copy.all) == 2
    sent = (b"", b"") if end == "nothing sent" else (b"first", b"FIRST")
    check(copy.all[0], *sent, close=None)
    check(copy.all[1], b"second", b"SECOND")
    assert set(copy.all[0].notes) & {"reused", "lost-end"}
    assert copy.all[1].notes == []


def test_case_25_what_the_old_connection_held_is_delivered_behind_its_hole() -> None:
    copy = Copy().handshake()
    copy.client(b"first")
    copy.client(b"missed", missed=True)
    copy.client(b"held")
    second = again(copy).handshake()
    second.client(b"second")
    second.goodbye()
    copy.finish()
    assert len(copy.all) == 2
    assert copy.all[0].client.data == b"first\0\0\0\0\0\0held"
    assert copy.all[0].client.missing == [(5, 6)]
    check(copy.all[1], b"second")


@pytest.mark.parametrize("missed", ["SYN", "SYN|ACK"])
@pytest.mark.parametrize("sent", [b"", b"first"])
@pytest.mark.parametrize("end", [False, True])
def test_case_25_the_old_connection_lacked_a_packet_of_its_handshake(missed: str, sent: bytes, end: bool) -> None:
    """The other one has told both beginnings: a SYN with another number is not the late one of the old connection."""
    copy = Copy()
    copy.syn(missed=missed == "SYN")
    copy.synack(missed=missed == "SYN|ACK")
    copy.ack()
    if sent:
        copy.client(sent)
    copy.server(b"FIRST")
    copy.ack()
    if end:
        copy.server_fin()
        copy.fin(missed=True)
    copy.pause(0.3)
    second = again(copy).handshake()
    second.client(b"second")
    second.server(b"SECOND")
    second.goodbye()
    copy.finish()
    assert len(copy.all) == 2
    check(copy.all[0], sent, b"FIRST", close=None)
    check(copy.all[1], b"second", b"SECOND")


def test_case_25_the_same_tuple_many_times_in_a_row() -> None:
    copy = Copy()
    for number in range(30):
        turn = again(copy, (0xF000_0000 + number * 0x0900_0000) & 0xFFFFFFFF, number * 0x0B00_0000).handshake()
        turn.client(b"request %d" % number)
        turn.server(b"answer %d" % number)
        if number % 3 == 0:
            turn.goodbye()
        elif number % 3 == 1:
            turn.rst()
        turn.pause(0.2)
    copy.finish()
    assert [record.client.data for record in copy.all] == [b"request %d" % number for number in range(30)]
    assert [record.server.data for record in copy.all] == [b"answer %d" % number for number in range(30)]


def test_case_26_a_syn_again_with_other_timestamps_is_the_same_connection() -> None:
    copy = Copy(stamps=True)
    copy.syn(options=timestamps(1000))
    copy.pause(1)
    copy.syn(options=timestamps(2000))
    copy.pause(2)
    copy.syn(options=b"")
    copy.synack()
    copy.synack()
    copy.ack()
    copy.client(b"abc")
    copy.server(b"ABC")
    copy.goodbye().whole(b"abc", b"ABC")


@pytest.mark.parametrize("right", [0, 1, 2])
def test_case_27_of_several_syn_acks_the_one_counts_that_the_client_confirms(right: int) -> None:
    copy = Copy()
    copy.syn()
    for number in range(3):
        copy.synack(seq=(copy.s.isn + (number - right) * 0x2345_6789) & 0xFFFFFFFF)
    copy.ack()
    copy.client(b"abc")
    copy.server(b"ABC")
    copy.goodbye().whole(b"abc", b"ABC")


# the order of the handshake


def interleavings(first: int, second: int) -> list[str]:
    """All ways to merge two sequences, as letters c and s."""
    every = range(first + second)
    return ["".join("c" if at in places else "s" for at in every) for places in combinations(every, first)]


@pytest.mark.parametrize("order", interleavings(4, 3))
def test_case_28_the_two_directions_skewed_make_one_connection(order: str) -> None:
    copy = Copy()
    packets = copy.collect()
    sides: dict[str, list[tuple[int, bytes, int]]] = {"c": [], "s": []}
    for side, call, data in (
        ("c", copy.syn, b""), ("s", copy.synack, b""), ("c", copy.ack, b""), ("c", copy.client, b"abc"),
        ("s", copy.server_ack, b""), ("s", copy.server, b"ABC"), ("c", copy.client, b"def"),
    ):
        call(data) if data else call()
        sides[side].append(packets.pop())
    turns = {side: iter(found) for side, found in sides.items()}
    copy.wire.collected = None
    for letter in order:
        copy.wire.feed(next(turns[letter])[1])
    copy.server_ack()
    copy.goodbye().whole(b"abcdef", b"ABC")
    assert copy.one.ports == (40000, 80)


@pytest.mark.parametrize("places", range(1, 9))
@pytest.mark.parametrize("which", [0, 1, 2])
def test_case_28_a_handshake_packet_held_back_behind_the_data_costs_nothing(which: int, places: int) -> None:
    """The copy reorders packets of one direction too: 1 to 8 places (a mirror port with several queues)."""
    copy = Copy()
    packets = copy.collect()
    copy.handshake()
    for number in range(4):
        copy.client(b"abc%d" % number)
        copy.server(b"ABC%d" % number)
    copy.ack()
    copy.goodbye()
    packets.insert(which + places, packets.pop(which))
    copy.wire.collected = None
    for number, packet in enumerate(packets):
        copy.wire.feed(packet[1], time=number * 100_000)
    copy.whole(b"abc0abc1abc2abc3", b"ABC0ABC1ABC2ABC3")
    assert copy.one.ports == (40000, 80)


def test_case_29_simultaneous_open_has_the_first_syn_as_its_client() -> None:
    copy = Copy()
    copy.syn()
    copy.server(flags="S", at=-1)
    copy.client(flags="S.", at=-1)
    copy.server(flags="S.", at=-1)
    copy.client(b"abc")
    copy.server(b"ABC")
    copy.goodbye().whole(b"abc", b"ABC")
    assert copy.one.ports == (40000, 80)


@pytest.mark.parametrize("challenge", [False, True], ids=["4-way", "5-way"])
def test_case_29_a_split_handshake_has_the_first_syn_as_its_client(challenge: bool) -> None:
    copy = Copy()
    copy.syn()
    if challenge:
        copy.server(at=0, forged=True)
    copy.server(flags="S", at=-1)
    copy.client(flags="S.", at=-1)
    copy.server_ack()
    copy.client(b"abc")
    copy.server(b"ABC")
    copy.goodbye().whole(b"abc", b"ABC")
    assert copy.one.ports == (40000, 80)


# data on SYNs


def test_case_30_data_on_a_syn_counts_when_the_syn_ack_acknowledges_it() -> None:
    copy = Copy()
    copy.syn(b"GET /")
    copy.synack()
    assert copy.s.received == 5
    copy.ack()
    copy.server(b"here")
    copy.goodbye().whole(b"GET /", b"here")


def test_case_30_data_on_a_syn_that_was_not_taken_is_sent_again() -> None:
    copy = Copy()
    copy.syn(b"GET /", forged=True)
    copy.packet(copy.c, "S", lost=True)
    copy.s.gets(-1, 0)
    copy.synack()
    copy.ack()
    copy.client(b"GET /")
    copy.server(b"here")
    copy.goodbye().whole(b"GET /", b"here")


def test_case_30_data_on_a_syn_that_was_not_taken_counts_for_nothing() -> None:
    """An attacker's SYN with data, which the server does not take: the stream is what was sent afterwards."""
    copy = Copy()
    copy.syn(b"EVIL", forged=True)
    copy.packet(copy.c, "S", lost=True)
    copy.s.gets(-1, 0)
    copy.synack()
    copy.ack()
    copy.client(b"good")
    copy.server_ack()
    copy.goodbye().whole(b"good")


def test_case_30_part_of_the_data_on_a_syn_may_be_taken() -> None:
    copy = Copy()
    copy.syn(b"abcdef", forged=True)
    copy.s.gets(-1, 3)
    copy.synack()
    copy.ack()
    copy.client(b"def", at=3)
    copy.server_ack()
    copy.goodbye().whole(b"abcdef")


def test_case_30_the_answer_may_come_with_the_syn_ack() -> None:
    copy = Copy()
    copy.syn(b"GET /")
    copy.synack(b"here ")
    copy.server(b"it is")
    copy.ack()
    copy.goodbye().whole(b"GET /", b"here it is")


def test_case_30_fast_open_with_the_syn_again_without_data() -> None:
    """RFC 7413, 4.1.3: a SYN with data that got lost is sent again without it; the data follows the handshake."""
    copy = Copy()
    copy.syn(b"GET /", lost=True)
    copy.pause(1)
    copy.syn()
    copy.synack()
    copy.ack()
    copy.client(b"GET /", at=0)
    copy.server_ack()
    copy.goodbye().whole(b"GET /")


@pytest.mark.parametrize("midstream", [False, True])
@pytest.mark.parametrize("flags", ["SF", "SR", "", "FPU", "FSRPU", "SF.", "SR.", "F", "PU", "SRFPUA"])
def test_case_31_packets_that_no_connection_begins_with_leave_no_state(flags: str, midstream: bool) -> None:
    copy = Copy(midstream=midstream)
    copy.client(flags=flags, at=-1)
    copy.server(flags=flags, at=-1)
    copy.wait(10)
    copy.finish()
    assert copy.all == []
    assert copy.stats.get("connections", 0) == 0


@pytest.mark.parametrize("flags", ["SF", "SR", "", "FPU", "FSRPU"])
def test_case_31_nor_do_they_harm_one(flags: str) -> None:
    copy = Copy().handshake()
    copy.client(b"abc")
    copy.client(b"x", flags=flags, forged=True, at=3)
    copy.client(b"def")
    copy.server(b"ABC")
    copy.goodbye().whole(b"abcdef", b"ABC")


def test_case_32_data_without_an_ack_flag_is_ignored() -> None:
    copy = Copy().handshake()
    copy.client(b"abc")
    copy.client(b"EVIL", flags="P", forged=True)
    copy.client(b"EVIL", flags="PF", forged=True)
    copy.client(b"def")
    copy.server_ack()
    copy.goodbye().whole(b"abcdef")
    assert copy.one.counted("ignored") >= 2


@pytest.mark.parametrize("distance", [0x4000_0000, -0x4000_0000, 0x1000_0000, -0x1000_0000])
@pytest.mark.parametrize("policy", ["first", "linux"])
def test_case_33_data_with_an_impossible_ack_is_dropped_by_linux(policy: str, distance: int) -> None:
    copy = Copy(overlap=policy).handshake()
    copy.client(b"abc")
    copy.server(b"ABC")
    copy.client(b"EVIL", raw_ack=copy.s.isn + 4 + distance, forged=True)
    copy.client(b"good")
    copy.server_ack()
    copy.wait(1)
    copy.goodbye().whole(b"abcEVIL" if policy == "first" else b"abcgood", b"ABC")
    if policy == "linux":
        assert copy.one.counted("ignored") >= 1


def test_case_33_an_impossible_ack_is_no_evidence_of_a_hole() -> None:
    copy = Copy().handshake()
    copy.client(b"abc")
    copy.server(b"ABC")
    copy.ack(raw_ack=copy.s.isn + 0x4000_0000)
    copy.server_ack(raw_ack=copy.c.isn + 0x4000_0000)
    copy.wait(100)
    copy.server(b"DEF")
    copy.client(b"def")
    copy.goodbye().whole(b"abcdef", b"ABCDEF")


# RST


def test_case_34_a_rst_at_the_next_byte_ends_the_connection() -> None:
    copy = Copy().handshake()
    copy.client(b"abc")
    copy.server(b"ABC")
    copy.ack()
    copy.server_rst()
    copy.whole(b"abc", b"ABC", "rst")


@pytest.mark.parametrize("distance", [1, 100, 60_000, -1, -100, 0x2000_0000, -0x2000_0000])
def test_case_34_a_rst_that_is_not_exact_is_ignored_and_noted(distance: int) -> None:
    """RFC 5961, 3: in the window the endpoint answers with a challenge ACK, outside it does nothing."""
    copy = Copy().handshake()
    copy.client(b"abc")
    copy.server(b"ABC")
    copy.ack()
    copy.rst(at=3 + distance)
    copy.server_rst(at=3 + distance)
    copy.server_ack()
    copy.client(b"def")
    copy.server(b"DEF")
    copy.goodbye().whole(b"abcdef", b"ABCDEF")
    assert "rst-ignored" in copy.one.notes


def test_case_34_what_a_rst_carries_is_no_data() -> None:
    copy = Copy().handshake()
    copy.client(b"abc")
    copy.server_ack()
    copy.client(b"the reason of the reset", flags="R.", forged=True)
    copy.whole(b"abc", b"", "rst")


@pytest.mark.parametrize("side", ["client", "server"])
def test_case_34_where_both_go_on_behind_a_rst_it_was_forged(side: str) -> None:
    copy = Copy().handshake()
    copy.client(b"abc")
    copy.server(b"ABC")
    copy.ack()
    copy.rst() if side == "client" else copy.server_rst()
    copy.client(b"def")
    copy.server(b"DEF")
    copy.ack()
    copy.server_ack()
    copy.pause(0.5)
    copy.client(b"ghi")
    copy.server(b"GHI")
    copy.goodbye().whole(b"abcdefghi", b"ABCDEFGHI")
    assert any(note.startswith("rst") for note in copy.one.notes)


def test_case_34_data_on_its_way_when_the_rst_came_is_delivered() -> None:
    """It was on the wire: the reference and every reader of the capture see it (zeek's rst-inject-rae)."""
    copy = Copy().handshake()
    copy.client(b"abc")
    copy.server_ack()
    copy.server_rst()
    copy.client(b"def")
    copy.finish()
    assert copy.one.client.data == b"abcdef"
    assert copy.one.client.holes == []


def test_case_34_a_rst_behind_data_that_the_copy_lacks_ends_the_connection() -> None:
    copy = Copy().handshake()
    copy.client(b"abc")
    copy.client(b"missed", missed=True)
    copy.server_ack()
    copy.rst()
    copy.wait(1)
    copy.finish()
    assert copy.one.client.data == b"abc" + bytes(6)
    assert copy.one.client.missing == [(3, 6)]
    assert copy.one.close == "rst"


def test_case_34_refused_connections_end_by_rst() -> None:
    copy = Copy()
    copy.syn()
    copy.packet(copy.s, "R.", raw_ack=copy.c.isn + 1, seq=0, forged=True)
    copy.whole(b"", b"", "rst")


# control packets that the endpoints don't take


@pytest.mark.parametrize("policy", ["first", "linux"])
@pytest.mark.parametrize("kind", ["RST", "FIN"])
def test_case_35_a_control_packet_with_an_md5_option_is_ignored(kind: str, policy: str) -> None:
    copy = Copy(overlap=policy).handshake()
    copy.client(b"abc")
    copy.server_ack()
    if kind == "RST":
        copy.rst(options=MD5)
    else:
        copy.fin(options=MD5, forged=True)
    copy.client(b"def")
    copy.server(b"ABC")
    copy.goodbye().whole(b"abcdef", b"ABC")


@pytest.mark.parametrize("policy", ["first", "linux"])
@pytest.mark.parametrize("old", OLD, ids=["long ago", "across the wrap"])
@pytest.mark.parametrize("kind", ["RST", "FIN"])
def test_case_35_a_control_packet_with_an_old_timestamp_is_ignored(kind: str, old: bytes, policy: str) -> None:
    copy = Copy(stamps=True, overlap=policy).handshake()
    copy.client(b"abc")
    copy.server_ack()
    if kind == "RST":
        copy.rst(options=old)
    else:
        copy.fin(options=old, forged=True)
    copy.client(b"def")
    copy.server(b"ABC")
    copy.goodbye().whole(b"abcdef", b"ABC")


def test_case_35_connections_that_sign_everything_are_followed() -> None:
    copy = Copy()
    copy.syn(options=MD5)
    copy.synack(options=MD5)
    copy.ack(options=MD5)
    copy.client(b"abc", options=MD5)
    copy.server(b"ABC", options=MD5)
    copy.fin(options=MD5)
    copy.server_fin(options=MD5)
    copy.ack(options=MD5)
    copy.whole(b"abc", b"ABC")


# FIN


def test_case_36_the_end_is_where_the_fin_stands_not_when_it_comes() -> None:
    text = pattern(30)
    copy = Copy().handshake()
    copy.client(text[:10])
    copy.fin(at=30)
    copy.client(text[20:30], at=20)
    assert not copy.one.client.fin
    copy.client(text[10:20], at=10)
    assert copy.one.client.events[-1] == ("fin", 30)
    copy.server_fin()
    copy.ack()
    copy.whole(text)


def test_case_36_a_fin_with_data_out_of_order() -> None:
    copy = Copy().handshake()
    copy.fin(b"def", at=3)
    copy.client(b"abc", at=0)
    copy.server_fin()
    copy.ack()
    copy.whole(b"abcdef")


def test_case_37_a_second_fin_at_another_place_is_ignored() -> None:
    copy = Copy().handshake()
    copy.client(b"abc")
    copy.fin()
    copy.fin(b"more", at=4, forged=True)
    copy.fin(at=2, forged=True)
    copy.server_fin()
    copy.ack()
    copy.whole(b"abc")


def test_case_37_the_same_fin_again_is_a_retransmission() -> None:
    copy = Copy().handshake()
    copy.fin(b"abc")
    copy.pause(0.3)
    copy.fin(b"abc", at=0, forged=True)
    copy.server_fin()
    copy.ack()
    copy.whole(b"abc")


@pytest.mark.parametrize("policy, stream, fin", [("linux", b"ABCDEF", False), ("first", b"ABCD", True)])
def test_case_37_a_held_fin_whose_segment_is_replaced_by_a_longer_one(policy: str, stream: bytes, fin: bool) -> None:
    """Linux takes the longer segment of the same start, and with the old one its FIN is gone (measured)."""
    copy = Copy(overlap=policy).handshake()
    copy.fin(b"CD", at=2, forged=True)
    copy.client(b"CDEF", at=2)
    copy.client(b"AB", at=0)
    copy.server_ack()
    copy.finish()
    assert copy.one.client.data == stream
    assert copy.one.client.fin == fin


def test_case_38_data_beyond_the_fin_is_not_delivered_but_counted() -> None:
    copy = Copy().handshake()
    copy.fin(b"abc")
    copy.client(b"behind the end", at=4, forged=True)
    copy.client(b"behind the end", at=3, forged=True)
    copy.server_fin()
    copy.ack()
    copy.whole(b"abc")
    counters = copy.one.conn.client.counters
    assert counters.get("ignored", 0) + counters.get("beyond_fin", 0) >= 1


def test_case_38_held_data_beyond_the_fin_is_not_delivered() -> None:
    copy = Copy().handshake()
    copy.client(b"far behind", at=10, forged=True)
    copy.fin(b"abc")
    copy.server_fin()
    copy.ack()
    copy.wait(10)
    copy.whole(b"abc")


def test_case_39_a_connection_whose_end_was_lost_ends_by_idle_time() -> None:
    copy = Copy().handshake()
    copy.client(b"abc")
    copy.server(b"ABC")
    copy.ack()
    copy.wait(599)
    assert not copy.one.closed
    copy.wait(2)
    assert copy.one.closed
    copy.whole(b"abc", b"ABC", "timeout")


def test_case_39_idle_time_is_packet_time() -> None:
    copy = Copy(idle=10).handshake()
    copy.client(b"abc")
    copy.server_ack()
    copy.pause(30)
    copy.other().syn()
    assert copy.all[0].closed
    assert copy.all[0].close == "timeout"
    assert copy.all[0].conn.end < copy.all[0].conn.start + 10**9, "the end is its last packet's time"
    copy.finish()


@pytest.mark.parametrize("missed", ["client FIN", "server FIN", "last ACK"])
def test_case_39_of_the_end_one_packet_is_lost(missed: str) -> None:
    copy = Copy().handshake()
    copy.client(b"abc")
    copy.server(b"ABC")
    copy.fin(missed=missed == "client FIN")
    copy.server_ack()
    copy.server_fin(missed=missed == "server FIN")
    copy.ack(missed=missed == "last ACK")
    copy.wait(1000)
    assert copy.one.closed
    copy.finish()
    check(copy.one, b"abc", b"ABC", close=None)
    assert copy.one.close in (("fin",) if missed == "last ACK" else ("fin", "timeout"))


def test_case_40_half_closed_the_other_direction_goes_on_for_hours() -> None:
    copy = Copy().handshake()
    copy.fin(b"all you have, please")
    copy.server_ack()
    for number in range(40):
        copy.server(b"piece %02d" % number)
        copy.pause(300)
        copy.ack()
    copy.server_fin()
    copy.ack()
    copy.whole(b"all you have, please", b"".join(b"piece %02d" % number for number in range(40)))


@pytest.mark.parametrize("midstream", [False, True])
def test_case_41_duplicates_behind_the_end_make_no_new_connection(midstream: bool) -> None:
    copy = Copy(midstream=midstream).handshake()
    copy.client(b"abc")
    copy.server(b"ABC")
    copy.goodbye()
    for pause in (0.001, 0.2, 1.0, 3.0):
        copy.pause(pause)
        copy.fin(at=3, forged=True)
        copy.server_fin(at=3, forged=True)
        copy.ack(at=4)
        copy.server_ack(at=4)
    copy.client(b"abc", at=0, forged=True)
    copy.server(b"ABC", at=0, forged=True)
    copy.whole(b"abc", b"ABC")


@pytest.mark.parametrize("midstream", [False, True])
def test_case_41_nor_do_those_behind_a_rst(midstream: bool) -> None:
    copy = Copy(midstream=midstream).handshake()
    copy.client(b"abc")
    copy.server(b"ABC")
    copy.ack()
    copy.server_rst()
    for pause in (0.001, 0.2, 1.0):
        copy.pause(pause)
        copy.ack()
        copy.server_rst()
    copy.whole(b"abc", b"ABC", "rst")
