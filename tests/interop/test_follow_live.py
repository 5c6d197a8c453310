"""Watching an interface of the host's kernel, live: every packet is seen or counted, and none is ever sent."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Iterator

import pytest

from tests.interop.netns import PATIENCE, Namespace, background, namespace, require, veth, wait_for
from tests.interop.test_devices import LARGE_FRAMES
from tests.unit.following.recorder import Got, Recorder
from tests.unit.following.test_filtering import LIBRARY, needs_libpcap
from uinet.errors import DeviceError, DeviceGone, FilterError, PermissionDenied
from uinet.following.live import LAG, LAST, RingSource
from uinet.following.source import open_source
from uinet.link import open_device
from uinet.wire.capture import LINKTYPE_ETHERNET, LINKTYPE_RAW

pytestmark = pytest.mark.interop

EXPERIMENT = b"\x88\xb5"
SECOND = 1_000_000_000


@pytest.fixture
def left() -> Iterator[Namespace]:
    with namespace("left", ipv6=False) as made:
        yield made


@pytest.fixture
def right() -> Iterator[Namespace]:
    with namespace("right", ipv6=False) as made:
        yield made


def watch(where: Namespace, url: str, filter: str | None = None) -> RingSource:
    with where.entered():
        source = open_source(url, filter=filter)
    assert isinstance(source, RingSource)
    return source


def pump_until(source: RingSource, recorder: Recorder, wanted: Callable[[], bool], what: str) -> None:
    def step() -> bool:
        assert source.pump(recorder)
        return wanted()

    wait_for(step, what)


def frame(payload: bytes, tags: bytes = b"") -> bytes:
    return b"\xff" * 6 + b"\x02\0\0\0\0\2" + tags + EXPERIMENT + payload


def pump_in_silence(source: RingSource, recorder: Recorder) -> None:
    """Until time has gone on three times and longer than a block stays with the kernel: nothing more is on its way."""
    times, begin = len(recorder.times) + 3, time.monotonic()
    pump_until(
        source, recorder,
        lambda: len(recorder.times) >= times and time.monotonic() - begin > 2 * LAST / 1000, "quiet",
    )


def crossed(where: Namespace, interface: str) -> int:
    """Packets that the interface has counted, both ways."""
    folder = f"/sys/class/net/{interface}/statistics"
    return sum(int(where.run(f"cat {folder}/{way}_packets")) for way in ("rx", "tx"))


def tcp_payload(got: Got) -> tuple[int, int, int]:
    """(source port, sequence number, payload bytes) of a TCP packet over IPv4; port 0 if it is something else."""
    data = got.data
    if len(data) < 54 or data[12:14] != b"\x08\x00" or data[23] != 6:
        return 0, 0, 0
    l4 = 14 + (data[14] & 0xF) * 4
    header = (data[l4 + 12] >> 4) * 4
    port, _, seq = struct.unpack_from(">HHI", data, l4)
    return port, seq, got.length - l4 - header


def sent_bytes(packets: list[Got]) -> int:
    """How many bytes of what was sent to port 80 are in these packets, each counted once."""
    found = [tcp_payload(got) for got in packets]
    spans = [(seq, length) for port, seq, length in found if length and port != 80]
    first = spans[0][0]
    total = reached = 0
    for begin, end in sorted(((seq - first) % 2**32, (seq - first) % 2**32 + length) for seq, length in spans):
        total += max(0, end - max(begin, reached))
        reached = max(reached, end)
    return total


@pytest.mark.parametrize("late", [False, True], ids=["watching", "looking away"])
def test_kernel_transfer_is_seen_whole_or_what_is_missing_was_dropped(
    left: Namespace, right: Namespace, late: bool
) -> None:
    size = 40 << 20
    with veth(left, "l0", right, "r0"):
        left.run("ip addr add 10.7.0.1/24 dev l0")
        left.run(LARGE_FRAMES)
        right.run("ip addr add 10.7.0.2/24 dev r0")
        server, client = right.open_socket(), left.open_socket()
        with server, client, watch(left, f"packet:l0?ring={'4M' if late else '128M'}") as source:
            server.bind(("10.7.0.2", 80))
            server.listen()
            server.settimeout(PATIENCE)

            def send() -> None:
                client.settimeout(PATIENCE)
                client.connect(("10.7.0.2", 80))
                piece = b"x" * (1 << 20)
                for _ in range(size >> 20):
                    client.sendall(piece)
                client.shutdown(socket.SHUT_WR)

            def receive() -> int:
                total = 0
                connection, _ = server.accept()
                with connection:
                    connection.settimeout(PATIENCE)
                    while piece := connection.recv(1 << 20):
                        total += len(piece)
                return total

            recorder = Recorder()
            begin = time.time_ns()
            with background(receive) as received, background(send):
                if late:
                    wait_for(lambda: bool(received), "the transfer to end")
                pump_until(source, recorder, lambda: bool(received), "the transfer to end")
            pump_until(
                source, recorder, lambda: len(recorder.got) + source.dropped >= crossed(left, "l0"), "what has crossed"
            )
            pump_in_silence(source, recorder)
            assert received == [size]
            assert source.statistics()["packets"] == len(recorder.got)
            assert source.statistics()["unfinished_checksums"] > 0
            assert len(recorder.got) + source.dropped == crossed(left, "l0")
        assert all(len(got.data) == got.length for got in recorder.got)
        assert begin - SECOND < recorder.got[0].time <= recorder.got[-1].time < time.time_ns()
        assert max(len(got.data) for got in recorder.got) > 20_000
        missing = size - sent_bytes(recorder.got)
        if late:
            assert source.dropped > 0
            assert 0 < missing <= source.dropped * 65536
        else:
            assert source.dropped == 0
            assert missing == 0


def test_packets_keep_their_tags_lengths_and_times(left: Namespace, right: Namespace) -> None:
    stacks = [
        b"", b"\x81\x00\x00\x64", b"\x88\xa8\xe0\x01\x81\x00\x00\x02", b"\x81\x00\x00\x00",
        b"\x91\x00\x00\x05\x81\x00\x00\x06",
    ]
    sent = [frame(bytes([number]) * (50 + number), tags) for number, tags in enumerate(stacks)]
    with veth(left, "l0", right, "r0"), watch(left, "packet:l0") as source, right.packet_socket("r0") as wire:
        recorder = Recorder()
        for data in sent:
            wire.send(data)
        pump_until(source, recorder, lambda: len(recorder.got) >= len(sent), "the frames")
        assert recorder.packets == sent
        assert all(got.length == len(got.data) and got.link_type == LINKTYPE_ETHERNET for got in recorder.got)
        assert source.dropped == 0
        assert source.statistics() == {
            "packets": 5, "filtered": 0, "bytes": sum(map(len, sent)), "dropped": 0, "unfinished_checksums": 0,
        }


def test_both_directions_are_seen_on_a_wire_and_one_on_the_loopback(left: Namespace, right: Namespace) -> None:
    with (
        veth(left, "l0", right, "r0"), watch(left, "packet:l0") as source,
        right.packet_socket("r0") as wire, left.packet_socket("l0") as own,
    ):
        recorder = Recorder()
        wire.send(frame(b"in" * 30))
        pump_until(source, recorder, lambda: len(recorder.got) >= 1, "the first frame")
        own.send(frame(b"out" * 20))
        pump_until(source, recorder, lambda: len(recorder.got) >= 2, "both frames")
        assert recorder.packets == [frame(b"in" * 30), frame(b"out" * 20)]
    with watch(left, "packet:lo") as source, left.open_socket(kind=socket.SOCK_DGRAM) as sender:
        recorder = Recorder()
        for _ in range(3):
            sender.sendto(b"x" * 100, ("127.0.0.1", 9))

        def datagrams() -> int:
            return sum(data[23] == 17 for data in recorder.packets)

        pump_until(source, recorder, lambda: datagrams() >= 3, "the datagrams")
        pump_in_silence(source, recorder)
        assert datagrams() == 3


def test_bare_ip_of_a_tun(left: Namespace) -> None:
    left.run("ip tuntap add dev t0 mode tun")
    left.run("ip addr add 10.8.0.1/24 dev t0")
    left.run("ip link set t0 up")
    with left.entered():
        device = open_device("tun:t0?up=0")
    with device, watch(left, "packet:t0") as source, left.open_socket(kind=socket.SOCK_DGRAM) as sender:
        recorder = Recorder()
        sender.sendto(b"x" * 100, ("10.8.0.2", 9))
        pump_until(source, recorder, lambda: bool(recorder.got), "a packet")
        assert recorder.got[0].link_type == LINKTYPE_RAW
        assert recorder.got[0].data[0] == 0x45
        assert recorder.got[0].length == 128


IP = b"\x45" + bytes(8) + b"\x11" + bytes(10) + b"\x00\x01\x00\x35" + bytes(40)
PLAIN = b"\xff" * 6 + bytes(6) + b"\x08\x00" + IP
TAGGED = b"\xff" * 6 + bytes(6) + b"\x81\0\0\x64\x08\x00" + IP


@needs_libpcap
@pytest.mark.parametrize(("expression", "wanted"), [
    ("udp port 53", [PLAIN]), ("vlan 100 and udp port 53", [TAGGED]), ("vlan 102", []),
    ("udp port 53 or (vlan and udp port 53)", [PLAIN, TAGGED]),
])
def test_filter_runs_in_the_kernel_but_sees_the_tag_of_the_wire(
    left: Namespace, right: Namespace, expression: str, wanted: list[bytes]
) -> None:
    with (
        veth(left, "l0", right, "r0"), right.packet_socket("r0") as wire,
        watch(left, "packet:l0", expression) as source,
    ):
        recorder = Recorder()
        for data in (frame(bytes(60)), PLAIN, TAGGED, frame(bytes(60), b"\x81\0\0\x65"), frame(bytes(99))):
            wire.send(data)
        pump_until(source, recorder, lambda: len(recorder.got) >= len(wanted), "what passes")
        pump_in_silence(source, recorder)
        assert recorder.packets == wanted
        assert source.statistics()["packets"] == 2 + (PLAIN in wanted)  # the kernel keeps back the others


def test_filter_that_is_wrong_is_told(left: Namespace) -> None:
    with pytest.raises(FilterError, match="syntax error" if LIBRARY is not None else "libpcap"):
        watch(left, "packet:lo", "udp prot 53")


def test_time_goes_on_while_nothing_comes_and_stop_is_asked(left: Namespace, right: Namespace) -> None:
    with veth(left, "l0", right, "r0"), watch(left, "packet:l0") as source:
        recorder = Recorder()
        begin = time.time_ns()
        assert source.pump(recorder, lambda: False)
        assert source.pump(recorder)
        end = time.time_ns()
        assert end - begin < PATIENCE * SECOND
        assert len(recorder.times) == 2
        assert begin - LAG <= recorder.times[0] < recorder.times[1] <= end - LAG
        assert not source.pump(recorder, lambda: True)


def test_nothing_is_sent(left: Namespace, right: Namespace) -> None:
    with veth(left, "l0", right, "r0"), watch(left, "packet:l0") as source, right.packet_socket("r0") as wire:
        recorder = Recorder()
        for number in range(20):
            wire.send(frame(bytes([number]) * 60))
        pump_until(source, recorder, lambda: len(recorder.got) >= 20, "the frames")
        assert left.run("cat /sys/class/net/l0/statistics/tx_packets").strip() == "0"


def test_promiscuous_while_it_is_open_or_not_at_all(left: Namespace, right: Namespace) -> None:
    def promiscuity() -> int:
        return int(left.run("ip -d link show dev l0").split("promiscuity ")[1].split()[0])

    with veth(left, "l0", right, "r0"):
        with watch(left, "packet:l0"):
            assert promiscuity() == 1
        assert promiscuity() == 0
        with watch(left, "packet:l0?promisc=0&ring=1"):
            assert promiscuity() == 0


def test_interface_set_down_is_waited_for_and_one_deleted_is_gone(left: Namespace, right: Namespace) -> None:
    with veth(left, "l0", right, "r0"), watch(left, "packet:l0") as source:
        recorder = Recorder()
        left.run("ip link set l0 down")
        assert source.pump(recorder)
        assert source.pump(recorder)
        left.run("ip link set l0 up")
        with right.packet_socket("r0") as wire:

            def again() -> bool:
                wire.send(frame(b"x" * 60))
                assert source.pump(recorder)
                return bool(recorder.got)

            wait_for(again, "a frame")
            pump_until(source, recorder, lambda: len(recorder.times) >= 5, "quiet")
        left.run("ip link del l0")
        with pytest.raises(DeviceGone, match="packet:l0 was deleted"):
            pump_until(source, recorder, lambda: False, "the device to be gone")


def test_what_can_not_be_watched_is_told_in_one_line(left: Namespace, right: Namespace) -> None:
    for url, message in (
        ("packet:none", r"no interface 'none' here \(there are: lo\)"),
        ("packet:", "an interface name is missing"),
        ("packet:lo?ring=5000000G", "want bytes, like 64M, at most 4G"),
        ("packet:lo?ring=x", "want bytes"),
        ("packet:lo?fanout=1", "has no option 'fanout'"),
        ("packet:lo?promisc=maybe", "want 1 or 0"),
    ):
        with pytest.raises(DeviceError, match=message) as caught:
            watch(left, url)
        assert "\n" not in str(caught.value)


def test_missing_privilege_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    require()

    def refuse(*arguments: object) -> socket.socket:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("uinet.following.live.socket.socket", refuse)
    with pytest.raises(PermissionDenied, match="packet:lo needs CAP_NET_RAW: run as root, or: sudo setcap"):
        open_source("packet:lo")


def test_ring_that_does_not_fit_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    require()
    monkeypatch.setattr("uinet.link.ring.BLOCK", 1000)  # no multiple of a page
    with pytest.raises(DeviceError, match="no ring of 64 MiB can be had, try a smaller"):
        open_source("packet:lo")
