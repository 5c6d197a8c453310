"""A host on gevent: sockets that block greenlets, and gevent's own servers."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import gevent.pool
import pytest
from gevent.event import AsyncResult

import uinet
from tests.unit.loops.nameserver import NameServer
from uinet import ANY, EV_ACCEPT, EV_READABLE, L2Info, Verdict
from uinet.errors import (
    AddressInUse,
    BadSocket,
    ConnectionRefused,
    ConnectionReset,
    InvalidArgument,
    NotSupported,
    TimedOut,
    WouldBlock,
)
from uinet.gevent import Host, NameNotFound, Socket, StreamServer, WSGIServer
from uinet.link.memory import MemoryDevice
from uinet.link.pipe import Pipe

MAC_A, MAC_B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"


@contextmanager
def two(**options: Any) -> Iterator[tuple[Host, Host]]:
    """10.0.0.1 and 10.0.0.2, joined by ``memory:cable``."""
    with gevent.Timeout(20), Host(seed=b"a", linger=0.5, **options) as a, Host(seed=b"b", linger=0.5) as b:
        a.add_device("memory:cable", addresses=["10.0.0.1/24", "fd00::1/64"])
        b.add_device("memory:cable", addresses=["10.0.0.2/24", "fd00::2/64"])
        yield a, b


@contextmanager
def connected() -> Iterator[tuple[Socket, Socket]]:
    with two() as (a, b):
        listener = b.listen(("10.0.0.2", 80))
        client = a.connect(("10.0.0.2", 80))
        server, peer = listener.accept()
        assert peer == client.getsockname() and server.getsockname() == client.getpeername() == ("10.0.0.2", 80)
        yield client, server


def test_calls_time_out_and_lose_nothing() -> None:
    with connected() as (client, server):
        server.settimeout(0.02)
        with pytest.raises(socket.timeout):
            server.recv(1)
        client.sendall(b"abc")
        server.settimeout(None)
        assert server.recv(2) == b"ab"
        server.setblocking(False)
        assert server.recv(2) == b"c"
        with pytest.raises(BlockingIOError):
            server.recv(1)
        assert server.gettimeout() == 0
        with pytest.raises(ValueError, match="out of range"):
            server.settimeout(-1)
        client.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.sendall(bytes(10_000_000))  # nobody reads
        assert server.fileno() == -1 and server.family == socket.AF_INET and server.type == socket.SOCK_STREAM


def test_bytes_into_buffers_and_from_views() -> None:
    with connected() as (client, server):
        client.sendall(memoryview(bytearray(b"abcdef")))
        buffer = bytearray(10)
        assert server.recv_into(buffer, 4) == 4 and buffer[:4] == b"abcd"
        assert server.recv(10, uinet.MSG_PEEK) == b"ef"
        assert server.recv(10) == b"ef"
        client.sendall(b"")
        client.shutdown(socket.SHUT_WR)
        assert server.recv(1) == b""
        with pytest.raises(BrokenPipeError):
            client.send(b"x")


def test_reset_is_the_error_of_the_next_call() -> None:
    with connected() as (client, server):
        server.sock.abort()
        with pytest.raises(ConnectionReset):
            client.recv(1)
        with pytest.raises(ConnectionReset):
            client.sendall(b"x")


def test_connecting_fails_in_time() -> None:
    with two() as (a, _):
        with pytest.raises(ConnectionRefused):
            a.connect(("10.0.0.2", 81))
        with pytest.raises(TimedOut):
            a.connect(("10.0.0.77", 80), timeout=0.02)
        with a.socket() as sock:
            sock.setblocking(False)
            with pytest.raises(WouldBlock):
                sock.connect(("10.0.0.77", 80))
        with a.socket() as sock:
            assert sock.connect_ex(("10.0.0.2", 81)) == ConnectionRefused.code
        assert a.stack.connections() == []


def test_greenlet_that_is_killed_leaves_no_attempt() -> None:
    with two() as (a, _):
        trying = gevent.spawn(a.connect, ("10.0.0.77", 80))
        gevent.sleep(0.01)
        assert len(a.stack.connections()) == 1
        trying.kill()
        assert a.stack.connections() == []


def test_closing_wakes_who_waits() -> None:
    with connected() as (client, server):
        waiting = gevent.spawn(client.recv, 1)
        gevent.sleep(0.01)
        client.close()
        with pytest.raises(BadSocket):
            waiting.get(timeout=5)
        assert server.recv(1) == b""


def test_files_over_a_socket() -> None:
    with connected() as (client, server):
        writer, reader = client.makefile("w", newline="\n"), server.makefile("r")
        writer.write("first\nsecond\n")
        writer.flush()
        assert reader.readline() == "first\n"
        client.close()  # the file is open: so is the connection
        writer.write("third\n")
        writer.close()
        assert reader.read() == "second\nthird\n"
        reader.close()
        with pytest.raises(ValueError, match="closed file"):
            reader.read()
        with pytest.raises(ValueError, match="invalid mode"):
            server.makefile("x")
        with pytest.raises(ValueError, match="must be binary"):
            server.makefile("r", 0)
    with connected() as (client, server), server.makefile("rwb") as both:
        client.sendall(b"question")
        assert both.read(8) == b"question"
        both.write(b"answer")
        both.flush()
        assert client.recv(99) == b"answer"
        server.close_now()
        assert client.recv(1) == b""


def shout(sock: Socket, address: tuple[str, int]) -> None:
    with sock.makefile("rb") as file:
        for line in file:
            sock.sendall(line.upper())


def ask(host: Host, line: bytes, port: int = 80) -> bytes:
    with host.connect(("10.0.0.2", port)) as sock, sock.makefile("rb") as file:
        sock.sendall(line)
        answer: bytes = file.readline()
        return answer


def test_gevents_stream_server_with_a_pool() -> None:
    with two() as (a, b):
        pool = gevent.pool.Pool(2)
        with StreamServer(b, ("10.0.0.2", 80), shout, spawn=pool) as server:
            server.start()
            assert (server.server_host, server.server_port) == ("10.0.0.2", 80)
            with a.connect(("10.0.0.2", 80)) as one, a.connect(("10.0.0.2", 80)) as two_:
                for sock in (one, two_):
                    sock.sendall(b"hello\n")
                    assert sock.recv(99) == b"HELLO\n"
                third = gevent.spawn(ask, a, b"and me\n")
                gevent.sleep(0.02)
                assert not third.ready() and len(pool) == 2  # the pool is full: it waits its turn
                one.close()
                assert third.get(timeout=5) == b"AND ME\n"
            asking = [gevent.spawn(ask, a, b"%d\n" % number) for number in range(30)]
            gevent.joinall(asking, raise_error=True)
        with pytest.raises(ConnectionRefused):
            a.connect(("10.0.0.2", 80))


def test_handler_that_raises_costs_its_connection(capfd: pytest.CaptureFixture[str]) -> None:
    def broken(sock: Socket, address: Any) -> None:
        raise KeyError("handler")

    with two() as (a, b), StreamServer(b, b.listen(("", 80)), broken) as server:
        server.start()
        for _ in range(2):
            with a.connect(("10.0.0.2", 80)) as sock:
                assert sock.recv(1) == b""
    assert "KeyError" in capfd.readouterr().err


def test_gevents_wsgi_server() -> None:
    def application(environ: Any, start_response: Any) -> list[bytes]:
        body = environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']} {environ['REMOTE_ADDR']} ".encode() + body]

    with two() as (a, b), WSGIServer(b, ("10.0.0.2", 80), application, log=None) as server:
        server.start()
        with a.connect(("10.0.0.2", 80)) as sock, sock.makefile("rb") as file:
            for number in range(3):  # one connection, kept alive
                body = b"x" * number
                head = f"POST /{number} HTTP/1.1\r\nHost: b\r\nContent-Length: {number}\r\n\r\n"
                sock.sendall(head.encode() + body)
                lines = iter(file.readline, b"\r\n")
                fields = dict(line.rstrip().lower().split(b": ", 1) for line in list(lines)[1:])
                answer = file.read(int(fields[b"content-length"]))
                assert answer == f"POST /{number} 10.0.0.1 ".encode() + body


def test_udp_ping_and_names() -> None:
    with two(nameservers=["10.0.0.2"], hosts={"b.table": "10.0.0.2"}) as (a, b):
        with a.udp_socket(("10.0.0.1", 0)) as here, b.udp_socket(("10.0.0.2", 9)) as there:
            here.sendto(b"hello", ("10.0.0.2", 9))
            data, sender = there.recvfrom(99)
            there.sendto(data.upper(), 0, sender)
            assert here.recvfrom(99) == (b"HELLO", ("10.0.0.2", 9))
            with pytest.raises(TypeError):
                here.sendto(b"x")
        names = NameServer(b.stack, {
            "b.example": ["10.0.0.2", "fd00::2"], "many.example": [f"10.0.0.{last}" for last in range(100, 150)],
        })
        assert [str(one) for one in a.resolve("b.table")] == ["10.0.0.2"] and names.asked["udp"] == 0
        assert [str(one) for one in a.resolve("b.example")] == ["fd00::2", "10.0.0.2"]
        assert len(a.resolve("many.example")) == 50 and names.asked["tcp"] == 1
        with pytest.raises(NameNotFound):
            a.resolve("nobody.example")
        b.listen(("fd00::2", 80))
        assert a.connect(("b.example", 80)).getpeername() == ("fd00::2", 80)
        assert a.ping("b.table")[0] is not None
        assert a.ping("10.0.0.77", timeout=0.02) == [None]


def test_promiscuous_listener_with_a_filter_that_thinks() -> None:
    ends = MemoryDevice.pair()
    with gevent.Timeout(20), Host(linger=0.1) as a, Host(linger=0.1) as b:
        a.add_device(ends[0], cdom=1, promiscuous=True)
        b.add_device(ends[1], cdom=1, promiscuous=True)

        def think(syn: Any) -> None:
            gevent.sleep(0.01)
            syn.deliver(Verdict.ACCEPT if syn.destination[1] == 80 else Verdict.REJECT_RST)

        def decide(syn: Any) -> Verdict:
            gevent.spawn(think, syn)
            return Verdict.DEFER

        listener = b.listen((ANY, ANY), vlans=ANY, cdom=1, syn_filter=decide)
        l2 = L2Info.make(MAC_A, MAC_B, (100, 200))
        client = a.connect(("192.0.2.1", 80), source=("198.51.100.7", 999), l2=l2, cdom=1)
        server, _ = listener.accept()
        assert [tag.vid for tag in server.sock.l2info.vlans] == [100, 200]  # type: ignore[union-attr]
        client.sendall(b"x")
        assert b.wait(server, EV_READABLE) & EV_READABLE
        with pytest.raises(ConnectionRefused):
            a.connect(("192.0.2.1", 81), source=("198.51.100.7", 999), l2=l2, cdom=1)

        async def coroutine(syn: Any) -> Verdict:
            raise AssertionError

        with pytest.raises(NotSupported, match="greenlet"):
            b.listen((ANY, 82), cdom=1, syn_filter=coroutine)  # type: ignore[arg-type]


def test_sockets_of_the_engine_can_be_waited_for() -> None:
    with two() as (a, b):
        listener = b.stack.listen((ANY, 80))
        with pytest.raises(TimedOut):
            b.wait(listener, EV_ACCEPT, 0.01)
        woken: AsyncResult[int] = AsyncResult()
        waiting = gevent.spawn(lambda: woken.set(b.wait(listener, EV_ACCEPT)))
        a.stack.connect(("10.0.0.2", 80))
        assert woken.get(timeout=5) == EV_ACCEPT
        waiting.join()
        listener.close()
        with pytest.raises(BadSocket):
            b.wait(listener, EV_ACCEPT)
        with pytest.raises(InvalidArgument, match="another stack"):
            a.wait(b.stack.listen((ANY, 81)), EV_ACCEPT)


def test_the_end_of_a_host() -> None:
    with two() as (a, b):
        listener = b.listen(("", 80))
        with pytest.raises(AddressInUse):
            b.listen(("", 80))
        with pytest.raises(InvalidArgument, match="one address"):
            b.listen((["10.0.0.2", "fd00::2"], 81))
        client = a.connect(("10.0.0.2", 80))
        server, _ = listener.accept()
        client.sendall(bytes(150_000))  # is delivered, though nobody closes
    with pytest.raises(BadSocket):
        client.send(b"x")
    with pytest.raises(BadSocket, match="closed"):
        a.connect(("10.0.0.2", 80))
    with pytest.raises(BadSocket, match="once"), a:
        pass
    with pytest.raises(BadSocket, match="not entered"):
        Host().connect(("10.0.0.2", 80))
    assert server.sock.closed
    with pytest.raises(KeyError), two():
        raise KeyError


def test_devices_that_fail_or_have_no_address() -> None:
    gone: list[str] = []

    def send(packet: bytes) -> None:
        raise RuntimeError("unplugged")

    with Host() as host:
        host.on_device_gone = lambda interface, error: gone.append(interface.name)
        with pytest.raises(TimedOut, match="within"):
            host.add_device(MemoryDevice(), addresses="dhcp", address_timeout=0.05)
        assert "memory" not in [interface.name for interface in host.stack.interfaces]
        host.add_device(Pipe(send), name="p0", addresses="10.0.0.1/24")
        host.ping("10.0.0.2", timeout=0.05)
    assert gone == ["p0"]


def test_host_may_be_left_while_a_server_serves(capfd: pytest.CaptureFixture[str]) -> None:
    with two() as (a, b):
        server = StreamServer(b, ("10.0.0.2", 80), shout)
        server.start()
        assert ask(a, b"hello\n") == b"HELLO\n"
        while b.stack.connections():
            gevent.sleep(0.001)
    gevent.sleep(0.01)
    server.stop()
    assert server.closed and capfd.readouterr().err == ""
