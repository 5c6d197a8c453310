"""Device URLs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from uinet.errors import DeviceError, DeviceURLError, InvalidArgument
from uinet.link import (
    Capture,
    Faults,
    MemoryDevice,
    MemoryRegistry,
    PcapDevice,
    UnixStreamDevice,
    open_device,
)
from uinet.units import MICROSECOND, MILLISECOND, SECOND
from uinet.wire.addresses import Mac
from uinet.wire.frame import Frame
from uinet.wire.pcap import PcapWriter, read

T0 = 1_700_000_000 * SECOND


@pytest.fixture
def registry() -> MemoryRegistry:
    return MemoryRegistry()


def memory(options: str = "") -> object:
    return open_device(f"memory:link?{options}" if options else "memory:link", registry=MemoryRegistry())


def capture_file(path: Path) -> str:
    writer = PcapWriter(1)
    path.write_bytes(writer.header() + writer.packet(b"x" * 60, T0))
    return str(path)


def test_memory_ends_meet_in_the_registry(registry: MemoryRegistry) -> None:
    a = open_device("memory:link", registry=registry)
    b = open_device("memory:link", registry=registry)
    a.send([Frame(b"x" * 60)])
    assert len(b.recv()) == 1


def test_arguments_and_options_set_mtu_and_mac(registry: MemoryRegistry) -> None:
    mac = "02:00:00:00:00:01"
    by_option = open_device(f"memory:link?mtu=9000&mac={mac}", registry=registry)
    overridden = "memory:link?mtu=576&mac=02:00:00:00:00:ff"
    by_argument = open_device(overridden, registry=registry, mtu=9000, mac=mac)
    for device in (by_option, by_argument):
        assert (device.mtu, device.mac) == (9000, Mac(mac))


def test_faults_wrap_with_all_their_options() -> None:
    chances = "drop=0.01&corrupt=1%&reorder=.5&duplicate=0.5%"
    device = memory(f"{chances}&delay=5ms&jitter=200us&rate=1.5M&seed=-3&limit=7&direction=in")
    assert isinstance(device, Faults)
    assert (device.drop, device.corrupt, device.reorder, device.duplicate) == (0.01, 0.01, 0.5, 0.005)
    assert (device.delay, device.jitter, device.rate) == (5 * MILLISECOND, 200 * MICROSECOND, 1.5e6)
    assert device.limit == 7
    assert isinstance(device.inner, MemoryDevice)


@pytest.mark.parametrize(
    ("text", "delay"),
    [("0", 0), ("1.5s", 3 * SECOND // 2), ("200us", 200_000), ("7ns", 7), ("1ms", MILLISECOND)],
)
def test_times(text: str, delay: int) -> None:
    device = memory(f"drop=1&delay={text}")
    assert isinstance(device, Faults)
    assert device.delay == delay


def test_no_fault_no_wrapper() -> None:
    assert isinstance(memory("drop=0&delay=0&seed=5"), MemoryDevice)


def test_capture_shows_what_the_stack_sees(tmp_path: Path) -> None:
    path = tmp_path / "a&b.pcapng"
    device = memory(f"drop=1&capture={str(path).replace('&', '%26')}")
    assert isinstance(device, Capture)
    assert isinstance(device.inner, Faults)
    device.send([Frame(b"x" * 60)])
    device.close()
    assert len(read(path.read_bytes())) == 1  # sent, though it was lost on the way


def test_pcap_with_replies_and_a_tee_on_the_captures_clock(tmp_path: Path) -> None:
    source, out, tee = capture_file(tmp_path / "in.pcap"), tmp_path / "out.pcap", tmp_path / "tee.pcapng"
    device = open_device(f"pcap:{source}?out={out}&pace=fast&capture={tee}")
    assert len(device.recv()) == 1
    device.send([Frame(b"y" * 60)])
    assert device.recv() == []
    assert device.finished
    device.close()
    assert [record.time for record in read(tee.read_bytes())] == [T0, T0]
    assert [record.time for record in read(out.read_bytes())] == [T0]


def test_path_may_hold_escapes(tmp_path: Path) -> None:
    capture_file(tmp_path / "what?.pcap")
    with open_device(f"pcap:{tmp_path}/what%3F.pcap") as device:
        assert isinstance(device, PcapDevice)


def test_unix_socket_modes(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with open_device(f"unix:{path}?listen=1") as server, open_device(f"unix:{path}?layer=2") as client:
        assert isinstance(server, UnixStreamDevice)
        assert client.send([Frame(b"x" * 60)]) == 1
    with open_device(f"unix:{path}?mode=dgram&listen=yes&layer=3") as server:
        assert server.layer == 3
        with open_device(f"unix:{path}?mode=dgram&layer=3&local={tmp_path}/local") as client:
            client.send([Frame(b"x" * 60)])
            assert len(server.recv()) == 1


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("eth0", "'eth0' is no device URL: want memory:NAME, tap:NAME"),
        ("", "'' is no device URL"),
        ("foo:eth0", "no device is called 'foo': want memory:NAME"),
        ("tap:", "a name is missing after the colon"),
        ("pcap:?out=x", "a name is missing after the colon"),
        ("xdp:eth0?queue=x", "option queue=x: want the number of a queue, from 0"),
        ("xdp:eth0?mode=fast", "option mode=fast: want auto or native or generic"),
        ("packet:eth0?busy_poll=5", "option busy_poll=5: want a time with its unit"),
        ("packet:eth0?ring=big", "option ring=big: want bytes, like 8M, less than 1G"),
        ("netmap:eth0*", "want a port, like eth0, eth0-1"),
        ("netmap:vale0:1^", "VALE ports and pipes have no rings to choose from"),
        ("netmap:eth0?lend=x", "option lend=x: want a number from 0 to 65536"),
        ("vde:/tmp/x?port=70000", "option port=70000: want a number from 0 to 65535"),
        ("unix:/tmp/x?listen=1&reconnect=1s", "the one that listens waits anyway"),
        ("tap:0123456789abcdef", "interface name '0123456789abcdef' is too long: at most 15 bytes"),
        ("tap:a/b", "'a/b' can't be the name of an interface"),
        ("packet:a b", "'a b' can't be the name of an interface"),
        ("tun:x?up", "option 'up': want NAME=VALUE"),
        ("tun:x?up=1&up=0", "option 'up' is there twice"),
        ("tun:x?color=red", "tun has no option 'color': there are busy_poll, capture, .*, up"),
        ("tap:x?queue=5", "tap has no option 'queue'"),
        ("tap:x?up=maybe", "option up=maybe: want 1 or 0"),
        ("tap:x?ip=10.7.0.1", "option ip=10.7.0.1: want addresses with their prefix length, like 10"),
        ("tap:x?ip=10.7.0.300/24", "option ip: not an IP address: '10.7.0.300'"),
        ("tap:x?mtu=60", "option mtu: MTU 60: want 68 to 65535"),
        ("tap:x?mtu=big", "option mtu=big: want an integer of 1 or more"),
        ("tap:x?mac=02:00", "option mac: not a MAC address: '02:00'"),
        ("tap:x?drop=2", "option drop=2: want a probability from 0 to 1, or a percentage like 1%"),
        ("tap:x?drop=101%", "option drop=101%: want a probability"),
        ("tap:x?corrupt=-1", "option corrupt=-1: want a probability"),
        ("tap:x?reorder=nan", "option reorder=nan: want a probability"),
        ("tap:x?duplicate=", "option duplicate=: want a probability"),
        ("tap:x?delay=5", "option delay=5: want a time with its unit, like 5ms, 1.5s or 200us"),
        ("tap:x?jitter=-5ms", "option jitter=-5ms: want a time"),
        ("tap:x?rate=0", "option rate=0: want bits per second, like 64k, 10M or 1.5G"),
        ("tap:x?seed=x", "option seed=x: want an integer"),
        ("tap:x?limit=0", "option limit=0: want an integer of 1 or more"),
        ("tap:x?direction=up", "option direction=up: want both or in or out"),
        ("tap:x?capture=", "option capture=: want a path"),
        ("memory:x?layer=4", r"option layer=4: want 2 \(Ethernet\) or 3 \(IP\)"),
        ("memory:x", "memory:x is a cable within one program"),
        ("packet:x?fanout=65536", "option fanout=65536: want a number from 0 to 65535"),
        ("packet:x?buffer=2G", "option buffer=2G: want bytes, like 8M"),
        ("pcap:x?pace=slow", "option pace=slow: want fast or capture"),
        ("unix:x?mode=seq", "option mode=seq: want stream or dgram"),
        ("unix:x?local=y", "unix has no option 'local'"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(url: str, message: str) -> None:
    with pytest.raises(DeviceURLError, match=message) as caught:
        open_device(url)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, DeviceError | ValueError)


def test_wrong_arguments_are_named(registry: MemoryRegistry) -> None:
    with pytest.raises(InvalidArgument, match="MTU 5: want 68"):
        open_device("memory:x", registry=registry, mtu=5)
    with pytest.raises(InvalidArgument, match="not a MAC address"):
        open_device("memory:x", registry=registry, mac="nonsense")


def test_device_is_closed_if_a_wrapper_can_not_be_made(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with pytest.raises(DeviceError, match="No such file"):
        open_device(f"unix:{path}?listen=1&drop=0.1&capture={tmp_path}/no/x.pcapng")
    assert not path.exists()


IMPORTING = """
import os, sys
before = set(os.listdir("/proc/self/fd"))
import uinet.link
assert set(os.listdir("/proc/self/fd")) == before
assert "asyncio" not in sys.modules
print(len(uinet.link.__all__))
"""


ELSEWHERE = """
import errno, os, random, selectors, socket, subprocess, sys, tempfile, urllib.parse, ipaddress
del errno.EBADFD, socket.AF_PACKET, socket.AF_UNIX, socket.CMSG_SPACE, os.O_NONBLOCK
sys.modules["fcntl"] = None
sys.platform = "win32"
import uinet.link
from uinet.errors import DeviceError
pipe = uinet.link.Pipe(lambda packet: None)
pipe.feed(b"x")
assert len(pipe.recv()) == 1
for url in ("tap:x", "tun:x", "packet:x", "unix:x", "unix:x?mode=dgram&listen=1"):
    try:
        uinet.link.open_device(url)
    except DeviceError as error:
        print(error)
"""


def test_pipes_work_anywhere_and_other_devices_say_what_they_need() -> None:
    done = subprocess.run([sys.executable, "-c", ELSEWHERE], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "TAP and TUN devices exist on Linux only",
        "TAP and TUN devices exist on Linux only",
        "AF_PACKET devices exist on Linux only",
        "this system has no Unix sockets",
        "this system has no Unix sockets",
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_importing_opens_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTING], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10
