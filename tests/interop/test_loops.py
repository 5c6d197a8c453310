"""The program of tests/unit/loops on every event system, over a TAP: the kernel is its server, then its client."""

from __future__ import annotations

import contextlib
import hashlib
import select
import socket
import struct
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import gevent
import pytest
import trio

import uinet.gevent
import uinet.trio
from tests.interop.netns import Namespace, background, namespace, require
from tests.sim.certificate import server_context
from tests.unit.loops.program import DATA, DATAGRAMS, Handler, Work, client, serve_all
from tests.unit.loops.worlds import WORLDS, finished
from uinet.link import open_device
from uinet.link.device import Device

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

KERNEL, OURS = "10.53.0.1", "10.53.0.2"


class KernelConnection:
    """A kernel's socket that blocks."""

    def __init__(self, world: KernelSockets, sock: socket.socket) -> None:
        self.world, self.sock = world, sock

    async def send(self, data: bytes) -> None:
        self.sock.settimeout(self.world.timeout)
        self.sock.sendall(data)

    async def recv(self, limit: int) -> bytes:
        self.sock.settimeout(self.world.timeout)
        return self.sock.recv(limit)

    async def send_eof(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)

    async def close(self) -> None:
        self.sock.close()

    def abort(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class KernelSockets:
    """A kernel, as a world: threads, and sockets of a namespace. Its coroutines never wait."""

    name = "kernel"

    def __init__(self, space: Namespace) -> None:
        self.space = space
        self.local = threading.local()
        self.listeners: list[socket.socket] = []

    @property
    def timeout(self) -> float:
        return min(getattr(self.local, "timeouts", None) or [20.0])

    def run(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        finished(main())

    @asynccontextmanager
    async def host(self, device: Device, *addresses: str) -> AsyncIterator[None]:
        raise AssertionError("the kernel has its devices")
        yield

    async def connect(self, host: None, address: str, port: int) -> KernelConnection:
        sock = self.space.open_socket()
        sock.settimeout(self.timeout)
        try:
            sock.connect((address, port))
        except BaseException:
            sock.close()
            raise
        return KernelConnection(self, sock)

    async def listen(self, host: None, address: str, port: int, handler: Handler) -> Callable[[], Awaitable[Any]]:
        listener = self.space.open_socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(64)
        self.listeners.append(listener)

        def serve(sock: socket.socket) -> None:
            with contextlib.suppress(OSError):  # the peer has left: its own half of the program says how that was
                finished(handler(KernelConnection(self, sock)))  # type: ignore[arg-type]
            sock.close()

        def accept() -> None:
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(sock,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()

        async def close() -> None:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()

        return close

    async def udp(self, host: None, address: str, port: int) -> Any:
        raise AssertionError("see answer_datagrams")

    async def ping(self, host: None, address: str) -> float | None:
        return float(self.space.run(f"ping -c 1 -W 5 {address}").partition("time=")[2].partition(" ")[0]) / 1000

    async def sleep(self, seconds: float) -> None:
        select.select([], [], [], seconds)

    async def within(self, seconds: float, work: Work) -> Any:
        timeouts: list[float] = self.local.__dict__.setdefault("timeouts", [])
        timeouts.append(seconds)
        try:
            return await work()
        finally:
            timeouts.pop()

    async def together(self, *works: Work) -> None:
        errors: list[BaseException] = []

        def run(work: Work) -> None:
            try:
                finished(work())  # type: ignore[arg-type]
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=run, args=(work,), daemon=True) for work in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        if errors:
            raise errors[0]


@contextmanager
def kernel() -> Iterator[tuple[Namespace, Device]]:
    """A namespace whose kernel is on the other end of a TAP."""
    require("ping")
    with namespace("kernel", ipv6=False) as space:
        with space.entered():
            device = open_device("tap:u0")
        space.run(f"ip addr add {KERNEL}/24 dev u0")
        space.run("ip link set u0 up")
        yield space, device


@contextmanager
def answered_datagrams(space: Namespace) -> Iterator[None]:
    """The kernel sends datagrams back, last byte first."""
    sock = space.open_socket(kind=socket.SOCK_DGRAM)
    sock.bind((KERNEL, DATAGRAMS))
    sock.settimeout(20)

    def answer() -> None:
        for _ in range(3):
            data, sender = sock.recvfrom(65535)
            sock.sendto(data[::-1], sender)

    with sock, background(answer):
        yield


def test_curl_fetches_from_gevents_wsgi_server() -> None:
    body = DATA * 3

    def application(environ: Any, start_response: Any) -> list[bytes]:
        if environ["REQUEST_METHOD"] == "PUT":
            digest = hashlib.sha256(environ["wsgi.input"].read()).hexdigest()
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [digest.encode()]
        start_response("200 OK", [("Content-Type", "application/octet-stream")])
        return [body]

    def curl(space: Namespace, folder: Path) -> None:
        for number in range(2):
            space.run(f"curl -sS -f -o {folder}/got{number} http://{OURS}/{number}", timeout=30)
            assert (folder / f"got{number}").read_bytes() == body
        (folder / "sent").write_bytes(body)
        answer = space.run(f"curl -sS -f -T {folder}/sent http://{OURS}/put", timeout=30)
        assert answer == hashlib.sha256(body).hexdigest()

    require("curl")
    with (
        kernel() as (space, device), tempfile.TemporaryDirectory() as folder, gevent.Timeout(60),
        uinet.gevent.Host(linger=1) as host,
    ):
        host.add_device(device, addresses=f"{OURS}/24")
        with uinet.gevent.WSGIServer(host, (OURS, 80), application, log=None) as server:
            server.start()
            with background(lambda: curl(space, Path(folder)) or True) as results:  # type: ignore[func-returns-value]
                while not results:
                    gevent.sleep(0.01)


def test_curl_fetches_from_a_server_on_trio() -> None:
    async def answer(stream: uinet.trio.TcpStream) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            request += await stream.receive_some()
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(DATA)}\r\nConnection: close\r\n\r\n"
        await stream.send_all(head.encode() + DATA)

    async def main() -> None:
        async with uinet.trio.Host(linger=1) as host, trio.open_nursery() as nursery:
            await host.add_device(device, addresses=f"{OURS}/24")
            listeners = await host.open_tcp_listeners(443)
            secure = [trio.SSLListener(one, server_context(), https_compatible=True) for one in listeners]
            nursery.start_soon(trio.serve_listeners, answer, secure)
            await nursery.start(host.serve_tcp, answer, 80)
            for url in (f"http://{OURS}/", f"--insecure https://{OURS}/"):
                command = f"ip netns exec {space.name} curl -sS -f {url}".split()
                done = await trio.run_process(command, capture_stdout=True)
                assert done.stdout == DATA
            nursery.cancel_scope.cancel()

    require("curl")
    with kernel() as (space, device):
        trio.run(main)


everywhere = pytest.mark.parametrize("kind", WORLDS, ids=[getattr(kind, "backend", kind.__name__) for kind in WORLDS])


@everywhere
def test_program_has_the_kernel_as_server(kind: Any) -> None:
    world = kind()
    done = []

    async def main() -> None:
        async with world.host(device, f"{OURS}/24") as host:
            await client(world, host, KERNEL)
            udp = await world.udp(host, OURS, DATAGRAMS)
            for size in (1, 1400, 4000):
                await udp.send(DATA[:size], (KERNEL, DATAGRAMS))
                assert (await world.within(20, udp.recv))[0] == DATA[:size][::-1]
            await udp.close()
            done.append(True)

    with kernel() as (space, device), answered_datagrams(space):
        peer = KernelSockets(space)
        servers = finished(serve_all(peer, None, KERNEL))
        world.run(main)
        for close in servers:
            finished(close())
    assert done


@everywhere
def test_program_has_the_kernel_as_client(kind: Any) -> None:
    world = kind()
    done = []

    async def main() -> None:
        async with world.host(device, f"{OURS}/24") as host:
            await serve_all(world, host, OURS)
            with background(lambda: done.append(finished(client(KernelSockets(space), None, OURS)))) as results:
                for _ in range(4000):
                    if results:
                        break
                    await world.sleep(0.01)
                else:
                    pytest.fail("the kernel's client has not come to its end")

    with kernel() as (space, device):
        world.run(main)
    assert done
