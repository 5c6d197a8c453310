"""Sources: what `open_source` takes, and how each is pumped to its end."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.unit.following.recorder import Got, Recorder
from tests.unit.following.test_blocks import TIME, enhanced, interface, pcap, section
from tests.unit.following.test_filtering import needs_libpcap
from uinet.errors import CaptureError, DeviceError, DeviceGone, DeviceURLError, FilterError, InvalidArgument
from uinet.following import compressed
from uinet.following.devices import DeviceSource
from uinet.following.source import CaptureSource, Source, open_source
from uinet.link import MemoryRegistry, PcapDevice
from uinet.wire.capture import LINKTYPE_ETHERNET, LINKTYPE_RAW
from uinet.wire.frame import Frame

DATA = pcap(b"one", b"", b"three")
PACKETS = [b"one", b"", b"three"]
MANY = pcap(*(bytes([number % 256]) * (number % 1500) for number in range(2000)))


def drain(source: Source, recorder: Recorder | None = None) -> Recorder:
    recorder = recorder or Recorder()
    while source.pump(recorder):
        pass
    assert not source.pump(recorder)
    return recorder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "some capture"
    path.write_bytes(DATA)
    return path


def test_a_path_in_text_or_as_path(path: Path) -> None:
    for name in (path, str(path)):
        with open_source(name) as source:
            assert source.size == len(DATA)
            assert drain(source).packets == PACKETS
            assert source.position == len(DATA)
            assert source.name == str(path)
            assert source.dropped == 0
            assert source.statistics() == {"packets": 3, "filtered": 0, "bytes": len(DATA)}
        source.close()


def test_a_pcap_url_is_the_file_and_one_with_options_a_device(path: Path) -> None:
    with open_source(f"pcap:{str(path).replace(' ', '%20')}") as source:
        assert isinstance(source, CaptureSource)
        assert drain(source).packets == PACKETS
    with open_source(f"pcap:{path}?pace=fast") as source:
        assert isinstance(source, DeviceSource)
        assert drain(source).packets == PACKETS


def test_a_large_file_comes_chunk_by_chunk(tmp_path: Path) -> None:
    (tmp_path / "many").write_bytes(MANY)
    with open_source(tmp_path / "many") as source:
        recorder, positions = Recorder(), [0]
        while source.pump(recorder):
            positions.append(source.position)
        assert len(recorder.got) == 2000
        assert positions == [*range(0, len(MANY), 256 * 1024), len(MANY)]


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress])
def test_a_compressed_file_tells_its_compressed_position(compress: Any, tmp_path: Path) -> None:
    data = compress(MANY)
    (tmp_path / "many.pcap").write_bytes(data)
    with open_source(tmp_path / "many.pcap") as source:
        assert len(drain(source).got) == 2000
        assert source.size == source.position == len(data)


def test_compressed_captures_cut_or_damaged_give_what_was_readable(tmp_path: Path) -> None:
    plain = pcap(*(os.urandom(100) for _ in range(100)))
    data = gzip.compress(plain)
    (tmp_path / "cut").write_bytes(data[: len(data) // 2])
    (tmp_path / "wrong").write_bytes(gzip.compress(plain) + b"something else")
    (tmp_path / "inner").write_bytes(gzip.compress(plain[:-1]))
    (tmp_path / "no").write_bytes(gzip.compress(b"GET / HTTP/1.1"))
    for name, message, least, most in (
        ("cut", "gzip data cut off after packet 4", 40, 50),
        ("wrong", "something else follows the gzip data, after packet 100", 100, 100),
        ("inner", "capture cut off after packet 99, at byte", 99, 99),
        ("no", "not a capture file: it begins with 47455420", 0, 0),
    ):
        recorder = Recorder()
        with open_source(tmp_path / name) as source, pytest.raises(CaptureError) as caught:
            drain(source, recorder)
        assert str(caught.value).startswith(f"{tmp_path / name}: {message}")
        assert least <= len(recorder.got) <= most


def test_zstd_without_a_module_is_told_with_the_files_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compressed, "_module", lambda name: None)
    (tmp_path / "x.pcap").write_bytes(b"\x28\xb5\x2f\xfd" + bytes(20))
    said = r"x\.pcap: a zstd-.*uinet\[follow\]"
    with open_source(tmp_path / "x.pcap") as source, pytest.raises(CaptureError, match=said):
        drain(source)


def test_damage_is_told_once_behind_the_last_good_packet(tmp_path: Path) -> None:
    (tmp_path / "cut").write_bytes(DATA[:-1])
    recorder = Recorder()
    with open_source(tmp_path / "cut") as source:
        with pytest.raises(CaptureError) as caught:
            drain(source, recorder)
        assert not source.pump(recorder)
    assert str(caught.value) == f"{tmp_path / 'cut'}: capture cut off after packet 2, at byte 59"
    assert recorder.packets == PACKETS[:2]


@pytest.mark.parametrize(("data", "message"), [
    (b"", "an empty file is no capture"), (b"abc", "not a capture file"), (b"\x0a\x0d\x0d\x0a", "capture cut off"),
])
def test_files_that_are_hardly_there(data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(data)
    with open_source(tmp_path / "x") as source, pytest.raises(CaptureError, match=f"x: {message}"):
        drain(source)


def test_what_can_not_be_opened_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DeviceError) as caught:
        open_source(tmp_path / "none")
    assert str(caught.value) == f"{tmp_path / 'none'}: No such file or directory"
    with open_source(tmp_path) as source, pytest.raises(CaptureError, match="can't be read: Is a directory"):
        drain(source)
    with pytest.raises(DeviceError, match="embedded null byte"):
        open_source("a\0b")
    with pytest.raises(DeviceURLError, match="netmap:eth0"):
        open_source("netmap:eth0*")
    with pytest.raises(InvalidArgument, match="not bytes"):
        open_source(os.fsencode(tmp_path))  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="a source is a path, a device URL, a file or a device, not int"):
        open_source(5)  # type: ignore[arg-type]


def test_a_file_called_like_a_device_is_opened_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("tap:0", "12:30.pcap"):
        Path(name).write_bytes(DATA)
    for named in ("./tap:0", Path("tap:0"), "12:30.pcap"):
        with open_source(named) as source:
            assert drain(source).packets == PACKETS


def test_a_fifo_is_read_as_it_is_written(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")

    def write() -> None:
        with open(tmp_path / "fifo", "wb", buffering=0) as file:
            for at in range(0, len(MANY), 70_000):
                file.write(MANY[at : at + 70_000])

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    with open_source(tmp_path / "fifo") as source:
        assert source.size is None
        assert len(drain(source).got) == 2000
        assert source.position == len(MANY)
    writer.join(10)
    assert not writer.is_alive()


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    kept = os.dup(0)
    try:
        os.dup2(reading, 0)
        os.write(writing, DATA)
        os.close(writing)
        with open_source("-") as source:
            assert source.name == "standard input"
            assert drain(source).packets == PACKETS
        os.fstat(0)  # still open
    finally:
        os.dup2(kept, 0)
        os.close(kept)
        os.close(reading)


def test_a_pipe_without_anything_lets_go_and_can_be_stopped() -> None:
    reading, writing = os.pipe()
    recorder = Recorder()
    with open(reading, "rb", buffering=0) as file, open(writing, "wb", buffering=0) as end:
        with open_source(f"/dev/fd/{file.fileno()}") as source:
            assert source.pump(recorder)
            end.write(DATA[:50])
            assert source.pump(recorder, lambda: False)
            assert recorder.packets == [b"one"]
            assert source.pump(recorder)
            end.write(DATA[50:])
            assert not source.pump(recorder, lambda: True)
            assert recorder.packets == [b"one"]
            assert source.pump(recorder)
        assert recorder.packets == PACKETS


def test_stop_ends_without_a_word_of_damage(tmp_path: Path) -> None:
    (tmp_path / "many").write_bytes(gzip.compress(MANY))
    recorder = Recorder()
    with open_source(tmp_path / "many") as source:
        assert source.pump(recorder, lambda: False)
        assert not source.pump(recorder, lambda: True)


class Small(io.RawIOBase):
    """A file that gives a few bytes at a time."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        piece, self.data = self.data[:7], self.data[7:]
        into[: len(piece)] = piece
        return len(piece)


def test_open_files_are_read_from_where_they_are_and_stay_open(path: Path) -> None:
    with open(path, "rb") as file:
        with open_source(file) as source:
            assert source.name == str(path)
            assert drain(source).packets == PACKETS
        assert not file.closed
    for other in (io.BytesIO(DATA), Small(DATA), io.BufferedReader(Small(DATA)), io.BytesIO(gzip.compress(DATA))):
        with open_source(other) as source:  # type: ignore[arg-type]
            assert source.name == "capture"
            assert drain(source).packets == PACKETS
        assert not other.closed
    before = io.BytesIO(b"junk" + DATA)
    before.seek(4)
    assert drain(open_source(before)).packets == PACKETS


def test_a_file_that_is_of_no_use_is_told() -> None:
    with pytest.raises(InvalidArgument, match="open in binary mode"):
        open_source(io.StringIO("text"))  # type: ignore[arg-type]

    class Silly:
        """Has a read of its own."""

        def read(self, size: int) -> object:
            return None

    with pytest.raises(CaptureError, match="capture: can't be read: it gives NoneType, not bytes"):
        drain(open_source(Silly()))  # type: ignore[arg-type]
    closed = io.BytesIO(DATA)
    closed.close()
    with pytest.raises(CaptureError, match="capture: can't be read: I/O operation on closed file"):
        drain(open_source(closed))


# filters

IP = b"\x45" + bytes(8) + b"\x06" + bytes(10) + b"\x04\xd2\x00\x50" + bytes(16)
TO_80 = bytes(12) + b"\x08\x00" + IP
TO_81 = TO_80[:37] + b"\x51" + TO_80[38:]


@needs_libpcap
def test_filter_keeps_packets_back_and_their_numbers(tmp_path: Path) -> None:
    data = section() + interface() + interface(LINKTYPE_RAW)
    data += enhanced(TO_81) + enhanced(TO_80, 1) + enhanced(IP, 2, 1) + enhanced(b"", 3)
    (tmp_path / "x").write_bytes(data)
    with open_source(tmp_path / "x", filter="tcp dst port 80") as source:
        recorder = drain(source)
        assert recorder.got == [Got(1, TO_80, 54, 1000), Got(LINKTYPE_RAW, IP, 40, 2000)]
        assert recorder.frames == 4
        assert source.statistics() == {"packets": 4, "filtered": 2, "bytes": len(data)}
    with open_source(tmp_path / "x", filter=" ") as source:
        assert len(drain(source).got) == 4
    with open_source(tmp_path / "x", filter="ether host 1:2:3:4:5:6") as source, pytest.raises(FilterError):
        drain(source)


@needs_libpcap
def test_a_filter_that_is_wrong_is_told_before_anything_is_opened(tmp_path: Path) -> None:
    with pytest.raises(FilterError, match="syntax error"):
        open_source(tmp_path / "none", filter="tcp prot 80")


# devices


@pytest.mark.parametrize(("layer", "link_type"), [(2, LINKTYPE_ETHERNET), (3, LINKTYPE_RAW)])
def test_device_frames_come_with_their_times_or_those_of_the_clock(
    layer: int, link_type: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uinet.following.devices.time.time_ns", lambda: TIME)
    registry = MemoryRegistry()
    near, far = registry.open("x", layer=layer), registry.open("x", layer=layer)
    recorder = Recorder()
    source = open_source(near)
    assert source.pump(recorder)  # nothing there
    assert recorder.times == []  # and nothing was: no time goes on
    far.send([Frame(b"first frame" * 9), Frame(b"second frame" * 9)])
    assert source.pump(recorder)
    assert recorder.got == [
        Got(link_type, b"first frame" * 9, 99, TIME), Got(link_type, b"second frame" * 9, 108, TIME),
    ]
    assert source.pump(recorder)
    assert recorder.times == [TIME]
    assert source.statistics() == {"packets": 2, "filtered": 0, "bytes": 207, "dropped": 0}
    assert not source.pump(recorder, lambda: True)
    source.close()
    assert not near.closed
    near.close()
    with pytest.raises(DeviceGone):
        source.pump(recorder)


@needs_libpcap
def test_device_frames_are_filtered() -> None:
    registry = MemoryRegistry()
    near, far = registry.open("x"), registry.open("x")
    source, recorder = open_source(near, filter="tcp dst port 80"), Recorder()
    far.send([Frame(TO_81), Frame(TO_80)])
    assert source.pump(recorder)
    assert recorder.packets == [TO_80]
    assert recorder.frames == 2
    assert source.statistics()["filtered"] == 1


def test_capture_device_ends_and_its_times_are_the_captures(path: Path) -> None:
    with PcapDevice(str(path)) as device:
        recorder = drain(open_source(device))
    assert [got.time for got in recorder.got] == [TIME, TIME + 1, TIME + 2]
    assert recorder.times == []
    with open_source(f"pcap:{path}?pace=capture&drop=0") as source:
        assert drain(source).packets == PACKETS
    path.write_bytes(DATA[:-1])
    recorder = Recorder()
    with open_source(f"pcap:{path}?pace=fast") as source, pytest.raises(CaptureError, match="cut off after packet 2"):
        drain(source, recorder)
    assert recorder.packets == PACKETS[:2]
