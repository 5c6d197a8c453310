"""Packet pipes."""

from __future__ import annotations

import pytest

from tests.unit.link.packets import Seen, packet, tcp_header
from uinet.errors import DeviceGone, InvalidArgument, MessageTooLong
from uinet.link.pipe import Pipe, Sender
from uinet.wire.frame import CHECKSUM_NEEDED, CHECKSUM_UNKNOWN, CHECKSUM_VALID, Frame


def sink(packet: bytes) -> None:
    """Takes everything."""


def test_outbound_packets_reach_the_function_in_order() -> None:
    out: list[bytes] = []
    pipe = Pipe(out.append)
    assert pipe.send([Frame(b"one"), Frame(b"two")]) == 2
    assert out == [b"one", b"two"]
    assert pipe.statistics() == {"rx_frames": 0, "rx_bytes": 0, "tx_frames": 2, "tx_bytes": 6}


def test_outbound_packets_are_finished() -> None:
    out: list[bytes] = []
    pipe = Pipe(out.append)
    large = packet(tcp_header(), bytes(3000), layer=3, state="partial")
    assert pipe.send([Frame(large, CHECKSUM_NEEDED, 1460)]) == 1
    assert [len(Seen(data, 3).payload) for data in out] == [1460, 1460, 80]


def test_link_without_checksums_neither_computes_nor_verifies_them() -> None:
    out: list[bytes] = []
    pipe = Pipe(out.append, checksums=False)
    unfinished = packet(tcp_header(), b"data", layer=3, state="partial")
    pipe.send([Frame(unfinished, CHECKSUM_NEEDED)])
    assert out == [unfinished]
    pipe.feed(unfinished)
    assert pipe.recv()[0].checksum == CHECKSUM_VALID


def test_function_that_blocks_makes_the_stack_wait_without_sending_twice() -> None:
    out: list[bytes] = []
    room = 2

    def send(data: bytes) -> None:
        if len(out) >= room:
            raise BlockingIOError
        out.append(data)

    pipe = Pipe(send)
    calls: list[str] = []
    pipe.on_writable = lambda: calls.append("writable")
    payload = bytes(range(256)) * 20
    large = Frame(packet(tcp_header(), payload, layer=3, state="partial"), CHECKSUM_NEEDED, 1024)
    batch = [large, Frame(b"last")]
    assert pipe.send(batch) == 0  # two of five segments went out
    room = 4
    pipe.resume()
    assert calls == ["writable"]
    assert pipe.send(batch) == 0
    room = 100
    assert pipe.send(batch) == 2
    assert b"".join(Seen(data, 3).payload for data in out[:5]) == payload
    assert out[5:] == [b"last"]
    assert pipe.statistics()["tx_frames"] == 6


def test_frame_given_up_in_the_middle_does_not_shorten_the_next() -> None:
    out: list[bytes] = []
    room = 1

    def send(data: bytes) -> None:
        if len(out) >= room:
            raise BlockingIOError
        out.append(data)

    pipe = Pipe(send)
    data = packet(tcp_header(), bytes(2000), layer=3, state="partial")
    assert pipe.send([Frame(data, CHECKSUM_NEEDED, 1000)]) == 0
    room = 10
    assert pipe.send([Frame(data, CHECKSUM_NEEDED, 1000)]) == 1
    assert [Seen(one, 3).seq for one in out] == [0xFFFFFF00, 0xFFFFFF00, (0xFFFFFF00 + 1000) % 2**32]


def test_function_that_raises_breaks_the_pipe() -> None:
    def send(data: bytes) -> None:
        raise ZeroDivisionError("on fire")

    with pytest.raises(DeviceGone, match="send function failed: ZeroDivisionError: on fire") as caught:
        Pipe(send).send([Frame(b"x")])
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_async_function_needs_an_event_loop() -> None:
    async def send(data: bytes) -> None:
        """Never awaited."""

    with pytest.raises(InvalidArgument, match=r"use Host\.add_pipe"):
        Pipe(send)
    with pytest.raises(DeviceGone, match=r"use Host\.add_pipe"):
        Pipe(lambda data: send(data)).send([Frame(b"x")])


class Later(Sender):
    """Stands for an event loop's sender."""

    def __init__(self, room: int) -> None:
        super().__init__(sink)
        self.room = room
        self.queue: list[bytes] = []
        self.closed = False

    def send(self, packet: bytes) -> bool:
        if len(self.queue) >= self.room:
            return False
        self.queue.append(packet)
        return True

    def close(self) -> None:
        self.closed = True


def test_sender_of_an_event_loop_takes_over() -> None:
    later = Later(2)
    pipe = Pipe(sender=later)
    assert later.pipe is pipe
    calls: list[str] = []
    pipe.on_writable = lambda: calls.append("writable")
    assert pipe.send([Frame(b"1"), Frame(b"2"), Frame(b"3")]) == 2
    later.queue.clear()
    later.pipe.resume()
    assert calls == ["writable"]
    pipe.close()
    pipe.close()
    assert later.closed
    later.pipe.resume()
    assert calls == ["writable"]


def test_fed_packets_arrive_as_frames() -> None:
    pipe = Pipe(sink)
    calls: list[str] = []
    pipe.on_readable = lambda: calls.append("readable")
    buffer = bytearray(b"two")
    assert pipe.feed(b"one")
    assert pipe.feed_many([buffer, memoryview(b"three")]) == 2
    buffer[:] = b"xxx"  # the program may use its buffer again
    assert calls == ["readable", "readable"]
    got = pipe.recv()
    assert [frame.data for frame in got] == [b"one", b"two", b"three"]
    assert {frame.checksum for frame in got} == {CHECKSUM_UNKNOWN}
    assert pipe.recv() == []
    assert pipe.statistics()["rx_bytes"] == 11


def test_full_inbound_queue_drops_counts_and_says_when_it_is_drained() -> None:
    pipe = Pipe(sink, queue=4)
    drained: list[bool] = []
    pipe.on_drained = lambda: drained.append(pipe.writable)
    assert pipe.feed_many([b"a", b"b", b"c"]) == 3
    assert pipe.writable
    assert pipe.feed(b"d")
    assert not pipe.writable
    assert not pipe.feed(b"e")
    assert pipe.statistics()["rx_full"] == 1
    pipe.recv(1)
    assert (pipe.writable, drained) == (False, [])
    pipe.recv(1)
    assert (pipe.writable, drained) == (True, [True])
    assert [frame.data for frame in pipe.recv()] == [b"c", b"d"]


def test_wrong_packets_give_clear_errors_and_leave_the_pipe_usable() -> None:
    pipe = Pipe(sink)
    with pytest.raises(InvalidArgument, match="a packet is bytes, not str"):
        pipe.feed("packet")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="a packet is bytes, not NoneType"):
        pipe.feed_many([b"kept", None])  # type: ignore[list-item]
    with pytest.raises(MessageTooLong, match="a packet of 65536 bytes: no packet is longer than 65535"):
        pipe.feed(bytes(65536))
    assert pipe.feed(bytes(65535))
    assert [len(frame.data) for frame in pipe.recv()] == [4, 65535]


def test_packet_larger_than_the_mtu_is_not_sent() -> None:
    out: list[bytes] = []
    pipe = Pipe(out.append, mtu=1280)
    assert pipe.send([Frame(bytes(1281)), Frame(bytes(1280))]) == 2
    assert [len(data) for data in out] == [1280]
    assert pipe.statistics()["tx_oversize"] == 1


def test_closed_pipe_refuses_everything_and_wakes_who_waits_for_room() -> None:
    pipe = Pipe(sink, queue=1)
    woken: list[bool] = []
    pipe.on_drained = lambda: woken.append(pipe.closed)
    pipe.feed(b"x")
    pipe.close()
    assert woken == [True]
    assert pipe.statistics()["discarded"] == 1
    for call in (lambda: pipe.feed(b"x"), pipe.recv, lambda: pipe.send([])):
        with pytest.raises(DeviceGone, match="pipe is closed"):
            call()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": 4}, "layer 4: want 2"),
        ({"mtu": 67}, "MTU 67: want 68 to 65535"),
        ({"mtu": 65536}, "MTU 65536"),
        ({"mtu": 1500.0}, "MTU 1500.0"),
        ({"queue": 0}, "queue 0"),
        ({"sender": Sender(sink)}, "either a send function or a sender"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        Pipe(sink, **arguments)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="send is 5"):
        Pipe(5)  # type: ignore[arg-type]
