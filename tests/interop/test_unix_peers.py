"""Unix sockets with the programs that speak them: passt, a VDE switch, and QEMU with Linux as its guest."""

from __future__ import annotations

import asyncio
import contextlib
import glob
import select
import socket
import subprocess
from collections.abc import AsyncIterator, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

import uinet
from tests.interop.netns import PATIENCE, Namespace, background, listens, namespace, require, wait_for
from tests.interop.tiny_guest import initramfs, kernel_image
from uinet.errors import DeviceError, DeviceGone
from uinet.link import open_device, vde

pytestmark = [pytest.mark.interop, pytest.mark.timeout(240)]

SIZE = 300_000
CONTENT = bytes(n * 7 % 251 for n in range(SIZE))


def run(work: Coroutine[Any, Any, None], timeout: float = 60) -> None:
    asyncio.run(asyncio.wait_for(work, timeout))


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def exchanged(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Sends CONTENT, and has it back. Ends this direction last: Debian's passt forgets the FIN of a host that answers
    ours."""
    writer.write(CONTENT)
    assert await reader.readexactly(SIZE) == CONTENT
    writer.close()


def kernel_echo(listener: socket.socket) -> int:
    """One connection's bytes back to it; how many."""
    listener.settimeout(PATIENCE)
    connection, _ = listener.accept()
    total = 0
    with connection:
        connection.settimeout(PATIENCE)
        while data := connection.recv(65536):
            connection.sendall(data)
            total += len(data)
    return total


@contextlib.contextmanager
def program(command: list[str], log: Path, socket_path: Path, space: Namespace | None = None) -> Iterator[Any]:
    """A program that runs beside the test, in `space` if it is given, until its end, once it listens at
    `socket_path`."""
    prefix = ["ip", "netns", "exec", space.name] if space is not None else []
    with open(log, "wb") as output:
        process = subprocess.Popen(
            [*prefix, *command], stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        wait_for(lambda: listens(socket_path, space) or process.poll() is not None, f"{command[0]} to listen")
        assert process.poll() is None, log.read_text()
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=5)


@pytest.fixture
def space() -> Iterator[Namespace]:
    with namespace("passt") as made:
        # passt takes over what it finds: an address, and a way out
        made.run("ip link add out0 type veth peer name out1")
        made.run("ip addr add 192.0.2.2/24 dev out0")
        made.run("ip link set out0 up")
        made.run("ip link set out1 up")
        made.run("ip route add default via 192.0.2.1")
        yield made


def test_stack_is_the_guest_of_passt(space: Namespace, tmp_path: Path) -> None:
    require("passt")
    path = tmp_path / "passt.socket"
    command = [
        "passt", "--foreground", "--socket", str(path), "--runas", "0", "--ipv4-only", "--address", "10.7.0.2",
        "--netmask", "24", "--gateway", "10.7.0.1", "--tcp-ports", "9000", "--udp-ports", "none",
    ]
    listener = space.open_socket()
    listener.bind(("127.0.0.1", 8000))
    listener.listen(1)

    def from_the_host() -> bytes:
        with space.open_socket() as client:
            client.settimeout(PATIENCE)
            client.connect(("127.0.0.1", 9000))
            client.sendall(CONTENT[:5000])
            got = b""
            while len(got) < 5000 and (data := client.recv(65536)):
                got += data
            return got

    async def work() -> None:
        async with uinet.Host(linger=0.5) as host:
            await host.add_device(f"unix:{path}", addresses="10.7.0.2/24", gateway="10.7.0.1")
            reader, writer = await host.open_connection("10.7.0.1", 8000)
            await exchanged(reader, writer)
            await host.start_server(echo, "10.7.0.2", 9000)
            assert await asyncio.to_thread(from_the_host) == CONTENT[:5000]

    with listener, program(command, tmp_path / "log", path, space):
        with background(lambda: kernel_echo(listener)) as echoed:
            run(work())
        assert echoed == [SIZE]


@contextlib.contextmanager
def switch(tmp_path: Path) -> Iterator[tuple[Path, Any]]:
    require("vde_switch")
    path = tmp_path / "vde.ctl"
    command = ["vde_switch", "--sock", str(path), "--mode", "700"]
    with program(command, tmp_path / "log", path / "ctl") as process:
        yield path, process


def test_two_stacks_meet_at_a_vde_switch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(path: Path) -> None:
        async with uinet.Host(linger=0.5) as left, uinet.Host(linger=0.5) as right:
            await left.add_device(f"vde:{path}", addresses="10.7.0.1/24")
            await right.add_device(f"vde:{path}?port=7", addresses="10.7.0.2/24")
            await right.start_server(echo, "10.7.0.2", 9000)
            reader, writer = await left.open_connection("10.7.0.2", 9000)
            await exchanged(reader, writer)

    with switch(tmp_path) as (path, process):
        run(work(path))
        assert not glob.glob(f"{path}/.uinet*")
        with monkeypatch.context() as hasty:
            hasty.setattr(vde, "PATIENCE", 0.3)
            with pytest.raises(DeviceError, match="no answer: this is no VDE switch, or it has no port 999"):
                open_device(f"vde:{path}?port=999")  # of 32
        with open_device(f"vde:{path}") as device:
            process.terminate()
            process.wait(timeout=10)
            assert select.select([device.fileno()], [], [], PATIENCE)[0]
            with pytest.raises(DeviceGone, match="the switch has ended"):
                device.recv()


# QEMU, with Linux as its guest


@contextlib.contextmanager
def guest(tmp_path: Path, netdev: str, script: str) -> Iterator[Any]:
    """A guest that has a network card behind `netdev`; its console goes to the file "console"."""
    kernel, modules = kernel_image()
    image = tmp_path / "initramfs"
    image.write_bytes(initramfs(modules, script, {"www/content": CONTENT}))
    command = [
        "qemu-system-x86_64", "-M", "q35,accel=tcg", "-cpu", "max", "-m", "256", "-nodefaults", "-no-user-config",
        "-display", "none", "-serial", "stdio", "-kernel", str(kernel), "-initrd", str(image), "-no-reboot",
        "-append", "console=ttyS0 quiet panic=-1", "-device", "virtio-net-pci,netdev=n0,romfile=", "-netdev", netdev,
    ]  # fmt: skip
    with open(tmp_path / "console", "wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.kill()
        process.wait(timeout=10)


@contextlib.asynccontextmanager
async def network(tmp_path: Path, url: str) -> AsyncIterator[uinet.Host]:
    async with uinet.Host(linger=0.5) as host:
        await host.add_device(url, addresses="10.7.0.2/24")
        yield host


async def said(tmp_path: Path, what: str, timeout: float = 200) -> None:
    end = asyncio.get_running_loop().time() + timeout
    while what not in (tmp_path / "console").read_text(errors="replace"):
        if asyncio.get_running_loop().time() > end:
            pytest.fail(f"the guest did not say {what!r}: {(tmp_path / 'console').read_text(errors='replace')}")
        await asyncio.sleep(0.1)


SCRIPT = """
ip addr add 10.7.0.1/24 dev eth0
ip link set eth0 up
httpd -h /www
echo guest is ready
until nc -w 5 10.7.0.2 9000 < /www/content > /got; do sleep 0.2; done
cmp /www/content /got && echo guest has its bytes back
sleep 1000
"""


@pytest.mark.parametrize("mode", ["stream, QEMU connects", "stream, QEMU listens", "datagrams", "VDE"])
def test_linux_in_qemu_talks_to_the_stack(tmp_path: Path, mode: str) -> None:
    require("qemu-system-x86_64", "busybox")
    kernel_image()
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    if mode == "stream, QEMU connects":
        url, netdev = f"unix:{ours}?listen=1", f"stream,id=n0,server=off,addr.type=unix,addr.path={ours}"
    elif mode == "stream, QEMU listens":
        url, netdev = f"unix:{theirs}?reconnect=100ms", f"stream,id=n0,server=on,addr.type=unix,addr.path={theirs}"
    elif mode == "VDE":
        url, netdev = f"vde:{ours}?listen=1", f"vde,id=n0,sock={ours}"
    else:
        url = f"unix:{theirs}?mode=dgram&local={ours}&reconnect=1s"
        netdev = f"dgram,id=n0,local.type=unix,local.path={theirs},remote.type=unix,remote.path={ours}"

    async def work() -> None:
        async with network(tmp_path, url) as host:
            await host.start_server(echo, "10.7.0.2", 9000)
            with guest(tmp_path, netdev, SCRIPT):
                await said(tmp_path, "guest is ready")
                reader, writer = await host.open_connection("10.7.0.1", 80)
                writer.write(b"GET /content HTTP/1.0\r\n\r\n")
                answer = await reader.read(-1)
                assert answer.split(b"\r\n\r\n", 1)[1] == CONTENT
                writer.close()
                await said(tmp_path, "guest has its bytes back")

    run(work(), 220)
