from __future__ import annotations

import pytest

from uinet.errors import InvalidArgument
from uinet.wire import ethernet
from uinet.wire.addresses import TPIDS, L2Info, Mac, VlanTag, link_header

A = Mac("02:00:00:00:00:0a")
B = Mac("02:00:00:00:00:0b")


def test_parse_untagged_frame_tells_macs_and_ethertype() -> None:
    frame = B + A + b"\x08\x00" + b"payload"
    assert ethernet.parse(frame) == ethernet.EthernetHeader(A, B, ethernet.IPV4)
    assert ethernet.header_length(frame) == 14
    assert ethernet.parse(frame).l2info == L2Info(A, B)


@pytest.mark.parametrize("tpid", TPIDS)
def test_parse_tag_of_every_tpid_is_a_tag(tpid: int) -> None:
    frame = B + A + tpid.to_bytes(2, "big") + b"\xf0\x64\x86\xdd"
    assert ethernet.vlans(frame) == (VlanTag(100, 7, 1, tpid),)
    assert ethernet.ethertype(frame) == ethernet.IPV6
    assert ethernet.header_length(frame) == 18


def test_parse_sixteen_tags_is_whole_and_seventeen_are_too_deep() -> None:
    stack = tuple(VlanTag(vid) for vid in range(16))
    frame = link_header(L2Info(A, B, stack), ethernet.ARP)
    assert ethernet.vlans(frame) == stack and ethernet.header_length(frame) == len(frame) == 14 + 16 * 4
    deeper = frame[:12] + b"\x81\x00\x00\x05" + frame[12:]
    assert ethernet.header_length(deeper) == ethernet.TOO_DEEP
    assert not ethernet.check(deeper)


@pytest.mark.parametrize("tags", [0, 1, 3])
def test_check_frame_cut_anywhere_in_its_header_is_short(tags: int) -> None:
    frame = link_header(L2Info(A, B, (VlanTag(5),) * tags), ethernet.IPV4)
    for length in range(len(frame)):
        assert ethernet.header_length(frame[:length]) == ethernet.SHORT
        assert not ethernet.check(frame[:length])
        with pytest.raises(InvalidArgument):
            ethernet.parse(frame[:length])
    assert ethernet.check(frame)


def test_check_tag_without_a_payload_type_is_short() -> None:
    assert not ethernet.check(B + A + b"\x81\x00")
    assert not ethernet.check(B + A + b"\x81\x00\x00\x05")
