"""Signed segments and Fast Open against the host's kernel."""

from __future__ import annotations

import asyncio
import ctypes
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from ipaddress import ip_address

import pytest

import uinet
from tests.interop.netns import Namespace, namespace, require
from uinet import AoKey, Md5Key
from uinet.errors import TimedOut
from uinet.link import open_device
from uinet.sockopt import IPPROTO_TCP, TCP_AO_ADD_KEY, TCP_MD5SIG

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

KERNEL, OURS = "10.53.0.1", "10.53.0.2"
KERNEL6, OURS6 = "fd53::1", "fd53::2"
KEY = b"a key of both"

# the kernel's names and numbers (linux/tcp.h)
K_TCP_MD5SIG, K_TCP_AO_ADD_KEY, K_TCP_FASTOPEN, K_TCP_FASTOPEN_CONNECT = 14, 38, 23, 30


@contextmanager
def kernel() -> Iterator[Namespace]:
    require()
    with namespace("signed") as made:
        yield made


@asynccontextmanager
async def host(space: Namespace) -> AsyncIterator[uinet.Host]:
    """A uinet host on one end of a TAP, the namespace's kernel on the other."""
    with space.entered():
        device = open_device("tap:u0")
    space.run("sysctl -qw net.ipv6.conf.u0.accept_dad=0")
    space.run("sysctl -qw net.ipv4.tcp_fastopen=3")
    space.run(f"ip addr add {KERNEL}/24 dev u0")
    space.run(f"ip addr add {KERNEL6}/64 dev u0 nodad")
    async with uinet.Host() as made:
        await made.add_device(device, addresses=[f"{OURS}/24", f"{OURS6}/64"])
        yield made


def storage(address: str, port: int = 0) -> bytes:
    """struct sockaddr_storage."""
    ip = ip_address(address)
    if ip.version == 4:
        return struct.pack("=HH4s", socket.AF_INET, socket.htons(port), ip.packed).ljust(128, b"\0")
    return struct.pack("=HHI16sI", socket.AF_INET6, socket.htons(port), 0, ip.packed, 0).ljust(128, b"\0")


def kernel_md5(sock: socket.socket, peer: str, key: bytes) -> None:
    """TCP_MD5SIG: struct tcp_md5sig."""
    value = storage(peer) + struct.pack("=BBHi80s", 0, 0, len(key), 0, key)
    set_option(sock, K_TCP_MD5SIG, value, "MD5 signatures (CONFIG_TCP_MD5SIG)")


def kernel_ao(sock: socket.socket, peer: str, key: AoKey) -> None:
    """TCP_AO_ADD_KEY: struct tcp_ao_add."""
    name = {"hmac-sha-1-96": b"hmac(sha1)", "aes-128-cmac-96": b"cmac(aes128)"}[key.algorithm]
    prefix = 32 if ip_address(peer).version == 4 else 128
    # set_current and set_rnext; the IDs as the kernel's end has them
    value = storage(peer) + struct.pack(
        "=64siIHBBBBBB80s", name, 0, 3, 0, prefix, key.receive_id, key.send_id, 12, 0 if key.cover_options else 1,
        len(key.key), key.key,
    )
    set_option(sock, K_TCP_AO_ADD_KEY, value, "TCP-AO (CONFIG_TCP_AO)")


def set_option(sock: socket.socket, name: int, value: bytes, what: str) -> None:
    """A TCP option of the kernel; the test can't run where the kernel lacks it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setsockopt(sock.fileno(), socket.IPPROTO_TCP, name, value, len(value)):
        error = ctypes.get_errno()
        if error in (92, 95):  # ENOPROTOOPT, EOPNOTSUPP
            pytest.skip(f"this kernel has no {what}")
        raise OSError(error, f"setsockopt({name})")


Keyed = Callable[[socket.socket, str], None]


def kernel_socket(space: Namespace, v6: bool) -> socket.socket:
    with space.entered():
        sock = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    return sock


async def echo_kernel(listener: socket.socket) -> None:
    """Serves one connection of the kernel's."""
    loop = asyncio.get_running_loop()
    connection, _ = await loop.sock_accept(listener)
    with connection:
        while data := await loop.sock_recv(connection, 65536):
            await loop.sock_sendall(connection, data)


async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, size: int) -> None:
    """Sends `size` bytes, and gets them back."""
    data = bytes(range(256)) * (size // 256)
    writer.write(data)
    writer.write_eof()
    assert await reader.read(-1) == data
    writer.close()
    await writer.wait_closed()


async def open_with(made: uinet.Host, address: str, port: int, option: int, *keys: object) -> uinet.Socket:
    """A socket of ours with keys, connecting."""
    sock = made.stack.socket()
    for key in keys:
        sock.setsockopt(IPPROTO_TCP, option, key)
    sock.connect((address, port))
    return sock


async def established(sock: uinet.Socket, seconds: float) -> bool:
    """Whether the connection comes about in time."""
    for _ in range(int(seconds * 50)):
        if sock.state == "ESTABLISHED":
            return True
        await asyncio.sleep(0.02)
    return False


async def ours_to_kernel(
    space: Namespace, v6: bool, theirs: Keyed, option: int, mine: object, wrong: object, size: int
) -> None:
    """We connect with the right key, and move bytes both ways; with a wrong one nothing comes about."""
    async with host(space) as made:
        address, here = (KERNEL6, OURS6) if v6 else (KERNEL, OURS)
        with kernel_socket(space, v6) as listener:
            theirs(listener, here)
            listener.bind((address, 7001))
            listener.listen()
            serving = asyncio.create_task(echo_kernel(listener))
            sock = await open_with(made, address, 7001, option, mine)
            assert await established(sock, 10)
            reader = asyncio.StreamReader()
            protocol = asyncio.StreamReaderProtocol(reader)
            transport, _ = await made.adopt(sock, lambda: protocol)
            await talk(reader, asyncio.StreamWriter(transport, protocol, reader, asyncio.get_running_loop()), size)
            await serving
            for keys in ((wrong,), ()):
                failing = await open_with(made, address, 7001, option, *keys)
                assert not await established(failing, 1.5)
                failing.abort()
            assert made.stack.stats["tcp_md5_wrong"] == made.stack.stats["tcp_ao_wrong"] == 0


async def kernel_to_ours(space: Namespace, v6: bool, theirs: Keyed, option: int, mine: object, size: int) -> None:
    """The kernel connects to a listener of ours that has a key."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async with host(space) as made:
        here, there = (OURS6, KERNEL6) if v6 else (OURS, KERNEL)
        server = await made.start_server(echo, here, 7002)
        server.sockets[0].setsockopt(IPPROTO_TCP, option, mine)
        loop = asyncio.get_running_loop()
        with kernel_socket(space, v6) as client:
            theirs(client, here)
            await asyncio.wait_for(loop.sock_connect(client, (here, 7002)), 10)
            reader, writer = await asyncio.open_connection(sock=client)
            await talk(reader, writer, size)
        with kernel_socket(space, v6) as client, pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(loop.sock_connect(client, (here, 7002)), 1.5)
        assert there and made.stack.stats["tcp_accepted"] == 1


@pytest.mark.parametrize("v6", [False, True], ids=["v4", "v6"])
def test_md5_to_the_kernel(v6: bool) -> None:
    peer = KERNEL6 if v6 else KERNEL
    with kernel() as space:
        asyncio.run(ours_to_kernel(
            space, v6, lambda sock, here: kernel_md5(sock, here, KEY), TCP_MD5SIG, Md5Key(peer, KEY),
            Md5Key(peer, b"wrong"), 1 << 20,
        ))


@pytest.mark.parametrize("v6", [False, True], ids=["v4", "v6"])
def test_md5_from_the_kernel(v6: bool) -> None:
    with kernel() as space:
        asyncio.run(kernel_to_ours(
            space, v6, lambda sock, here: kernel_md5(sock, here, KEY), TCP_MD5SIG,
            Md5Key("fd53::/64" if v6 else "10.53.0.0/24", KEY), 1 << 20,
        ))


@pytest.mark.parametrize("covers", [True, False], ids=["options", "no options"])
@pytest.mark.parametrize("algorithm", ["hmac-sha-1-96", "aes-128-cmac-96"])
@pytest.mark.parametrize("v6", [False, True], ids=["v4", "v6"])
def test_ao_both_ways(v6: bool, algorithm: str, covers: bool) -> None:
    peer = KERNEL6 if v6 else KERNEL
    key = AoKey(peer, KEY, 5, 6, algorithm, covers)
    wrong = AoKey(peer, b"wrong", 5, 6, algorithm, covers)

    def theirs(sock: socket.socket, here: str) -> None:
        kernel_ao(sock, here, key)

    with kernel() as space:
        asyncio.run(ours_to_kernel(space, v6, theirs, TCP_AO_ADD_KEY, key, wrong, 1 << 17))
        asyncio.run(kernel_to_ours(space, v6, theirs, TCP_AO_ADD_KEY, key, 1 << 17))


@pytest.mark.parametrize("v6", [False, True], ids=["v4", "v6"])
def test_fast_open_to_the_kernel(v6: bool) -> None:
    """The first connection fetches the kernel's cookie, the second brings its request in the SYN."""

    async def work(space: Namespace) -> None:
        async with host(space) as made:
            address = KERNEL6 if v6 else KERNEL
            with kernel_socket(space, v6) as listener:
                listener.bind((address, 7003))
                listener.setsockopt(socket.IPPROTO_TCP, K_TCP_FASTOPEN, 16)
                listener.listen()
                for number in range(3):
                    serving = asyncio.create_task(echo_kernel(listener))
                    reader, writer = await made.open_connection(address, 7003, fast_open=b"first bytes, ")
                    writer.write(b"and more")
                    writer.write_eof()
                    assert await reader.read(-1) == b"first bytes, and more"
                    assert made.stack.stats["tcp_fastopen_active"] == number
                    writer.close()
                    await serving

    with kernel() as space:
        asyncio.run(work(space))


@pytest.mark.parametrize("v6", [False, True], ids=["v4", "v6"])
def test_fast_open_from_the_kernel(v6: bool) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(7) + b" heard")
        writer.close()

    async def work(space: Namespace) -> None:
        async with host(space) as made:
            here = OURS6 if v6 else OURS
            await made.start_server(answer, here, 7004, fast_open=16)
            loop = asyncio.get_running_loop()
            for number in range(3):
                with kernel_socket(space, v6) as client:
                    client.setsockopt(socket.IPPROTO_TCP, K_TCP_FASTOPEN_CONNECT, 1)
                    await loop.sock_connect(client, (here, 7004))
                    await loop.sock_sendall(client, b"request")
                    assert await loop.sock_recv(client, 100) == b"request heard"
                    assert made.stack.stats["tcp_fastopen_passive"] == number

    with kernel() as space:
        asyncio.run(work(space))


def test_unsigned_kernel_peer_of_a_keyed_socket_times_out() -> None:
    async def work(space: Namespace) -> None:
        async with host(space) as made:
            with kernel_socket(space, False) as listener:
                listener.bind((KERNEL, 7005))
                listener.listen()
                made.stack.tcp.settings.connect_timeout = 2 * 10**9
                sock = await open_with(made, KERNEL, 7005, TCP_MD5SIG, Md5Key(KERNEL, KEY))
                assert not await established(sock, 3)
                assert isinstance(sock.error, TimedOut)

    with kernel() as space:
        asyncio.run(work(space))
