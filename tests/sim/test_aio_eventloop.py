"""Programs that know nothing of the stack, on a loop whose network it is."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.sim.certificate import client_context, server_context
from tests.sim.programs import pattern, sha
from tests.sim.worlds import CLIENT, SERVER, World, echo
from uinet.dns import TYPE_A, TYPE_AAAA
from uinet.errors import AddressError, ConnectionRefused, InvalidArgument
from uinet.sim.network import Network

NAMES = {"server.example": [SERVER], "Both.Example.": ["fd00::2", SERVER], "gone.example": ["10.0.0.99", SERVER]}


def run(program: Callable[[World], Awaitable[None]], **naming: Any) -> None:
    """Runs a program whose loop is the client's; `world.server` has to be asked by name."""
    with Network(seed=7) as net:
        client, server = net.aio_host(f"{CLIENT}/24", "fd00::1/64"), net.aio_host(f"{SERVER}/24", "fd00::2/64")
        world = World(net, client, server, net.link(client, server, delay=0.005))
        naming = naming or {"hosts": NAMES}

        async def main() -> None:
            async with client, server:
                await program(world)

        with asyncio.Runner(loop_factory=lambda: net.asyncio(client, **naming)) as runner:
            runner.run(main())


@pytest.mark.parametrize("name", [SERVER, "server.example", "SERVER.example.", "fd00::2", "both.example"])
def test_asyncio_open_connection_goes_through_the_stack(name: str) -> None:
    async def program(world: World) -> None:
        await world.server.start_server(echo, None, 7)
        reader, writer = await asyncio.open_connection(name, 7)
        writer.write(pattern(10_000))
        writer.write_eof()
        assert sha(await reader.read()) == sha(pattern(10_000))
        writer.close()
        await writer.wait_closed()
        assert world.client.stats()["stack"]["tcp_connected"] == 1

    run(program)


def test_asyncio_start_server_goes_through_the_stack() -> None:
    async def program(world: World) -> None:
        server = await asyncio.start_server(echo, CLIENT, 7)
        assert server.sockets[0].getsockname() == (CLIENT, 7)
        assert server.sockets[0].family == socket.AF_INET
        assert server.sockets[0].fileno() == -1
        async with server:
            reader, writer = await world.server.open_connection(CLIENT, 7)
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
            writer.close()
        everywhere = await asyncio.start_server(echo, None, 8)
        assert everywhere.sockets[0].getsockname() == ("0.0.0.0", 8)
        v6 = await asyncio.start_server(echo, "fd00::1", 9)
        assert v6.sockets[0].getsockname() == ("fd00::1", 9, 0, 0)
        for other in (everywhere, v6):
            other.close()

    run(program)


def test_a_server_on_a_kernels_socket_listens_where_that_is_bound() -> None:
    async def program(world: World) -> None:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
            server = await asyncio.start_server(echo, sock=sock)
            reader, writer = await asyncio.open_connection("localhost", port)
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
            writer.close()
            server.close()

    run(program)


def test_local_addresses_and_refusals() -> None:
    async def program(world: World) -> None:
        await world.server.start_server(echo, None, 7)
        _, writer = await asyncio.open_connection(SERVER, 7, local_addr=(CLIENT, 5555))
        assert writer.get_extra_info("sockname") == (CLIENT, 5555)
        writer.close()
        with pytest.raises(ConnectionRefused):
            await asyncio.open_connection("both.example", 8)
        with pytest.raises(AddressError, match="no address of the family"):
            await asyncio.open_connection(SERVER, 7, local_addr=("fd00::1", 0))
        with pytest.raises(socket.gaierror, match="not known here"):
            await asyncio.open_connection("nowhere.example", 7)

    run(program)


def test_the_next_address_is_tried_where_one_does_not_answer() -> None:
    async def program(world: World) -> None:
        await world.server.start_server(echo, None, 7)
        _, writer = await asyncio.open_connection("gone.example", 7)
        assert writer.get_extra_info("peername") == (SERVER, 7)
        writer.close()

    run(program)


def test_tls_by_name_and_by_upgrade() -> None:
    async def upgrade(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"OK\n")
        await writer.start_tls(server_context())
        writer.write(await reader.readline())
        writer.close()

    async def program(world: World) -> None:
        await world.server.start_server(echo, SERVER, 443, ssl=server_context())
        reader, writer = await asyncio.open_connection("server.example", 443, ssl=client_context())
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.close()
        await world.server.start_server(upgrade, SERVER, 25)
        reader, writer = await asyncio.open_connection("server.example", 25)
        writer.write(b"STARTTLS\n")
        await reader.readline()
        await writer.start_tls(client_context(), server_hostname="server.example")
        writer.write(b"in secret\n")
        assert await reader.readline() == b"in secret\n"
        writer.close()

    run(program)


def test_kernel_sockets_that_are_connected_here_stand_for_the_stacks() -> None:
    async def program(world: World) -> None:
        loop = asyncio.get_running_loop()
        await world.server.start_server(echo, None, 7)
        with socket.socket() as sock:
            sock.setblocking(False)
            await loop.sock_connect(sock, ("server.example", 7))
            await loop.sock_sendall(sock, pattern(3_000_000)[:2_000_000])
            received = bytearray()
            while len(received) < 1_000_000:
                received += await loop.sock_recv(sock, 65536)
            buffer = bytearray(65536)
            while len(received) < 2_000_000:
                received += buffer[: await loop.sock_recv_into(sock, buffer)]
            assert sha(received) == sha(pattern(3_000_000)[:2_000_000])
        with socket.socket() as sock:
            sock.setblocking(False)
            await loop.sock_connect(sock, (SERVER, 7))
            reader, writer = await asyncio.open_connection(sock=sock)
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
            writer.close()
        with socket.socket() as sock, pytest.raises(InvalidArgument, match="not connected through this loop"):
            await asyncio.open_connection(sock=sock)
        with socket.socket() as sock, pytest.raises(ConnectionRefused):
            await loop.sock_connect(sock, (SERVER, 8))

    run(program)


def test_the_stacks_own_sockets_in_sock_calls() -> None:
    async def program(world: World) -> None:
        loop: Any = asyncio.get_running_loop()
        stack = world.client.stack
        listener = stack.listen((CLIENT, 7))
        accepting = asyncio.create_task(loop.sock_accept(listener))
        reader, writer = await world.server.open_connection(CLIENT, 7)
        sock, peer = await accepting
        assert peer == writer.get_extra_info("sockname")
        writer.write(b"hello")
        assert await loop.sock_recv(sock, 100) == b"hello"
        await loop.sock_sendall(sock, b"world")
        assert await reader.readexactly(5) == b"world"
        writer.close()
        assert await loop.sock_recv(sock, 100) == b""
        sock.close()

        udp = stack.socket(socket.AF_INET, 2)
        udp.bind((CLIENT, 53))
        asking = asyncio.create_task(loop.sock_recvfrom(udp, 100))
        transport, _ = await world.server.create_datagram_endpoint(asyncio.DatagramProtocol, (SERVER, 1000))
        transport.sendto(b"question", (CLIENT, 53))
        assert await asking == (b"question", (SERVER, 1000))
        assert await loop.sock_sendto(udp, b"answer", (SERVER, 1000)) == 6

        going = stack.socket()
        attempt = asyncio.create_task(loop.sock_connect(going, ("10.0.0.99", 80)))
        await asyncio.sleep(0.1)
        attempt.cancel()
        await asyncio.sleep(0.1)
        assert going.closed

    run(program)


def test_datagrams_go_through_the_stack() -> None:
    class Echo(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: Any) -> None:
            self.transport.sendto(data, addr)

    class Wait(asyncio.DatagramProtocol):
        def __init__(self) -> None:
            self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def datagram_received(self, data: bytes, addr: Any) -> None:
            self.answer.set_result(data)

    async def program(world: World) -> None:
        loop = asyncio.get_running_loop()
        await world.server.create_datagram_endpoint(Echo, (SERVER, 1000))
        transport, wait = await loop.create_datagram_endpoint(
            Wait, local_addr=("0.0.0.0", 0), remote_addr=("server.example", 1000)
        )
        transport.sendto(b"hello")
        assert await wait.answer == b"hello"
        transport.close()
        with socket.socket(type=socket.SOCK_DGRAM) as sock, pytest.raises(InvalidArgument, match="not a kernel's"):
            await loop.create_datagram_endpoint(Wait, sock=sock)

    run(program)


def test_names_and_addresses() -> None:
    async def program(world: World) -> None:
        loop = asyncio.get_running_loop()
        tcp = socket.SOCK_STREAM
        assert await loop.getaddrinfo("10.1.2.3", 80, type=tcp) == [
            (socket.AF_INET, tcp, socket.IPPROTO_TCP, "", ("10.1.2.3", 80))
        ]
        both = await loop.getaddrinfo("both.example", 80, type=tcp)
        assert [entry[4] for entry in both] == [("fd00::2", 80, 0, 0), (SERVER, 80)]
        only = await loop.getaddrinfo("both.example", "80", family=socket.AF_INET)
        assert [(entry[1], entry[4]) for entry in only] == [(tcp, (SERVER, 80)), (socket.SOCK_DGRAM, (SERVER, 80))]
        passive = await loop.getaddrinfo(None, 80, type=tcp, flags=socket.AI_PASSIVE)
        assert [entry[4][0] for entry in passive] == ["0.0.0.0", "::"]
        loopback = await loop.getaddrinfo("localhost", None, type=tcp)
        assert [entry[4][0] for entry in loopback] == ["::1", "127.0.0.1"]
        with pytest.raises(socket.gaierror, match="family"):
            await loop.getaddrinfo("10.1.2.3", 80, family=socket.AF_INET6)
        assert await loop.getnameinfo(("10.1.2.3", 80)) == ("10.1.2.3", "80")

    run(program)


class Nameserver(asyncio.DatagramProtocol):
    """Knows one alias and its addresses, answers in order of mood, and is truncated where it is told to be."""

    def __init__(self, truncate: bool = False, silent: int = 0) -> None:
        self.truncate = truncate
        self.silent = silent
        self.questions = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.questions += 1
        if self.questions <= self.silent:
            return
        self.transport.sendto(b"\0" * 40, addr)  # somebody's guess
        self.transport.sendto(self.answer(data, self.truncate), addr)

    def answer(self, query: bytes, truncate: bool) -> bytes:
        if b"\x05alias" not in query:
            return query[:2] + b"\x81\x83" + b"\0\1\0\0\0\0\0\0" + query[12:]
        if truncate:
            return query[:2] + b"\x83\x80" + b"\0\1\0\0\0\0\0\0" + query[12:]
        (kind,) = struct.unpack_from(">H", query, len(query) - 4)
        name = len(query)
        alias = b"\xc0\x0c" + struct.pack(">HHIH", 5, 1, 60, 9) + b"\x06server\xc0\x12"
        address = {TYPE_A: bytes([10, 0, 0, 2]), TYPE_AAAA: bytes.fromhex("fd00" + "00" * 13 + "02")}[kind]
        record = struct.pack(">H", 0xC000 | name + 12) + struct.pack(">HHIH", kind, 1, 60, len(address)) + address
        stranger = b"\x05other\0" + struct.pack(">HHIH", kind, 1, 60, len(address)) + bytes(len(address))
        return query[:2] + b"\x81\x80" + b"\0\1\0\3\0\0\0\0" + query[12:] + alias + stranger + record

    async def stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (length,) = struct.unpack(">H", await reader.readexactly(2))
        answer = self.answer(await reader.readexactly(length), False)
        writer.write(struct.pack(">H", len(answer)) + answer)
        writer.close()


@pytest.mark.parametrize(("truncate", "silent"), [(False, 0), (True, 0), (False, 2)])
def test_names_are_asked_of_a_nameserver_over_the_stack(truncate: bool, silent: int) -> None:
    async def program(world: World) -> None:
        server = Nameserver(truncate, silent)
        await world.server.create_datagram_endpoint(lambda: server, (SERVER, 53))
        await world.server.start_server(server.stream, SERVER, 53)
        await world.server.start_server(echo, None, 7)
        _, writer = await asyncio.open_connection("alias.example", 7)
        assert writer.get_extra_info("peername") == ("fd00::2", 7)
        writer.close()
        found = await asyncio.get_running_loop().getaddrinfo("alias.example", 7, type=socket.SOCK_STREAM)
        assert [entry[4][0] for entry in found] == ["fd00::2", SERVER]
        with pytest.raises(socket.gaierror, match="no such name"):
            await asyncio.open_connection("nowhere.example", 7)

    run(program, nameservers=["10.0.0.98", SERVER] if silent else [SERVER])


def test_a_nameserver_that_does_not_answer_is_given_up() -> None:
    async def program(world: World) -> None:
        start = asyncio.get_running_loop().time()
        with pytest.raises(socket.gaierror, match="no nameserver answers"):
            await asyncio.open_connection("alias.example", 7)
        assert asyncio.get_running_loop().time() - start < 10

    run(program, nameservers=["10.0.0.98"])
