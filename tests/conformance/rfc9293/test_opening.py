"""RFC 9293 3.5 and 3.9.1.1: how connections open, and with which addresses."""

from __future__ import annotations

import itertools
from ipaddress import ip_address
from typing import Any

import pytest

from tests.conformance.rfc9293.tape import Tape, known
from tests.unit.tcp.peer import MAC, PEER_MAC, PLAIN, Peer, error_of, read
from uinet.errors import AddressError, AddressInUse, AddressNotAvailable, ConnectionRefused
from uinet.events import EV_ERROR
from uinet.stack import Stack
from uinet.units import MASK32
from uinet.wire import build

TCP_NODELAY = 1


@pytest.mark.rfc("9293", "MUST-10", "simultaneous open")
@pytest.mark.parametrize("v6", [False, True])
@pytest.mark.parametrize("last", ["S.", "."])
def test_syns_that_cross_open_one_connection(v6: bool, last: str) -> None:
    peer = Peer(v6=v6)
    sock, seg = peer.connecting()
    peer.send("S", options=PLAIN)
    peer.expect("S.", seq=seg.seq, ack=peer.seq + 1)
    assert sock.state == "SYN-RECEIVED"
    if last == "S.":
        peer.send("S.", options=PLAIN)
        peer.expect(".", seq=seg.seq + 1, ack=peer.seq + 1)
    peer.seq = (peer.seq + 1) & MASK32
    peer.send(".")
    assert sock.state == "ESTABLISHED"
    peer.data(b"question")
    assert read(sock) == b"question"
    sock.send(b"answer")
    peer.flush()
    assert peer.take() == b"answer"


@pytest.mark.rfc("9293", "MUST-11", "SYN-RECEIVED remembers whether the open was passive or active")
@pytest.mark.parametrize("v6", [False, True])
def test_syn_received_rst_is_for_a_listener_nothing_and_for_a_caller_a_refusal(v6: bool) -> None:
    peer = Peer(v6=v6)
    peer.listen()
    peer.syn()
    peer.send("R")
    assert peer.listener.state == "LISTEN" and not peer.listener.readable
    assert [events & EV_ERROR for _, events in peer.stack.events()] in ([], [0])
    peer.quiet()
    peer.seq = 4_000_000_000
    assert peer.passive().state == "ESTABLISHED"
    caller = Peer(v6=v6)
    sock, _ = caller.connecting()
    caller.send("S", options=PLAIN)
    caller.expect("S.")
    caller.send("R", caller.seq + 1)
    assert isinstance(sock.error, ConnectionRefused)


@pytest.mark.rfc("9293", "MUST-41", "a passive open leaves other connections alone")
def test_another_listener_leaves_connections_and_listeners_alone() -> None:
    peer = Peer()
    sock = peer.passive()
    before = known(sock)
    others = [
        peer.stack.listen(address)
        for address in ((peer.here, peer.port + 1), ("0.0.0.0", peer.port), ("::", peer.port), ("0.0.0.0", 81))
    ]
    peer.flush()
    peer.quiet()
    assert known(sock) == before
    peer.data(b"still here")
    assert read(sock) == b"still here"
    peer.peer_port += 1
    peer.watch = None
    assert peer.passive().getsockname() == sock.getsockname()
    for other in others:
        assert not other.readable
        other.close()
    peer.quiet()
    assert sock.state == "ESTABLISHED" and peer.listener.state == "LISTEN"
    assert error_of(peer.stack.listen, (peer.here, peer.port)) is AddressInUse


@pytest.mark.rfc("9293", "MUST-42", "LISTEN goes together with connections of its port being opened")
@pytest.mark.parametrize("state", ["SYN-SENT", "SYN-RECEIVED"])
def test_listening_on_the_port_of_a_connection_that_opens(state: str) -> None:
    peer = Peer()
    sock, seg = peer.connecting()
    if state == "SYN-RECEIVED":
        peer.send("S", options=PLAIN)
        peer.expect("S.")
    assert sock.state == state
    listener = peer.stack.listen((peer.here, peer.port))
    peer.send("S.", options=PLAIN)
    peer.expect(".")
    assert sock.state == "ESTABLISHED"
    stranger = build.tcp(peer.there, peer.here, 999, peer.port, "S", 5)
    peer.watch = None
    peer.give(stranger)
    answer = peer.expect("S.", ack=6)
    peer.give(build.tcp(peer.there, peer.here, 999, peer.port, ".", 6, answer.seq + 1))
    assert listener.accept().getpeername()[1] == 999
    assert seg.seq != answer.seq


def two_networks() -> Stack:
    """A stack with two interfaces of two addresses each; the default route leads by the second."""
    stack = Stack(b"two networks", 10**9)
    for index in range(2):
        eth = stack.add_interface(f"eth{index}", mac=MAC)
        for host in (2, 3):
            eth.add_address(f"10.0.{index}.{host}/24")
            eth.add_address(f"2001:db8:{index}::{host}/64")
        stack.neighbors.add(f"10.0.{index}.1", PEER_MAC)
        stack.neighbors.add(f"2001:db8:{index}::1", PEER_MAC)
    stack.routes.add("0.0.0.0/0", via="10.0.1.1")
    stack.routes.add("::/0", via="2001:db8:1::1")
    return stack


def sources(stack: Stack) -> list[list[str]]:
    """The source addresses of what the stack sends, interface by interface."""
    return [
        [str(ip_address(build.dissect(frame.data).source)) for frame in stack.output(eth)] for eth in stack.interfaces
    ]


@pytest.mark.rfc("9293", "MUST-43", "OPEN takes the local address")
@pytest.mark.parametrize(
    ("local", "remote"),
    [("10.0.0.3", "10.0.0.1"), ("10.0.0.2", "10.0.0.1"), ("10.0.0.3", "192.0.2.1"), ("2001:db8::3", "2001:db8::1")],
)
def test_open_with_a_local_address_uses_it(local: str, remote: str) -> None:
    stack = two_networks()
    sock = stack.connect((remote, 80), source=(local, 5000))
    assert sock.getsockname() == (ip_address(local), 5000)
    assert list(itertools.chain(*sources(stack))) == [local]
    listener = stack.listen((local, 80))
    assert str(listener.getsockname()[0]) == local
    assert error_of(stack.connect, (remote, 80)) is None
    with pytest.raises(AddressNotAvailable):
        stack.connect((remote, 80), source=("10.0.0.99" if ":" not in remote else "2001:db8::99", 0))


@pytest.mark.rfc("9293", "MUST-44", "without a local address IP is asked for it")
@pytest.mark.parametrize(
    ("remote", "source", "by"),
    [
        ("10.0.0.1", "10.0.0.2", 0), ("10.0.1.1", "10.0.1.2", 1), ("192.0.2.7", "10.0.1.2", 1),
        ("2001:db8::1", "2001:db8::2", 0), ("2001:db8:1::1", "2001:db8:1::2", 1), ("2001:db8:9::1", "2001:db8:1::2", 1),
    ],
)
def test_open_without_a_local_address_takes_that_of_the_route(remote: str, source: str, by: int) -> None:
    stack = two_networks()
    sock = stack.connect((remote, 80))
    assert str(sock.getsockname()[0]) == source
    assert sources(stack) == ([[source], []] if by == 0 else [[], [source]])


@pytest.mark.rfc("9293", "MUST-45", "the source address stays the same for the whole connection")
def test_established_route_changes_but_not_the_source() -> None:
    peer = Tape()
    sock = peer.passive()
    sock.setsockopt(6, TCP_NODELAY, True)
    peer.eth0.add_address("10.0.0.77/24")
    other = peer.stack.add_interface("eth1", mac=MAC)
    other.add_address("10.0.9.2/24")
    peer.stack.neighbors.add("10.0.9.1", PEER_MAC)
    sock.send(b"one")
    peer.flush()
    peer.stack.routes.add("10.0.0.1/32", via="10.0.9.1")
    sock.send(b"two")
    peer.flush()
    frames = [seg.frame.packet for seg in peer.tape] + [frame.data[14:] for frame in peer.stack.output(other)]
    assert len(frames) >= 3
    assert {packet[12:16] for packet in frames} == {bytes([10, 0, 0, 2])}


@pytest.mark.rfc("9293", "MUST-46", "an open to a group is an error")
@pytest.mark.parametrize(
    "address",
    ["224.0.0.1", "239.255.255.250", "255.255.255.255", "10.0.0.255", "0.0.0.0", "ff02::1", "ff0e::99", "::"],
)
def test_open_to_a_group_is_refused_and_sends_nothing(address: str) -> None:
    peer = Peer()
    peer.stack.routes.add("0.0.0.0/0", via=peer.there)
    sock = peer.stack.socket()
    with pytest.raises(AddressError):
        sock.connect((address, 80))
    peer.flush()
    peer.quiet()
    assert not peer.other and sock.state == "OPEN" and peer.tcbs() == 0


@pytest.mark.rfc("9293", "MUST-57", "a SYN to a group is discarded silently")
@pytest.mark.threat(22)
@pytest.mark.parametrize("destination", ["255.255.255.255", "10.0.0.255", "224.0.0.1", "ff02::1", "ff02::1:ff00:2"])
@pytest.mark.parametrize("flags", ["S", "S."])
def test_listen_syn_to_a_group_is_not_answered(destination: str, flags: str) -> None:
    peer = Peer(v6=":" in destination)
    peer.stack.listen(("::" if ":" in destination else "0.0.0.0", 80))
    peer.here = destination
    peer.send(flags, options=PLAIN)
    group_mac = bytes.fromhex("333300000001" if ":" in destination else "ffffffffffff")
    peer.give(group_mac + peer.frame(flags, options=PLAIN)[6:])
    peer.advance(1)
    peer.quiet()
    assert not peer.other and peer.stack.tcp.syn_count == 0


@pytest.mark.rfc("9293", "MUST-57", "a SYN that came as a broadcast of the link is discarded silently")
@pytest.mark.threat(22)
@pytest.mark.parametrize("v6", [False, True])
def test_listen_syn_in_a_frame_to_everybody_is_not_answered(v6: bool) -> None:
    peer = Peer(v6=v6)
    peer.listen()
    for mac in (b"\xff" * 6, bytes.fromhex("01005e000001"), bytes.fromhex("333300000001")):
        peer.give(mac + peer.frame("S", options=PLAIN)[6:])
    peer.advance(1)
    peer.quiet()
    assert peer.stack.tcp.syn_count == 0


SOURCES: list[tuple[str, Any]] = [
    ("0.0.0.0", False), ("0.1.2.3", False), ("127.0.0.1", False), ("127.9.9.9", False), ("224.0.0.5", False),
    ("239.1.2.3", False), ("240.0.0.1", False), ("255.255.255.255", False), ("10.0.0.2", False), ("10.0.0.255", False),
    ("::", True), ("::1", True), ("ff02::1", True), ("ff0e::1", True), ("2001:db8::2", True),
]


@pytest.mark.rfc("9293", "MUST-63", "a SYN from an impossible address is ignored")
@pytest.mark.threat(22)
@pytest.mark.parametrize(("source", "v6"), SOURCES)
def test_listen_syn_from_an_impossible_source_is_not_answered(source: str, v6: bool) -> None:
    peer = Peer(v6=v6)
    peer.stack.listen(("::" if v6 else "0.0.0.0", 80))
    peer.stack.routes.add("::/0" if v6 else "0.0.0.0/0", via=peer.there)
    peer.there = source
    peer.send("S", options=PLAIN)
    peer.send("S.", options=PLAIN)
    peer.advance(1)
    peer.quiet()
    assert not peer.other and peer.stack.tcp.syn_count == 0
