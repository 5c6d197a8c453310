"""One program for all event systems: what it does, in coroutines that know nothing but the words of a `World`.

`client` is the half that connects, `serve_all` the half that is connected to; a kernel may be either as well.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import pytest

from uinet.link.device import Device

ECHO, SINK, SOURCE, SILENT, RESET, CLOSED, DATAGRAMS = range(7001, 7008)
BULK = 1_000_000
DATA = hashlib.shake_256(b"uinet").digest(BULK)
DIGEST = hashlib.sha256(DATA).digest()

Work = Callable[[], Awaitable[Any]]


class Connection(Protocol):
    """A stream. Errors are those of Python: ConnectionResetError and its like."""

    async def send(self, data: bytes) -> None: ...
    async def recv(self, limit: int) -> bytes: ...
    async def send_eof(self) -> None: ...
    async def close(self) -> None: ...
    def abort(self) -> None: ...


class Udp(Protocol):
    """A datagram socket."""

    async def send(self, data: bytes, address: tuple[str, int]) -> None: ...
    async def recv(self) -> tuple[bytes, tuple[str, int]]: ...
    async def close(self) -> None: ...


Handler = Callable[[Connection], Awaitable[None]]


class World(Protocol):
    """An event system: what differs between them. `host` is whatever it calls a host."""

    name: str

    def run(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None: ...
    def host(self, device: Device, *addresses: str) -> AbstractAsyncContextManager[Any]: ...
    async def connect(self, host: Any, address: str, port: int) -> Connection: ...
    async def listen(self, host: Any, address: str, port: int, handler: Handler) -> Callable[[], Awaitable[Any]]: ...
    async def udp(self, host: Any, address: str, port: int) -> Udp: ...
    async def ping(self, host: Any, address: str) -> float | None: ...
    async def sleep(self, seconds: float) -> None: ...
    async def within(self, seconds: float, work: Work) -> Any: ...  # TimeoutError
    async def together(self, *works: Work) -> None: ...


# the half that is connected to


async def echo(connection: Connection) -> None:
    while data := await connection.recv(65536):
        await connection.send(data)
    await connection.close()


async def sink(connection: Connection) -> None:
    """Takes everything to the end of the stream, and answers with the digest: a half-close."""
    digest = hashlib.sha256()
    while data := await connection.recv(65536):
        digest.update(data)
    await connection.send(digest.digest())
    await connection.close()


async def source(connection: Connection) -> None:
    """Sends all of DATA once it is asked."""
    assert await connection.recv(1) == b"?"
    for at in range(0, BULK, 70_000):
        await connection.send(DATA[at : at + 70_000])
    await connection.close()


async def silent(connection: Connection) -> None:
    """Says nothing until it hears an exclamation mark."""
    while await connection.recv(1) not in (b"!", b""):
        pass
    await connection.send(b"!")
    await connection.close()


async def reset(connection: Connection) -> None:
    await connection.recv(1)
    connection.abort()


SERVICES: dict[int, Handler] = {ECHO: echo, SINK: sink, SOURCE: source, SILENT: silent, RESET: reset}


async def serve_all(world: World, host: Any, address: str) -> list[Callable[[], Awaitable[Any]]]:
    """Serves everything; what closes the servers."""
    return [await world.listen(host, address, port, handler) for port, handler in SERVICES.items()]


# the half that connects


async def read_all(connection: Connection) -> bytes:
    received = bytearray()
    while data := await connection.recv(65536):
        received += data
    return bytes(received)


async def read_exactly(connection: Connection, count: int) -> bytes:
    received = bytearray()
    while len(received) < count:
        data = await connection.recv(count - len(received))
        assert data, f"the stream ends after {len(received)} of {count} bytes"
        received += data
    return bytes(received)


async def echoes(world: World, host: Any, peer: str) -> None:
    connection = await world.connect(host, peer, ECHO)
    for size in (1, 100, 20_000):
        await connection.send(DATA[:size])
        assert await read_exactly(connection, size) == DATA[:size]
    await connection.close()


async def half_close(world: World, host: Any, peer: str) -> None:
    connection = await world.connect(host, peer, ECHO)
    await connection.send(b"the last words")
    await connection.send_eof()
    assert await read_all(connection) == b"the last words"
    await connection.close()


async def bulk_out(world: World, host: Any, peer: str) -> None:
    connection = await world.connect(host, peer, SINK)
    for at in range(0, BULK, 70_000):
        await connection.send(DATA[at : at + 70_000])
    await connection.send_eof()
    assert await read_all(connection) == DIGEST
    await connection.close()


async def bulk_in(world: World, host: Any, peer: str) -> None:
    connection = await world.connect(host, peer, SOURCE)
    await connection.send(b"?")
    assert hashlib.sha256(await read_all(connection)).digest() == DIGEST
    await connection.close()


async def both_ways_at_once(world: World, host: Any, peer: str) -> None:
    connection = await world.connect(host, peer, ECHO)

    async def send() -> None:
        await connection.send(DATA)
        await connection.send_eof()

    async def receive() -> None:
        assert hashlib.sha256(await read_all(connection)).digest() == DIGEST

    await world.together(send, receive)
    await connection.close()


async def many_at_once(world: World, host: Any, peer: str) -> None:
    async def one() -> None:
        connection = await world.connect(host, peer, ECHO)
        await connection.send(DATA[:5000])
        assert await read_exactly(connection, 5000) == DATA[:5000]
        await connection.close()

    await world.together(*[one] * 20)


async def reading_times_out(world: World, host: Any, peer: str) -> None:
    """And nothing is lost by that: the connection goes on."""
    connection = await world.connect(host, peer, SILENT)
    with pytest.raises(TimeoutError):
        await world.within(0.05, lambda: connection.recv(1))
    await connection.send(b"!")
    assert await read_all(connection) == b"!"
    await connection.close()


async def connecting_times_out(world: World, host: Any, peer: str) -> None:
    nobody = peer.rpartition(".")[0] + ".77"
    with pytest.raises(TimeoutError):
        await world.within(0.05, lambda: world.connect(host, nobody, ECHO))


async def refused(world: World, host: Any, peer: str) -> None:
    with pytest.raises(ConnectionRefusedError):
        await world.connect(host, peer, CLOSED)


async def was_reset(world: World, host: Any, peer: str) -> None:
    connection = await world.connect(host, peer, RESET)
    await connection.send(b"x")
    with pytest.raises(ConnectionResetError):
        await read_all(connection)
    await connection.close()


async def pinged(world: World, host: Any, peer: str) -> None:
    rtt = await world.ping(host, peer)
    assert rtt is not None and 0 <= rtt < 5


CLIENT = (
    echoes, half_close, bulk_out, bulk_in, both_ways_at_once, many_at_once, reading_times_out, connecting_times_out,
    refused, was_reset, pinged,
)


async def client(world: World, host: Any, peer: str) -> None:
    """Everything that a client does, one after the other."""
    for part in CLIENT:
        try:
            await world.within(20, lambda part=part: part(world, host, peer))  # type: ignore[misc]
        except BaseException as error:
            error.add_note(f"in {part.__name__} on {world.name}")
            raise


async def datagrams(world: World, host: Any, address: str, other: Any, peer: str) -> None:
    """UDP there and back between two hosts of ours."""
    here, there = await world.udp(host, address, DATAGRAMS), await world.udp(other, peer, DATAGRAMS)
    for size in (0, 1, 1400, 4000):
        await here.send(DATA[:size], (peer, DATAGRAMS))
        data, sender = await world.within(20, there.recv)
        assert (data, sender[1]) == (DATA[:size], DATAGRAMS)
        await there.send(data[::-1], sender)
        assert (await world.within(20, here.recv))[0] == DATA[:size][::-1]
    await here.close()
    await there.close()
