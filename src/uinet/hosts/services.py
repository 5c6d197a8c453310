"""What hosts serve: the small services of old (RFC 862 to 867), a fixed page over HTTP, a fixed banner.

A service is a few functions over sockets' upcalls; what a connection still has to do is its socket's `user_context`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from uinet.errors import Error, InvalidArgument, WouldBlock
from uinet.events import EV_CLOSED, EV_EOF, EV_ERROR, EV_READABLE, EV_WRITABLE
from uinet.socket import Socket

TCP_KINDS = ("echo", "discard", "chargen", "daytime", "http", "banner", "filtered", "closed")
UDP_KINDS = ("echo", "discard", "chargen", "daytime", "filtered", "closed")
READ = 65536
LONGEST_REQUEST = 16384
LINE = 72
PATTERN = bytes(range(33, 127)) * 2
CHARGEN = b"".join(PATTERN[at : at + LINE] + b"\r\n" for at in range(95))


@dataclass(frozen=True)
class Service:
    """`kind`: one of the kinds; `text`: the page or banner, `status` of the page; `close`: a banner is all there is."""

    kind: str
    text: str = ""
    status: int = 200
    close: bool = False


@dataclass
class Talk:
    """A connection. `unsent`: what found no room yet; `heard`: the request so far; `ending`: closed after what is
    unsent; `at`: how far chargen has come."""

    service: Service
    unsent: bytes = b""
    heard: bytes = b""
    ending: bool = False
    at: int = 0


def parse_service(protocol: str, value: Any) -> Service:
    """``"echo"``, ``{ http = "<h1>Hi</h1>", status = 200 }``, ``{ banner = "220 hi\\r\\n", close = true }``;
    InvalidArgument."""
    kinds = TCP_KINDS if protocol == "tcp" else UDP_KINDS
    wanted = f"want one of {', '.join(kinds)}"
    if isinstance(value, str):
        if value == "banner":
            raise InvalidArgument('a banner has a text: want { banner = "220 hello\\r\\n" }')
        if value not in kinds:
            raise InvalidArgument(f"{value!r} is no service over {protocol}: {wanted}")
        return Service(value, "It works!\n" if value == "http" else "")
    if not isinstance(value, dict):
        raise InvalidArgument(f"{value!r} is no service: {wanted}, or a table")
    options = dict(value)
    for kind in ("http", "banner"):
        if kind not in options or protocol != "tcp":
            continue
        text, status, close = options.pop(kind), options.pop("status", 200), options.pop("close", False)
        if not isinstance(text, str) or isinstance(status, bool) or not isinstance(status, int):
            raise InvalidArgument(f"{value!r}: want a text, and for status a number")
        if not 100 <= status <= 599 or not isinstance(close, bool):
            raise InvalidArgument(f"{value!r}: status is 100 to 599, close is true or false")
        if options:
            raise InvalidArgument(f"nobody knows {', '.join(options)} of a service: there are {kind}, status, close")
        return Service(kind, text, status, close)
    raise InvalidArgument(f"{value!r} is no service over {protocol}: {wanted}" + (
        ', { http = "..." } or { banner = "..." }' if protocol == "tcp" else ""
    ))


def daytime() -> bytes:
    """The time of day, as RFC 867 lets one write it."""
    return time.strftime("%A, %B %d, %Y %H:%M:%S-UTC\r\n", time.gmtime()).encode()


def filled(text: str, host: Any) -> bytes:
    """A text with ``{n}``, ``{name}`` and ``{ip}`` of the host in it."""
    if "{" not in text:
        return text.encode()
    address = str(host.ip)
    return text.replace("{n}", str(host.number)).replace("{name}", host.name).replace("{ip}", address).encode()


def begin(sock: Socket, service: Service, host: Any) -> None:
    """A connection has been accepted."""
    talk = sock.user_context = Talk(service)
    if service.kind == "banner":
        talk.ending = service.close
        say(sock, talk, filled(service.text, host))
    elif service.kind == "daytime":
        talk.ending = True
        say(sock, talk, daytime())
    elif service.kind == "chargen":
        go_on(sock, talk)


def say(sock: Socket, talk: Talk, data: bytes) -> None:
    """Queues `data`, behind what waits already."""
    talk.unsent += data
    go_on(sock, talk)


def go_on(sock: Socket, talk: Talk) -> None:
    """Queues what waits, as far as there is room; chargen goes on until there is none."""
    try:
        while True:
            if not talk.unsent:
                if talk.service.kind != "chargen" or talk.ending:
                    break
                talk.unsent = CHARGEN[talk.at :]
            sent = sock.send(talk.unsent)
            talk.unsent = talk.unsent[sent:]
            if talk.service.kind == "chargen":
                talk.at = len(CHARGEN) - len(talk.unsent) if talk.unsent else 0
    except WouldBlock:
        return
    if talk.ending:
        sock.close()


def happens(sock: Socket, events: int, host: Any) -> bool:
    """Upcall of a connection; whether it is still open."""
    talk: Talk = sock.user_context
    try:
        if events & EV_WRITABLE:
            go_on(sock, talk)
        if events & (EV_READABLE | EV_EOF) and not sock.closed:
            hear(sock, talk, host)
    except Error:
        sock.close()
    if events & (EV_ERROR | EV_CLOSED):
        sock.close()
    return not sock.closed


def hear(sock: Socket, talk: Talk, host: Any) -> None:
    """Reads what has come, unless what is to be sent first has found no room."""
    while not (talk.unsent and talk.service.kind == "echo"):
        try:
            data = sock.recv(READ)
        except WouldBlock:
            return
        if not data:
            talk.ending = True
            if talk.service.kind == "chargen":
                talk.unsent = b""
            go_on(sock, talk)
            return
        if talk.service.kind == "echo":
            say(sock, talk, data)
        elif talk.service.kind == "http":
            request(sock, talk, data, host)


def request(sock: Socket, talk: Talk, data: bytes, host: Any) -> None:
    """More of an HTTP request; answered once its head is whole."""
    if talk.ending:
        return
    talk.heard += data
    if b"\r\n\r\n" not in talk.heard:
        if len(talk.heard) > LONGEST_REQUEST:
            sock.abort()
        return
    page = filled(talk.service.text, host)
    kind = "text/html" if page.lstrip().startswith(b"<") else "text/plain; charset=utf-8"
    head = (
        f"HTTP/1.1 {talk.service.status} {reason(talk.service.status)}\r\nServer: {host.name}\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {len(page)}\r\nConnection: close\r\n\r\n"
    ).encode()
    talk.ending = True
    say(sock, talk, head if talk.heard.startswith(b"HEAD ") else head + page)


def reason(status: int) -> str:
    """The phrase of an HTTP status."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def answer(service: Service, data: bytes) -> bytes | None:
    """What a datagram gets, None for nothing; never longer than what came, so that nobody can be flooded by it."""
    if service.kind == "echo":
        return data
    if service.kind == "chargen":
        return CHARGEN[: min(len(data), 512)]
    if service.kind == "daytime":
        return daytime()[: len(data)] if data else None
    return None
