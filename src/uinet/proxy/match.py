"""Match expressions: which connections the proxy takes, in words that readers of tcpdump know.

Grammar (words in any case; blanks between words; `,` makes a list of alternatives, written without blanks)::

    expression  = term { ("or" | "||") term }
    term        = factor { ("and" | "&&") factor }
    factor      = ("not" | "!") factor | "(" expression ")" | primitive
    primitive   = "any" | "tcp" | "ip" | "ip6"
                | ["tcp"] ["src" | "dst"] "port" PORT["-"PORT]{","...}     80,443,8000-8099
                | ["src" | "dst"] "host" ADDRESS{","...}
                | ["src" | "dst"] "net" PREFIX{","...}                     10.0.0.0/8,fd00::/8
                | "vlan" ("any" | "none" | VID{":"VID}{","...})            100 or 100:200
                | "ether" ("src" | "dst" | "host") MAC{","...}
                | "from" ("client" | "server")

Everything is about the SYN: `src` is who opens the connection; without `src` or `dst` either end will do.
``vlan any`` is at least one tag, ``vlan none`` no tag, ``vlan 100:200`` a stack that begins with these,
outermost first; priority tags (VID 0) don't count. ``from`` is the proxy's side on which it was opened.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

from uinet.errors import AddressError, InvalidArgument
from uinet.wire.addresses import L2Info, Mac

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
Endpoint = tuple[IPAddress, int]

PRIMITIVES = "'port', 'host', 'net', 'vlan', 'ether', 'from', 'not' or '('"
MAX_DEPTH = 100
"""Parentheses and `not` nest no deeper."""


class MatchError(InvalidArgument):
    """A match expression is not valid."""


class Syn(Protocol):
    """What an expression looks at: a SYN, or anything with the same ends."""

    @property
    def source(self) -> Endpoint: ...

    @property
    def destination(self) -> Endpoint: ...

    @property
    def l2info(self) -> L2Info | None: ...


class Flow(NamedTuple):
    """The identity of a connection, as its SYN shows it; `from_server` if that came in on the server side."""

    source: IPAddress
    source_port: int
    destination: IPAddress
    destination_port: int
    vids: tuple[int, ...] = ()
    source_mac: bytes = bytes(6)
    destination_mac: bytes = bytes(6)
    from_server: bool = False

    @classmethod
    def of(cls, syn: Syn, from_server: bool = False) -> Flow:
        """The flow that `syn` opens."""
        (source, source_port), (destination, destination_port) = syn.source, syn.destination
        flow = cls(source, source_port, destination, destination_port, from_server=from_server)
        l2 = syn.l2info
        if l2 is None:
            return flow
        vids = tuple(tag.vid for tag in l2.vlans if tag.vid)
        return flow._replace(vids=vids, source_mac=l2.source, destination_mac=l2.destination)


class Match(Protocol):
    """A predicate on flows; `str()` gives an expression that means the same."""

    def __call__(self, flow: Flow) -> bool: ...


@dataclass(frozen=True)
class Everything:
    """``any``."""

    def __call__(self, flow: Flow) -> bool:
        return True

    def __str__(self) -> str:
        return "any"


@dataclass(frozen=True)
class Not:
    """``not x``."""

    part: Match

    def __call__(self, flow: Flow) -> bool:
        return not self.part(flow)

    def __str__(self) -> str:
        return f"not {self.part}"


@dataclass(frozen=True)
class And:
    """``(x and y ...)``."""

    parts: tuple[Match, ...]

    def __call__(self, flow: Flow) -> bool:
        return all(part(flow) for part in self.parts)

    def __str__(self) -> str:
        return "(" + " and ".join(map(str, self.parts)) + ")"


@dataclass(frozen=True)
class Or:
    """``(x or y ...)``."""

    parts: tuple[Match, ...]

    def __call__(self, flow: Flow) -> bool:
        return any(part(flow) for part in self.parts)

    def __str__(self) -> str:
        return "(" + " or ".join(map(str, self.parts)) + ")"


@dataclass(frozen=True)
class Version:
    """``ip`` or ``ip6``."""

    version: int

    def __call__(self, flow: Flow) -> bool:
        return flow.source.version == self.version

    def __str__(self) -> str:
        return "ip" if self.version == 4 else "ip6"


@dataclass(frozen=True)
class Port:
    """``[src|dst] port 80,8000-8099``; `end` is "src", "dst" or "" for either."""

    end: str
    ranges: tuple[tuple[int, int], ...]

    def _holds(self, port: int) -> bool:
        return any(first <= port <= last for first, last in self.ranges)

    def __call__(self, flow: Flow) -> bool:
        return (self.end != "dst" and self._holds(flow.source_port)) or (
            self.end != "src" and self._holds(flow.destination_port)
        )

    def __str__(self) -> str:
        ranges = (f"{first}" if first == last else f"{first}-{last}" for first, last in self.ranges)
        return f"{self.end} port ".lstrip() + ",".join(ranges)


@dataclass(frozen=True)
class Net:
    """``[src|dst] net 10.0.0.0/8,...``; a host is a net of one address."""

    end: str
    nets: tuple[IPNetwork, ...]

    def _holds(self, address: IPAddress) -> bool:
        return any(address.version == net.version and address in net for net in self.nets)

    def __call__(self, flow: Flow) -> bool:
        return (self.end != "dst" and self._holds(flow.source)) or (
            self.end != "src" and self._holds(flow.destination)
        )

    def __str__(self) -> str:
        return f"{self.end} net ".lstrip() + ",".join(map(str, self.nets))


@dataclass(frozen=True)
class Tagged:
    """``vlan any`` and, if not `tagged`, ``vlan none``."""

    tagged: bool

    def __call__(self, flow: Flow) -> bool:
        return bool(flow.vids) == self.tagged

    def __str__(self) -> str:
        return "vlan any" if self.tagged else "vlan none"


@dataclass(frozen=True)
class Vlan:
    """``vlan 100,200:300``: the stack begins with one of these."""

    stacks: tuple[tuple[int, ...], ...]

    def __call__(self, flow: Flow) -> bool:
        return any(flow.vids[: len(stack)] == stack for stack in self.stacks)

    def __str__(self) -> str:
        return "vlan " + ",".join(":".join(map(str, stack)) for stack in self.stacks)


@dataclass(frozen=True)
class Ether:
    """``ether src|dst|host MAC,...``; `end` is "src", "dst" or "host" for either."""

    end: str
    macs: tuple[Mac, ...]

    def __call__(self, flow: Flow) -> bool:
        return (self.end != "dst" and flow.source_mac in self.macs) or (
            self.end != "src" and flow.destination_mac in self.macs
        )

    def __str__(self) -> str:
        return f"ether {self.end} " + ",".join(map(str, self.macs))


@dataclass(frozen=True)
class From:
    """``from client`` or ``from server``."""

    server: bool

    def __call__(self, flow: Flow) -> bool:
        return flow.from_server == self.server

    def __str__(self) -> str:
        return "from server" if self.server else "from client"


EVERYTHING = Everything()

WORD = re.compile(r"\s*(?:(\(|\)|!|&&|\|\|)|([^\s()!&|]+))")
SYNONYMS = {"&&": "and", "||": "or", "!": "not", "all": "any"}
T = TypeVar("T")


class Word(NamedTuple):
    """One word of an expression and where it begins; the last one is "" and stands at the end."""

    text: str
    at: int


class Parser:
    """Recursive descent over the words of one expression; one method per rule of the grammar."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.words = self._split(text)
        self.next = 0
        self.depth = 0

    def _split(self, text: str) -> list[Word]:
        words, at, length = [], 0, len(text.rstrip())
        while at < length:
            found = WORD.match(text, at)
            if found is None:
                at += len(text[at:]) - len(text[at:].lstrip())
                raise self._error(Word(text[at], at), "unexpected character")
            group = 1 if found.group(1) else 2
            word = found.group(group).lower()
            words.append(Word(SYNONYMS.get(word, word), found.start(group)))
            at = found.end()
        return [*words, Word("", length)]

    def _error(self, word: Word, message: str) -> MatchError:
        found = f"found {word.text!r}" if word.text else "found its end"
        place = f"{self.text[: word.at]}>>>{self.text[word.at :]}"
        place = "".join(c if c.isprintable() else " " for c in place)
        return MatchError(f"match expression, column {word.at + 1}: {message}, {found}: {place}")

    @property
    def word(self) -> Word:
        return self.words[self.next]

    def take(self, *wanted: str) -> str:
        """The next word if it is one of `wanted` ("" if it is not)."""
        text = self.word.text
        if text and text in wanted:
            self.next += 1
            return text
        return ""

    def expect(self, *wanted: str) -> str:
        word = self.word
        if not self.take(*wanted):
            *most, last = (f"'{text}'" for text in wanted)
            raise self._error(word, "expected " + (", ".join(most) + " or " + last if most else last))
        return word.text

    def parse(self) -> Match:
        """The whole expression; an empty one is an error."""
        match = self.expression()
        if self.word.text:
            raise self._error(self.word, "expected 'and', 'or' or the end")
        return match

    def expression(self) -> Match:
        parts = [self.term()]
        while self.take("or"):
            parts.append(self.term())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def term(self) -> Match:
        parts = [self.factor()]
        while self.take("and"):
            parts.append(self.factor())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def factor(self) -> Match:
        word = self.word
        if not self.take("not", "("):
            return self.primitive()
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self._error(word, f"nested deeper than {MAX_DEPTH}")
        if word.text == "not":
            inner: Match = Not(self.factor())
        else:
            inner = self.expression()
            self.expect(")")
        self.depth -= 1
        return inner

    def primitive(self) -> Match:
        word = self.word
        if self.take("any"):
            return EVERYTHING
        if self.take("ip", "ip6"):
            return Version(4 if word.text == "ip" else 6)
        if self.take("vlan"):
            return self.vlan()
        if self.take("ether"):
            end = self.expect("src", "dst", "host")
            return Ether(end, self.listed("a MAC address", Mac.parse))
        if self.take("from"):
            return From(self.expect("client", "server") == "server")
        if self.take("tcp") and self.word.text not in ("src", "dst", "port"):
            return EVERYTHING  # the proxy sees nothing but TCP
        end = self.take("src", "dst")
        kinds = ("port",) if word.text == "tcp" else ("port", "host", "net")
        if self.word.text not in kinds and not end and word.text != "tcp":
            raise self._error(self.word, f"expected {PRIMITIVES}")
        kind = self.expect(*kinds)
        if kind == "port":
            return Port(end, self.listed("a port, or a range of ports", parse_ports))
        if kind == "host":
            return Net(end, self.listed("an IP address", parse_host))
        return Net(end, self.listed("a network prefix", parse_net))

    def vlan(self) -> Match:
        if self.take("any"):
            return Tagged(True)
        if self.take("none"):
            return Tagged(False)
        return Vlan(self.listed("'any', 'none' or VLAN numbers (1 to 4095)", parse_stack))

    def listed(self, what: str, parse: Callable[[str], T]) -> tuple[T, ...]:
        """The next word as a list of alternatives, each read by `parse` (ValueError if it is none)."""
        word = self.word
        values, at = [], word.at
        for text in word.text.split(","):
            try:
                values.append(parse(text))
            except (ValueError, AddressError):
                raise self._error(Word(text, at), f"expected {what}") from None
            at += len(text) + 1
        self.next += 1
        return tuple(values)


def _number(text: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and least <= int(text) <= most):
        raise ValueError(text)
    return int(text)


def parse_ports(text: str) -> tuple[int, int]:
    """``80`` or ``8000-8099`` as (first, last); ValueError otherwise."""
    first, dash, last = text.partition("-")
    low = _number(first, 0, 65535)
    high = _number(last, low, 65535) if dash else low
    return low, high


def parse_host(text: str) -> IPNetwork:
    """One address, as a net."""
    return ipaddress.ip_network(ipaddress.ip_address(text))


def parse_net(text: str) -> IPNetwork:
    """A prefix; bits beyond its length are ignored, as everywhere in this package."""
    return ipaddress.ip_network(text, strict=False)


def parse_stack(text: str) -> tuple[int, ...]:
    """``100`` or ``100:200``, outermost first."""
    return tuple(_number(part, 1, 4095) for part in text.split(":"))


def parse_match(text: str) -> Match:
    """The predicate that `text` describes; MatchError, one line that points at the place, if it is none."""
    return Parser(text).parse()
