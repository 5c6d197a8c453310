"""The capture tee."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.link.packets import Seen, packet, tcp_header
from uinet.errors import DeviceError
from uinet.link.capture import Capture, CaptureFile
from uinet.link.memory import MemoryDevice
from uinet.link.pipe import Pipe
from uinet.wire.capture import INBOUND, LINKTYPE_ETHERNET, LINKTYPE_RAW, OUTBOUND
from uinet.wire.frame import CHECKSUM_NEEDED, Frame
from uinet.wire.pcap import Reader, read


def test_both_directions_are_written_with_times_and_directions(tmp_path: Path) -> None:
    path = tmp_path / "tee.pcapng"
    a, b = MemoryDevice.pair()
    device = Capture(a, str(path), clock=lambda: 5_000_000_001)
    b.send([Frame(b"in" * 30), Frame(b"timed" * 12, time=7)])
    assert len(device.recv()) == 2
    assert device.send([Frame(b"out" * 20)]) == 1
    records = read(path.read_bytes())  # readable while it is being written
    assert [(record.data, record.time, record.direction) for record in records] == [
        (b"in" * 30, 5_000_000_001, INBOUND),
        (b"timed" * 12, 7, INBOUND),
        (b"out" * 20, 5_000_000_001, OUTBOUND),
    ]
    assert {record.link_type for record in records} == {LINKTYPE_ETHERNET}
    assert device.statistics()["capture_frames"] == 3
    device.close()
    device.close()
    assert a.closed


def test_interface_name_and_link_type_are_told(tmp_path: Path) -> None:
    path = tmp_path / "tee.pcapng"
    with Capture(Pipe(lambda data: None, name="tunnel"), str(path)) as device:
        device.send([Frame(b"x" * 40)])
    reader = Reader()
    reader.feed(path.read_bytes())
    reader.finish()
    assert [(i.name, i.link_type) for i in reader.interfaces] == [("tunnel", LINKTYPE_RAW)]


def test_pcap_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "tee.pcap"
    with Capture(MemoryDevice.pair()[0], str(path), clock=lambda: 1_000_000_009) as device:
        device.send([Frame(b"x" * 60)])
    reader = Reader()
    reader.feed(path.read_bytes())
    assert reader.format == "pcap"
    assert [record.time for record in reader] == [1_000_000_009]


def test_only_what_was_taken_is_written(tmp_path: Path) -> None:
    path = tmp_path / "tee.pcapng"
    a, _b = MemoryDevice.pair(queue=2)
    with Capture(a, str(path)) as device:
        assert device.send([Frame(bytes([n]) * 60) for n in range(5)]) == 2
    assert [record.data[0] for record in read(path.read_bytes())] == [0, 1]


def test_checksums_left_to_the_device_are_complete_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "tee.pcapng"
    a, b = MemoryDevice.pair()
    with Capture(a, str(path)) as device:
        large = Frame(packet(tcp_header(), bytes(50000), state="partial"), CHECKSUM_NEEDED, 1448)
        device.send([large])
        assert b.recv() == [large]  # passed on as it was
    (record,) = read(path.read_bytes())
    assert len(Seen(record.data).payload) == 50000


def test_unwritable_path_is_an_error_and_leaves_the_device_alone(tmp_path: Path) -> None:
    a, _b = MemoryDevice.pair()
    with pytest.raises(DeviceError, match=r"missing/x\.pcapng: No such file"):
        Capture(a, str(tmp_path / "missing" / "x.pcapng"))
    assert not a.closed


def test_failed_write_leaves_no_half_record_and_the_traffic_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tee.pcapng"
    a, b = MemoryDevice.pair()
    device = Capture(a, str(path))
    device.send([Frame(b"a" * 60)])
    write, room = os.write, 30

    def full(fd: int, data: bytes) -> int:
        nonlocal room
        if not room:
            raise OSError(28, "No space left on device")
        n = write(fd, data[:room])
        room -= n
        return n

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        assert device.send([Frame(b"b" * 60), Frame(b"c" * 60)]) == 2
    device.send([Frame(b"d" * 60)])
    assert len(b.recv()) == 4
    assert [record.data[:1] for record in read(path.read_bytes())] == [b"a", b"d"]
    assert device.statistics()["capture_lost"] == 2
    device.close()


def test_time_that_the_format_cannot_tell_loses_that_packet_only(tmp_path: Path) -> None:
    path = tmp_path / "out.pcap"
    file = CaptureFile(str(path), 2)
    assert file.write([(b"x" * 60, 2**33 * 10**9), (b"y" * 60, 1)], OUTBOUND) == 1
    file.close()
    assert [record.data[:1] for record in read(path.read_bytes())] == [b"y"]


KILLED = """
import os, sys
from uinet.link import Capture, MemoryDevice
from uinet.wire.frame import Frame
device = Capture(MemoryDevice.pair()[0], sys.argv[1])
device.send([Frame(bytes([n]) * 60) for n in range(10)])
os.kill(os.getpid(), 9)
"""


def test_killed_process_leaves_a_readable_file(tmp_path: Path) -> None:
    path = tmp_path / "tee.pcapng"
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert [record.data[0] for record in read(path.read_bytes())] == list(range(10))
