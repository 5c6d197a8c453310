"""The static web server, on streams in memory."""

from __future__ import annotations

import asyncio
import os
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from uinet.cli.web import MAX_HEAD, Refused, StaticSite, parse_range

TOO_LARGE = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE


class Wire(asyncio.Transport):
    """Collects what is written to it."""

    def __init__(self) -> None:
        super().__init__({"peername": ("10.0.0.1", 4000)})
        self.sent = bytearray()
        self.ended = ""

    def write(self, data: Any) -> None:
        self.sent += data

    def writelines(self, parts: Any) -> None:
        self.sent += b"".join(parts)

    def is_closing(self) -> bool:
        return bool(self.ended)

    def close(self) -> None:
        self.ended = "closed"

    def abort(self) -> None:
        self.ended = "aborted"


def serve(site: StaticSite, request: bytes) -> Wire:
    """What the site sends to a client that sends `request` and ends its stream."""

    async def visit() -> Wire:
        reader = asyncio.StreamReader()
        wire = Wire()
        protocol = asyncio.StreamReaderProtocol(reader)
        protocol.connection_made(wire)
        writer = asyncio.StreamWriter(wire, protocol, reader, asyncio.get_running_loop())
        reader.feed_data(request)
        reader.feed_eof()
        await site.handle(reader, writer)
        return wire

    return asyncio.run(visit())


@pytest.fixture
def site(tmp_path: Path) -> StaticSite:
    root = tmp_path / "site"
    (root / "folder").mkdir(parents=True)
    (root / "plain").mkdir()
    (root / "hello.txt").write_bytes(b"0123456789")
    (root / "folder" / "index.html").write_text("<p>index")
    (root / "plain" / "a <b>.bin").write_bytes(b"x")
    (tmp_path / "secret").write_text("secret")
    (root / "leads-out").symlink_to(tmp_path / "secret")
    os.mkfifo(root / "pipe")
    return StaticSite(root)


def get(
    site: StaticSite, target: str, *fields: str, method: str = "GET"
) -> tuple[int, dict[str, str], bytes]:
    """Status, header fields and body of the answer."""
    head = "".join(f"{field}\r\n" for field in fields)
    wire = serve(site, f"{method} {target} HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode("latin-1"))
    first, _, body = bytes(wire.sent).partition(b"\r\n\r\n")
    status, *lines = first.decode().split("\r\n")
    answered = dict(line.split(": ", 1) for line in lines)
    assert wire.ended == "closed"
    return int(status.split()[1]), answered, body


def test_get_sends_the_file(site: StaticSite) -> None:
    status, fields, body = get(site, "/hello.txt?query")
    assert (status, body) == (200, b"0123456789")
    assert fields["Content-Type"] == "text/plain"
    assert fields["Content-Length"] == "10"


def test_head_sends_the_length_and_no_body(site: StaticSite) -> None:
    status, fields, body = get(site, "/hello.txt", method="HEAD")
    assert (status, body, fields["Content-Length"]) == (200, b"", "10")
    assert get(site, "/missing", method="HEAD")[2] == b""


def test_two_requests_on_one_connection_are_both_answered(site: StaticSite) -> None:
    one = b"GET /hello.txt HTTP/1.1\r\nHost: x\r\n\r\n"
    wire = serve(site, one + one)
    assert wire.sent.count(b"HTTP/1.1 200 OK") == 2
    assert wire.sent.count(b"0123456789") == 2


def test_connection_close_and_http_1_0_end_after_one(site: StaticSite) -> None:
    more = b"GET /hello.txt HTTP/1.1\r\n\r\n"
    wire = serve(site, b"GET /hello.txt HTTP/1.1\r\nConnection: close\r\n\r\n" + more)
    assert wire.sent.count(b"200 OK") == 1
    wire = serve(site, b"GET /hello.txt HTTP/1.0\r\n\r\n" + more)
    assert wire.sent.count(b"200 OK") == 1
    wire = serve(site, b"GET /hello.txt HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n" + more)
    assert wire.sent.count(b"200 OK") == 2


@pytest.mark.parametrize(
    ("asked", "status", "body"),
    [
        ("bytes=2-4", 206, b"234"),
        ("bytes=7-", 206, b"789"),
        ("bytes=-3", 206, b"789"),
        ("bytes=-30", 206, b"0123456789"),
        ("bytes=5-500", 206, b"56789"),
        ("bytes=10-", 416, b"416 Requested Range Not Satisfiable\n"),
        ("bytes=-0", 416, b"416 Requested Range Not Satisfiable\n"),
        ("bytes=4-2", 200, b"0123456789"),
        ("bytes=1-2,4-5", 200, b"0123456789"),
        ("lines=1-2", 200, b"0123456789"),
        ("bytes=", 200, b"0123456789"),
    ],
)
def test_range(site: StaticSite, asked: str, status: int, body: bytes) -> None:
    got, fields, data = get(site, "/hello.txt", f"Range: {asked}")
    assert (got, data) == (status, body)
    assert ("Content-Range" in fields) == (status != 200)


def test_range_content_range_says_which() -> None:
    assert parse_range("bytes=2-4", 10) == (2, 5)
    with pytest.raises(Refused) as caught:
        parse_range("bytes=10-", 10)
    assert caught.value.fields == (("Content-Range", "bytes */10"),)


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/missing", 404),
        ("/../secret", 404),
        ("/folder/../../secret", 404),
        ("/%2e%2e/secret", 404),
        ("/..%2fsecret", 404),
        ("/leads-out", 404),
        ("/hello.txt/x", 404),
        ("/" + "a" * 300, 404),
        ("/%00", 400),
        ("hello.txt", 400),
        ("http://x/hello.txt", 400),
        ("/pipe", 403),
        ("/" + "a/" * 3000, 414),
    ],
)
def test_target_that_names_no_file_is_refused(site: StaticSite, target: str, status: int) -> None:
    got, _, body = get(site, target)
    assert got == status
    assert b"secret" not in body


def test_folder_sends_its_index_a_listing_or_where_it_is(site: StaticSite) -> None:
    assert get(site, "/folder/")[2] == b"<p>index"
    status, fields, _ = get(site, "/folder")
    assert (status, fields["Location"]) == (301, "/folder/")
    status, _, body = get(site, "/plain/")
    assert status == 200
    assert b'<a href="./a%20%3Cb%3E.bin">a &lt;b&gt;.bin</a>' in body
    assert get(site, "/plain/a%20%3Cb%3E.bin")[2] == b"x"
    assert b"hello.txt" in get(site, "/")[2]


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", HTTPStatus.BAD_REQUEST),
        (b"GET /hello.txt HTTP/1.1\r\nbad field\r\n\r\n", HTTPStatus.BAD_REQUEST),
        (b"GET /hello.txt HTTP/1.1\r\nName : x\r\n\r\n", HTTPStatus.BAD_REQUEST),
        (b"GET /hello.txt HTTP/1.1\r\nContent-Length: 5\r\n\r\nGET /", HTTPStatus.BAD_REQUEST),
        (b"GET /hello.txt HTTP/2\r\n\r\n", HTTPStatus.HTTP_VERSION_NOT_SUPPORTED),
        (b"POST /hello.txt HTTP/1.1\r\n\r\n", HTTPStatus.METHOD_NOT_ALLOWED),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * MAX_HEAD + b"\r\n\r\n", TOO_LARGE),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000 + b"\r\n\r\n", TOO_LARGE),
    ],
)
def test_bad_request_is_answered_and_ends_the_connection(
    site: StaticSite, request_bytes: bytes, status: HTTPStatus
) -> None:
    wire = serve(site, request_bytes + b"GET /hello.txt HTTP/1.1\r\n\r\n")
    assert wire.sent.startswith(f"HTTP/1.1 {status.value} ".encode())
    assert wire.sent.count(b"HTTP/1.1 ") == 1
    assert wire.ended == "closed"


def test_end_of_stream_inside_a_request_sends_nothing(site: StaticSite) -> None:
    assert serve(site, b"GET /hello.txt HT").sent == b""
    assert serve(site, b"").sent == b""


def test_log_has_a_line_a_request_and_nothing_unprintable(site: StaticSite) -> None:
    lines: list[str] = []
    site.log = lines.append
    get(site, "/hello.txt")
    get(site, "/\x1b[2J")
    assert lines == ["10.0.0.1:4000 GET /hello.txt 200 10", "10.0.0.1:4000 GET /?[2J 404 14"]


def test_site_whose_folder_is_none_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        StaticSite(tmp_path / "missing")
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        StaticSite(tmp_path / "file")
