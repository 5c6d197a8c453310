"""Every device that a test can open without root, with its other end: subjects for `uinet.link.conformance`."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.unit.link.netmap_kernel import FakePort, Kernel, Region
from uinet.link import (
    Capture,
    Device,
    Faults,
    MemoryDevice,
    NetmapDevice,
    PcapDevice,
    Pipe,
    UnixDatagramDevice,
    UnixStreamDevice,
    UtunDevice,
    VdeDevice,
    VdeSwitchDevice,
)
from uinet.link import utun as utun_module
from uinet.link.conformance import Subject
from uinet.wire.frame import Frame
from uinet.wire.pcap import PcapWriter


def beside(device: Device, other: Device, *, close: Callable[[], None] = lambda: None, lossy: bool = False) -> Subject:
    """A subject whose other end is a device too."""
    waiting: list[Frame] = []

    def put(frames: Sequence[bytes]) -> None:
        waiting.extend(Frame(data) for data in frames)
        settle()

    def settle() -> None:
        deadline = other.deadline()
        if deadline is not None:
            other.poll(1 << 62)
        del waiting[: other.send(waiting)]

    def take() -> list[bytes]:
        found: list[bytes] = []
        while frames := other.recv():
            found += [one.data for one in frames]
        return found

    def end() -> None:
        other.close()
        close()

    return Subject(device, put, take, settle, end, lossy=lossy)


@contextlib.contextmanager
def folder() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="uinet-") as made:
        yield made


def memory(layer: int = 2) -> Subject:
    return beside(*MemoryDevice.pair(layer=layer))


def faults() -> Subject:
    device, other = MemoryDevice.pair()
    return beside(Faults(device, delay=1000), other)


def capture() -> Subject:
    stack = contextlib.ExitStack()
    path = stack.enter_context(folder())
    device, other = MemoryDevice.pair()
    return beside(Capture(device, f"{path}/x.pcapng"), other, close=stack.close)


def pipe() -> Subject:
    sent: list[bytes] = []
    device = Pipe(sent.append, layer=3)

    def take() -> list[bytes]:
        found = sent[:]
        sent.clear()
        return found

    return Subject(device, device.feed_many, take)


def pcap() -> Subject:
    stack = contextlib.ExitStack()
    path = f"{stack.enter_context(folder())}/in.pcap"
    Path(path).write_bytes(PcapWriter().header())
    return Subject(PcapDevice(path, out=f"{path}.out"), close=stack.close)


def stream() -> Subject:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    return beside(UnixStreamDevice(connection=ours), UnixStreamDevice(connection=theirs, mtu=9000))


def stream_that_listens() -> Subject:
    stack = contextlib.ExitStack()
    path = f"{stack.enter_context(folder())}/socket"
    device = UnixStreamDevice(path, listen=True)
    return beside(device, UnixStreamDevice(path, mtu=9000), close=stack.close, lossy=True)


def stream_that_reconnects() -> Subject:
    stack = contextlib.ExitStack()
    path = f"{stack.enter_context(folder())}/socket"
    other = UnixStreamDevice(path, listen=True, mtu=9000)
    return beside(UnixStreamDevice(path, reconnect=1_000_000), other, close=stack.close, lossy=True)


def datagrams() -> Subject:
    stack = contextlib.ExitStack()
    path = f"{stack.enter_context(folder())}/socket"
    other = UnixDatagramDevice(path, listen=True, mtu=9000)
    device = UnixDatagramDevice(path)
    device.send([Frame(bytes(60))])  # so that the other end knows whom to answer
    other.recv()
    device.counters["tx_frames"] = device.counters["tx_bytes"] = 0
    return beside(device, other, close=stack.close)


def datagrams_that_listen() -> Subject:
    stack = contextlib.ExitStack()
    path = f"{stack.enter_context(folder())}/socket"
    device = UnixDatagramDevice(path, listen=True)
    other = UnixDatagramDevice(path, mtu=9000)
    other.send([Frame(bytes(60))])
    device.recv()
    return beside(device, other, close=stack.close, lossy=True)


class FakeSwitch:
    """What vde_switch does with one program: answers its request, and then is the other end of its port."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(f"{path}/ctl")
        self.listener.listen(1)
        self.data = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.data.bind(f"{path}/port")
        self.data.setblocking(False)
        self.request = b""
        self.control: socket.socket | None = None
        self.answers = True
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        self.control, _ = self.listener.accept()
        self.request = self.control.recv(1000)
        peer = self.request[14:122].split(b"\0", 1)[0]
        self.data.connect(peer)
        if self.answers:
            self.control.sendall(struct.pack("=H108s", socket.AF_UNIX, os.fsencode(f"{self.path}/port")))

    def hang_up(self) -> None:
        self.thread.join()
        assert self.control is not None
        self.control.close()

    def close(self) -> None:
        self.hang_up()
        self.listener.close()
        self.data.close()


def sockets_end(device: Device, other: socket.socket, close: Callable[[], None], header: bytes = b"") -> Subject:
    """A subject whose other end is a datagram socket; each packet stands behind `header`."""
    waiting: list[bytes] = []

    def settle() -> None:
        with contextlib.suppress(BlockingIOError):
            while waiting:
                other.send(header + waiting[0])
                del waiting[0]

    def put(frames: Sequence[bytes]) -> None:
        waiting.extend(frames)
        settle()

    def take() -> list[bytes]:
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                found.append(other.recv(70000)[len(header) :])
        return found

    return Subject(device, put, take, settle, close)


def vde() -> Subject:
    stack = contextlib.ExitStack()
    path = stack.enter_context(folder())
    switch = FakeSwitch(path)
    stack.callback(switch.close)
    subject = sockets_end(VdeDevice(path), switch.data, stack.close)
    subject.lossy = True
    return subject


def vde_switch() -> Subject:
    """Our own two ends of the protocol."""
    stack = contextlib.ExitStack()
    path = f"{stack.enter_context(folder())}/switch"
    device = VdeSwitchDevice(path)

    def serve() -> None:
        while not device._peer:
            device.recv()

    thread = threading.Thread(target=serve)  # a program that asks for a port waits for the answer
    thread.start()
    other = VdeDevice(path, mtu=9000)
    thread.join()
    return beside(device, other, close=stack.close, lossy=True)


class FakeMac(utun_module.System):
    """macOS's side of utun: a socket that keeps packets apart, whose other end is the kernel."""

    def __init__(self) -> None:
        self.kernel: socket.socket | None = None
        self.unit = -1
        self.length = 1500

    def open(self, unit: int) -> tuple[socket.socket, str]:
        self.unit = unit
        ours, self.kernel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.kernel.setblocking(False)
        return ours, f"utun{unit - 1 if unit else 4}"

    def mtu(self, name: str) -> int:
        return self.length

    def set_mtu(self, name: str, mtu: int) -> None:
        self.length = mtu


def utun() -> Subject:
    system = FakeMac()
    device = UtunDevice("utun5", system=system)
    assert system.kernel is not None
    return sockets_end(device, system.kernel, system.kernel.close, b"\0\0\0\x02")


def netmap(lend: int = 0) -> Subject:
    port = FakePort("em0", Region(1), slots=64)
    kernel = Kernel(port)

    def put(frames: Sequence[bytes]) -> None:
        for data in frames:
            port.deliver(data)
        kernel.signal()

    def take() -> list[bytes]:
        found, port.sent = port.sent, []
        return found

    return Subject(NetmapDevice("em0", lend=lend, system=kernel), put, take, kernel.signal)


def netmap_switch() -> Subject:
    a, b = FakePort("vale0:a", Region(2), host=0), FakePort("vale0:b", Region(3), host=0)
    kernel = Kernel(a, b)
    kernel.join(a, b)
    devices = [NetmapDevice(name, mtu=mtu, system=kernel) for name, mtu in (("vale0:a", 1500), ("vale0:b", 9000))]

    def end() -> None:
        a.peer = b.peer = None

    return beside(devices[0], devices[1], close=end)


SUBJECTS: dict[str, Callable[[], Subject]] = {
    "memory": memory,
    "memory, layer 3": lambda: memory(3),
    "faults": faults,
    "capture": capture,
    "pipe": pipe,
    "pcap": pcap,
    "unix stream": stream,
    "unix stream that listens": stream_that_listens,
    "unix stream that reconnects": stream_that_reconnects,
    "unix datagrams": datagrams,
    "unix datagrams that listen": datagrams_that_listen,
    "vde": vde,
    "vde, the switch's side": vde_switch,
    "utun": utun,
    "netmap": netmap,
    "netmap with extra buffers": lambda: netmap(32),
    "netmap, ports of a switch": netmap_switch,
}
