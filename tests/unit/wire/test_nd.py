from __future__ import annotations

from dataclasses import replace

import pytest

from uinet.errors import InvalidArgument
from uinet.wire import icmpv6, nd
from uinet.wire.addresses import Mac, multicast_mac, pack_address

MAC = Mac("02:00:00:00:00:0a")
HOST, ROUTER = pack_address("fe80::a"), pack_address("fe80::1")
GLOBAL = pack_address("2001:db8::a")
ALL_NODES = pack_address("ff02::1")
UNSPECIFIED = bytes(16)
SLLA = nd.link_layer_option(nd.SOURCE_LINK_LAYER, MAC)
TLLA = nd.link_layer_option(nd.TARGET_LINK_LAYER, MAC)
MESSAGES: list[nd.Message] = [
    nd.RouterSolicitation((SLLA,)),
    nd.RouterAdvertisement(64, nd.FLAG_MANAGED, 1800, 30000, 1000, (SLLA, nd.mtu_option(1280))),
    nd.NeighborSolicitation(GLOBAL, (SLLA,)),
    nd.NeighborAdvertisement(GLOBAL, nd.FLAG_SOLICITED | nd.FLAG_OVERRIDE, (TLLA,)),
    nd.Redirect(ROUTER, GLOBAL, (TLLA,)),
]


def test_emit_solicitation_gives_the_bytes_of_the_rfc() -> None:
    data = nd.emit(nd.NeighborSolicitation(GLOBAL, (SLLA,)), HOST, nd.solicited_node(GLOBAL))
    assert data[:2] == b"\x87\0" and data[4:8] == bytes(4) and data[8:24] == GLOBAL
    assert data[24:].hex() == "0101" "02000000000a"
    assert icmpv6.checksum_ok(data, HOST, nd.solicited_node(GLOBAL))


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_check_cut_message_is_whole_only_at_option_boundaries(message: nd.Message) -> None:
    data = nd.emit(message, HOST, ROUTER)
    fixed = len(data) - 8 * len(message.options)
    for length in range(len(data) + 1):
        whole = length >= fixed and (length - fixed) % 8 == 0
        assert nd.check(data[:length]) is whole
        if not whole:
            with pytest.raises(InvalidArgument):
                nd.parse(data[:length])


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_check_code_or_empty_option_is_refused(message: nd.Message) -> None:
    data = bytearray(nd.emit(message, HOST, ROUTER))
    at = len(data) - 8 * len(message.options) + 1
    for index, value in ((1, 1), (at, 0), (at, 200)):
        changed = bytearray(data)
        changed[index] = value
        assert not nd.check(bytes(changed))


def test_check_other_icmpv6_type_is_refused() -> None:
    assert not nd.check(icmpv6.emit(icmpv6.echo(128, 1, 1, bytes(40)), HOST, ROUTER))


def test_valid_every_message_as_sent_is_valid() -> None:
    sources = HOST, ROUTER, HOST, HOST, ROUTER
    destinations = ALL_NODES, ALL_NODES, GLOBAL, ROUTER, HOST
    for message, source, destination in zip(MESSAGES, sources, destinations, strict=True):
        assert nd.valid(message, source, destination, 255)
        assert not nd.valid(message, source, destination, 254)  # threat 86: it came through a router


def test_valid_solicitation_rules() -> None:
    plain = nd.NeighborSolicitation(GLOBAL)
    group = nd.solicited_node(GLOBAL)
    assert nd.valid(plain, UNSPECIFIED, group, 255)
    assert not nd.valid(plain, UNSPECIFIED, GLOBAL, 255)
    assert not nd.valid(replace(plain, options=(SLLA,)), UNSPECIFIED, group, 255)
    assert not nd.valid(nd.NeighborSolicitation(ALL_NODES), HOST, group, 255)
    assert not nd.valid(nd.RouterSolicitation((SLLA,)), UNSPECIFIED, ALL_NODES, 255)
    assert nd.valid(nd.RouterSolicitation(), UNSPECIFIED, ALL_NODES, 255)


def test_valid_advertisement_rules() -> None:
    assert not nd.valid(nd.NeighborAdvertisement(GLOBAL, nd.FLAG_SOLICITED), HOST, ALL_NODES, 255)
    assert nd.valid(nd.NeighborAdvertisement(GLOBAL), HOST, ALL_NODES, 255)
    assert not nd.valid(nd.NeighborAdvertisement(ALL_NODES), HOST, ROUTER, 255)
    assert not nd.valid(nd.RouterAdvertisement(), GLOBAL, ALL_NODES, 255)


def test_valid_redirect_rules() -> None:
    assert nd.valid(nd.Redirect(GLOBAL, GLOBAL), ROUTER, HOST, 255)
    assert not nd.valid(nd.Redirect(GLOBAL, pack_address("2001:db8::b")), ROUTER, HOST, 255)
    assert not nd.valid(nd.Redirect(ROUTER, ALL_NODES), ROUTER, HOST, 255)
    assert not nd.valid(nd.Redirect(ROUTER, GLOBAL), GLOBAL, HOST, 255)


def test_flags_of_an_advertisement_are_named() -> None:
    message = nd.NeighborAdvertisement(GLOBAL, nd.FLAG_ROUTER | nd.FLAG_OVERRIDE)
    assert (message.router, message.solicited, message.override) == (True, False, True)
    prefix = nd.PrefixInformation(GLOBAL, 64, 0x80)
    assert prefix.on_link and not prefix.autonomous


def test_link_layer_of_a_wrong_length_is_none() -> None:
    assert nd.link_layer((SLLA, TLLA), nd.TARGET_LINK_LAYER) == MAC
    assert nd.link_layer((nd.Option(1, bytes(14)),), nd.SOURCE_LINK_LAYER) is None
    assert nd.link_layer((), nd.SOURCE_LINK_LAYER) is None


def test_mtu_of_a_wrong_length_is_none() -> None:
    assert nd.mtu((SLLA, nd.mtu_option(1400))) == 1400
    assert nd.mtu((nd.Option(nd.MTU, bytes(14)),)) is None


def test_prefixes_malformed_ones_are_left_out() -> None:
    good = nd.PrefixInformation(GLOBAL, 64)
    bad = nd.Option(nd.PREFIX_INFORMATION, bytes((129,)) + bytes(29))
    assert nd.prefixes((bad, nd.Option(nd.PREFIX_INFORMATION, bytes(6)), good.option())) == [good]


# Threat 83: "Bad Neighbor" counted in pairs of 8 bytes and ran over
@pytest.mark.parametrize("units", [1, 2, 4, 6])
def test_recursive_dns_servers_of_even_length_are_ignored(units: int) -> None:
    assert nd.recursive_dns_servers([nd.Option(nd.RDNSS, bytes(units * 8 - 2))]) == []


def test_recursive_dns_servers_well_formed_are_all_told() -> None:
    option = nd.Option(nd.RDNSS, b"\0\0\0\0\0\x3c" + GLOBAL + HOST)
    assert nd.recursive_dns_servers([option]) == [(GLOBAL, 60), (HOST, 60)]


def test_emit_options_are_padded_to_eight() -> None:
    data = nd.emit(nd.RouterSolicitation((nd.Option(99, b"abcdefg"),)), HOST, ROUTER)
    assert data[8:].hex() == "6302" "61626364656667" + "00" * 7


def test_emit_target_of_another_family_raises() -> None:
    for message in (nd.NeighborSolicitation(b"1234"), nd.Redirect(GLOBAL, b"1234")):
        with pytest.raises(InvalidArgument):
            nd.emit(message, HOST, ROUTER)


def test_multicast_addresses_map_to_macs() -> None:
    assert multicast_mac(nd.solicited_node(pack_address("fe80::12:3456"))) == Mac("33:33:ff:12:34:56")
    assert multicast_mac(pack_address("239.129.2.3")) == Mac("01:00:5e:01:02:03")
