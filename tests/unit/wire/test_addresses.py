from __future__ import annotations

import copy
import ipaddress
import pickle
from typing import Any as AnyValue

import pytest

from uinet.errors import AddressError, VlanError
from uinet.wire import addresses
from uinet.wire.addresses import ANY, L2Info, Mac, VlanTag

A = Mac("02:00:00:00:00:0a")
B = Mac("02:00:00:00:00:0b")


def test_mac_from_text_and_from_bytes_is_the_same() -> None:
    assert Mac("02:00:00:00:00:0A") == Mac(b"\x02\0\0\0\0\x0a") == Mac.parse("02-00-00-00-00-0a")
    assert A == b"\x02\0\0\0\0\x0a" and hash(A) == hash(bytes(A)) and {bytes(A): 1}[A] == 1
    assert Mac(A) == A and Mac(bytearray(A)) == A and Mac(memoryview(A)) == A


def test_mac_prints_with_colons() -> None:
    assert str(A) == "02:00:00:00:00:0a" and repr(A) == "Mac('02:00:00:00:00:0a')" and f"{A}" == str(A)


def test_mac_group_bit_says_group() -> None:
    assert Mac("01:00:5e:00:00:01").is_group and addresses.BROADCAST_MAC.is_group and not A.is_group


@pytest.mark.parametrize("value", [
    "", "02", "02:00:00:00:00", "02:00:00:00:00:0g", "02:00-00:00:00:00", "2:0:0:0:0:1", "020000000001",
    "02:00:00:00:00:0a\n", b"", b"12345", b"1234567", 5, None,
])
def test_mac_from_nonsense_raises_one_line(value: AnyValue) -> None:
    with pytest.raises(AddressError) as caught:
        Mac(value)
    assert "\n" not in str(caught.value) and "MAC" in str(caught.value)


def test_any_is_one_object_that_prints_its_name() -> None:
    assert repr(ANY) == "uinet.ANY" and addresses.Any() is ANY
    assert pickle.loads(pickle.dumps(ANY)) is ANY and copy.deepcopy(ANY) is ANY


@pytest.mark.parametrize(("value", "packed"), [
    ("10.0.0.1", b"\x0a\0\0\1"),
    (ipaddress.ip_address("10.0.0.1"), b"\x0a\0\0\1"),
    (b"\x0a\0\0\1", b"\x0a\0\0\1"),
    ("::1", bytes(15) + b"\1"),
    (ipaddress.ip_address("::1"), bytes(15) + b"\1"),
    (bytes(16), bytes(16)),
])
def test_pack_address_any_spelling_gives_bytes(value: AnyValue, packed: bytes) -> None:
    assert addresses.pack_address(value) == packed
    assert addresses.unpack_address(packed).packed == packed


@pytest.mark.parametrize("value", [
    "", "10.0.0", "10.0.0.256", "::g", "fe80::1%eth0", b"", b"123", 1, None, "10.0.0.1/8",
])
def test_pack_address_nonsense_raises(value: AnyValue) -> None:
    with pytest.raises(AddressError):
        addresses.pack_address(value)


@pytest.mark.parametrize("length", [0, 3, 5, 15, 17])
def test_unpack_and_split_wrong_length_raise(length: int) -> None:
    with pytest.raises(AddressError):
        addresses.unpack_address(bytes(length))
    with pytest.raises(AddressError):
        addresses.split(bytes(length))


def test_split_v4_is_v4_mapped_and_join_undoes_it() -> None:
    assert addresses.split(b"\xff\x01\x02\x03") == (0, 0x0000FFFF_FF010203)
    for text in ("0.0.0.0", "255.255.255.255", "::", "ffff::ffff", "2001:db8::1"):
        packed = addresses.pack_address(text)
        assert addresses.join(*addresses.split(packed)) == packed


def test_parse_prefix_keeps_host_bits() -> None:
    assert addresses.parse_prefix("10.0.0.1/24") == (b"\x0a\0\0\1", 24)
    assert addresses.parse_prefix("10.0.0.1") == (b"\x0a\0\0\1", 32)
    assert addresses.parse_prefix("::/0") == (bytes(16), 0)
    assert addresses.parse_prefix(ipaddress.ip_interface("10.0.0.1/8")) == (b"\x0a\0\0\1", 8)
    assert addresses.parse_prefix(ipaddress.ip_network("10.0.0.0/8")) == (b"\x0a\0\0\0", 8)


@pytest.mark.parametrize("value", [
    "10.0.0.1/33", "::1/129", "10.0.0.1/", "10.0.0.1/-1", "10.0.0.1/x", "10.0.0.1/²", "/24", "10.0.0.1/8/8",
    "10.0.0.1/255.0.0.0", "10.0.0.1/0008",
])
def test_parse_prefix_nonsense_raises(value: str) -> None:
    with pytest.raises(AddressError):
        addresses.parse_prefix(value)


def test_network_of_clears_host_bits() -> None:
    assert addresses.network_of(b"\x0a\1\2\xff", 25) == b"\x0a\1\2\x80"
    assert addresses.network_of(b"\x0a\1\2\xff", 0) == bytes(4)
    assert addresses.network_of(b"\x0a\1\2\xff", 32) == b"\x0a\1\2\xff"


@pytest.mark.parametrize("port", [0, 1, 65535])
def test_check_port_valid_returns_it(port: int) -> None:
    assert addresses.check_port(port) == port


@pytest.mark.parametrize("port", [-1, 65536, "80", None, True, 80.0])
def test_check_port_nonsense_raises(port: AnyValue) -> None:
    with pytest.raises(AddressError):
        addresses.check_port(port)


def test_parse_vlans_any_spelling_gives_tags() -> None:
    assert addresses.parse_vlans(5) == (VlanTag(5),)
    assert addresses.parse_vlans(VlanTag(5, 3)) == (VlanTag(5, 3),)
    assert addresses.parse_vlans([5, VlanTag(6, 1, 1, 0x88A8)]) == (VlanTag(5), VlanTag(6, 1, 1, 0x88A8))
    assert addresses.parse_vlans(()) == ()
    assert addresses.parse_vlans((100, 3)) == (VlanTag(100), VlanTag(3))
    assert len(addresses.parse_vlans(range(16))) == 16


@pytest.mark.parametrize("value", [
    -1, 4096, True, "5", b"5", None, [None], ["5"], range(17),
    VlanTag(1, 8), VlanTag(1, 0, 2), VlanTag(1, 0, 0, 0x800),
])
def test_parse_vlans_nonsense_raises(value: AnyValue) -> None:
    with pytest.raises(VlanError):
        addresses.parse_vlans(value)


def test_vids_leaves_priority_tags_out() -> None:
    assert addresses.vids(addresses.parse_vlans((100, 0, 4095))) == b"\0\x64\x0f\xff"
    assert addresses.vids(()) == b""


def test_l2info_reversed_swaps_macs_and_keeps_vlans() -> None:
    info = L2Info.make(str(A), bytes(B), (7, VlanTag(8, 5)))
    assert info == L2Info(A, B, (VlanTag(7), VlanTag(8, 5)))
    assert info.reversed() == L2Info(B, A, (VlanTag(7), VlanTag(8, 5)))


def test_link_header_carries_tags_verbatim() -> None:
    info = L2Info(A, B, (VlanTag(0xABC, 7, 1, 0x88A8), VlanTag(1)))
    assert addresses.link_header(info, 0x0800).hex() == (
        "02000000000b" "02000000000a" "88a8fabc" "81000001" "0800"
    )
    assert addresses.link_header(L2Info(A, B), 0x86DD) == B + A + b"\x86\xdd"
