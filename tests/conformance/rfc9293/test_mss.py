"""RFC 9293 3.7.1 and 3.7.3: how large segments are."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.tcp.peer import FULL, MAC, PLAIN, Peer
from tests.unit.tcp.test_icmp_errors import report
from uinet.stack import Stack
from uinet.wire import build
from uinet.wire.tcp_options import Mss, Nop, Timestamps


@pytest.mark.rfc("9293", "MUST-14", "the MSS option is sent")
@pytest.mark.rfc("9293", "SHLD-5", "the MSS option is in every SYN whose MSS is not the default")
@pytest.mark.rfc("9293", "MAY-3", "the MSS option is in every SYN")
@pytest.mark.rfc("9293", "MUST-67", "the MSS offered is the MTU less the fixed headers")
@pytest.mark.parametrize(
    ("mtu", "v6"), [(576, False), *((mtu, v6) for mtu in (1280, 1500, 9000, 65535) for v6 in (False, True))]
)
def test_syn_and_syn_ack_offer_what_the_mtu_holds(mtu: int, v6: bool) -> None:
    peer = Peer(mtu=mtu, v6=v6)
    _, seg = peer.connecting()
    assert seg.option(Mss) == Mss(mtu - (60 if v6 else 40))
    peer.advance(1.5)
    assert peer.expect("S").option(Mss) == seg.option(Mss)
    for options in ((), PLAIN, FULL):
        other = Peer(mtu=mtu, v6=v6)
        other.listen()
        assert other.syn(options).option(Mss) == Mss(mtu - (60 if v6 else 40))


@pytest.mark.rfc("9293", "MUST-15", "without the option the send MSS is 536 or 1220")
@pytest.mark.parametrize("active", [False, True])
@pytest.mark.parametrize(("v6", "size"), [(False, 536), (True, 1220)])
def test_syn_without_mss_means_the_default(active: bool, v6: bool, size: int) -> None:
    peer = Peer(v6=v6)
    sock = peer.active(()) if active else peer.passive(())
    sock.send(bytes(4000))
    peer.flush()
    assert {len(seg.data) for seg in peer.drain()[:-1]} == {size}


@pytest.mark.rfc("9293", "MUST-14", "the peer's MSS is obeyed")
@pytest.mark.rfc("9293", "MUST-16", "the least of peer's MSS and path, less options")
@pytest.mark.parametrize("v6", [False, True])
@pytest.mark.parametrize(
    ("options", "size"),
    [
        ((Mss(1000),), 1000), ((Mss(1000), Timestamps(1, 0), Nop(), Nop()), 988), ((Mss(9000),), 1460),
        ((Mss(9000), Timestamps(1, 0), Nop(), Nop()), 1448),
    ],
)
def test_established_segments_are_as_large_as_peer_and_link_allow(v6: bool, options: Any, size: int) -> None:
    peer = Peer(v6=v6)
    sock = peer.passive(options)
    sock.send(bytes(6000))
    peer.flush()
    if v6 and size > 1000:
        size -= 20
    sizes = [len(seg.data) for seg in peer.drain()]
    assert set(sizes[:-1]) == {size} and sizes[-1] <= size


@pytest.mark.rfc("9293", "MUST-16", "a smaller path lowers the send MSS")
def test_established_path_of_576_lowers_the_send_mss() -> None:
    peer = Peer()
    sock = peer.passive(FULL)
    sock.send(bytes(6000))
    peer.flush()
    report(peer, 3, 4, peer.drain()[0].seq, info=576)
    assert sock.info().snd_mss == 576 - 52
    assert all(len(seg.frame.packet) <= 576 for seg in peer.drain())


@pytest.mark.rfc("9293", "SHLD-6", "each interface's own MTU counts")
@pytest.mark.rfc("9293", "MUST-67", "each interface's own MTU counts")
def test_two_links_offer_their_own_mss() -> None:
    stack = Stack(b"two links", 0)
    for index, mtu in enumerate((1500, 1400)):
        interface = stack.add_interface(f"eth{index}", mac=MAC, mtu=mtu)
        interface.add_address(f"10.0.{index}.2/24")
        stack.neighbors.add(f"10.0.{index}.1", "02:00:00:00:00:01")
        stack.connect((f"10.0.{index}.1", 80))
        (frame,) = stack.output(interface)
        assert build.dissect(frame.data).tcp.options[0] == Mss(mtu - 40)
