"""What an idle connection and an idle listener are made of: there may be a million of each."""

from __future__ import annotations

import gc

import pytest

import uinet
from tests.unit.tcp.peer import Peer
from uinet import ANY, IPPROTO_TCP, SO_L2INFO, SOL_SOCKET, TCP_MAXSEG, TCP_NODELAY, L2Info
from uinet.socket import Socket
from uinet.tcp.listener import NO_ENTRIES, NO_QUEUE
from uinet.tcp.tcb import Tcb

L2 = L2Info.make("02:00:00:00:00:01", "02:00:00:00:00:02", (1, 2, 3))


def promiscuous(seed: bytes = b"x") -> uinet.Stack:
    stack = uinet.Stack(seed)
    stack.add_interface("e0", cdom=1)
    return stack


def opened(stack: uinet.Stack, number: int) -> Socket:
    return stack.connect(("10.2.0.1", 80), source=("10.1.0.1", 1024 + number), l2=L2, cdom=1)


@pytest.mark.skipif(not uinet.compiled(), reason="of the compiled build")
def test_a_connection_and_its_socket_are_small() -> None:
    assert Tcb.__basicsize__ <= 512  # raising this costs a million times as much
    assert Socket.__basicsize__ <= 80


def test_sockets_that_set_the_same_share_what_is_set() -> None:
    stack = promiscuous()
    first, second = opened(stack, 1), opened(stack, 2)
    assert first.config is second.config
    for sock in (first, second):
        sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, True)
    assert first.config is second.config
    second.setsockopt(IPPROTO_TCP, TCP_MAXSEG, 500)
    assert first.config is not second.config
    assert (first.getsockopt(IPPROTO_TCP, TCP_MAXSEG), second.getsockopt(IPPROTO_TCP, TCP_MAXSEG)) != (500, 500)
    assert first.config.max_segment == 0


def test_many_different_settings_are_not_remembered_for_ever() -> None:
    stack = promiscuous()
    sockets = [stack.socket() for _ in range(500)]
    for number, sock in enumerate(sockets):
        sock.setsockopt(IPPROTO_TCP, TCP_MAXSEG, 500 + number)
    assert [sock.config.max_segment for sock in sockets] == list(range(500, 1000))
    assert len(stack.socket().config.variants) <= 32


def test_a_changed_setting_of_the_stack_is_for_new_sockets() -> None:
    stack = promiscuous()
    before = stack.socket()
    stack.tcp.settings.receive_buffer = 4096
    assert stack.socket().receive_buffer == 4096
    assert before.receive_buffer != 4096


def test_link_headers_of_connections_with_the_same_tags_are_one_object() -> None:
    stack = promiscuous()
    first, second = opened(stack, 1), opened(stack, 2)
    assert first.tcb is not None and second.tcb is not None
    assert first.tcb.link_header is second.tcb.link_header
    assert first.tcb.vids is second.tcb.vids
    assert first.l2info == L2


def test_l2info_is_what_was_set_until_there_is_a_connection() -> None:
    sock = promiscuous().socket()
    assert sock.l2info is None
    sock.setsockopt(SOL_SOCKET, SO_L2INFO, L2)
    assert sock.l2info == L2 == sock.getsockopt(SOL_SOCKET, SO_L2INFO)


def test_the_collector_sees_a_socket_when_its_connection_is_over() -> None:
    peer = Peer()
    sock = peer.passive()
    assert gc.is_tracked(sock) is not uinet.compiled()
    peer.send("R")
    assert sock.state == "CLOSED"
    assert gc.is_tracked(sock)
    active = opened(promiscuous(), 1)
    assert gc.is_tracked(active) is not uinet.compiled()
    active.abort()
    active.stack.poll(0)
    assert gc.is_tracked(active)


def test_the_collector_sees_a_listener_when_it_is_closed() -> None:
    stack = promiscuous()
    closed, left = (stack.listen((ANY, port), cdom=1) for port in (80, 81))
    assert gc.is_tracked(closed) is not uinet.compiled()
    assert gc.is_tracked(closed.listener) is not uinet.compiled()
    closed.close()
    assert gc.is_tracked(closed)
    assert closed.listener is None
    stack.close()
    assert gc.is_tracked(left)
    assert gc.is_tracked(left.listener)


def test_a_listener_has_queues_only_while_something_is_in_them() -> None:
    peer = Peer()
    peer.listen()
    assert peer.listener is not None
    listener = peer.listener.listener
    assert listener is not None

    def idle() -> bool:
        empty = (listener.deferred, listener.embryos)
        if listener.half_open or listener.oldest is not None or listener.newest is not None:
            return False
        return listener.accepted is NO_QUEUE and all(queue is NO_ENTRIES for queue in empty)

    assert idle()
    peer.syn()
    assert listener.half_open == 1
    assert listener.oldest is listener.newest is not None
    peer.send("R")
    assert idle()
    peer.passive()
    assert idle()
    assert not NO_QUEUE and not NO_ENTRIES


def test_few_connections_have_extras() -> None:
    peer = Peer()
    sock = peer.passive()
    tcb = sock.tcb
    assert tcb is not None
    peer.data(b"request")
    sock.recv(100)
    sock.send(b"answer")
    peer.flush()
    assert tcb.extras is None
    assert (tcb.error, tcb.path, tcb.user_timeout, tcb.close_at) == (None, None, 0, 0)
    tcb.soft_error = None
    tcb.max_segment = 0
    assert tcb.extras is None, "nothing to remember"
    tcb.max_segment = 700
    assert tcb.extras is not None and tcb.max_segment == 700
