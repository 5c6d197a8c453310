"""Connections, listeners, names, datagrams, TLS and sockets of the engine on trio."""

from __future__ import annotations

import ssl
from contextlib import suppress
from ipaddress import ip_address

import pytest
import trio

import uinet
from tests.sim.certificate import client_context, server_context
from tests.unit.loops.nameserver import NameServer
from tests.unit.trio.hosts import connected, run, two
from uinet import ANY, EV_ACCEPT, EV_READABLE, EV_WRITABLE
from uinet.errors import (
    AddressError,
    AddressInUse,
    ConnectionRefused,
    ConnectionReset,
    InvalidArgument,
)
from uinet.structured.host import in_turns
from uinet.trio import NameNotFound, TcpStream


def test_what_breaks_a_stream_is_the_cause() -> None:
    async def main() -> None:
        async with connected() as (client, server):
            server.socket.abort()
            with pytest.raises(trio.BrokenResourceError) as caught:
                await client.receive_some()
            assert isinstance(caught.value.__cause__, ConnectionReset)
            with pytest.raises(trio.BrokenResourceError):
                await client.send_all(b"x")
            with pytest.raises(trio.BrokenResourceError):
                await client.send_eof()

    run(main)


def test_refused_connection_is_the_engines_error() -> None:
    async def main() -> None:
        async with two() as (a, _):
            with pytest.raises(ConnectionRefused):
                await a.open_tcp_stream("10.0.0.2", 81)

    run(main)


def test_listeners_at_addresses() -> None:
    async def main() -> None:
        async with two() as (a, b):
            made = await b.open_tcp_listeners(80, host=["10.0.0.2", "fd00::2"])
            assert [str(one.socket.getsockname()[0]) for one in made] == ["10.0.0.2", "fd00::2"]
            with pytest.raises(AddressInUse):
                await b.open_tcp_listeners(80, host=["fd00::2"])
            with pytest.raises(AddressError, match="names are not resolved"):
                await b.open_tcp_listeners(80, host="b.example")
            stream = await a.open_tcp_stream("fd00::2", 80)
            assert stream.socket.getpeername()[1] == 80

    run(main)


def test_tls_over_the_stack() -> None:
    async def main() -> None:
        async with two(hosts={"server.example": "10.0.0.2"}) as (a, b), trio.open_nursery() as nursery:

            async def handler(stream: trio.SSLStream[TcpStream]) -> None:
                with suppress(trio.BrokenResourceError):  # the stranger does not shake hands
                    await stream.send_all((await stream.receive_some()).upper())
                await stream.aclose()

            listeners = await b.open_tcp_listeners(443)
            secure = [trio.SSLListener(one, server_context(), https_compatible=True) for one in listeners]
            nursery.start_soon(trio.serve_listeners, handler, secure)
            stream = trio.SSLStream(
                await a.open_tcp_stream("server.example", 443), client_context(),
                server_hostname="server.example", https_compatible=True,
            )
            await stream.send_all(b"hello")
            assert await stream.receive_some() == b"HELLO"
            await stream.aclose()
            stranger = trio.SSLStream(
                await a.open_tcp_stream("10.0.0.2", 443), ssl.create_default_context(), server_hostname="10.0.0.2"
            )
            with pytest.raises(trio.BrokenResourceError):
                await stranger.do_handshake()
            await trio.aclose_forcefully(stranger)
            nursery.cancel_scope.cancel()

    run(main)


def test_names_are_asked_for_over_the_stack() -> None:
    async def main() -> None:
        async with (
            two(nameservers=["10.0.0.77", "10.0.0.2"], hosts={"b.table": ["fd00::2"]}) as (a, b)
        ):
            server = NameServer(b.stack, {
                "b.example": ["10.0.0.2"], "both.example": ["10.0.0.2", "fd00::2"],
                "many.example": [f"10.0.0.{last}" for last in range(100, 150)],
            })
            await b.open_tcp_listeners(80)
            assert [str(one) for one in await a.resolve("b.table")] == ["fd00::2"]
            assert server.asked == {"udp": 0, "tcp": 0}
            with trio.fail_after(30):
                stream = await a.open_tcp_stream("B.example.", 80)
            assert str(stream.socket.getpeername()[0]) == "10.0.0.2"
            assert [str(one) for one in await a.resolve("both.example")] == ["fd00::2", "10.0.0.2"]
            assert [str(one) for one in await a.resolve("both.example", (4,))] == ["10.0.0.2"]
            assert len(await a.resolve("many.example")) == 50 and server.asked["tcp"] == 1
            with pytest.raises(NameNotFound, match="no such name"):
                await a.resolve("nobody.example")
            assert a.stack.connections() == [stream.socket]
        async with two() as (a, _):
            with pytest.raises(NameNotFound, match="no nameserver to ask"):
                await a.resolve("b.example")

    run(main)


def test_address_that_does_not_answer_delays_by_a_quarter_of_a_second() -> None:
    async def main() -> None:
        names = {
            "late.example": ["fd00::77", "fd00::78", "10.0.0.2"], "refused.example": ["fd00::2", "10.0.0.2"],
            "nobody.example": ["fd00::77", "10.0.0.77"],
        }
        async with two(hosts=names) as (a, b):
            await b.open_tcp_listeners(80, host="10.0.0.2")
            began = trio.current_time()
            stream = await a.open_tcp_stream("late.example", 80)
            assert str(stream.socket.getpeername()[0]) == "10.0.0.2"
            assert 0.25 <= trio.current_time() - began < 0.26
            assert a.stack.connections() == [stream.socket]  # nothing stays of the other attempts
            began = trio.current_time()
            refused = await a.open_tcp_stream("refused.example", 80)
            assert str(refused.socket.getpeername()[0]) == "10.0.0.2" and trio.current_time() - began < 0.01
            with pytest.raises(ConnectionRefused):
                await a.open_tcp_stream("refused.example", 81)
            with trio.move_on_after(0.3) as scope:
                await a.open_tcp_stream("nobody.example", 80)
            assert scope.cancelled_caught
            assert set(a.stack.connections()) == {stream.socket, refused.socket}
            with pytest.raises(uinet.HostUnreachable):
                await a.open_tcp_stream("nobody.example", 80)
            with pytest.raises(NameNotFound, match="source's kind"):
                await a.open_tcp_stream("10.0.0.2", 80, source=("fd00::1", 0))

    run(main)


def test_order_of_attempts() -> None:
    four, six = (list(map(ip_address, names)) for names in (["10.0.0.1", "10.0.0.2"], ["::1", "::2", "::3"]))
    assert in_turns([*six, *four]) == [six[0], four[0], six[1], six[2], four[1]]
    assert in_turns(six) == six and in_turns([]) == []


def test_ping() -> None:
    async def main() -> None:
        async with two() as (a, _):
            (rtt,) = await a.ping("10.0.0.2")
            assert rtt is not None and 0 <= rtt < 0.1
            began = trio.current_time()
            assert await a.ping("10.0.0.2", 3, interval=2.0) != [None] * 3
            assert 4 <= trio.current_time() - began < 4.1
            assert await a.ping("10.0.0.77", timeout=0.5) == [None]

    run(main)


def test_udp_and_its_errors() -> None:
    async def main() -> None:
        async with two() as (a, b):
            async with await a.open_udp_socket(remote=("10.0.0.2", 9)) as udp:
                await udp.send(b"anybody?")
                with pytest.raises(trio.BrokenResourceError) as caught:  # once: nobody has port 9
                    await udp.recv()
                assert isinstance(caught.value.__cause__, ConnectionRefusedError)
                async with await b.open_udp_socket(("10.0.0.2", 9)) as other:
                    await udp.send(b"and now?")
                    data, sender = await other.recvfrom()
                    await other.sendto(data.upper(), sender)
                    assert await udp.recv() == b"AND NOW?"
            with pytest.raises(InvalidArgument, match="needs a local or a remote address"):
                await a.open_udp_socket()

    run(main)


def test_sockets_of_the_engine_can_be_waited_for() -> None:
    async def main() -> None:
        async with two() as (a, b):
            listener = b.stack.listen((ANY, 80))
            client = a.stack.connect(("10.0.0.2", 80))
            assert await b.wait(listener, EV_ACCEPT) == EV_ACCEPT
            server = listener.accept()
            assert await a.wait(client, EV_READABLE | EV_WRITABLE) == EV_WRITABLE
            client.send(b"x")
            assert await b.wait(server, EV_READABLE) & EV_READABLE
            assert server.recv(9) == b"x"
            client.abort()
            assert await b.wait(server, EV_READABLE) & uinet.EV_ERROR
            with pytest.raises(InvalidArgument, match="can be waited for"):
                await b.wait(server, 0)
            with pytest.raises(InvalidArgument, match="another stack"):
                await a.wait(server, EV_READABLE)
            listener.on_event = lambda sock, events: None
            with pytest.raises(InvalidArgument, match="in use"):
                await b.wait(listener, EV_ACCEPT)

    run(main)
