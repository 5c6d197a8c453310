"""Captures of single flows: names, many of them at a time, and what a disk does to them that is full."""

from __future__ import annotations

import errno
import os
import resource
from ipaddress import ip_address
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.link.packets import packet, tcp_header
from uinet.errors import DeviceError, InvalidArgument
from uinet.link import flow_files
from uinet.link.flow_files import FlowFiles
from uinet.wire import build
from uinet.wire.capture import INBOUND, LINKTYPE_ETHERNET, LINKTYPE_RAW, OUTBOUND
from uinet.wire.frame import CHECKSUM_NEEDED, Frame
from uinet.wire.pcap import Reader, read

DATA = build.tcp("10.0.0.1", "10.0.0.2", 1234, 80, "S")


def flow(serial: int, **more: Any) -> Any:
    """What a stack tells of a flow."""
    values = {
        "serial": serial, "layer": 2, "vids": b"", "local_port": 80, "remote_port": 1234, "passive_open": True,
        "missing": 0, "interface": SimpleNamespace(name="eth0"), "note": None, "local": ip_address("10.0.0.2"),
        "remote": ip_address("10.0.0.1"),
    }
    return SimpleNamespace(**{**values, **more})


def names(path: Path) -> list[str]:
    return sorted(one.name for one in path.iterdir())


class Time:
    """A clock that stands still."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


def test_each_flow_has_a_file_with_its_packets_times_and_directions(tmp_path: Path) -> None:
    files = FlowFiles(tmp_path / "new" / "folder")
    one, two = flow(1), flow(2)
    files.packet(one, Frame(DATA, time=5), False)
    files.packet(two, Frame(DATA + b"two", time=6), True)
    files.packet(one, Frame(DATA + b"one", time=7), True)
    files.end(one)
    files.close()
    files.close()
    folder = tmp_path / "new" / "folder"
    first, second = (read((folder / name).read_bytes()) for name in names(folder))
    assert [(r.data, r.time, r.direction) for r in first] == [(DATA, 5, INBOUND), (DATA + b"one", 7, OUTBOUND)]
    assert [(r.data, r.time, r.direction) for r in second] == [(DATA + b"two", 6, OUTBOUND)]
    counts = files.statistics()
    assert (counts["files"], counts["open"], counts["packets"], counts["pending"], counts["lost"]) == (2, 0, 3, 0, 0)
    assert counts["bytes"] == sum((folder / name).stat().st_size for name in names(folder))


def test_names_tell_serial_number_interface_tags_client_and_server(tmp_path: Path) -> None:
    files = FlowFiles(tmp_path)
    v6 = {"local": ip_address("fd00::2"), "remote": ip_address("fd00::1")}
    for one in (
        flow(7), flow(8, passive_open=False), flow(9, vids=b"\0\x64\0\xc8"), flow(10, **v6, interface=None),
        flow(11, interface=SimpleNamespace(name="../we/ird name")),
    ):
        files.packet(one, Frame(DATA), False)
        files.end(one)
    files.close()
    assert names(tmp_path) == [
        "00000007-eth0-10.0.0.1.1234-10.0.0.2.80.pcapng",
        "00000008-eth0-10.0.0.2.80-10.0.0.1.1234.pcapng",
        "00000009-eth0-v100.200-10.0.0.1.1234-10.0.0.2.80.pcapng",
        "00000010-fd00::1.1234-fd00::2.80.pcapng",
        "00000011-we-ird-name-10.0.0.1.1234-10.0.0.2.80.pcapng",
    ]


def test_a_file_from_before_is_left_alone(tmp_path: Path) -> None:
    for _ in range(3):
        files = FlowFiles(tmp_path)
        files.packet(one := flow(1), Frame(DATA), False)
        files.end(one)
        files.close()
    stem = "00000001-eth0-10.0.0.1.1234-10.0.0.2.80"
    assert names(tmp_path) == [f"{stem}-2.pcapng", f"{stem}-3.pcapng", f"{stem}.pcapng"]
    assert all(len(read(path.read_bytes())) == 1 for path in tmp_path.iterdir())


def test_the_head_tells_interface_and_layer(tmp_path: Path) -> None:
    files = FlowFiles(tmp_path)
    for serial, layer in ((1, 2), (2, 3)):
        files.packet(one := flow(serial, layer=layer), Frame(DATA), False)
        files.end(one)
    for path, wanted in zip(sorted(tmp_path.iterdir()), (LINKTYPE_ETHERNET, LINKTYPE_RAW), strict=True):
        reader = Reader()
        reader.feed(path.read_bytes())
        reader.finish()
        assert [(i.name, i.link_type) for i in reader.interfaces] == [("eth0", wanted)]


def test_flush_makes_what_was_gathered_readable(tmp_path: Path) -> None:
    files = FlowFiles(tmp_path)
    files.packet(flow(1), Frame(DATA), False)
    assert names(tmp_path) == []
    assert files.statistics()["pending"] > 0
    files.flush()
    assert files.statistics()["pending"] == 0
    assert [len(read(path.read_bytes())) for path in tmp_path.iterdir()] == [1]
    files.close()


def test_many_flows_need_few_open_files_and_go_on_where_they_stopped(tmp_path: Path) -> None:
    files = FlowFiles(tmp_path, most_open=3)
    flows = [flow(number) for number in range(20)]
    for turn in range(5):
        for one in flows:
            files.packet(one, Frame(DATA, time=turn), False)
        files.flush()
        assert files.statistics()["open"] <= 3
    for one in flows:
        files.end(one)
    files.close()
    for path in tmp_path.iterdir():
        assert [record.time for record in read(path.read_bytes())] == [0, 1, 2, 3, 4]
    assert files.statistics()["files"] == 20


def test_what_is_gathered_is_bounded(tmp_path: Path) -> None:
    files = FlowFiles(tmp_path, pending=5000)
    for number in range(100):
        files.packet(flow(number), Frame(DATA + bytes(200)), False)
        assert files.statistics()["pending"] <= 5000
    files.close()
    assert files.statistics()["packets"] == 100


def test_a_large_flow_is_written_as_it_comes(tmp_path: Path) -> None:
    files = FlowFiles(tmp_path)
    one = flow(1)
    for _ in range(100):
        files.packet(one, Frame(DATA + bytes(1400)), False)
        assert files.statistics()["pending"] <= flow_files.CHUNK
    assert files.statistics()["packets"] >= 80
    files.close()


def test_checksums_that_a_device_would_compute_are_complete(tmp_path: Path) -> None:
    files = FlowFiles(tmp_path)
    large = Frame(packet(tcp_header(), bytes(50000), state="partial"), CHECKSUM_NEEDED, 1448)
    files.packet(flow(1), large, True)
    files.close()
    (record,) = read(next(tmp_path.iterdir()).read_bytes())
    assert build.dissect(record.data).checksums_ok


def test_packets_that_are_missing_are_told_of_by_the_next(tmp_path: Path) -> None:
    files = FlowFiles(tmp_path)
    files.packet(flow(1, missing=3), Frame(DATA), False)
    files.close()
    (record,) = read(next(tmp_path.iterdir()).read_bytes())
    assert record.comments == ("3 packets before this one are not in the file",)


class Disk:
    """os.write, until the disk is full."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int, code: int = errno.ENOSPC) -> None:
        self.room = room
        self.code = code
        self.write = os.write
        monkeypatch.setattr(flow_files.os, "write", self)

    def __call__(self, descriptor: int, data: bytes) -> int:
        if self.room == 0:
            raise OSError(self.code, os.strerror(self.code))
        written = self.write(descriptor, data[: self.room])
        self.room -= written
        return written


def test_a_full_disk_costs_packets_one_line_and_no_broken_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Time()
    disk = Disk(monkeypatch, 700)
    files = FlowFiles(tmp_path, clock=clock)
    one = flow(1)
    for number in range(20):
        files.packet(one, Frame(DATA + bytes(50), time=number), False)
        files.flush()
    other = flow(2)
    files.packet(other, Frame(DATA), False)
    files.flush()
    path = tmp_path / "00000001-eth0-10.0.0.1.1234-10.0.0.2.80.pcapng"
    written = len(read(path.read_bytes()))
    assert 1 <= written < 20
    counts = files.statistics()
    assert counts["packets"] == written
    assert counts["lost"] == 21 - written
    assert counts["errors"] == 1, "a full disk is not asked again and again"
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "No space left on device" in caplog.records[0].getMessage()
    assert names(tmp_path) == [path.name]
    disk.room = 1 << 30
    clock.now += flow_files.RETRY
    files.packet(one, Frame(DATA, time=99), False)
    files.packet(other, Frame(DATA, time=99), False)
    files.close()
    last = read(path.read_bytes())[-1]
    assert last.time == 99
    assert last.comments == (f"{20 - written} packets before this one are not in the file",)
    (second,) = read((tmp_path / "00000002-eth0-10.0.0.1.1234-10.0.0.2.80.pcapng").read_bytes())
    assert second.comments == ("1 packets before this one are not in the file",)
    assert len(caplog.records) == 2 and "written again" in caplog.records[1].getMessage()


def test_a_file_of_which_nothing_could_be_written_is_not_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Disk(monkeypatch, 10)
    files = FlowFiles(tmp_path)
    files.packet(one := flow(1), Frame(DATA), False)
    files.end(one)
    files.close()
    assert names(tmp_path) == []
    assert files.statistics()["files"] == 0
    assert files.statistics()["lost"] == 1


def test_a_file_that_is_as_large_as_files_can_be_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Disk(monkeypatch, 1000, errno.EFBIG)
    files = FlowFiles(tmp_path)
    one, two = flow(1), flow(2)
    for _ in range(10):
        files.packet(one, Frame(DATA + bytes(100)), False)
        files.flush()
    disk.room = 1 << 20
    files.packet(one, Frame(DATA), False)
    files.packet(two, Frame(DATA), False)
    files.close()
    assert files.statistics()["errors"] == 1
    assert [len(read(path.read_bytes())) for path in sorted(tmp_path.iterdir())][1] == 1
    assert caplog.records == []


def test_descriptors_that_run_out_are_taken_from_files_that_rest(tmp_path: Path) -> None:
    files = FlowFiles(tmp_path)
    flows = [flow(number) for number in range(30)]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 8, hard))
    try:
        for one in flows:
            files.packet(one, Frame(DATA), False)
        files.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    files.close()
    assert files.statistics()["files"] == 30
    assert files.statistics()["lost"] == 0


def test_a_file_that_somebody_has_taken_away_is_begun_anew(tmp_path: Path) -> None:
    files = FlowFiles(tmp_path, most_open=1)
    one, two = flow(1), flow(2)
    for each in (one, two):
        files.packet(each, Frame(DATA, time=1), False)
        files.flush()
    path = tmp_path / "00000001-eth0-10.0.0.1.1234-10.0.0.2.80.pcapng"
    path.rename(tmp_path / "away")
    files.packet(one, Frame(DATA, time=2), False)
    files.close()
    assert [record.time for record in read(path.read_bytes())] == [2]
    assert [record.time for record in read((tmp_path / "away").read_bytes())] == [1]


def test_what_can_not_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DeviceError):
        FlowFiles(tmp_path / "file")
    with pytest.raises(InvalidArgument):
        FlowFiles(tmp_path, most_open=0)
