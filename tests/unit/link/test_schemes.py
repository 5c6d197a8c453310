"""Devices of other packages: schemes of device URLs by entry points."""

from __future__ import annotations

import shutil
import socket
import sys
from pathlib import Path

import pytest

from tests.unit.link.subjects import beside
from uinet.errors import DeviceError, DeviceURLError
from uinet.link import Device, conformance, open_device
from uinet.link.url import is_device_url

EXAMPLE = Path(__file__).parents[3] / "examples" / "udp_device.py"
MODULE = "uinet_test_devices"
SOURCE = """
from uinet.link import MemoryDevice

def wrong(name, options, common):
    raise ZeroDivisionError("by nought")

def late(name, options, common):
    return lambda: 1 / 0

def none(name, options, common):
    return lambda: None

def memory(name, options, common):
    return lambda: MemoryDevice("mine")

number = 5
"""


def install(folder: Path, points: dict[str, str]) -> None:
    """What an installer leaves of a package: its metadata, and its modules."""
    shutil.copy(EXAMPLE, folder / f"{MODULE}_udp.py")
    (folder / f"{MODULE}.py").write_text(SOURCE)
    info = folder / "uinet_test_devices-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: uinet-test-devices\nVersion: 1.0\n")
    lines = "".join(f"{name} = {value}\n" for name, value in points.items())
    (info / "entry_points.txt").write_text(f"[uinet.devices]\n{lines}")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, {
        "udp": f"{MODULE}_udp:udp_scheme", "gone": "no_such_module:x", "number": f"{MODULE}:number",
        "wrong": f"{MODULE}:wrong", "late": f"{MODULE}:late", "none": f"{MODULE}:none", "tap": f"{MODULE}:memory",
    })  # fmt: skip
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in (MODULE, f"{MODULE}_udp"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def free_ports() -> list[int]:
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    for sock in sockets:
        sock.bind(("127.0.0.1", 0))
    ports = [int(sock.getsockname()[1]) for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


def udp_subject() -> conformance.Subject:
    a, b = free_ports()
    device: Device = open_device(f"udp:127.0.0.1:{a}?local={b}", mtu=1400)
    return beside(device, open_device(f"udp:127.0.0.1:{b}?local={a}", mtu=9000))


@pytest.mark.usefixtures("package")
def test_device_of_another_package_opens_by_its_url() -> None:
    with udp_subject() as subject:
        assert type(subject.device).__name__ == "UdpDevice"
        assert subject.device.mtu == 1400
    with open_device("udp:127.0.0.1:9?drop=1%&seed=3") as device:  # wrapped like any other
        assert type(device).__name__ == "Faults"


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("check", [
    check for check in conformance.CHECKS if check is not conformance.loses_nothing_when_it_is_full  # UDP does
], ids=lambda check: check.__name__)  # fmt: skip
def test_device_of_the_example_conforms(check: conformance.Check) -> None:
    check(udp_subject)


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(("url", "kind", "message"), [
    ("udp:127.0.0.1:9?color=red", DeviceURLError, "udp has no option 'color': there are capture, .*, local, "),
    ("udp:127.0.0.1", DeviceURLError, "want udp:HOST:PORT"),
    ("gone:x", DeviceError, "gone: the device of uinet-test-devices can't be loaded: ModuleNotFoundError: No module"),
    ("number:x", DeviceError, f"number: {MODULE}:number is no function that makes devices"),
    ("wrong:x", DeviceError, "x: ZeroDivisionError: by nought"),
    ("late:x", DeviceError, "x: ZeroDivisionError: division by zero"),
    ("none:x", DeviceError, "x: made a NoneType, which is no uinet.link.Device"),
    ("other:x", DeviceURLError, "no device is called 'other': .*; gone:; late:; none:; number:; udp:; wrong:"),
])  # fmt: skip
def test_what_is_wrong_with_it_is_one_line(url: str, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        open_device(url)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("package")
def test_built_in_schemes_are_not_replaced() -> None:
    with pytest.raises(DeviceError, match="can't be the name of an interface"):
        open_device("tap:a/b")


@pytest.mark.usefixtures("package")
def test_what_is_a_device_url_and_what_a_path() -> None:
    assert [is_device_url(text) for text in ("udp:x", "netmap:eth0", "other:x", "capture.pcap", "/a:b")] == [
        True, True, False, False, False,
    ]  # fmt: skip


def test_without_packages_there_are_the_built_in_ones() -> None:
    with pytest.raises(DeviceURLError, match="no device is called 'udp'"):
        open_device("udp:127.0.0.1:9")
