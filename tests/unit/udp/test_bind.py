from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from uinet.errors import (
    AddressError,
    AddressInUse,
    AddressNotAvailable,
    AlreadyConnected,
    BadSocket,
    InvalidArgument,
    NotConnected,
)
from uinet.udp.protocol import FIRST_EPHEMERAL, LAST_EPHEMERAL
from uinet.wire.addresses import pack_address
from uinet.wire.build import udp

if TYPE_CHECKING:
    from tests.unit.udp.conftest import UdpHost

A4, B4, A6, B6 = "10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8::2"


def p(address: str) -> bytes:
    return pack_address(address)


def nothing_left(host: UdpHost) -> bool:
    return (host.udp.endpoints, host.udp.bound, host.udp.connected, host.udp.ports) == ({}, {}, {}, {})


@pytest.mark.parametrize(
    ("first", "second", "clash"),
    [
        ((B4, 53), (B4, 53), True), ((B4, 53), ("", 53), True), (("", 53), (B4, 53), True),
        (("", 53), ("", 53), True), ((B4, 53), (B4, 54), False), ((B4, 53), ("127.0.0.1", 53), False),
        (("0.0.0.0", 53), ("::", 53), False), (("0.0.0.0", 53), ("", 53), True), ((B6, 53), ("::", 53), True),
    ],
)
def test_bind_same_port_clashes_unless_both_share_it(
    host: UdpHost, first: tuple[str, int], second: tuple[str, int], clash: bool
) -> None:
    host.bound(*first)
    if clash:
        with pytest.raises(AddressInUse):
            host.bound(*second)
        with pytest.raises(AddressInUse):
            host.bound(*second, reuse_port=True)
    else:
        host.bound(*second)
    host.udp.close_all()
    assert nothing_left(host)
    host.bound(*first, reuse_port=True)
    host.bound(*second, reuse_port=True)


@pytest.mark.parametrize("address", ["10.0.0.255", "255.255.255.255", "224.0.0.251", "127.0.0.1", "::1"])
def test_bind_to_an_address_that_comes_in_here(host: UdpHost, address: str) -> None:
    assert host.bound(address, 7).local == p(address)


def test_bind_with_wrong_arguments_is_refused(host: UdpHost) -> None:
    with pytest.raises(AddressNotAvailable):
        host.bound("10.0.0.77", 7)
    with pytest.raises(AddressError):
        host.bound(B6, 7, family=4)
    with pytest.raises(AddressError):
        host.bound(B4, 65536)
    with pytest.raises(InvalidArgument):
        host.udp.endpoint(family=6)
    endpoint = host.bound(B4, 7)
    with pytest.raises(InvalidArgument):
        host.udp.bind(endpoint, b"", 8)
    host.udp.close(endpoint)
    with pytest.raises(BadSocket):
        host.udp.bind(endpoint, b"", 8)
    assert nothing_left(host)


@pytest.mark.threat(13)
def test_threat_13_ephemeral_ports_are_spread_and_unpredictable(host: UdpHost) -> None:
    ports = [host.bound().local_port for _ in range(300)]
    assert len(set(ports)) == 300 and all(FIRST_EPHEMERAL <= port <= LAST_EPHEMERAL for port in ports)
    steps = [after - before for before, after in pairwise(ports)]
    assert len(set(steps)) > 290 and any(step < 0 for step in steps)


@pytest.mark.threat(13)
def test_threat_13_ephemeral_ports_run_out_without_an_endless_search(host: UdpHost) -> None:
    taken = host.udp.endpoint()
    for port in range(FIRST_EPHEMERAL, LAST_EPHEMERAL):
        host.udp.ports[port] = {b"": [taken]}
    assert host.bound().local_port == LAST_EPHEMERAL
    with pytest.raises(AddressInUse):
        host.bound()


def test_connect_chooses_the_local_address_and_hears_the_peer_alone(host: UdpHost) -> None:
    endpoint = host.connected(A4, 53)
    assert endpoint.local == p(B4) and endpoint.connected
    host.receive(udp(A4, B4, 54, endpoint.local_port, b"other port"))
    host.receive(udp("10.0.0.254", B4, 53, endpoint.local_port, b"other host"))
    assert not endpoint.readable and host.stats["udp_no_port"] == 2
    host.receive(udp(A4, B4, 53, endpoint.local_port, b"peer"))
    assert endpoint.receive().data == b"peer"


def test_disconnect_hears_everybody_again(host: UdpHost) -> None:
    endpoint = host.connected(A4, 53)
    host.udp.disconnect(endpoint)
    assert not endpoint.connected and endpoint.local == b""
    host.receive(udp("10.0.0.254", B4, 53, endpoint.local_port, b"anybody"))
    assert endpoint.receive().data == b"anybody"
    with pytest.raises(NotConnected):
        host.udp.disconnect(endpoint)


def test_connect_with_wrong_arguments_is_refused(host: UdpHost) -> None:
    endpoint = host.connected(A4, 53)
    with pytest.raises(AlreadyConnected):
        host.udp.connect(endpoint, p(A4), 54)
    for address, port in ((A4, 0), (A6, 53)):
        with pytest.raises(AddressError):
            host.udp.connect(host.udp.endpoint(family=4), p(address), port)
    host.udp.close(endpoint)
    with pytest.raises(BadSocket):
        host.udp.connect(endpoint, p(A4), 54)
    assert nothing_left(host)


def test_connect_to_the_same_peer_from_the_same_port_needs_reuse_port(host: UdpHost) -> None:
    def made(share: bool) -> None:
        endpoint = host.bound(B4, 7, reuse_port=True)
        endpoint.reuse_port = share
        host.udp.connect(endpoint, p(A4), 53)

    made(True)
    made(True)
    with pytest.raises(AddressInUse):
        made(False)


def test_close_leaves_nothing_and_may_be_repeated(host: UdpHost) -> None:
    endpoint = host.connected(A4, 53)
    endpoint.join(p("224.0.0.251"), host.eth0)
    host.receive(udp(A4, B4, 53, endpoint.local_port, b"peer"))
    host.udp.close(endpoint)
    host.udp.close(endpoint)
    assert nothing_left(host) and not endpoint.queue and not host.eth0.in_group(p("224.0.0.251"))
    with pytest.raises(BadSocket):
        endpoint.receive()
    with pytest.raises(BadSocket):
        endpoint.peek()


def test_join_what_is_no_group_or_joined_is_refused(host: UdpHost) -> None:
    endpoint = host.bound()
    endpoint.join(p("224.0.0.251"), host.eth0)
    for group in ("224.0.0.251", "10.0.0.1"):
        with pytest.raises(AddressError):
            endpoint.join(p(group), host.eth0)
    with pytest.raises(AddressError):
        endpoint.leave(p("224.0.0.252"), host.eth0)


def test_connect_binds_an_unbound_endpoint(host: UdpHost) -> None:
    endpoint = host.udp.endpoint()
    host.udp.connect(endpoint, p(A6), 53)
    assert endpoint.bound and endpoint.local == p(B6) and endpoint.local_port >= FIRST_EPHEMERAL
    host.udp.close(endpoint)
    assert nothing_left(host)


def test_port_of_the_other_family_is_no_port(host: UdpHost) -> None:
    host.bound("::", 53)
    host.receive(udp(A4, B4, 1, 53))
    assert host.stats["udp_no_port"] == 1
