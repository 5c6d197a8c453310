"""A static web server on asyncio streams: GET and HEAD, keep-alive, byte ranges, nothing beyond its folder.

Read first: RFC 9110 (HTTP semantics), 14 (range requests); RFC 9112 (HTTP/1.1).
"""

from __future__ import annotations

import asyncio
import errno
import html
import mimetypes
import os
import re
import urllib.parse
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO, NamedTuple

MAX_HEAD = 16 * 1024
"""Bytes of a request line and its header fields; more is answered with 431."""
MAX_TARGET = 4 * 1024
IDLE = 60.0
"""Seconds that a client may take to send a request."""
CHUNK = 256 * 1024
RANGE_NUMBER = re.compile("[0-9]{0,19}")


class Refused(Exception):
    """A request that is answered with an error: `status`, and header fields that go with it."""

    def __init__(self, status: HTTPStatus, *fields: tuple[str, str]) -> None:
        super().__init__(status.phrase)
        self.status = status
        self.fields = fields


class Request(NamedTuple):
    """One request's head. `fields`: header fields by lower-case name, the last one of a name."""

    method: str
    target: str
    version: str
    fields: dict[str, str]

    @property
    def keep_alive(self) -> bool:
        """Whether the client wants to send another one on this connection (RFC 9112, 9.3)."""
        options = [option.strip().lower() for option in self.fields.get("connection", "").split(",")]
        return "close" not in options and (self.version == "HTTP/1.1" or "keep-alive" in options)


def parse_request(head: bytes) -> Request:
    """The request whose head, up to and with the empty line, is `head`; Refused if it is none."""
    try:
        first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        method, target, version = first.split(" ")
    except ValueError:
        raise Refused(HTTPStatus.BAD_REQUEST) from None
    if version not in ("HTTP/1.0", "HTTP/1.1"):
        raise Refused(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
    if len(target) > MAX_TARGET:
        raise Refused(HTTPStatus.REQUEST_URI_TOO_LONG)
    fields = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise Refused(HTTPStatus.BAD_REQUEST)
        fields[name.lower()] = value.strip()
    return Request(method, target, version, fields)


def parse_range(value: str, size: int) -> tuple[int, int] | None:
    """``bytes=first-last`` as (start, end) of `size` bytes; None: ignore it. Refused if it can't be met.

    Several ranges are ignored, as a server may (RFC 9110, 14.2).
    """
    unit, _, ranges = value.partition("=")
    first, dash, last = ranges.strip().partition("-")
    numbers = all(RANGE_NUMBER.fullmatch(number) for number in (first, last))
    if unit.strip().lower() != "bytes" or not dash or not numbers or not (first or last):
        return None
    if not first:
        start, end = max(size - int(last), 0), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < int(first):
            return None
    if start >= end:
        raise Refused(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, ("Content-Range", f"bytes */{size}"))
    return start, end


class StaticSite:
    """The files under `root`; OSError if there is no such folder. `log` is called with a line a request."""

    def __init__(self, root: str | Path, log: Callable[[str], None] | None = None) -> None:
        self.root = Path(root).resolve(strict=True)
        if not self.root.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(root))
        self.log = log

    def find(self, target: str) -> Path:
        """The file or folder that a request target names; Refused if it names nothing under `root`."""
        path = urllib.parse.unquote(target.partition("?")[0], errors="surrogateescape")
        if not path.startswith("/") or "\0" in path:
            raise Refused(HTTPStatus.BAD_REQUEST)
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise Refused(HTTPStatus.NOT_FOUND)
        try:
            found = self.root.joinpath(*parts).resolve(strict=True)
        except (OSError, RuntimeError, UnicodeError):  # not there, a loop of links, a name too long
            raise Refused(HTTPStatus.NOT_FOUND) from None
        if not found.is_relative_to(self.root):
            raise Refused(HTTPStatus.NOT_FOUND)  # a link that leads out
        return found

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection until it ends: a handler for `start_server`."""
        visit = Visit(self, reader, writer)
        try:
            while await visit.serve_one():
                pass
        except (ConnectionError, TimeoutError):
            writer.transport.abort()
        else:
            writer.close()


class Visit:
    """One client's connection."""

    def __init__(self, site: StaticSite, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.site = site
        self.reader = reader
        self.writer = writer
        self.peer = writer.get_extra_info("peername")
        self.request: Request | None = None

    async def serve_one(self) -> bool:
        """Answers one request; False when there will be no other."""
        self.request = None
        try:
            head = await self._read_head()
            if not head:
                return False
            self.request = parse_request(head)
            await self._answer(self.request)
        except Refused as refused:
            await self._refuse(refused)
            return False
        return self.request.keep_alive

    async def _read_head(self) -> bytes:
        """The next request's head with its empty line; b"" at the end of the stream."""
        try:
            async with asyncio.timeout(IDLE):
                head = await self.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return b""
        except asyncio.LimitOverrunError:
            raise Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE) from None
        if len(head) > MAX_HEAD:
            raise Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        return head

    async def _answer(self, request: Request) -> None:
        if request.method not in ("GET", "HEAD"):
            raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, ("Allow", "GET, HEAD"))
        if request.fields.get("content-length", "0") != "0" or "transfer-encoding" in request.fields:
            raise Refused(HTTPStatus.BAD_REQUEST)  # a body nobody reads would be taken for the next request
        site = self.site
        path = site.find(request.target)
        if path.is_dir():
            folder = request.target.partition("?")[0]
            if not folder.endswith("/"):
                moved = urllib.parse.quote("/" + path.relative_to(site.root).as_posix() + "/")
                raise Refused(HTTPStatus.MOVED_PERMANENTLY, ("Location", moved))
            if not (path / "index.html").is_file():
                await self._send_listing(request, path)
                return
            path = site.find(folder + "index.html")
        if not path.is_file():
            raise Refused(HTTPStatus.FORBIDDEN)  # opening a pipe would wait for its other end
        try:
            with path.open("rb") as file:
                await self._send_file(request, path, file)
        except PermissionError:
            raise Refused(HTTPStatus.FORBIDDEN) from None
        except FileNotFoundError:
            raise Refused(HTTPStatus.NOT_FOUND) from None

    async def _send_file(self, request: Request, path: Path, file: BinaryIO) -> None:
        facts = os.fstat(file.fileno())
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        fields = [("Last-Modified", formatdate(facts.st_mtime, usegmt=True)), ("Accept-Ranges", "bytes")]
        status, start, end = HTTPStatus.OK, 0, facts.st_size
        asked = request.fields.get("range")
        span = parse_range(asked, facts.st_size) if asked and request.method == "GET" else None
        if span is not None:
            status, (start, end) = HTTPStatus.PARTIAL_CONTENT, span
            fields.append(("Content-Range", f"bytes {start}-{end - 1}/{facts.st_size}"))
        self._head(status, kind, end - start, request.keep_alive, *fields)
        left = end - start if request.method == "GET" else 0
        file.seek(start)
        while left:
            data = file.read(min(CHUNK, left))
            if not data:
                raise ConnectionAbortedError("the file has become shorter than was promised")
            self.writer.write(data)
            await self.writer.drain()
            left -= len(data)
        await self.writer.drain()

    async def _send_listing(self, request: Request, folder: Path) -> None:
        try:
            names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in folder.iterdir())
        except PermissionError:
            raise Refused(HTTPStatus.FORBIDDEN) from None
        title = html.escape("/" + folder.relative_to(self.site.root).as_posix().removeprefix("."))
        page = [f"<!doctype html><meta charset=utf-8><title>{title}</title><h1>{title}</h1>", "<ul>"]
        for name in names:
            link = urllib.parse.quote(name, errors="surrogateescape")
            page.append(f'<li><a href="./{link}">{html.escape(name)}</a></li>')
        body = "\n".join([*page, "</ul>", ""]).encode("utf-8", "replace")
        self._head(HTTPStatus.OK, "text/html; charset=utf-8", len(body), request.keep_alive)
        if request.method == "GET":
            self.writer.write(body)
        await self.writer.drain()

    async def _refuse(self, refused: Refused) -> None:
        status = refused.status
        body = f"{status.value} {status.phrase}\n".encode()
        self._head(status, "text/plain", len(body), False, *refused.fields)
        if self.request is None or self.request.method != "HEAD":
            self.writer.write(body)
        await self.writer.drain()

    def _head(
        self, status: HTTPStatus, kind: str, length: int, keep_alive: bool, *fields: tuple[str, str]
    ) -> None:
        """Writes a response's head, and its line in the log."""
        lines = [
            f"HTTP/1.1 {status.value} {status.phrase}",
            f"Content-Type: {kind}",
            f"Content-Length: {length}",
            f"Connection: {'keep-alive' if keep_alive else 'close'}",
            "Server: uinet",
            *(f"{name}: {value}" for name, value in fields),
        ]
        self.writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        if self.site.log is not None:
            asked = f"{self.request.method} {self.request.target}" if self.request is not None else "-"
            line = f"{self.peer[0]}:{self.peer[1]} {asked} {status.value} {length}" if self.peer else asked
            self.site.log("".join(c if c.isprintable() else "?" for c in line))
