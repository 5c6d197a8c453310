"""Passive sockets under damaged copies, and users who do everything at any time: what is read is what was there.

The sink of the engine is listened in on: that is the model. Reads of odd sizes, of any kind and between any two
packets, must give its bytes at their offsets, and its holes.
"""

from __future__ import annotations

import gc
import random
import sys
from typing import Any

import pytest

import uinet
from tests.fuzz import copies
from tests.unit.passive.copy import EPOCH, Copy
from uinet import ANY, IPPROTO_TCP, MSG_HOLE_BREAK, MSG_PEEK, SO_RCVBUF, SOL_SOCKET, TCP_REASSDL
from uinet.errors import NotConnected, WouldBlock
from uinet.passive.holes import REASONS
from uinet.tcp.reception import Buffers

HARMLESS = (copies.flipped, copies.numbered, copies.shuffled, copies.doubled, copies.dropped, copies.spliced)
HOLE_COST = 128  # of `uinet.tcp.reception`


class Listening(Buffers):
    """Writes down what comes, by reception: what each offset is, a byte or the reason of a hole."""

    def __init__(self) -> None:
        super().__init__()
        self.streams: dict[Any, list[tuple[int, bytes | int, str]]] = {}

    def data(self, conn: Any, half: Any, offset: int, data: bytes, start: int, length: int, time: int) -> None:
        self.streams.setdefault(self.of(conn, half), []).append((offset, data[start : start + length], ""))
        super().data(conn, half, offset, data, start, length, time)

    def hole(self, conn: Any, half: Any, offset: int, length: int, reason: int, time: int) -> None:
        self.streams.setdefault(self.of(conn, half), []).append((offset, length, REASONS[reason]))
        super().hole(conn, half, offset, length, reason, time)

    def of(self, conn: Any, half: Any) -> Any:
        return conn.user if half is conn.client else conn.user.other

    def check(self, reception: Any, offset: int, data: bytes, hole: str) -> None:
        """That `data` are the stream's at `offset`; of a hole: zeros, and nothing else is there."""
        end = offset + len(data)
        assert end <= reception.end
        if hole:
            assert not any(data)
        if hole == "overrun":
            return
        for at, what, reason in self.streams.get(reception, ()):
            size = what if isinstance(what, int) else len(what)
            low, high = max(at, offset), min(at + size, end)
            if low >= high:
                continue
            assert reason == hole
            if isinstance(what, bytes):
                assert what[low - at : high - at] == data[low - offset : high - offset]


class User:
    """Reads one socket as no one would."""

    def __init__(self, chance: random.Random, sock: Any, model: Listening) -> None:
        self.chance = chance
        self.sock = sock
        self.reception = sock.reception
        self.model = model
        self.at = self.reception.position
        self.over = False

    def step(self) -> None:
        chance, sock = self.chance, self.sock
        if self.over:
            return
        what = chance.randrange(12)
        if what == 0 and chance.random() < 0.1:
            self.close()
        elif what == 1:
            sock.setsockopt(IPPROTO_TCP, TCP_REASSDL, chance.choice((0, 1, 200, 5000, 10**9)))
        elif what == 2:
            sock.setsockopt(SOL_SOCKET, SO_RCVBUF, chance.choice((1, 100, 5000, 1 << 20)))
        elif what == 3:
            hole = sock.skip_hole()
            if hole is not None:
                assert hole.offset == self.at
                self.model.check(self.reception, self.at, bytes(min(hole.length, 10_000)), hole.reason)
                self.at += hole.length
        elif what == 4:
            info = sock.info()
            assert info.bytes_received >= self.at and info.unread >= 0
        else:
            self.read()

    def read(self) -> None:
        chance, sock = self.chance, self.sock
        size = chance.choice((0, 1, 2, 3, 7, 100, 1461, 100_000))
        flags = chance.choice((0, 0, MSG_HOLE_BREAK, MSG_PEEK, MSG_HOLE_BREAK | MSG_PEEK))
        hole = sock.next_hole()
        try:
            if chance.random() < 0.2:
                target = bytearray(size)
                data = bytes(target[: sock.recv_into(target, 0, flags)]) if size else b""
                return self.took(data, None, flags, hole)
            data, ancillary, told, sender = sock.recvmsg(size, flags)
        except WouldBlock:
            assert sock.unread == 0
            return None
        assert sender == sock.getpeername()
        assert bool(told) == bool(flags & MSG_HOLE_BREAK and ancillary)
        return self.took(data, [found for _, _, found in ancillary], flags, hole)

    def took(self, data: bytes, holes: list[Any] | None, flags: int, first: Any) -> None:
        assert len(data) <= 100_000
        end = self.at + len(data)
        if flags & MSG_HOLE_BREAK and data:
            if first is None:
                self.model.check(self.reception, self.at, data, "")
            else:
                assert len(data) <= first.length
                self.model.check(self.reception, self.at, data, first.reason)
        if holes is not None:
            at = self.at
            for hole in holes:
                assert at <= hole.offset < hole.offset + hole.length <= end
                self.model.check(self.reception, at, data[at - self.at : hole.offset - self.at], "")
                at = hole.offset + hole.length
                self.model.check(self.reception, hole.offset, data[hole.offset - self.at : at - self.at], hole.reason)
            self.model.check(self.reception, at, data[at - self.at :], "")
        if not flags & MSG_PEEK:
            self.at = end
        assert self.reception.position == self.at

    def close(self) -> None:
        self.over = True
        self.sock.close()
        self.sock.close()


def watch(seed: int) -> int:
    """One damaged copy, watched; how many sockets there were."""
    chance = random.Random(seed)
    packets = copies.talk(chance) + copies.talk(chance)
    for _ in range(chance.randint(0, 3)):
        packets = chance.choice(HARMLESS)(chance, packets)
    stack = uinet.Stack(seed=b"%d" % seed)
    stack.tcp.settings.passive = copies.choices(chance)
    if chance.random() < 0.2:
        stack.tcp.settings.receive_memory = 5000
    mirror = stack.add_interface("mirror", cdom=1)
    listener = stack.listen((ANY, ANY), vlans=ANY, cdom=1, passive=True, backlog=chance.choice((1, 5, 100)))
    if chance.random() < 0.5:
        listener.setsockopt(SOL_SOCKET, SO_RCVBUF, chance.choice((1, 1000, 100_000)))
    model = Listening()
    watching = stack.tcp.watching()
    watching.sink = model
    users: list[User] = []
    now = packets[0][3]
    eager = chance.random() < 0.3

    def event(sock: Any, events: int) -> None:
        user = next((one for one in users if one.sock is sock), None)
        if user is not None and not stack.closed:
            user.step()

    for _, data, _, time in packets:
        now = max(now, min(time, now + 10**12))
        stack.input(mirror, [data], now)
        assert not stack.output(mirror)
        spare = 2 * HOLE_COST * (watching.count + len(users))  # one hole may be over for each stream
        assert 0 <= watching.context.received_bytes <= stack.tcp.settings.receive_memory + spare
        if chance.random() < 0.02:
            listener.close()
        while not listener.closed and listener.readable and chance.random() < 0.8:
            sock = listener.accept()
            users.append(User(chance, sock, model))
            if chance.random() < 0.8:
                users.append(User(chance, sock.get_passive_peer(), model))
            if eager:
                for user in users[-2:]:
                    user.sock.on_event = event
        for user in users:
            if chance.random() < 0.3:
                user.step()
            elif chance.random() < 0.01 and not user.over:
                try:
                    assert user.sock.get_passive_peer().get_passive_peer() is user.sock
                except NotConnected:
                    pass
    if chance.random() < 0.5:
        now += 10**13
        stack.poll(now)
        for user in users:
            for _ in range(10):
                user.step()
    for user in users:
        if chance.random() < 0.5:
            user.close()
    assert watching.context.received_bytes >= 0
    stack.close()
    for user in users:
        user.close()
    assert stack.tcp.table.count == 0
    assert watching.held == 0 and watching.count == 0 and watching.oldest is None
    assert watching.context.received_bytes == 0
    model.streams.clear()  # receptions lead back to the model, unseen by the collector
    return len(users)


@pytest.mark.parametrize("begin", range(0, 300, 50))
def test_what_is_read_is_what_was_there(begin: int) -> None:
    assert sum(watch(seed) for seed in range(begin, begin + 50)) > 50


def test_holes_count_against_the_memory_of_all_sockets() -> None:
    """Its end, and holes between what finds no room: each would be one more."""
    stack = uinet.Stack()
    stack.tcp.settings.receive_memory = 3000
    mirror = stack.add_interface("mirror", cdom=1)
    listener = stack.listen((ANY, ANY), vlans=ANY, cdom=1, passive=True)
    listener.setsockopt(IPPROTO_TCP, TCP_REASSDL, 0)
    copy = Copy()
    packets = copy.collect()
    copy.handshake()
    for number in range(500):
        copy.client(bytes(100), at=200 * number + 100)
    for time, data, _ in packets:
        stack.input(mirror, [data], EPOCH + time)
        stack.poll(EPOCH + time + 10**6)
    sock = listener.accept()
    assert stack.tcp.watching().context.received_bytes <= 3000 + 2 * HOLE_COST
    while sock.unread:
        sock.recv(100_000)
    assert sock.info().bytes_received == 200 * 500
    assert sock.info().overrun > 40_000  # of 50,000 that came


def test_nothing_is_left_of_what_was_watched() -> None:
    def run() -> int:
        for seed in range(40):
            watch(seed)
        for _ in range(3):
            gc.collect()
        return sys.getallocatedblocks()

    run()
    before = run()
    assert run() - before < 100
