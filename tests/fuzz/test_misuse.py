"""The API used as nobody should: clear errors, and a stack that works on."""

from __future__ import annotations

from typing import Any

import pytest

import uinet
from uinet.tcp.table import Table
from uinet.wire import build, kernels
from uinet.wire.frame import Frame


def make() -> tuple[Any, Any]:
    stack = uinet.Stack(seed=b"x")
    eth = stack.add_interface("eth", mac="02:00:00:00:00:02")
    eth.add_address("10.0.0.2/24")
    return stack, eth


def pair(stack: Any) -> tuple[Any, Any]:
    listener = stack.listen(("10.0.0.2", 80))
    client = stack.connect(("10.0.0.2", 80))
    stack.poll(1)
    return client, listener.accept()


@pytest.mark.parametrize("frames", [
    b"a frame", bytearray(60), Frame(bytes(60)), "text", [5], [10**12], ["text"], [None], [[1, 2]],
])
def test_what_is_no_list_of_frames_is_refused(frames: Any) -> None:
    stack, eth = make()
    with pytest.raises(uinet.InvalidArgument):
        stack.input(eth, frames, 1)
    assert stack.stats.as_dict() == {}
    pair(stack)


def test_frames_of_any_size_and_kind_of_bytes_are_taken() -> None:
    stack, eth = make()
    for frame in (bytes(70_000), b"", bytearray(60), memoryview(bytes(60)), Frame(bytes(200_000))):
        stack.input(eth, [frame], 1)
    pair(stack)


def test_frames_for_an_interface_of_another_stack_or_of_none_are_refused_or_dropped() -> None:
    stack, eth = make()
    other, its = make()
    frame = build.icmp_echo("10.0.0.1", "10.0.0.2")
    for interface in (its, None, "eth"):
        with pytest.raises(uinet.InvalidArgument):
            stack.input(interface, [frame], 1)
    stack.remove_interface(eth)
    stack.input(eth, [frame], 1)
    assert stack.stats.as_dict() == {"link_down": 1}
    assert other.output(its) == []


@pytest.mark.parametrize("now", [1.5, None, "1", True, 2**62 + 1, 2**63 - 1, 2**63, 2**100])
def test_what_is_no_time_is_refused_and_ends(now: Any) -> None:
    stack, eth = make()
    stack.connect(("10.0.0.1", 80))
    with pytest.raises(uinet.InvalidArgument):
        stack.poll(now)
    with pytest.raises(uinet.InvalidArgument):
        stack.input(eth, [], now)
    with pytest.raises(uinet.InvalidArgument):
        uinet.Stack(now=now)
    assert stack.now == stack.network.now == 0


def test_the_end_of_time_is_reached() -> None:
    stack, _ = make()
    sock = stack.connect(("10.0.0.1", 80))
    stack.poll(2**62)
    assert stack.now == 2**62
    stack.poll(5)  # time does not go back
    assert stack.now == 2**62 and sock.state == "SYN-SENT"


@pytest.mark.parametrize("data", [5, "text", None, [1, 2], range(3)])
def test_only_bytes_are_sent(data: Any) -> None:
    stack, _ = make()
    client, _ = pair(stack)
    with pytest.raises(TypeError):
        client.send(data)
    datagrams = stack.socket(uinet.AF_INET, uinet.SOCK_DGRAM)
    with pytest.raises(TypeError):
        datagrams.sendto(data, ("10.0.0.1", 53))


@pytest.mark.parametrize("cdom", [-1, 1.5, 2**32])
def test_a_domain_is_an_integer_of_32_bits(cdom: Any) -> None:
    stack, _ = make()
    with pytest.raises(uinet.InvalidArgument):
        stack.add_interface("other", cdom=cdom)


def test_an_upcall_that_ends_the_program_does_not_silence_other_sockets() -> None:
    stack, _ = make()
    stack.listen(("10.0.0.2", 80))
    told = []

    def upcall(sock: Any, events: int) -> None:
        told.append(sock)
        if len(told) == 1:
            raise KeyboardInterrupt

    clients = [stack.connect(("10.0.0.2", 80)) for _ in range(3)]
    for client in clients:
        client.on_event = upcall
    with pytest.raises(KeyboardInterrupt):
        stack.poll(1)
    stack.poll(2)
    assert set(told) == set(clients)


def test_unread_bytes_of_connections_that_are_over_are_not_counted_for_ever() -> None:
    stack, _ = make()
    client, server = pair(stack)
    waiting = stack.connect(("10.0.0.2", 80))
    stack.poll(2)
    for sock in (client, waiting):
        sock.send(bytes(1000))
        stack.poll(3)
    assert stack.tcp.received_bytes == 2000
    for sock in (client, waiting):
        sock.abort()
    stack.poll(4)
    assert stack.tcp.received_bytes == 0
    assert server.recv(600) + server.recv(4000) == bytes(1000)  # what came before the reset is still there
    assert stack.tcp.received_bytes == 0


def test_the_hash_of_a_tuple_is_that_of_its_words_in_both_builds() -> None:
    table = Table(1, 2)
    key = table.hash_key(7, b"", 3, 4, 80, 5, 6, 81)
    assert key == kernels.hash5(1, 2, 5, 6, 3, 4, 7 << 32 | 80 << 16 | 81)


def test_a_buffer_is_not_added_to_itself_but_may_move_within_itself() -> None:
    data = bytearray(b"0123456789")
    with pytest.raises(ValueError):
        kernels.extend(data, data, 0, 5)
    kernels.store_bytes(data, 2, data, 0, 6)
    assert data == b"0101234589"
