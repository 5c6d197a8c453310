"""A port of a VDE switch, with the switch played by two sockets."""

from __future__ import annotations

import os
import select
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.link.packets import packet, tcp_header
from tests.unit.link.subjects import FakeSwitch
from uinet.errors import DeviceError, DeviceGone, DeviceURLError
from uinet.link import VdeDevice, VdeSwitchDevice, open_device, vde
from uinet.wire.frame import Frame

FRAME = packet(tcp_header(), b"hello")


def test_request_names_a_socket_and_the_answer_another(tmp_path: Path) -> None:
    switch = FakeSwitch(str(tmp_path))
    device = open_device(f"vde:{tmp_path}?port=7")
    switch.thread.join()
    magic, version, kind, family = struct.unpack_from("=IIIH", switch.request)
    assert (magic, version, kind, family) == (0xFEEDFACE, 3, 7 << 8, socket.AF_UNIX)
    assert len(switch.request) == 12 + 110 + 128
    name = os.fsdecode(switch.request[14:122].split(b"\0", 1)[0])
    assert switch.request[122:].startswith(b"uinet, process")
    with device:
        assert os.path.dirname(name) == str(tmp_path)
        assert device.send([Frame(FRAME)]) == 1
        assert switch.data.recv(2000) == FRAME
        switch.data.send(b"x" * 60)
        assert select.select([device.fileno()], [], [], 1)[0]
        assert [frame.data for frame in device.recv()] == [b"x" * 60]
        assert not select.select([device.fileno()], [], [], 0)[0]
    assert not os.path.exists(name)
    switch.close()


def test_switch_that_ends_is_reported_after_its_last_frame(tmp_path: Path) -> None:
    switch = FakeSwitch(str(tmp_path))
    with VdeDevice(str(tmp_path)) as device:
        switch.thread.join()
        switch.data.send(FRAME)
        switch.hang_up()
        assert [frame.data for frame in device.recv()] == [FRAME]
        assert select.select([device.fileno()], [], [], 1)[0]
        with pytest.raises(DeviceGone, match="the switch has ended"):
            device.recv()
    switch.close()


def test_errors_are_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vde, "PATIENCE", 0.05)
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(DeviceError, match=r"vde:.*/ctl: nobody listens there \(listen=1 makes this side the switch\)"):
        VdeDevice(str(tmp_path))
    switch = FakeSwitch(str(tmp_path))
    switch.answers = False
    with pytest.raises(DeviceError, match="no answer: this is no VDE switch, or it has no port 9"):
        VdeDevice(str(tmp_path), port=9)
    switch.close()
    with pytest.raises(DeviceError, match="port 70000: want 1 to 65535"):
        VdeDevice(str(tmp_path), port=70000)
    assert set(os.listdir("/proc/self/fd")) == before
    assert sorted(os.listdir(tmp_path)) == ["ctl", "port"]


# the switch's side


def request(name: bytes, magic: int = 0xFEEDFACE, version: int = 3, kind: int = 0) -> bytes:
    return struct.pack("=IIIH108s", magic, version, kind, socket.AF_UNIX, name) + b"a program\0"


@pytest.fixture
def data(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(tmp_path / "data"))
        made.settimeout(2)
        yield made


def test_switch_answers_one_program_after_the_other(tmp_path: Path) -> None:
    path = tmp_path / "switch"
    with open_device(f"vde:{path}?listen=1") as device:
        assert path.stat().st_mode & 0o777 == 0o700
        descriptor = device.fileno()
        device.send([Frame(FRAME)])
        assert device.statistics()["tx_down"] == 1
        for turn in range(2):
            with (
                socket.socket(socket.AF_UNIX) as control, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as data
            ):
                name = tmp_path / f"data{turn}"
                data.bind(str(name))
                data.settimeout(2)
                control.connect(str(path / "ctl"))
                control.settimeout(2)
                whole = request(os.fsencode(name), kind=5 << 8)
                for at in range(0, len(whole), 50):  # however it is cut
                    control.sendall(whole[at : at + 50])
                    assert select.select([device.fileno()], [], [], 1)[0]
                    assert device.recv() == []
                answer = control.recv(1000)
                assert len(answer) == 110
                data.connect(os.fsdecode(answer[2:].split(b"\0", 1)[0]))
                name.unlink()  # as libvdeplug does
                data.send(b"x" * 60)
                assert select.select([device.fileno()], [], [], 1)[0]
                assert [frame.data for frame in device.recv()] == [b"x" * 60]
                device.send([Frame(FRAME)])
                assert data.recv(2000) == FRAME
                data.send(b"last")
            assert select.select([device.fileno()], [], [], 1)[0]
            assert [frame.data for frame in device.recv()] == [b"last"]
            device.send([Frame(FRAME)])
            assert device.fileno() == descriptor
        assert device.statistics()["tx_down"] == 3
    assert not path.exists()


@pytest.mark.parametrize("wrong", [
    request(b"/x", magic=1), request(b"/x", version=1), request(b"/x", kind=7), request(b""), bytes(122), b"\xff" * 300,
])  # fmt: skip
def test_switch_hangs_up_on_nonsense_and_serves_the_next(tmp_path: Path, data: socket.socket, wrong: bytes) -> None:
    path = tmp_path / "switch"
    with VdeSwitchDevice(str(path)) as device:
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(str(path / "ctl"))
            control.settimeout(2)
            control.sendall(wrong)
            for _ in range(3):
                device.recv()
            try:
                assert control.recv(1000) == b""
            except ConnectionResetError:
                pass  # it was closed with bytes unread
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(str(path / "ctl"))
            control.settimeout(2)
            control.sendall(request(os.fsencode(tmp_path / "data")))
            for _ in range(3):
                device.recv()
            assert len(control.recv(1000)) == 110


def test_switch_takes_no_place_that_is_taken(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    with pytest.raises(DeviceError, match="is in use: want a directory"):
        VdeSwitchDevice(str(tmp_path / "file"))
    with VdeSwitchDevice(str(tmp_path / "switch")), pytest.raises(DeviceError, match="is in use"):
        VdeSwitchDevice(str(tmp_path / "switch"))
    assert sorted(os.listdir(tmp_path)) == ["file"]
    with pytest.raises(DeviceURLError, match="at most 107 bytes"):
        VdeSwitchDevice(str(tmp_path / ("x" * 108)))
    assert sorted(os.listdir(tmp_path)) == ["file"]
