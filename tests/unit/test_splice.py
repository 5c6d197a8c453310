"""Two connections joined in the engine: bytes, half-closes, resets and shut windows pass from one to the other."""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Callable

import pytest

import uinet
from tests.unit.promiscuous.lab import CLIENT, SECOND, SERVER, Lab, Log, Peer, connected, l2
from uinet import InvalidArgument, Socket, Splice
from uinet.wire.build import Dissected

DATA = bytes(range(256)) * 8


class Joined:
    """A client in domain 1 and a server in domain 2, joined."""

    def __init__(self, *, receive: int = 1 << 20, send: int = 1 << 20) -> None:
        self.lab = Lab(2)
        self.lab.stack.tcp.settings.receive_buffer = receive
        self.lab.stack.tcp.settings.send_buffer = send
        self.client = self.lab.peer(vlans=5)
        self.server = self.lab.peer(
            src=SERVER, dst=CLIENT, sport=80, dport=4000, link=l2(5).reversed(), port=self.lab.p2, seq=0xFFFFFF00,
        )
        listener = self.lab.listen()
        self.client.connect()
        self.first = listener.accept()
        listener.close()
        self.second = connected(self.lab, self.server)
        self.lab.stack.poll(self.lab.now)
        self.lab.stack.events()
        self.out()

    def join(self) -> Splice:
        self.done: list[Splice] = []
        self.splice = uinet.splice(self.first, self.second)
        self.splice.on_done = self.done.append
        self.lab.stack.poll(self.lab.now)
        return self.splice

    def out(self) -> tuple[list[Dissected], list[Dissected]]:
        """What the client and the server hear."""
        return self.client.hear(self.lab.out(self.lab.p1)), self.server.hear(self.lab.out(self.lab.p2))

    def over(self) -> None:
        """Nothing is left of either connection."""
        self.lab.wait(120 * SECOND)
        assert self.splice.done
        assert self.done == [self.splice]
        assert len(self.lab.stack.tcp.table) == 0
        assert self.lab.stack.tcp.received_bytes == 0
        assert self.lab.stack.wheel.count == 0
        assert self.lab.stack.events() == []
        assert self.first.state == self.second.state == "CLOSED"


def flags(frames: list[Dissected]) -> list[str]:
    return [frame.flags for frame in frames]


def payload(frames: list[Dissected]) -> bytes:
    return b"".join(frame.payload for frame in frames)


def shut(joined: Joined) -> None:
    """Both sides end as they should, the client first."""
    joined.client.send("F.")
    assert "F" in "".join(flags(joined.out()[1]))
    joined.server.send("F.")
    assert "F" in "".join(flags(joined.out()[0]))
    joined.client.send(".")
    joined.out()


def test_bytes_pass_both_ways_with_their_link_headers() -> None:
    joined = Joined()
    splice = joined.join()
    joined.client.send("P.", b"request")
    heard = joined.out()[1]
    assert payload(heard) == b"request"
    assert heard[-1].l2info == l2(5)
    joined.server.send("P.", b"answer, longer")
    heard = joined.out()[0]
    assert payload(heard) == b"answer, longer"
    assert heard[-1].l2info == l2(5).reversed()
    assert (splice.bytes_ab, splice.bytes_ba, splice.done) == (7, 14, False)
    shut(joined)
    joined.over()
    assert (splice.bytes_ab, splice.bytes_ba, splice.error) == (7, 14, None)


def test_what_had_arrived_before_passes_too() -> None:
    joined = Joined()
    joined.client.send("P.", b"early ")
    joined.server.send("P.", b"bird")
    joined.client.send("F.")
    joined.join()
    client, server = joined.out()
    assert (payload(client), payload(server)) == (b"bird", b"early ")
    assert "F" in flags(server)[-1]
    joined.server.send("F.")
    joined.out()
    joined.client.send(".")
    joined.over()


@pytest.mark.parametrize("first", ["client", "server"])
def test_half_close(first: str) -> None:
    joined = Joined()
    joined.join()
    sides = [joined.client, joined.server]
    if first == "server":
        sides.reverse()
    one, other = sides
    one.send("FP.", b"that is all")
    heard = joined.out()[1 if first == "client" else 0]
    assert payload(heard) == b"that is all"
    assert flags(heard)[-1] == "FP."
    for _ in range(3):
        other.send("P.", b"not yet. ")
    assert drain(joined)[0 if first == "client" else 1] == b"not yet. " * 3
    joined.lab.wait(3600 * SECOND)
    other.send("F.")
    assert "F" in "".join(flags(joined.out()[0 if first == "client" else 1]))
    one.send(".")
    joined.over()
    assert joined.splice.error is None


def test_both_close_at_once() -> None:
    joined = Joined()
    joined.join()
    joined.lab.stack.input(joined.lab.p1, [joined.client.segment("F.")], joined.lab.now)
    joined.client.seq = (joined.client.seq + 1) & 0xFFFFFFFF
    joined.lab.stack.input(joined.lab.p2, [joined.server.segment("F.")], joined.lab.now)
    joined.server.seq = (joined.server.seq + 1) & 0xFFFFFFFF
    joined.out()
    joined.client.send(".")
    joined.server.send(".")
    joined.over()
    assert joined.splice.error is None


@pytest.mark.parametrize("which", [0, 1])
def test_a_reset_passes_and_so_does_what_came_before_it(which: int) -> None:
    joined = Joined()
    joined.join()
    sides = [joined.client, joined.server]
    one = sides[which]
    batch = [one.segment("P.", b"last words"), one.segment("R.", seq=(one.seq + 10) & 0xFFFFFFFF)]
    joined.lab.stack.input(one.port, batch, joined.lab.now)
    heard = joined.out()[1 - which]
    assert payload(heard) == b"last words"
    assert flags(heard)[-1] == "R."
    assert heard[-1].tcp.seq == (heard[0].tcp.seq + 10) & 0xFFFFFFFF
    assert isinstance(joined.splice.error, ConnectionResetError)
    joined.over()


def test_a_timeout_on_one_side_resets_the_other() -> None:
    joined = Joined()
    joined.second.setsockopt(uinet.IPPROTO_TCP, uinet.TCP_USER_TIMEOUT, 5000)
    joined.join()
    joined.client.send("P.", b"nobody acknowledges this")
    joined.out()
    heard = joined.lab.wait(20 * SECOND)
    assert flags(heard)[-1] == "R."
    assert isinstance(joined.splice.error, TimeoutError)
    joined.over()


def test_a_slow_reader_shuts_the_window_of_the_fast_writer() -> None:
    joined = Joined(receive=20_000, send=10_000)
    joined.join()
    assert joined.server.send(".", window=0) == []
    sent = 0
    window = 20_000
    for _ in range(200):
        if window < 1000:
            break
        joined.client.send(".", DATA[:1000])
        sent += 1000
        for answer in joined.client.hear(joined.lab.wait(SECOND // 10)):
            window = answer.tcp.window - ((joined.client.seq - answer.tcp.ack) & 0xFFFFFFFF)
    assert sent <= 31_000
    assert joined.splice.bytes_ab == 10_000
    assert joined.lab.stack.tcp.received_bytes <= 20_000
    # the reader wakes up: all of it arrives, in order
    got = bytearray()
    for _ in range(200):
        joined.server.send(".", window=65535)
        for frame in joined.out()[1] + joined.server.hear(joined.lab.out(joined.lab.p2)):
            got += frame.payload
        joined.lab.wait(SECOND // 10)
        if len(got) >= sent:
            break
    joined.out()
    assert joined.splice.bytes_ab == sent
    assert joined.lab.stack.tcp.received_bytes == 0


def drain(joined: Joined) -> tuple[bytes, bytes]:
    """Both peers take and acknowledge what they get until it is quiet; what they got."""
    got = bytearray(), bytearray()
    for _ in range(500):
        heard = joined.out()
        if not heard[0] and not heard[1]:
            return bytes(got[0]), bytes(got[1])
        for peer, frames, store in zip((joined.client, joined.server), heard, got, strict=True):
            if any(frame.payload for frame in frames):
                store += payload(frames)
                joined.lab.stack.input(peer.port, [peer.segment(".")], joined.lab.now)
    raise AssertionError("never quiet")


def test_counters_are_exact_for_bulk_data() -> None:
    joined = Joined(receive=30_000, send=5_000)
    joined.join()
    expected = b"", b""
    got = b"", b""
    for size in (1, 1400, 3, 1000, 1448, 64) * 20:
        for index, peer in enumerate((joined.client, joined.server)):
            piece = DATA[size % 200 :][:size]
            joined.lab.stack.input(peer.port, [peer.segment("P.", piece)], joined.lab.now)
            peer.seq = (peer.seq + len(piece)) & 0xFFFFFFFF
            expected = (
                (expected[0], expected[1] + piece) if index == 0 else (expected[0] + piece, expected[1])
            )
        heard = drain(joined)
        got = got[0] + heard[0], got[1] + heard[1]
    assert got == expected
    assert (joined.splice.bytes_ab, joined.splice.bytes_ba) == (len(expected[1]), len(expected[0]))
    shut(joined)
    joined.over()


def test_small_pieces_pass_at_once() -> None:
    """Nagle's rule is the sender's to apply: twice, it would delay what he has sent."""
    joined = Joined()
    joined.join()
    for letter in (b"a", b"b", b"c"):
        joined.client.send("P.", letter)
        assert payload(joined.out()[1]) == letter


def test_abort_resets_both() -> None:
    joined = Joined()
    joined.join()
    joined.splice.abort()
    assert [flags(heard) for heard in joined.out()] == [["R."], ["R."]]
    assert isinstance(joined.splice.error, uinet.ConnectionAborted)
    joined.splice.abort()
    joined.over()


def test_closing_the_stack_ends_the_splice() -> None:
    joined = Joined()
    joined.join()
    joined.lab.stack.close()
    assert joined.splice.done
    assert joined.done == [joined.splice]


def test_one_side_was_over_before() -> None:
    joined = Joined()
    joined.server.send("R.")
    joined.join()
    assert flags(joined.out()[0]) == ["R."]
    assert isinstance(joined.splice.error, ConnectionResetError)
    joined.over()


def test_sockets_of_a_splice_are_not_told_of_events() -> None:
    joined = Joined()
    log = Log()
    joined.first.on_event = joined.second.on_event = log
    joined.join()
    joined.client.send("P.", b"x")
    shut(joined)
    joined.over()
    assert log.calls == []


def test_on_done_that_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    joined = Joined()
    joined.join()

    def fail(splice: Splice) -> None:
        raise ValueError("a bug")

    joined.splice.on_done = fail
    with caplog.at_level(logging.ERROR, "uinet"):
        joined.splice.abort()
    assert joined.splice.done
    assert "a bug" in caplog.text


def test_what_can_not_be_joined() -> None:
    joined = Joined()
    lab = joined.lab
    unconnected, closed = lab.stack.socket(), connected(lab, lab.peer(sport=9))
    closed.close()
    shut_down: list[Socket] = []
    for port, how in ((10, uinet.SHUT_WR), (11, uinet.SHUT_RD)):
        lab.out()
        shut_down.append(connected(lab, lab.peer(sport=port)))
        shut_down[-1].shutdown(how)
    for bad in (unconnected, lab.listen(), closed, *shut_down, uinet.Stack().socket()):
        for pair in ((joined.first, bad), (bad, joined.first)):
            with pytest.raises(InvalidArgument):
                uinet.splice(*pair)
    other = Joined()
    with pytest.raises(InvalidArgument, match="one stack"):
        uinet.splice(joined.first, other.first)
    lab.out()
    third = connected(lab, lab.peer(sport=8))
    joined.join()
    for pair in ((joined.first, third), (third, joined.second)):
        with pytest.raises(InvalidArgument):
            uinet.splice(*pair)


def test_a_socket_joined_to_itself_echoes_and_closes_when_its_peer_does() -> None:
    lab = Lab()
    peer = lab.peer()
    listener = lab.listen()
    peer.connect()
    sock = listener.accept()
    echo = uinet.splice(sock, sock)
    lab.stack.poll(lab.now)
    assert payload(peer.send("P.", b"to and fro")) == b"to and fro"
    assert (echo.bytes_ab, echo.bytes_ba, echo.done) == (10, 0, False)
    assert "F" in flags(peer.send("F."))[-1]
    peer.send(".")
    assert (echo.done, echo.error, sock.state) == (True, None, "CLOSED")


def test_joined_from_an_upcall_in_the_middle_of_a_batch() -> None:
    lab = Lab(2)
    server = Peer(lab, src=SERVER, dst=CLIENT, sport=80, dport=4000, link=l2().reversed(), port=lab.p2)
    onward = connected(lab, server)
    done: list[Splice] = []

    def take(listener: Socket, events: int) -> None:
        splice = uinet.splice(listener.accept(), onward)
        splice.on_done = done.append

    listener = lab.listen()
    listener.on_event = take
    client = lab.peer()
    client.send("S")
    client.send("FP.", b"all in one")
    heard = server.hear(lab.out(lab.p2))
    assert payload(heard) == b"all in one"
    assert "F" in flags(heard)[-1]
    assert done == []


def test_a_splice_leaves_nothing_behind() -> None:
    def make() -> tuple[Joined, list[Callable[[], object]]]:
        joined = Joined()
        splice = joined.join()
        joined.client.send("P.", DATA)
        drain(joined)
        shut(joined)
        joined.over()
        kept: list[Callable[[], object]] = [weakref.ref(joined.first), weakref.ref(joined.second)]
        del joined.first, joined.second, joined.splice, splice
        joined.done.clear()
        return joined, kept

    gc.collect()
    gc.disable()
    try:
        joined, kept = make()
        assert [ref() for ref in kept] == [None, None]
        assert joined.lab.stack.connections() == []
    finally:
        gc.enable()
