"""Large TCP packets that a device has read into two places: the same comes of them as of whole ones."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.tcp.peer import FULL, PLAIN, Peer, read
from uinet import Stack
from uinet.socket import Socket
from uinet.wire.frame import CHECKSUM_NEEDED, CHECKSUM_UNKNOWN, CHECKSUM_VALID, Frame, SplitFrame, gathered
from uinet.wire.tcp_options import Nop, Timestamps

TEXT = bytes(range(250)) * 120


def split(whole: bytes, at: int, checksum: int = CHECKSUM_NEEDED) -> SplitFrame:
    return SplitFrame(whole[:at], whole[at:], checksum, 1448)


def established(**more: object) -> tuple[Peer, Socket]:
    peer = Peer(**more)  # type: ignore[arg-type]
    return peer, peer.passive(FULL)


def header_of(peer: Peer) -> int:
    return 14 + (40 if ":" in peer.here else 20) + (32 if peer.ts else 20)


def test_length_is_that_of_both_parts() -> None:
    frame = split(bytes(100), 66)
    assert len(frame) == 100 and gathered(frame).data == bytes(100)
    assert (gathered(frame).checksum, gathered(frame).gso_size) == (CHECKSUM_NEEDED, 1448)


def test_payload_reaches_the_user_as_the_object_that_it_was_read_into() -> None:
    for v6 in (False, True):
        peer, sock = established(v6=v6)
        frame = split(peer.frame(".", data=TEXT), header_of(peer))
        peer.stack.input(peer.eth0, [frame], peer.now)
        assert sock.recv_piece(1 << 20) is frame.payload
        assert peer.eth0.statistics()["rx_bytes"] >= len(frame)


def test_without_timestamps_and_from_a_tun() -> None:
    peer = Peer()
    sock = peer.passive(PLAIN)
    peer.stack.input(peer.eth0, [split(peer.frame(".", data=TEXT), 54)], peer.now)
    assert read(sock) == TEXT


def test_overlap_and_out_of_order() -> None:
    peer, sock = established()
    start, at = peer.seq, header_of(peer)
    for begin, end in ((20_000, 30_000), (0, 10_000), (5_000, 15_000), (12_000, 22_000)):
        frame = split(peer.frame(".", start + begin, data=TEXT[begin:end]), at)
        peer.stack.input(peer.eth0, [frame], peer.now)
    assert read(sock) == TEXT
    peer.flush()
    assert peer.stack.tcp.received_bytes == 0


def test_last_segment_with_fin() -> None:
    peer, sock = established()
    peer.stack.input(peer.eth0, [split(peer.frame("FP.", data=TEXT), header_of(peer))], peer.now)
    assert read(sock) == TEXT
    assert sock.state == "CLOSE-WAIT"


def test_of_no_connection_is_reset() -> None:
    peer, _ = established()
    peer.peer_port += 1
    peer.watch = None
    peer.stack.input(peer.eth0, [split(peer.frame(".", ack=77, data=TEXT), header_of(peer))], peer.now)
    peer.collect()
    peer.expect("R", seq=77)
    assert peer.count("tcp_no_connection") == 1


def test_whatever_is_unusual_is_read_in_one_piece() -> None:
    """Split at the wrong place, tagged, with IP options, padded, of another host, or with a checksum to verify."""
    peer, sock = established()
    at = header_of(peer)
    whole = peer.frame(".", data=TEXT)
    for frame in (split(whole, at - 4), split(whole, at + 100), split(whole, 20), split(whole, 0),
                  split(whole + b"padding", at), split(whole, at, CHECKSUM_UNKNOWN), split(whole, at, CHECKSUM_VALID)):
        before = peer.eth0.statistics()["rx_frames"]
        peer.stack.input(peer.eth0, [frame], peer.now)
        assert peer.eth0.statistics()["rx_frames"] == before + 1
    assert read(sock) == TEXT
    peer.stack.input(peer.eth0, [split(b"\x06" + whole[1:], at)], peer.now)
    assert peer.count("eth_other_host") == 1
    peer.stack.input(peer.eth0, [split(whole[:12] + b"\x81\x00\x00\x05" + whole[12:], at + 4)], peer.now)
    assert peer.count("eth_vlan_unexpected") == 1
    assert peer.stack.stats["tcp_rx"] == 9


def test_on_a_promiscuous_interface_and_to_its_bridge() -> None:
    stack = Stack(b"split")
    left, right = (stack.add_interface(name, cdom=number) for number, name in enumerate("ab", 1))
    left.bridge = right
    whole = Peer().frame(".", 1, 1, TEXT)
    stack.input(left, [split(whole, 54)], 0)
    assert [frame.data for frame in stack.output(right)] == [whole]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_nonsense_is_taken_as_it_is_whole(data: st.DataObject) -> None:
    """Two stacks that differ in nothing: what one gets split, the other gets whole."""
    peers = [Peer(seed=b"same") for _ in range(2)]
    sockets = [peer.passive(FULL) for peer in peers]
    whole = bytearray(peers[0].frame(".", data=TEXT[:9000], options=(Nop(), Nop(), Timestamps(2000, 0))))
    for _ in range(data.draw(st.integers(0, 3))):
        whole[data.draw(st.integers(0, 70))] = data.draw(st.integers(0, 255))
    at = data.draw(st.one_of(st.just(66), st.integers(0, 120)))
    state = data.draw(st.sampled_from([CHECKSUM_NEEDED, CHECKSUM_VALID, CHECKSUM_UNKNOWN]))
    peers[0].stack.input(peers[0].eth0, [Frame(bytes(whole), state, 1448)], peers[0].now)
    peers[1].stack.input(peers[1].eth0, [split(bytes(whole), at, state)], peers[1].now)
    first, second = ((peer.stack.stats.as_dict(), peer.eth0.statistics()) for peer in peers)
    assert first == second
    assert [frame.data for frame in peers[0].stack.output(peers[0].eth0)] == [
        frame.data for frame in peers[1].stack.output(peers[1].eth0)
    ]
    assert sockets[0].unread == sockets[1].unread
    if sockets[0].unread:
        assert sockets[0].recv(10_000) == sockets[1].recv(10_000)


