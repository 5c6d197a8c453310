"""TLS on gevent."""

from __future__ import annotations

import hashlib
import ssl
from typing import Any

import gevent
import pytest

from tests.sim.certificate import client_context, server_context
from tests.unit.gevent.test_gevent_host import shout, two
from uinet.gevent import Socket, StreamServer, TlsSocket, WSGIServer

DATA = hashlib.shake_256(b"uinet").digest(600_000)


def echo(sock: Socket, address: Any) -> None:
    while data := sock.recv(65536):
        sock.sendall(data)


def test_streams_both_ways_at_once() -> None:
    with (
        two(hosts={"server.example": "10.0.0.2"}) as (a, b),
        StreamServer(b, ("10.0.0.2", 443), echo, ssl=server_context()) as server,
    ):
        server.start()
        with a.connect(("server.example", 443), ssl=client_context()) as sock:
            assert isinstance(sock, TlsSocket) and sock.version() == "TLSv1.3"
            assert dict(sock.getpeercert()["subject"][0])["commonName"] == "server.example"
            sending = gevent.spawn(sock.sendall, DATA)
            received = bytearray()
            while len(received) < len(DATA):
                received += sock.recv(50_000)
            sending.get(timeout=5)
            assert received == DATA
            sock.settimeout(0.02)
            with pytest.raises(TimeoutError):
                sock.recv(1)
            sock.sendall(memoryview(b"still there"))
            sock.settimeout(5)
            buffer = bytearray(100)
            assert sock.recv_into(buffer) == 11 and buffer[:11] == b"still there"
            with pytest.raises(ValueError, match="flags"):
                sock.recv(1, 2)


def test_files_and_the_end_of_the_stream() -> None:
    with two() as (a, b), StreamServer(b, ("10.0.0.2", 443), shout, ssl=server_context()) as server:
        server.start()
        with a.connect(("10.0.0.2", 443), ssl=client_context()) as sock, sock.makefile("rb") as file:
            sock.sendall(b"hello\n")
            assert file.readline() == b"HELLO\n"
            sock.unwrap()
            assert sock.recv(1) == b""


def test_stranger_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    with two() as (a, b), StreamServer(b, ("10.0.0.2", 443), echo, ssl=server_context()) as server:
        server.start()
        with pytest.raises(ssl.SSLCertVerificationError):
            a.connect(("10.0.0.2", 443), ssl=ssl.create_default_context())
        with pytest.raises(ssl.SSLCertVerificationError):
            a.connect(("10.0.0.2", 443), ssl=client_context(), server_hostname="other.example")
        with a.connect(("10.0.0.2", 443)) as plain:  # no TLS at all: its handler fails, the server goes on
            plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
            while plain.recv(1000):
                pass
        with a.connect(("10.0.0.2", 443), ssl=client_context()) as sock:
            sock.sendall(b"x")
            assert sock.recv(1) == b"x"
        assert not a.stack.connections() or all(one.closed for one in a.stack.connections())
    assert "SSLError" in capfd.readouterr().err


def test_ragged_end_is_told_if_asked() -> None:
    def cut(sock: Socket, address: Any) -> None:
        sock.sock.close()  # under TLS's feet

    for quiet in (True, False):
        with two() as (a, b), StreamServer(b, ("10.0.0.2", 443), cut, ssl=server_context()) as server:
            server.start()
            plain = a.connect(("10.0.0.2", 443))
            sock = TlsSocket(
                plain, client_context(), server_hostname="10.0.0.2", suppress_ragged_eofs=quiet
            )
            if quiet:
                assert sock.recv(1) == b""
            else:
                with pytest.raises(ssl.SSLEOFError):
                    sock.recv(1)


def test_wsgi_over_tls() -> None:
    def application(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Length", "5")])
        return [environ["wsgi.url_scheme"].encode()]

    with two() as (a, b), WSGIServer(b, ("10.0.0.2", 443), application, ssl=server_context(), log=None) as server:
        server.start()
        with a.connect(("10.0.0.2", 443), ssl=client_context()) as sock, sock.makefile("rb") as file:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n")
            assert file.read().endswith(b"\r\n\r\nhttps")
