"""Who waits for a socket is called when it is worth another try, and not before."""

from __future__ import annotations

from functools import partial

import pytest

from uinet import Stack
from uinet.errors import InvalidArgument
from uinet.events import (
    EV_ACCEPT,
    EV_CLOSED,
    EV_CONNECTED,
    EV_EOF,
    EV_ERROR,
    EV_READABLE,
    EV_URGENT,
    EV_WRITABLE,
)
from uinet.readiness import Readiness, check_waitable, readiness_of, ready
from uinet.socket import Socket
from uinet.sockopt import AF_INET, SO_RCVBUF, SO_SNDBUF, SOCK_DGRAM, SOL_SOCKET


def host() -> Stack:
    """A stack that talks to itself; `poll` moves everything."""
    stack = Stack(seed=b"readiness")
    stack.add_interface("eth0").add_address("10.0.0.1/24")
    return stack


def pair(stack: Stack, buffers: int = 0) -> tuple[Socket, Socket]:
    listener = stack.listen(("10.0.0.1", 80))
    client = stack.socket()
    if buffers:
        for option in (SO_RCVBUF, SO_SNDBUF):
            listener.setsockopt(SOL_SOCKET, option, buffers)
            client.setsockopt(SOL_SOCKET, option, buffers)
    client.connect(("10.0.0.1", 80))
    stack.poll(0)
    server = listener.accept()
    listener.close()
    stack.poll(0)
    return client, server


def test_each_waiter_is_called_once_for_what_it_waits_for() -> None:
    stack = host()
    client, server = pair(stack)
    woken: list[str] = []
    readiness = readiness_of(server)
    readiness.add(server, EV_READABLE, partial(woken.append, "reader"))
    readiness.add(server, EV_CONNECTED, partial(woken.append, "other"))
    stack.poll(0)
    woken.clear()
    readiness.waiting.clear()
    readiness.add(server, EV_READABLE, partial(woken.append, "reader"))
    readiness.add(server, EV_CONNECTED, partial(woken.append, "other"))
    for _ in range(2):
        client.send(b"x")
        stack.poll(0)
    assert woken == ["reader"]
    client.abort()  # the end wakes everybody
    stack.poll(0)
    assert woken == ["reader", "other"] and readiness.waiting == []


def test_who_no_longer_waits_is_not_called() -> None:
    _, server = pair(host())
    woken: list[str] = []
    readiness = readiness_of(server)
    wake, other = partial(woken.append, "a"), partial(woken.append, "b")
    readiness.add(server, EV_READABLE, wake)
    readiness.add(server, EV_READABLE, other)
    readiness.discard(wake)
    readiness.discard(wake)
    readiness.wake_all()
    assert woken == ["b"]


def test_a_full_sender_is_told_of_room() -> None:
    stack = host()
    client, server = pair(stack, 8192)
    while client.writable:
        client.send(bytes(4096))
        stack.poll(0)
    woken: list[int] = []
    readiness_of(client).add(client, EV_WRITABLE, lambda: woken.append(ready(client, EV_WRITABLE)))
    stack.poll(0)
    assert woken == [] and ready(client, EV_WRITABLE) == 0
    while server.readable:
        server.recv(65536)
        stack.poll(0)
    assert woken == [EV_WRITABLE]


def test_levels_of_a_connection() -> None:
    stack = host()
    listener = stack.listen(("10.0.0.1", 80))
    everything = EV_READABLE | EV_WRITABLE | EV_ACCEPT | EV_CONNECTED
    client = stack.connect(("10.0.0.1", 80))
    assert ready(client, everything) == ready(listener, everything) == 0
    stack.poll(0)
    assert ready(listener, everything) == EV_ACCEPT and ready(listener, EV_READABLE) == 0
    assert ready(client, everything) == EV_WRITABLE | EV_CONNECTED
    server = listener.accept()
    client.send(b"x")
    stack.poll(0)
    assert ready(server, EV_READABLE) == EV_READABLE
    server.abort()
    stack.poll(0)
    assert ready(client, EV_READABLE) == EV_READABLE | EV_ERROR
    assert ready(server, everything) == EV_CLOSED


def test_levels_of_a_datagram_socket() -> None:
    stack = host()
    sock = stack.socket(AF_INET, SOCK_DGRAM)
    sock.bind(("10.0.0.1", 9))
    assert ready(sock, EV_READABLE | EV_WRITABLE) == EV_WRITABLE
    sock.sendto(b"x", ("10.0.0.1", 9))
    stack.poll(0)
    assert ready(sock, EV_READABLE) == EV_READABLE
    stack.close()
    assert ready(sock, EV_READABLE) == EV_CLOSED


def test_a_socket_has_one_readiness_and_upcalls_none() -> None:
    client, server = pair(host())
    assert readiness_of(client) is readiness_of(client)
    assert isinstance(client.on_event, Readiness)
    server.on_event = lambda sock, events: None
    with pytest.raises(InvalidArgument, match="in use"):
        readiness_of(server)


@pytest.mark.parametrize("events", [0, EV_EOF, EV_READABLE | EV_URGENT])
def test_only_levels_can_be_waited_for(events: int) -> None:
    with pytest.raises(InvalidArgument, match="can be waited for"):
        check_waitable(events)
