"""Names to addresses, for programs that give names: a table of hosts, then DNS over the stack.

Read first: RFC 1035, 4.1 (messages), 4.2 (UDP, and TCP after truncation); RFC 3596 (AAAA); RFC 5452, 9 (what a
resolver checks before it believes an answer).
"""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from uinet.aio.endpoints import IPAddress, ip_address
from uinet.errors import Error
from uinet.wire.addresses import unpack_address

if TYPE_CHECKING:
    from uinet.aio.host import Host

TYPE_A = 1
TYPE_CNAME = 5
TYPE_AAAA = 28
CLASS_IN = 1
RESPONSE = 0x8000
TRUNCATED = 0x0200
RECURSION_DESIRED = 0x0100
RCODE = 0x000F
NO_SUCH_NAME = 3

MAX_ALIASES = 16
MAX_POINTERS = 64
LARGEST = 65_535
TIMEOUT = 2.0  # seconds for one question to one server
ROUNDS = 2  # times that each server is asked


class NameNotFound(Error):
    """The name is not known."""


class Malformed(ValueError):
    """An answer that is no DNS message."""


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
        self.nameservers = [ip_address(server) for server in nameservers]
        self.hosts: dict[str, list[IPAddress]] = {}
        for name, addresses in {"localhost": ("::1", "127.0.0.1"), **(hosts or {})}.items():  # RFC 6761, 6.3
            several = [addresses] if isinstance(addresses, str) else addresses
            self.hosts[canonical(name)] = [ip_address(address) for address in several]

    async def resolve(self, name: str, versions: tuple[int, ...] = (6, 4)) -> list[IPAddress]:
        """The addresses of `name`, of the IP versions asked for; NameNotFound."""
        known = self.hosts.get(canonical(name))
        if known is not None:
            found = [address for address in known if address.version in versions]
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
        return self.nameservers or self.host.stack.name_servers

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
        if not struct.unpack_from(">H", answer, 2)[0] & TRUNCATED:
            return answer
        reader, writer = await self.host.open_connection(server, 53)
        try:
            writer.write(struct.pack(">H", len(query)) + query)
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


def canonical(name: str) -> str:
    """How names are compared: lower case, without the last dot."""
    return name.rstrip(".").lower()


def encode_name(name: str) -> bytes:
    """Labels of a name (RFC 1035, 3.1); NameNotFound for what can be no name."""
    try:
        labels = [label.encode("ascii") for label in canonical(name).split(".")]
    except UnicodeEncodeError:
        labels = [label.encode("idna") for label in canonical(name).split(".")]
    encoded = b"".join(bytes((len(label) & 0xFF,)) + label for label in labels) + b"\0"
    if any(not 0 < len(label) < 64 for label in labels) or len(encoded) > 255:
        raise NameNotFound(f"{name!r} can be no name")
    return encoded


def make_query(name: str, kind: int) -> bytes:
    """A question for the records of `kind` of `name`, under a random number."""
    header = os.urandom(2) + struct.pack(">HHHHH", RECURSION_DESIRED, 1, 0, 0, 0)
    return header + encode_name(name) + struct.pack(">HH", kind, CLASS_IN)


def answers(data: bytes, query: bytes) -> bool:
    """Whether `data` is a response to exactly this query."""
    if len(data) < len(query) or data[:2] != query[:2] or not data[2] & 0x80 or data[4:6] != b"\0\1":
        return False
    return data[12 : len(query)].lower() == query[12:].lower()


def parse_answer(data: bytes, query: bytes, kind: int) -> list[IPAddress]:
    """The addresses of `kind` in an answer, aliases followed. NameNotFound if there is no such name, Malformed."""
    if not answers(data, query):
        raise Malformed("that is no answer to this question")
    flags, _, count = struct.unpack_from(">HHH", data, 2)
    if flags & RCODE == NO_SUCH_NAME:
        raise NameNotFound("there is no such name")
    if flags & RCODE:
        raise Malformed(f"the nameserver answers with error {flags & RCODE}")
    wanted, at = read_name(data, 12)
    at += 4
    records: list[tuple[bytes, int, int, int]] = []  # owner, type, where its data begins and ends
    for _ in range(count):
        owner, at = read_name(data, at)
        if at + 10 > len(data):
            raise Malformed("a record is cut off")
        record, class_, _, length = struct.unpack_from(">HHIH", data, at)
        at += 10
        if at + length > len(data):
            raise Malformed("a record is cut off")
        if class_ == CLASS_IN:
            records.append((owner, record, at, at + length))
        at += length
    for _ in range(MAX_ALIASES):
        alias = next((at for owner, record, at, _ in records if owner == wanted and record == TYPE_CNAME), None)
        if alias is None:
            break
        wanted = read_name(data, alias)[0]
    size = 4 if kind == TYPE_A else 16
    return [
        unpack_address(data[at:end])
        for owner, record, at, end in records
        if owner == wanted and record == kind and end - at == size
    ]


def read_name(data: bytes, at: int) -> tuple[bytes, int]:
    """The name at `at`, in lower case with a length before each label, and where it ends (RFC 1035, 4.1.4)."""
    labels = bytearray()
    end = -1
    for _ in range(MAX_POINTERS + 128):
        if at >= len(data):
            raise Malformed("a name is cut off")
        length = data[at]
        if length >= 0xC0:
            if at + 2 > len(data):
                raise Malformed("a name is cut off")
            end = at + 2 if end < 0 else end
            at = (length & 0x3F) << 8 | data[at + 1]
        elif length >= 0x40 or len(labels) > 255:
            raise Malformed("that is no name")
        elif length == 0:
            return bytes(labels).lower(), at + 1 if end < 0 else end
        else:
            labels += data[at : at + 1 + length]
            at += 1 + length
    raise Malformed("a name leads in circles")
