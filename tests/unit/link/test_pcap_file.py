"""Capture files as devices."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.link.packets import Seen, packet, tcp_header
from uinet.errors import CaptureError, DeviceError, DeviceGone, DeviceURLError
from uinet.link.pcap_file import PcapDevice
from uinet.units import SECOND
from uinet.wire.capture import LINKTYPE_ETHERNET, LINKTYPE_LINUX_SLL, LINKTYPE_RAW
from uinet.wire.frame import CHECKSUM_NEEDED, Frame
from uinet.wire.pcap import PcapngWriter, PcapWriter, Reader, read

T0 = 1_700_000_000 * SECOND
USER0 = PcapWriter(147)  # a link type for private use


def pcap(path: Path, times: list[int], *, link_type: int = LINKTYPE_ETHERNET, tail: bytes = b"") -> str:
    writer = PcapWriter(link_type)
    data = packet(tcp_header(), b"data", layer=2 if link_type == LINKTYPE_ETHERNET else 3)
    records = [writer.packet(data + bytes([n % 256]), time) for n, time in enumerate(times)]
    path.write_bytes(writer.header() + b"".join(records) + tail)
    return str(path)


def last(frames: list[Frame]) -> list[int]:
    return [frame.data[-1] for frame in frames]


def test_fast_gives_all_frames_with_their_times_and_then_is_finished(tmp_path: Path) -> None:
    with PcapDevice(pcap(tmp_path / "in.pcap", [T0, T0 + 5, T0 + SECOND])) as device:
        assert (device.layer, device.fileno(), device.deadline()) == (2, -1, 0)
        first = device.recv(2)
        assert last(first) == [0, 1]
        assert [frame.time for frame in first] == [T0, T0 + 5]
        assert (device.finished, device.deadline()) == (False, 0)
        assert last(device.recv()) == [2]
        assert device.recv() == []
        assert (device.finished, device.deadline()) == (True, None)
        assert device.statistics()["rx_frames"] == 3


def test_large_file_is_read_piece_by_piece(tmp_path: Path) -> None:
    path = pcap(tmp_path / "in.pcap", [T0 + n for n in range(20_000)])
    with PcapDevice(path) as device:
        count = 0
        while not device.finished:
            count += len(device.recv())
            assert len(device._pending) < 5000
        assert count == 20_000


def test_raw_ip_is_layer_3_and_cooked_frames_are_too(tmp_path: Path) -> None:
    with PcapDevice(pcap(tmp_path / "raw.pcap", [T0], link_type=LINKTYPE_RAW)) as device:
        assert device.layer == 3
        assert device.recv()[0].data[0] == 0x45
    writer = PcapWriter(LINKTYPE_LINUX_SLL)
    cooked = bytes(14) + b"\x08\x00" + packet(tcp_header(), b"", layer=3)
    (tmp_path / "sll.pcap").write_bytes(writer.header() + writer.packet(cooked, T0))
    with PcapDevice(str(tmp_path / "sll.pcap")) as device:
        assert device.layer == 3
        assert Seen(device.recv()[0].data, 3).payload == b""


def test_pcapng_packets_of_another_layer_are_counted(tmp_path: Path) -> None:
    writer = PcapngWriter()
    blocks = [writer.header(), writer.interface("odd", 147), writer.interface("eth0", LINKTYPE_ETHERNET)]
    blocks += [writer.interface("tun0", LINKTYPE_RAW)]
    blocks += [writer.packet(packet(tcp_header(), b"", layer=3), T0, 2)]
    blocks += [writer.packet(packet(tcp_header(), b"here"), T0, 1), writer.packet(b"?", T0, 0)]
    (tmp_path / "in.pcapng").write_bytes(b"".join(blocks))
    with PcapDevice(str(tmp_path / "in.pcapng")) as device:
        assert device.layer == 2
        assert [Seen(frame.data).payload for frame in device.recv()] == [b"here"]
        assert device.statistics()["rx_unsupported"] == 2


def test_capture_pace_follows_the_callers_clock(tmp_path: Path) -> None:
    path = pcap(tmp_path / "in.pcap", [T0, T0 + 10, T0 + SECOND, T0 + SECOND // 2])
    with PcapDevice(path, pace="capture") as device:
        calls: list[str] = []
        device.on_readable = lambda: calls.append("readable")
        assert device.recv() == []
        assert device.deadline() == 0
        device.poll(77)
        assert calls == ["readable"]
        assert last(device.recv()) == [0]
        assert device.deadline() == 87
        device.poll(86)
        assert calls == ["readable"]
        assert device.recv() == []
        device.poll(87)
        assert last(device.recv()) == [1]
        device.poll(77 + SECOND)
        assert last(device.recv()) == [2, 3]  # the last one lies back in time, so it is late already
        assert device.deadline() == 0
        assert device.recv() == []
        assert device.finished


def test_replies_are_finished_and_timed_with_the_captures_clock(tmp_path: Path) -> None:
    path = pcap(tmp_path / "in.pcap", [T0, T0 + SECOND])
    out = tmp_path / "replies.pcap"
    with PcapDevice(path, out=str(out)) as device:
        device.recv(1)
        large = Frame(packet(tcp_header(), bytes(2000), state="partial"), CHECKSUM_NEEDED, 1460)
        assert device.send([large]) == 1
        device.recv(1)
        device.send([Frame(b"x" * 60)])
        assert len(read(out.read_bytes())) == 3  # nothing waits in a buffer
    records = read(out.read_bytes())
    assert [record.time for record in records] == [T0, T0, T0 + SECOND]
    assert [len(Seen(record.data).payload) for record in records[:2]] == [1460, 540]


def test_paced_replies_carry_the_time_that_has_passed(tmp_path: Path) -> None:
    path = pcap(tmp_path / "in.pcap", [T0, T0 + SECOND])
    out = tmp_path / "replies.pcapng"
    with PcapDevice(path, out=str(out), pace="capture") as device:
        device.poll(1000)
        device.recv()
        device.poll(1000 + 250)
        device.send([Frame(b"x" * 60)])
    reader = Reader()
    reader.feed(out.read_bytes())
    assert reader.format == "pcapng"
    assert [record.time for record in reader] == [T0 + 250]


def test_replies_without_a_file_are_counted(tmp_path: Path) -> None:
    with PcapDevice(pcap(tmp_path / "in.pcap", [T0])) as device:
        assert device.send([Frame(b"x" * 60), Frame(bytes(2000))]) == 2
        assert device.statistics()["tx_frames"] == 1
        assert device.statistics()["tx_oversize"] == 1


@pytest.mark.parametrize("tail", [b"\0" * 8, b"\xff" * 16, b"\0" * 8 + b"\x40\0\0\0\x40\0\0\0" + b"cut"])
def test_damaged_file_delivers_what_comes_before(tmp_path: Path, tail: bytes) -> None:
    path = pcap(tmp_path / "in.pcap", [T0, T0 + 1], tail=tail)
    with PcapDevice(path) as device:
        assert last(device.recv()) == [0, 1]
        assert not device.finished
        with pytest.raises(CaptureError, match=r"in\.pcap: .* after packet 2, at byte") as caught:
            device.recv()
        assert "\n" not in str(caught.value)
        assert device.finished
        assert device.recv() == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file is no capture"),
        (b"hi", "not a capture file"),
        (b"#!/bin/sh\nexit\n" * 10, "not a capture file"),
        (USER0.header() + USER0.packet(b"x" * 30, T0), "link type 147 is neither Ethernet nor IP"),
        (PcapWriter(1).header()[:20], "cut off"),
    ],
)
def test_what_is_no_capture_can_not_be_opened(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "in.pcap"
    path.write_bytes(content)
    with pytest.raises(CaptureError, match=message) as caught:
        PcapDevice(str(path))
    assert str(caught.value).startswith(str(path))


def test_capture_of_nothing_is_finished_at_once(tmp_path: Path) -> None:
    path = tmp_path / "in.pcapng"
    path.write_bytes(PcapngWriter().header())
    with PcapDevice(str(path), pace="capture") as device:
        device.poll(5)
        assert device.recv() == []
        assert device.finished


def test_open_errors(tmp_path: Path) -> None:
    path = pcap(tmp_path / "in.pcap", [T0])
    with pytest.raises(DeviceError, match="none: No such file"):
        PcapDevice(str(tmp_path / "none"))
    with pytest.raises(DeviceURLError, match="is the capture itself"):
        PcapDevice(path, out=str(tmp_path / "." / "in.pcap"))
    assert len(read(Path(path).read_bytes())) == 1
    with pytest.raises(DeviceURLError, match="pace=slow: want one of fast, capture"):
        PcapDevice(path, pace="slow")
    with pytest.raises(DeviceError, match="Is a directory"):
        PcapDevice(path, out=str(tmp_path))


def test_closed_device_refuses(tmp_path: Path) -> None:
    device = PcapDevice(pcap(tmp_path / "in.pcap", [T0]), out=str(tmp_path / "out.pcapng"))
    device.close()
    device.close()
    device.poll(5)
    assert device.deadline() is None
    with pytest.raises(DeviceGone):
        device.recv()
    assert read((tmp_path / "out.pcapng").read_bytes()) == []
