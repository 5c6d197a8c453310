"""Names to addresses, without the asking: a table of hosts, and DNS messages.

Read first: RFC 1035, 4.1 (messages), 4.2 (UDP, and TCP after truncation); RFC 3596 (AAAA); RFC 5452, 9 (what a
resolver checks before it believes an answer).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Mapping

from uinet.endpoints import IPAddress, ip_address
from uinet.errors import Error
from uinet.wire.addresses import unpack_address

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


class Names:
    """What can be said of names without asking anybody.

    `nameservers`: addresses of recursive DNS servers, to be asked in order. `hosts`: addresses by name.
    """

    def __init__(
        self,
        nameservers: Iterable[str | IPAddress] = (),
        hosts: Mapping[str, str | Iterable[str]] | None = None,
    ) -> None:
        self.nameservers = [ip_address(server) for server in nameservers]
        self.hosts: dict[str, list[IPAddress]] = {}
        for name, addresses in {"localhost": ("::1", "127.0.0.1"), **(hosts or {})}.items():  # RFC 6761, 6.3
            several = [addresses] if isinstance(addresses, str) else addresses
            self.hosts[canonical(name)] = [ip_address(address) for address in several]

    def known(self, name: str, versions: tuple[int, ...]) -> list[IPAddress] | None:
        """The addresses of `name` that the table has, of these IP versions; None if the name is not in it."""
        addresses = self.hosts.get(canonical(name))
        return None if addresses is None else [address for address in addresses if address.version in versions]


def truncated(answer: bytes) -> bool:
    """Whether the rest of an answer is to be had by TCP."""
    return bool(struct.unpack_from(">H", answer, 2)[0] & TRUNCATED)


def over_tcp(query: bytes) -> bytes:
    """A query as TCP carries it: behind its length (RFC 1035, 4.2.2)."""
    return struct.pack(">H", len(query)) + query


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
