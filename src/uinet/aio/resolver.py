"""Names to addresses, for programs that give names: a table of hosts, then DNS over the stack."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from uinet.dns import (
    ROUNDS,
    TIMEOUT,
    TYPE_A,
    TYPE_AAAA,
    Malformed,
    NameNotFound,
    Names,
    answers,
    make_query,
    over_tcp,
    parse_answer,
    truncated,
)
from uinet.endpoints import IPAddress

if TYPE_CHECKING:
    from uinet.aio.host import Host


class Resolver:
    """Resolves names for the programs of one host.

    `hosts`: addresses by name, known without asking. `nameservers`: addresses of recursive DNS servers, asked in
    order; without any those that routers and DHCP servers have told are asked. Nothing is remembered from one question
    to the next.
    """

    def __init__(
        self,
        host: Host,
        nameservers: Iterable[str | IPAddress] = (),
        hosts: Mapping[str, str | Iterable[str]] | None = None,
    ) -> None:
        self.host = host
        self.names = Names(nameservers, hosts)

    async def resolve(self, name: str, versions: tuple[int, ...] = (6, 4)) -> list[IPAddress]:
        """The addresses of `name`, of the IP versions asked for; NameNotFound."""
        known = self.names.known(name, versions)
        if known is not None:
            found = known
        elif not self._servers():
            raise NameNotFound(f"{name!r} is not known here, and there is no nameserver to ask")
        else:
            questions = [self._ask(name, TYPE_A if version == 4 else TYPE_AAAA) for version in versions]
            found = [address for answer in await asyncio.gather(*questions) for address in answer]
        if not found:
            raise NameNotFound(f"{name!r} has no address")
        return found

    def _servers(self) -> list[IPAddress]:
        """Whom to ask."""
        return self.names.nameservers or self.host.stack.name_servers

    async def _ask(self, name: str, kind: int) -> list[IPAddress]:
        for _ in range(ROUNDS):
            for server in self._servers():
                query = make_query(name, kind)
                try:
                    answer = await asyncio.wait_for(self._exchange(server, query), TIMEOUT)
                    return parse_answer(answer, query, kind)
                except (TimeoutError, OSError, Malformed) as error:
                    if isinstance(error, NameNotFound):
                        raise
        raise NameNotFound(f"no nameserver answers for {name!r}")

    async def _exchange(self, server: IPAddress, query: bytes) -> bytes:
        """The answer to `query`: by UDP, or if it does not fit there by TCP."""
        question = _Question(query)
        transport, _ = await self.host.create_datagram_endpoint(lambda: question, remote_addr=(server, 53))
        try:
            answer = await question.answer
        finally:
            transport.abort()
        if not truncated(answer):
            return answer
        reader, writer = await self.host.open_connection(server, 53)
        try:
            writer.write(over_tcp(query))
            (length,) = struct.unpack(">H", await reader.readexactly(2))
            return await reader.readexactly(length)
        except asyncio.IncompleteReadError:
            raise Malformed("the answer ends too early") from None
        finally:
            writer.close()


class _Question(asyncio.DatagramProtocol):
    """Sends a query and waits for the datagram that answers it; others are ignored (RFC 5452, 9.1)."""

    def __init__(self, query: bytes) -> None:
        self.query = query
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        transport.sendto(self.query)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        if answers(data, self.query) and not self.answer.done():
            self.answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)
