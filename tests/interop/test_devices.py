"""Devices against the host's kernel, each test in network namespaces of its own."""

from __future__ import annotations

import os
import select
import socket
import struct
from collections.abc import Callable, Iterator

import pytest

from tests.interop.netns import PATIENCE, Namespace, background, namespace, require, veth, wait_for
from tests.unit.link.packets import Seen, csum, packet, tags, tcp_header
from uinet.errors import DeviceError, DeviceGone
from uinet.link import Device, PacketDevice, TapDevice, open_device, open_shares, steering
from uinet.link.offload import complete, finish
from uinet.wire.frame import CHECKSUM_NEEDED, Frame
from uinet.wire.pcap import read

pytestmark = pytest.mark.interop

MAC = bytes.fromhex("020000000002")  # ours
STACKS = [b"", tags((0x8100, 100)), tags((0x88A8, 1), (0x8100, 2))]
BROADCAST = b"\xff" * 6


@pytest.fixture
def left() -> Iterator[Namespace]:
    with namespace("left", ipv6=False) as made:
        yield made


@pytest.fixture
def right() -> Iterator[Namespace]:
    with namespace("right", ipv6=False) as made:
        yield made


def opened(where: Namespace, url: str, **options: object) -> Device:
    with where.entered():
        return open_device(url, **options)  # type: ignore[arg-type]


def receive(device: Device, wanted: Callable[[list[Frame]], bool], what: str) -> list[Frame]:
    """Frames received until `wanted` likes them."""
    got: list[Frame] = []

    def enough() -> bool:
        if select.select([device.fileno()], [], [], 0.1)[0]:
            got.extend(device.recv())
        return wanted(got)

    wait_for(enough, what)
    return got


def raw_frame(vlans: bytes = b"", payload: bytes = b"x" * 60) -> bytes:
    return BROADCAST + MAC + vlans + b"\x88\xb5" + payload  # an ethertype for experiments


# a host of few words: answers ARP and ping for one address


def arp_reply(request: bytes, address: bytes) -> bytes:
    body = request[14:]
    return request[6:12] + MAC + b"\x08\x06" + body[:6] + b"\0\2" + MAC + address + body[8:18]


def echo_reply(ip: bytes) -> bytes:
    icmp = b"\0\0\0\0" + ip[24:]
    icmp = b"\0\0" + struct.pack(">H", ~csum(icmp) & 0xFFFF) + icmp[4:]
    return ip[:12] + ip[16:20] + ip[12:16] + icmp  # swapping addresses leaves the header's sum alone


def answer(device: Device, address: bytes, until: Callable[[], bool]) -> None:
    """Answers ARP (layer 2) and ping for `address` until told to stop."""

    def step() -> bool:
        if select.select([device.fileno()], [], [], 0.02)[0]:
            for frame in device.recv():
                data = complete(frame, device.layer).data
                if device.layer == 2 and data[12:14] == b"\x08\x06" and data[38:42] == address:
                    device.send([Frame(arp_reply(data, address))])
                elif device.layer == 2 and data[12:14] == b"\x08\x00" and data[23] == 1:
                    device.send([Frame(data[6:12] + MAC + data[12:14] + echo_reply(data[14:]))])
                elif device.layer == 3 and data[0] == 0x45 and data[9] == 1:
                    device.send([Frame(echo_reply(data))])
        return until()

    wait_for(step, "the kernel to be content")


@pytest.mark.parametrize("url", ["tap:dev0?ip=10.7.0.1/24", "tun:dev0?ip=10.7.0.1/24&offload=0"])
def test_kernel_pings_through_tap_and_tun(left: Namespace, url: str) -> None:
    require("ping")
    device = opened(left, url, mtu=1400)
    assert "mtu 1400" in left.run("ip link show dev dev0")
    with device, left.popen("ping -c 3 -i 0.05 -W 10 10.7.0.2") as ping:
        answer(device, bytes([10, 7, 0, 2]), lambda: ping.poll() is not None)
        assert ping.stdout is not None
        assert "3 received" in ping.stdout.read()
        assert device.statistics()["tx_frames"] >= 3
    assert "dev0" not in left.run("ip link")


def test_faults_and_capture_work_on_a_real_device(left: Namespace, tmp_path: object) -> None:
    require("ping")
    path = f"{tmp_path}/tap.pcapng"
    device = opened(left, f"tap:dev0?ip=10.7.0.1/24&duplicate=1&direction=out&capture={path}")
    with device, left.popen("ping -c 2 -i 0.05 -W 10 10.7.0.2") as ping:
        answer(device, bytes([10, 7, 0, 2]), lambda: ping.poll() is not None)
        assert ping.stdout is not None
        assert "DUP!" in ping.stdout.read()
    with open(path, "rb") as file:
        directions = [record.direction for record in read(file.read())]
    assert {1, 2} <= set(directions)


def test_tap_has_its_addresses_and_number(left: Namespace) -> None:
    with namespace("six") as six, opened(six, "tap:lab%d?ip=10.7.0.1/24,fd00::1/64") as device:
        assert device.name == "tap:lab0"
        addresses = six.run("ip -o addr show dev lab0")
        assert "inet 10.7.0.1/24" in addresses
        assert "inet6 fd00::1/64" in addresses
    with opened(left, "tap:lab0?up=0") as device:
        assert "state DOWN" in left.run("ip link show dev lab0")
        assert device.send([Frame(raw_frame())]) == 1
        assert device.statistics()["tx_down"] == 1


def test_tap_in_use_or_of_another_kind_is_told(left: Namespace, right: Namespace) -> None:
    with opened(left, "tap:dev0"), pytest.raises(DeviceError, match="tap device dev0 is in use"):
        opened(left, "tap:dev0")
    left.run("ip tuntap add dev dev1 mode tun")
    with pytest.raises(DeviceError, match="interface dev1 exists and is no tap device"):
        opened(left, "tap:dev1")
    with veth(left, "l0", right, "r0"), pytest.raises(DeviceError, match="exists and is no tap device"):
        opened(left, "tap:l0")


def test_persistent_tap_is_taken_over_and_left(left: Namespace) -> None:
    left.run("ip tuntap add dev dev0 mode tap")
    with opened(left, "tap:dev0"):
        assert "UP" in left.run("ip link show dev dev0")
    assert "dev0" in left.run("ip link")


LARGE_FRAMES = "sysctl -qw net.ipv4.tcp_min_tso_segs=32"  # else they are small where the round trip takes long


def bulk(server: socket.socket, size: int) -> bytes:
    """Accepts one connection and reads `size` bytes from it."""
    server.settimeout(PATIENCE)
    connection, _ = server.accept()
    connection.settimeout(PATIENCE)
    data = bytearray()
    with connection:
        while len(data) < size:
            piece = connection.recv(1 << 20)
            assert piece
            data += piece
    return bytes(data)


@pytest.mark.parametrize("offload", [(1, 1), (1, 0), (0, 1), (0, 0)], ids=str)
def test_kernel_tcp_crosses_a_wire_of_two_devices(
    left: Namespace, right: Namespace, offload: tuple[int, int]
) -> None:
    """Two kernels talk TCP; in between, frames go from one TAP to the other, large ones included."""
    left.run(LARGE_FRAMES)
    a = opened(left, f"tap:dev0?ip=10.7.0.1/24&offload={offload[0]}")
    b = opened(right, f"tap:dev0?ip=10.7.0.2/24&offload={offload[1]}")
    payload = os.urandom(1 << 20)
    server, client = right.open_socket(), left.open_socket()
    largest = 0
    with a, b, server, client:
        server.bind(("10.7.0.2", 80))
        server.listen()
        client.settimeout(PATIENCE)

        def talk() -> None:
            client.connect(("10.7.0.2", 80))
            client.sendall(payload)

        with background(lambda: bulk(server, len(payload))) as received, background(talk):

            def relay() -> bool:
                nonlocal largest
                for device in select.select([a, b], [], [], 0.05)[0]:
                    frames = device.recv()
                    largest = max([largest, *[len(frame) for frame in frames]])
                    other = b if device is a else a
                    while frames:  # TAPs of the kernel take everything but for moments
                        del frames[: other.send(frames)]
                return bool(received)

            wait_for(relay, "all bytes")
        assert received == [payload]
        assert largest > 10_000 if offload[0] else largest <= 1514


@pytest.mark.parametrize("ring", ["", "&ring=2M"])
@pytest.mark.parametrize("offload", [1, 0])
def test_packet_device_sees_vlan_tags_as_on_the_wire(
    left: Namespace, right: Namespace, offload: int, ring: str
) -> None:
    stacks = [
        b"",
        tags((0x8100, 100)),
        tags((0x8100, 0)),
        tags((0x8100, 0xE064)),
        tags((0x88A8, 1), (0x8100, 2)),
        tags((0x9100, 7), (0x8100, 8), (0x8100, 9)),
    ]
    with (
        veth(left, "l0", right, "r0", mtu=1512), right.packet_socket("r0") as wire,
        opened(left, f"packet:l0?offload={offload}{ring}") as device,
    ):
        for stack in stacks:
            wire.send(raw_frame(stack))
        got = receive(device, lambda frames: len(frames) >= len(stacks), "the frames")
        assert [frame.data for frame in got] == [raw_frame(stack) for stack in stacks]


def test_packet_device_sends_tags_and_not_to_itself(left: Namespace, right: Namespace) -> None:
    with (
        veth(left, "l0", right, "r0", mtu=1508),
        opened(left, "packet:l0") as a, opened(right, "packet:r0") as b,
    ):
        assert a.send([Frame(raw_frame(stack)) for stack in STACKS]) == 3
        got = receive(b, lambda frames: len(frames) >= 3, "the frames")
        assert [frame.data for frame in got] == [raw_frame(stack) for stack in STACKS]
        assert a.recv() == []
        assert a.send([Frame(raw_frame(payload=bytes(4000)))]) == 1
        assert a.statistics()["tx_oversize"] == 1


def test_packet_device_hears_no_other_interface(left: Namespace, right: Namespace) -> None:
    with (
        veth(left, "l0", right, "r0"), veth(left, "l1", right, "r1"),
        right.packet_socket("r0") as here, right.packet_socket("r1") as there,
    ):
        device = opened(left, "packet:l0")
        with device:
            for n in range(20):
                there.send(raw_frame(payload=b"there" + bytes([n])))
                here.send(raw_frame(payload=b"here" + bytes([n])))
            got = receive(device, lambda frames: len(frames) >= 20, "20 frames")
            assert all(frame.data[14:18] == b"here" for frame in got)


@pytest.mark.parametrize("ring", ["", "&ring=64M"])
@pytest.mark.parametrize("version", [4, 6])
def test_kernel_tcp_sender_hands_over_large_frames(version: int, ring: str) -> None:
    """What AF_PACKET sees of a kernel's bulk connection is large and unfinished, and can be finished."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    near, far = ("10.7.0.1", "10.7.0.2") if version == 4 else ("fd00::1", "fd00::2")
    with namespace("left") as left, namespace("right") as right, veth(left, "l0", right, "r0"):
        prefix = 24 if version == 4 else "64 nodad"
        right.run(LARGE_FRAMES)
        left.run(f"ip addr add {near}/{prefix} dev l0")
        right.run(f"ip addr add {far}/{prefix} dev r0")
        payload = os.urandom(3 << 20)
        with left.open_socket(family) as server, right.open_socket(family) as client:
            server.bind((near, 80))
            server.listen()
            client.settimeout(PATIENCE)

            def talk() -> None:
                client.connect((near, 80))
                client.sendall(payload)

            device = opened(left, "packet:l0?buffer=64M" + ring)
            got: list[Frame] = []
            with device:
                with background(lambda: bulk(server, len(payload))) as received, background(talk):
                    wait_for(lambda: got.extend(device.recv()) or bool(received), "the transfer")
                while frames := device.recv():
                    got += frames
            assert received == [payload]
        large = [frame for frame in got if frame.gso_size]
        assert large
        assert {frame.checksum for frame in large} == {CHECKSUM_NEEDED}
        assert max(len(frame) for frame in large) > 20_000
        stream: dict[int, bytes] = {}
        start = next(Seen(complete(f, 2).data).seq for f in got if flags(f) & 2)
        for frame in got:
            if flags(frame) and not flags(frame) & 2:
                for segment in finish(frame, 2):
                    seen = Seen(segment.data)  # verifies every checksum
                    assert len(segment) <= 1514
                    if seen.payload:
                        stream[(seen.seq - start - 1) % 2**32] = seen.payload
        whole = b"".join(data for _, data in sorted(stream.items()))
        assert whole == payload


def flags(frame: Frame) -> int:
    """TCP flags of a frame to port 80; 0 for anything else."""
    l4 = 34 if frame.data[12:14] == b"\x08\x00" else 54
    protocol = frame.data[23] if l4 == 34 else frame.data[20]
    return frame.data[l4 + 13] if protocol == 6 and len(frame.data) > l4 + 13 else 0


@pytest.mark.parametrize("vlans", STACKS, ids=["untagged", "one tag", "QinQ"])
@pytest.mark.parametrize("version", [4, 6])
def test_large_frames_are_sent_by_the_kernel(
    left: Namespace, right: Namespace, version: int, vlans: bytes
) -> None:
    """A large frame goes out through the header; a receiver without offload gets proper segments of it."""
    payload = os.urandom(10_000)
    data = packet(tcp_header(), payload, version=version, vlans=vlans, state="partial")
    with veth(left, "l0", right, "r0", mtu=1508):
        right.run("ethtool -K r0 gro off", check=False)
        left.run("ethtool -K l0 tso off gso off tx off", check=False)
        with opened(left, "packet:l0") as a, opened(right, "packet:r0") as b:
            assert a.send([Frame(data, CHECKSUM_NEEDED, 1400)]) == 1
            got = receive(b, lambda frames: total(frames) >= len(payload), "the segments")
            seen = [Seen(segment.data) for frame in got for segment in finish(frame, 2)]
            assert b"".join(one.payload for one in seen) == payload
            assert max(len(one.payload) for one in seen) == 1400
            assert {one.link for one in seen} == {data[: 14 + len(vlans)]}


def total(frames: list[Frame]) -> int:
    return sum(len(Seen(segment.data).payload) for frame in frames for segment in finish(frame, 2))


def test_fanout_shares_the_flows(left: Namespace, right: Namespace) -> None:
    with (
        veth(left, "l0", right, "r0"), right.packet_socket("r0") as wire,
        opened(left, "packet:l0?fanout=7") as a, opened(left, "packet:l0?fanout=7") as b,
    ):
        for port in range(200):
            wire.send(packet(tcp_header(sport=1024 + port), b"x"))
        got: list[list[Frame]] = [[], []]

        def all_there() -> bool:
            got[0] += a.recv()
            got[1] += b.recv()
            return sum(map(len, got)) >= 200

        wait_for(all_there, "200 frames")
        assert min(map(len, got)) > 20


def test_a_ring_that_overflows_counts_what_it_had_to_drop(left: Namespace, right: Namespace) -> None:
    with (
        veth(left, "l0", right, "r0"), right.packet_socket("r0") as wire,
        opened(left, "packet:l0?ring=2M") as device,
    ):
        for _ in range(4000):
            wire.send(raw_frame(payload=bytes(1400)))
        received = 0

        def all_told() -> bool:
            nonlocal received
            received += len(device.recv())
            return received + device.statistics().get("rx_missed", 0) == 4000

        wait_for(all_told, "4000 frames, received or missed")
        assert 0 < received < 3000
        wire.send(raw_frame())
        assert receive(device, bool, "a frame")[0].data == raw_frame()


def test_kernel_counts_what_it_had_to_drop(left: Namespace, right: Namespace) -> None:
    with (
        veth(left, "l0", right, "r0"), right.packet_socket("r0") as wire,
        opened(left, "packet:l0?buffer=20k") as device,
    ):
        for _ in range(300):
            wire.send(raw_frame(payload=bytes(1400)))
        received = 0

        def all_told() -> bool:
            nonlocal received
            received += len(device.recv())
            return received + device.statistics().get("rx_missed", 0) == 300

        wait_for(all_told, "300 frames, received or missed")
        assert device.statistics()["rx_missed"] > 0


@pytest.mark.parametrize("query", ["", "?ring=2M"])
def test_interface_set_down_and_up_again(left: Namespace, right: Namespace, query: str) -> None:
    with (
        veth(left, "l0", right, "r0"), right.packet_socket("r0") as wire,
        opened(left, "packet:l0" + query) as device,
    ):
        left.run("ip link set l0 down")
        assert device.recv() == []
        assert device.deadline() == 0
        assert device.send([Frame(raw_frame())]) == 1
        assert device.statistics()["tx_down"] == 1
        left.run("ip link set l0 up")
        device.poll(10**9)
        assert device.deadline() is None
        wire.send(raw_frame())
        assert receive(device, bool, "a frame")[0].data == raw_frame()


def gone(device: Device, action: Callable[[], object]) -> None:
    """Drives the device until `action`, or the device's own look at the interface, finds it gone."""
    now = 0

    def vanished() -> bool:
        nonlocal now
        now += 10**9
        try:
            action()
            if device.deadline() is not None:
                device.poll(now)
        except DeviceGone as error:
            assert "was deleted" in str(error)
            return True
        return False

    wait_for(vanished, f"{device.name} to be gone")


@pytest.mark.parametrize("kind", ["tap", "tun", "packet", "ring"])
@pytest.mark.parametrize("way", ["recv", "send"])
def test_device_deleted_under_us(left: Namespace, right: Namespace, kind: str, way: str) -> None:
    with veth(left, "l0", right, "r0"):
        name = "l0" if kind in ("packet", "ring") else "dev0"
        url = "packet:l0?ring=2M" if kind == "ring" else f"{kind}:{name}"
        with opened(left, url) as device:
            device.recv()
            left.run(f"ip link del {name}")
            # an event loop notices: the descriptor is readable, or reports an error
            poll = select.poll()
            poll.register(device.fileno(), select.POLLIN)
            assert poll.poll(1000 * PATIENCE)
            frame = Frame(b"\x45" + bytes(59) if kind == "tun" else raw_frame())
            gone(device, device.recv if way == "recv" else lambda: device.send([frame]))


def test_devices_stay_in_the_namespace_where_they_were_opened(left: Namespace, right: Namespace) -> None:
    home = os.readlink("/proc/thread-self/ns/net")
    with (
        veth(left, "same", right, "r0"), right.packet_socket("r0") as wire,
        opened(left, "packet:same") as device, opened(left, "tap:dev0") as tap,
    ):
        assert isinstance(device, PacketDevice)
        assert isinstance(tap, TapDevice)
        assert os.readlink("/proc/thread-self/ns/net") == home
        wire.send(raw_frame())
        assert len(receive(device, bool, "a frame")) == 1
        with pytest.raises(DeviceError, match="no interface 'same' here"):
            open_device("packet:same")


# one interface for several workers

FLOWS = [(version, port) for version in (4, 6) for port in range(2000, 2040)]


def flow(version: int, port: int, vlans: bytes, back: bool = False) -> bytes:
    """A packet of a flow, there or back."""
    data = packet(tcp_header(sport=port, dport=80), b"x", version=version, vlans=vlans)
    if not back:
        return data
    turned = bytearray(packet(tcp_header(sport=80, dport=port), b"x", version=version, vlans=vlans))
    at = len(vlans) + 14 + (12 if version == 4 else 8)
    size = 4 if version == 4 else 16
    turned[at : at + 2 * size] = turned[at + size : at + 2 * size] + turned[at : at + size]
    return bytes(turned)


def owners(devices: list[Device], count: int) -> dict[bytes, int]:
    """Which of the devices each of `count` frames came to."""
    got: dict[bytes, int] = {}

    def all_there() -> bool:
        for index, device in enumerate(devices):
            got.update((frame.data, index) for frame in device.recv())
        return len(got) >= count

    wait_for(all_there, f"{count} frames")
    return got


def shares(space: Namespace, url: str, count: int) -> list[Device]:
    with space.entered():
        devices = open_shares(url, count)
    for device in devices:
        device.begin()
    return devices


@pytest.mark.parametrize("query", ["", "?ring=4M", "?offload=0"])
def test_packet_sockets_share_flows_by_their_owners(left: Namespace, right: Namespace, query: str) -> None:
    with veth(left, "l0", right, "r0", mtu=1600), right.packet_socket("r0") as wire:
        devices = shares(left, "packet:l0" + query, 3)
        try:
            frames = [
                flow(version, port, vlans, back)
                for version, port in FLOWS for vlans in (*STACKS, tags(*((0x9100, n) for n in range(5))))
                for back in (False, True)
            ]
            seen: set[int] = set()
            for start in range(0, len(frames), 200):
                batch = frames[start : start + 200]
                for data in batch:
                    wire.send(data)
                found = owners(devices, len(batch))
                assert {data: steering.owner(data, 2) % 3 for data in batch} == found
                seen |= set(found.values())
            assert seen == {0, 1, 2}
            wire.send(raw_frame())
            assert owners(devices, 1) == {raw_frame(): 0}
        finally:
            for device in devices:
                device.close()


def test_nothing_comes_before_all_shares_are_there(left: Namespace, right: Namespace) -> None:
    with veth(left, "l0", right, "r0"), right.packet_socket("r0") as wire:
        with left.entered():
            devices = open_shares("packet:l0", 2)
        wire.send(raw_frame())
        assert [device.recv() for device in devices] == [[], []]
        for device in devices:
            device.begin()
        wire.send(raw_frame())
        assert owners(devices, 1) == {raw_frame(): 0}
        for device in devices:
            device.close()


@pytest.mark.parametrize("kind", ["tap", "tun"])
def test_queues_of_a_tap_share_flows_by_their_owners(left: Namespace, kind: str) -> None:
    layer = 2 if kind == "tap" else 3
    with left.entered():
        devices = open_shares(f"{kind}:dev%d?ip=10.7.0.1/24", 3)
    try:
        name = devices[0].name.partition(":")[2]
        assert [device.name for device in devices] == [f"{kind}:{name}"] * 3
        if layer == 2:
            left.run(f"ip neigh add 10.7.0.2 lladdr 02:00:00:00:00:02 dev {name}")
        with left.open_socket(kind=socket.SOCK_DGRAM) as sock:
            sock.bind(("10.7.0.1", 0))
            for port in range(1, 101):
                sock.sendto(b"x", ("10.7.0.2", port))
        got = owners(devices, 100)
        ours = {data: index for data, index in got.items() if data[14 if layer == 2 else 0] == 0x45}
        assert len(ours) == 100
        assert ours == {data: steering.owner(data, layer) % 3 for data in ours}
        assert set(ours.values()) == {0, 1, 2}
    finally:
        for device in devices:
            device.close()


def test_devices_that_cannot_be_shared_say_so() -> None:
    with pytest.raises(DeviceError, match="memory devices can't be shared by several workers"):
        open_shares("memory:cable", 2)
