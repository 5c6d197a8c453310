"""A proxy over the kernel's sockets: it listens at one address and connects to another, with a codec on one side.

Two of them make a pair that needs no privileges and no devices: one near the clients, with its peer on the server's
side, and one near the server, with its peer on the client's side. Half-closes and resets pass through.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import struct
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from uinet.codecs.link import Link
from uinet.codecs.session import Session
from uinet.codecs.wire import CodecError
from uinet.errors import AddressInUse, Error, InvalidArgument, PermissionDenied
from uinet.proxy.coding import Coding, coded_record
from uinet.proxy.policy import PolicyError
from uinet.proxy.stopping import Stoppable

log = logging.getLogger("uinet")

READ = 65536
MOST_CONNECTIONS = 10000
REFUSAL_TIME = 0.05
ABORT = struct.pack("ii", 1, 0)  # SO_LINGER: a close is a reset

Address = tuple[str, int]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def parse_endpoint(text: str) -> Address:
    """``10.0.0.1:80``, ``[fd00::1]:80``, ``name:80`` or ``:80``; InvalidArgument."""
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or not 0 <= int(port) <= 65535 or (
        ":" in host and not host.startswith("[")
    ):
        raise InvalidArgument(f"{text!r} is no address and port: --mode tcp wants HOST:PORT, such as 127.0.0.1:8080")
    return host.strip("[]"), int(port)


@dataclass
class TcpOptions:
    """`connect_timeout`, `drain`: seconds. `on_event`: called with "finished" and each connection that is over."""

    coding: Coding | None = None
    connect_timeout: float = 30.0
    drain: float = 0.0
    on_event: Callable[[str, TcpConnection], None] | None = None


class TcpConnection:
    """One connection through it. `outcome`: as of the transparent proxy, see `uinet.proxy.OUTCOMES`."""

    def __init__(self, serial: int, client: Address, server: Address) -> None:
        self.serial = serial
        self.client = client
        self.server = server
        self.started = time.time()
        self.ended = 0.0
        self.client_bytes = 0
        self.server_bytes = 0
        self.outcome = ""
        self.error: BaseException | None = None
        self.session: Session | None = None

    def as_dict(self, epoch: int = 0) -> dict[str, Any]:
        """The record as JSON has it; times in seconds since 1970."""
        record: dict[str, Any] = {
            "serial": self.serial,
            "client": {"ip": self.client[0], "port": self.client[1], "bytes": self.client_bytes},
            "server": {"ip": self.server[0], "port": self.server[1], "bytes": self.server_bytes},
            "start": self.started, "end": self.ended or None, "outcome": self.outcome or "open",
        }
        if self.session is not None:
            record["codec"] = coded_record(self.session)
        if self.error is not None:
            record["error"] = " ".join(str(self.error).split())
        return record

    def __repr__(self) -> str:
        return f"<connection {self.serial} of {self.client[0]} port {self.client[1]}>"


class TcpProxy(Stoppable):
    """Listens at `listen` and connects onward to `remote`. Use as ``async with TcpProxy(...) as proxy: await
    proxy.run()``. AddressInUse, PermissionDenied, and other errors of the kernel."""

    def __init__(self, listen: Address, remote: Address, options: TcpOptions) -> None:
        self.listen = listen
        self.remote = remote
        self.options = options
        self.server: asyncio.Server
        self.active: dict[TcpConnection, asyncio.Task[None]] = {}
        self.counts = dict.fromkeys(("opened", "client_bytes", "server_bytes"), 0)
        self.outcomes: dict[str, int] = {}
        super().__init__()
        self.epoch = 0
        self.serial = 0

    async def __aenter__(self) -> TcpProxy:
        host, port = self.listen
        try:
            self.server = await asyncio.start_server(self._client, host or None, port, limit=READ)
        except OSError as error:
            where = f"{host or '*'} port {port}"
            kind = {errno.EADDRINUSE: AddressInUse, errno.EACCES: PermissionDenied}.get(error.errno or 0, Error)
            raise kind(f"can't listen on {where}: {error.strerror or error}") from None
        return self

    async def __aexit__(self, *exception: object) -> None:
        self.server.close()
        tasks = list(self.active.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self.options.coding is not None:
            self.options.coding.close()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        number: int = self.server.sockets[0].getsockname()[1]
        return number

    async def run(self) -> None:
        """Proxies until stopped, and drains."""
        await self.stopping.wait()
        self.server.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.options.drain or 0.001):
                while self.active and not self.hurry.is_set():
                    await asyncio.sleep(0.05)

    def statistics(self) -> dict[str, int]:
        """The counters by name, with bytes up to now, and how connections ended."""
        counts = dict(self.counts)
        for connection in self.active:
            counts["client_bytes"] += connection.client_bytes
            counts["server_bytes"] += connection.server_bytes
        return {**counts, "open": len(self.active), **self.outcomes}

    # one connection

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self.active) >= MOST_CONNECTIONS or self.stopping.is_set():
            self.outcomes["busy"] = self.outcomes.get("busy", 0) + 1
            reset(writer)
            return
        peer = writer.get_extra_info("peername") or ("", 0)
        self.serial += 1
        connection = TcpConnection(self.serial, (peer[0], peer[1]), self.remote)
        task = asyncio.current_task()
        assert task is not None
        self.active[connection] = task
        onward: asyncio.StreamWriter | None = None
        try:
            streams = await self._onward(connection)
            if streams is not None:
                onward = streams[1]
                self.counts["opened"] += 1
                await self._relay(connection, (reader, writer), streams)
                connection.outcome = "closed"
        except asyncio.CancelledError:
            connection.outcome = "shutdown"
        except CodecError as error:
            assert self.options.coding is not None
            self.options.coding.failed(error, connection)
            connection.outcome, connection.error = "reset", error
            await asyncio.sleep(REFUSAL_TIME)  # the other proxy hears why
        except PolicyError as error:
            log.error("%s", error)
            connection.outcome, connection.error = "policy-error", error
        except (OSError, EOFError) as error:
            connection.outcome = "timeout" if isinstance(error, TimeoutError) else "reset"
            connection.error = error
        finally:
            self._over(connection, writer, onward)

    def _over(
        self, connection: TcpConnection, writer: asyncio.StreamWriter, onward: asyncio.StreamWriter | None
    ) -> None:
        for end in (writer, onward):
            if end is not None:
                if connection.outcome == "closed":
                    end.close()
                else:
                    reset(end)
        del self.active[connection]
        connection.ended = time.time()
        if connection.session is not None and self.options.coding is not None:
            self.options.coding.over(connection.session)
        self.outcomes[connection.outcome] = self.outcomes.get(connection.outcome, 0) + 1
        self.counts["client_bytes"] += connection.client_bytes
        self.counts["server_bytes"] += connection.server_bytes
        if self.options.on_event is not None:
            self.options.on_event("finished", connection)

    async def _onward(self, connection: TcpConnection) -> Streams | None:
        """The connection to `remote`; None if there is none, with why."""
        try:
            async with asyncio.timeout(self.options.connect_timeout):
                return await asyncio.open_connection(*self.remote, limit=READ)
        except TimeoutError as error:
            connection.outcome, connection.error = "silent", error
        except ConnectionRefusedError as error:
            connection.outcome, connection.error = "refused", error
        except OSError as error:
            connection.outcome, connection.error = "unreachable", error
        return None

    async def _relay(self, connection: TcpConnection, client: Streams, server: Streams) -> None:
        """Both directions, until both have ended."""
        coding = self.options.coding
        for _, writer in (client, server):
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if coding is None:
            await together(
                self._copy(connection, client[0], server[1], "client_bytes"),
                self._copy(connection, server[0], client[1], "server_bytes"),
            )
            return
        connection.session = coding.session(connection)
        peer, plain = (server, client) if coding.peer == "server" else (client, server)
        out, back = ("client_bytes", "server_bytes") if peer is server else ("server_bytes", "client_bytes")
        link = Link(connection.session, *peer)
        await together(
            link.run(), self._out(connection, plain[0], link, out), self._back(connection, link, plain[1], back)
        )

    async def _copy(
        self, connection: TcpConnection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, counter: str
    ) -> None:
        while data := await reader.read(READ):
            setattr(connection, counter, getattr(connection, counter) + len(data))
            writer.write(data)
            await writer.drain()
        writer.write_eof()

    async def _out(self, connection: TcpConnection, reader: asyncio.StreamReader, link: Link, counter: str) -> None:
        while data := await reader.read(READ):
            setattr(connection, counter, getattr(connection, counter) + len(data))
            await link.write(data)
        await link.end()

    async def _back(self, connection: TcpConnection, link: Link, writer: asyncio.StreamWriter, counter: str) -> None:
        while data := await link.read():
            setattr(connection, counter, getattr(connection, counter) + len(data))
            writer.write(data)
            await writer.drain()
        writer.write_eof()


async def together(*work: Coroutine[Any, Any, None]) -> None:
    """Runs all of `work`; the first error ends the others, and is raised: a CodecError if there is one."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        errors = [error for task in done if (error := task.exception()) is not None]
        for error in errors:
            if isinstance(error, CodecError):
                raise error
        if errors:
            raise errors[0]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def reset(writer: asyncio.StreamWriter) -> None:
    """Closes a connection with a RST."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
    writer.transport.abort()
