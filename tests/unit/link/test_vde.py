"""A port of a VDE switch, with the switch played by two sockets."""

from __future__ import annotations

import os
import select
import socket
import struct
from pathlib import Path

import pytest

from tests.unit.link.packets import packet, tcp_header
from tests.unit.link.subjects import FakeSwitch
from uinet.errors import DeviceError, DeviceGone
from uinet.link import VdeDevice, open_device, vde
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
    with pytest.raises(DeviceError, match="nobody listens there"):
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
