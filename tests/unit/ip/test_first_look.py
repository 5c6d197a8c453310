"""First looks, packet filters, injected frames: what a program does with frames before and behind the stack."""

from __future__ import annotations

import logging
from typing import Any

import pytest

import uinet
from tests.unit.promiscuous.lab import CLIENT, SERVER, Lab
from uinet import FilteredPacket, Frame, FrameBatch, InvalidArgument, Mark
from uinet.wire import build
from uinet.wire.checksums import verify_packet

HERE, THERE = "10.0.0.2", "10.0.0.1"
MAC, THEIR_MAC = "02:00:00:00:00:02", "02:00:00:00:00:01"
L2 = uinet.L2Info.make(THEIR_MAC, MAC)
SECOND = 1_000_000_000


class Host:
    """A stack with one ordinary interface and another, and a neighbour whose frames the test makes."""

    def __init__(self) -> None:
        self.stack = uinet.Stack(b"look", SECOND)
        self.eth0 = self.stack.add_interface("eth0", mac=MAC)
        self.eth1 = self.stack.add_interface("eth1", mac="02:00:00:00:00:03")
        self.eth0.add_address(f"{HERE}/24")
        self.stack.neighbors.add(THERE, THEIR_MAC, self.eth0)

    def count(self, name: str) -> int:
        return self.stack.stats[name]

    def put(self, *frames: bytes | Frame) -> list[Frame]:
        """Frames in by eth0, in one batch; what goes out there."""
        self.stack.input(self.eth0, frames, self.stack.now)
        return self.stack.output(self.eth0)

    def socket(self, port: int = 7) -> uinet.Socket:
        sock = self.stack.socket(uinet.AF_INET, uinet.SOCK_DGRAM)
        sock.bind((HERE, port))
        return sock


def datagram(text: bytes = b"hello", port: int = 7, mac: str = MAC) -> bytes:
    return build.udp(THERE, HERE, 5000, port, text, uinet.L2Info.make(THEIR_MAC, mac))


def received(sock: uinet.Socket) -> list[bytes]:
    found = []
    while sock.readable:
        found.append(sock.recv(100))
    return found


# first looks


def test_a_first_look_sees_each_batch_once_and_marks_each_frame() -> None:
    host = Host()
    sock = host.socket()
    seen: list[list[bytes]] = []

    def look(batch: FrameBatch) -> None:
        assert batch.interface is host.eth0
        assert batch.now == host.stack.now
        seen.append([frame.data for frame in batch.frames])
        batch.marks[1] = Mark.DROP
        batch.marks[2] = host.eth1
        batch.marks[3] = (Mark.STACK, host.eth1)

    host.eth0.first_look = look
    frames = [datagram(text) for text in (b"one", b"two", b"three", b"four")]
    host.put(*frames)
    assert seen == [frames]
    assert received(sock) == [b"one", b"four"]
    assert [frame.data for frame in host.stack.output(host.eth1)] == [frames[2], frames[3]]
    assert host.count("first_look_dropped") == 1
    assert host.count("first_look_sent") == 2
    assert host.count("link_rx_frames") == host.eth0.rx_frames == 4
    assert host.count("link_rx_bytes") == host.eth0.rx_bytes == sum(map(len, frames))


def test_a_first_look_sees_what_is_for_nobody_here_and_may_change_it() -> None:
    host = Host()
    sock = host.socket()

    def look(batch: FrameBatch) -> None:
        batch.frames[0] = Frame(bytes(uinet.Mac(MAC)) + batch.frames[0].data[6:])

    host.put(datagram(mac="02:00:00:00:00:99"))
    assert host.count("eth_other_host") == 1
    host.eth0.first_look = look
    host.put(datagram(mac="02:00:00:00:00:99"))
    assert received(sock) == [b"hello"]
    host.eth0.first_look = None
    assert host.eth0.hooks is None, "nothing is left of it"


def test_a_marked_frame_goes_to_the_bridge_or_nowhere() -> None:
    lab = Lab(2, bridge=True)
    listener = lab.stack.listen((uinet.ANY, uinet.ANY), vlans=uinet.ANY, cdom=1)

    def look(batch: FrameBatch) -> None:
        batch.marks[:] = [Mark.BRIDGE] * len(batch)

    lab.p1.first_look = look
    syn = build.tcp(CLIENT, SERVER, 1000, 80, "S")
    assert lab.put(syn) == []
    assert [frame.data for frame in lab.stack.output(lab.p2)] == [syn]
    assert not listener.readable
    lab.p1.bridge = None
    lab.put(syn)
    assert lab.count("first_look_dropped") == 1


@pytest.mark.parametrize("wrong", ["raise", "short", "mark", "frame", "layer"])
def test_a_first_look_that_goes_wrong_costs_its_frames_and_one_line(
    wrong: str, caplog: pytest.LogCaptureFixture
) -> None:
    host = Host()
    sock = host.socket()
    tunnel = host.stack.add_interface("tun0", layer=3)

    def look(batch: FrameBatch) -> None:
        if wrong == "raise":
            raise ValueError("broken")
        if wrong == "short":
            batch.marks.pop()
        elif wrong == "mark":
            batch.marks[0] = "stack"
        elif wrong == "layer":
            batch.marks[0] = tunnel
        else:
            batch.frames[0] = "frame"  # type: ignore[call-overload]

    host.eth0.first_look = look
    for _ in range(3):
        host.put(datagram())
    assert received(sock) == []
    assert host.count("first_look_error") == host.count("first_look_dropped") == 3
    assert len(caplog.records) == 1, "a peer can't fill the log"
    host.eth0.first_look = None
    host.put(datagram())
    assert received(sock) == [b"hello"]


def test_a_first_look_may_call_anything() -> None:
    host = Host()
    sock = host.socket()

    def look(batch: FrameBatch) -> None:
        sock.sendto(b"seen", (THERE, 9))
        host.stack.inject_input(host.eth0, [datagram(b"injected")])
        host.eth0.first_look = None

    host.eth0.first_look = look
    assert [frame.data[-4:] for frame in host.put(datagram())] == [b"seen"]
    assert received(sock) == [b"hello", b"injected"]


def test_what_is_no_handler_is_refused() -> None:
    host = Host()
    with pytest.raises(InvalidArgument):
        host.eth0.first_look = 5  # type: ignore[assignment]
    for add in (host.stack.add_packet_filter, host.eth0.add_filter):
        with pytest.raises(InvalidArgument):
            add(None)  # type: ignore[arg-type]
    for remove in (host.stack.remove_packet_filter, host.eth0.remove_filter):
        with pytest.raises(InvalidArgument):
            remove(print)  # type: ignore[arg-type]


def test_a_frame_in_two_places_is_one_for_a_first_look() -> None:
    host = Host()
    whole = build.tcp(THERE, HERE, 1, 2, ".", payload=b"x" * 100, l2=L2)
    split = Frame.__subclasses__()
    assert split
    from uinet.wire.frame import CHECKSUM_VALID, SplitFrame

    seen: list[bytes] = []
    host.eth0.first_look = lambda batch: seen.append(batch.frames[0].data)
    host.put(SplitFrame(whole[:54], whole[54:], CHECKSUM_VALID, 0))
    assert seen == [whole]


# packet filters


def test_a_filter_sees_packets_in_both_directions_with_their_l2_information() -> None:
    host = Host()
    sock = host.socket()
    seen: list[tuple[Any, ...]] = []

    def hook(packet: FilteredPacket) -> None:
        assert packet.l2info is not None
        seen.append((
            packet.outbound, packet.interface.name, str(packet.source), str(packet.destination), packet.ports,
            packet.version, packet.protocol, packet.l2info.source, packet.data[28:],
        ))

    host.stack.add_packet_filter(hook)
    host.put(datagram())
    sock.sendto(b"answer", (THERE, 5000))
    host.stack.output(host.eth0)
    assert received(sock) == [b"hello"]
    assert seen == [
        (False, "eth0", THERE, HERE, (5000, 7), 4, 17, uinet.Mac(THEIR_MAC), b"hello"),
        (True, "eth0", HERE, THERE, (7, 5000), 4, 17, uinet.Mac(MAC), b"answer"),
    ]
    host.stack.remove_packet_filter(hook)
    assert host.eth0.hooks is None
    assert host.stack.network.loopback_interface.hooks is None


def test_a_filter_drops_and_replaces_and_checksums_are_made_right() -> None:
    host = Host()
    sock = host.socket()

    def hook(packet: FilteredPacket) -> Mark | bytes | None:
        if b"drop" in packet.data:
            return Mark.DROP
        if b"cat" in packet.data:
            return packet.data.replace(b"cat", b"dog")
        return None

    host.eth0.add_filter(hook)
    host.put(datagram(b"drop"), datagram(b"a cat"), datagram(b"plain"))
    assert received(sock) == [b"a dog", b"plain"]
    for text in (b"drop", b"one cat", b"plain"):
        sock.sendto(text, (THERE, 9))
    sent = host.stack.output(host.eth0)
    assert [frame.data[42:] for frame in sent] == [b"one dog", b"plain"]
    assert all(verify_packet(frame.data[14:]) for frame in sent)
    assert host.count("filter_dropped_in") == host.count("filter_dropped_out") == 1
    assert host.count("filter_replaced") == 2
    assert host.eth0.tx_frames == host.count("link_tx_frames") == 2
    assert host.eth0.tx_bytes == sum(len(frame.data) for frame in sent)


def test_filters_run_in_order_on_the_way_in_and_backwards_on_the_way_out() -> None:
    host = Host()
    sock = host.socket()
    order: list[str] = []
    host.stack.add_packet_filter(lambda packet: order.append("stack"))
    host.eth0.add_filter(lambda packet: order.append("first"))
    host.eth0.add_filter(lambda packet: order.append("second"))
    host.put(datagram())
    assert order == ["stack", "first", "second"]
    order.clear()
    sock.sendto(b"x", (THERE, 9))
    host.stack.output(host.eth0)
    assert order == ["second", "first", "stack"]


def test_a_filter_that_raises_drops_its_packet(caplog: pytest.LogCaptureFixture) -> None:
    host = Host()
    sock = host.socket()
    answers: list[Any] = [ValueError("broken"), "nonsense", 5]

    def hook(packet: FilteredPacket) -> Any:
        if isinstance(answers[0], Exception):
            raise answers[0]
        return answers[0]

    host.eth0.add_filter(hook)
    while answers:
        host.put(datagram())
        answers.pop(0)
        if not answers:
            break
    assert received(sock) == []
    assert host.count("filter_error") == 3
    assert len(caplog.records) == 1
    assert caplog.records[0].levelno == logging.ERROR


def test_a_filter_sees_packets_to_ourselves_once_and_new_interfaces() -> None:
    host = Host()
    sock = host.socket()
    seen: list[str] = []
    host.stack.add_packet_filter(lambda packet: seen.append(packet.interface.name))
    sock.sendto(b"me", (HERE, 7))
    host.stack.poll(host.stack.now)
    assert received(sock) == [b"me"]
    assert seen == ["lo"]
    late = host.stack.add_interface("eth2", mac="02:00:00:00:00:04")
    late.add_address("10.9.0.1/24")
    l2 = uinet.L2Info.make(THEIR_MAC, "02:00:00:00:00:04")
    host.stack.input(late, [build.udp("10.9.0.2", "10.9.0.1", 5, 7, b"", l2)], host.stack.now)
    assert seen == ["lo", "eth2"]


def test_what_is_not_for_this_host_or_no_packet_is_not_shown() -> None:
    host = Host()
    seen: list[bytes] = []
    host.eth0.add_filter(lambda packet: seen.append(packet.data))
    host.put(datagram(mac="02:00:00:00:00:99"), b"\0" * 10, build.arp_request(THERE, HERE), datagram()[:20])
    assert seen == []
    assert host.count("eth_other_host") == 1
    assert host.count("eth_short") == 1


def test_a_filter_of_a_promiscuous_interface_sees_what_is_bridged() -> None:
    lab = Lab(2, bridge=True)
    seen: list[tuple[bool, tuple[int, ...]]] = []

    def hook(packet: FilteredPacket) -> Mark | None:
        assert packet.l2info is not None
        seen.append((packet.outbound, tuple(tag.vid for tag in packet.l2info.vlans)))
        return Mark.DROP if packet.outbound and packet.ports[1] == 53 else None

    for port in lab.ports:
        port.add_filter(hook)
    for number in (53, 54):
        lab.put(build.udp(CLIENT, SERVER, 1, number, b"", vlans=(5, 6)))
    assert [out.udp.destination_port for out in lab.out(lab.p2) if out.udp is not None] == [54]
    assert seen == [(False, (5, 6)), (False, (5, 6)), (True, (5, 6)), (True, (5, 6))]


def test_a_filter_sees_and_replaces_a_large_frame_as_one() -> None:
    host = Host()
    host.eth0.gathers = True
    listener = host.stack.listen((HERE, 80))
    answer = host.put(build.tcp(THERE, HERE, 5, 80, "S", 100, l2=L2, options=build.tcp_options.parse(b"\2\4\5\xb4")))
    seq = int.from_bytes(answer[0].data[38:42], "big")
    host.put(build.tcp(THERE, HERE, 5, 80, ".", 101, seq + 1, l2=L2))
    sock = listener.accept()
    sizes: list[tuple[int, int]] = []

    def hook(packet: FilteredPacket) -> bytes:
        sizes.append((len(packet.data), packet.frame.gso_size))
        return packet.data.replace(b"a", b"b")

    host.eth0.add_filter(hook)
    sock.send(b"a" * 8000)
    frames = host.stack.output(host.eth0)
    assert sizes == [(8040, 1460)]
    assert frames[0].gso_size == 1460
    from uinet.link.offload import finish

    pieces = finish(frames[0], 2)
    assert b"".join(piece.data[54:] for piece in pieces) == b"b" * 8000
    assert all(verify_packet(piece.data[14:]) for piece in pieces)


# injected frames


def test_injected_input_passes_first_looks_and_filters_by_unless_it_is_to_meet_them() -> None:
    host = Host()
    sock = host.socket()
    looked: list[int] = []
    host.eth0.first_look = lambda batch: looked.append(len(batch))
    host.eth0.add_filter(lambda packet: looked.append(-1))
    host.stack.inject_input(host.eth0, [datagram(b"quiet")])
    host.stack.poll(host.stack.now)
    assert looked == []
    host.stack.inject_input(host.eth0, [datagram(b"seen")], hooks=True)
    host.stack.poll(host.stack.now)
    assert looked == [1, -1]
    assert received(sock) == [b"quiet", b"seen"]


def test_injected_output_goes_out_as_it_is() -> None:
    host = Host()
    sock = host.socket()
    kicked: list[int] = []
    host.stack.on_pending = lambda: kicked.append(1)
    host.eth0.add_filter(lambda packet: Mark.DROP if packet.outbound else None)
    sock.sendto(b"dropped", (THERE, 9))
    host.stack.inject_output(host.eth0, [b"any bytes at all"])
    host.stack.inject_output(host.eth0, [datagram()], hooks=True)
    assert kicked
    assert [frame.data for frame in host.stack.output(host.eth0)] == [b"any bytes at all"]
    host.eth0.output_limit = 0
    host.stack.inject_output(host.eth0, [b"no room"])
    assert host.count("link_output_full") == 1
    assert host.stack.output(host.eth0) == []


def test_injecting_what_is_no_list_or_elsewhere_is_refused() -> None:
    host, other = Host(), Host()
    for inject in (host.stack.inject_input, host.stack.inject_output):
        with pytest.raises(InvalidArgument):
            inject(host.eth0, b"a frame")  # type: ignore[arg-type]
        with pytest.raises(InvalidArgument):
            inject(other.eth0, [b"a frame"])
        with pytest.raises(InvalidArgument):
            inject(host.eth0, [5])  # type: ignore[list-item]
    host.stack.close()
    with pytest.raises(uinet.BadSocket):
        host.stack.inject_input(host.eth0, [b""])


# times


def test_frames_without_a_time_get_the_stacks_where_that_is_asked_for() -> None:
    host = Host()
    sock = host.socket()
    sock.setsockopt(uinet.SOL_SOCKET, uinet.SO_TIMESTAMPNS, True)
    times: list[int] = []

    def stamps() -> list[int]:
        found = []
        while sock.readable:
            ancillary = sock.recvmsg(100)[1]
            found += [value for level, name, value in ancillary if name == uinet.SO_TIMESTAMPNS]
        return found

    host.put(datagram(), Frame(datagram(), time=123))
    assert stamps() == [host.stack.now, 123], "the stack's clock, where nobody has said what it means"
    host.stack.network.epoch = 1000
    host.eth0.timestamps = True
    host.eth0.first_look = lambda batch: times.extend(frame.time for frame in batch.frames)
    host.put(datagram(), Frame(datagram(), time=123))
    assert times == [host.stack.now + 1000, 123]
    assert stamps() == [host.stack.now + 1000, 123]
    host.eth0.first_look = None
    assert host.stack.sysctl["net.interface.eth0.timestamps"] is True
    host.stack.sysctl["net.interface.eth0.timestamps"] = False
    assert host.eth0.hooks is None
