"""Two stacks over a pipe that loses, reorders, repeats and corrupts: streams arrive whole, and then nothing is left."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.tcp.peer import HOST, HOST6, PEER, PEER6, Peer
from uinet.errors import Error, WouldBlock
from uinet.socket import Socket
from uinet.stack import Stack
from uinet.units import MILLISECOND, SECOND
from uinet.wire.tcp_options import Mss, Nop, Sack, SackPermitted, Timestamps, WindowScale

MACS = ("02:00:00:00:00:01", "02:00:00:00:00:02")


class Pipe:
    """Two stacks and the faults between them, in virtual time."""

    def __init__(
        self, seed: int, *, loss: float, reorder: float, duplicate: float, corrupt: float, **set_: Any
    ) -> None:
        self.random = random.Random(seed)
        self.faults = (loss, reorder, duplicate, corrupt)
        self.now = self.random.randrange(1, 20_000) * SECOND  # the ISNs are anywhere
        self.stacks = []
        self.links = []
        self.flying: list[tuple[int, int, int, bytes]] = []  # (arrival, number, to, frame)
        self.number = 0
        self.events = 0
        for index, (v4, v6) in enumerate(((PEER, PEER6), (HOST, HOST6))):
            stack = Stack(b"%d %d" % (seed, index), self.now)
            for name, value in set_.items():
                setattr(stack.tcp.settings, name, value)
            link = stack.add_interface("eth0", mac=MACS[index])
            link.add_address(f"{v4}/24")
            link.add_address(f"{v6}/64")
            other = ((HOST, HOST6), (PEER, PEER6))[index]
            for address in other:
                stack.neighbors.add(address, MACS[1 - index])
            self.stacks.append(stack)
            self.links.append(link)

    def collect(self) -> None:
        loss, reorder, duplicate, corrupt = self.faults
        for index in (0, 1):
            for frame in self.stacks[index].output(self.links[index]):
                self.events += 1
                draw = self.random.random
                if draw() < loss:
                    continue
                data = frame.data
                if draw() < corrupt:
                    at = self.random.randrange(14, len(data))
                    data = data[:at] + bytes([data[at] ^ (1 << self.random.randrange(8))]) + data[at + 1 :]
                delay = 10 * MILLISECOND + (self.random.randrange(30) * MILLISECOND if draw() < reorder else 0)
                for _ in range(2 if draw() < duplicate else 1):
                    self.number += 1
                    self.flying.append((self.now + delay, self.number, 1 - index, data))

    def step(self) -> bool:
        """Goes on to the next thing that happens; False if there is none."""
        self.collect()
        times = [item[0] for item in self.flying]
        times += [when for when in (stack.next_deadline() for stack in self.stacks) if when is not None]
        if not times:
            return False
        self.now = max(self.now, min(times))
        due = sorted(item for item in self.flying if item[0] <= self.now)
        self.flying = [item for item in self.flying if item[0] > self.now]
        for index in (0, 1):
            batch = [item[3] for item in due if item[2] == index]
            self.stacks[index].input(self.links[index], batch, self.now)
        self.collect()
        return True


class End:
    """One end's program: writes its bytes in pieces, reads in pieces, shuts down, closes."""

    def __init__(self, sock: Socket, data: bytes, chance: random.Random) -> None:
        self.sock = sock
        self.left = data
        self.got = b""
        self.chance = chance
        self.shut = False
        self.finished = False

    def act(self) -> None:
        sock = self.sock
        if self.finished or sock.state in ("SYN-SENT", "SYN-RECEIVED"):
            return
        if self.left and self.chance.random() < 0.7:
            try:
                sent = sock.send(self.left[: self.chance.choice((1, 100, 3000, 50_000))])
                self.left = self.left[sent:]
            except WouldBlock:
                pass
        if not self.left and not self.shut:
            self.shut = True
            sock.shutdown(1)
        if self.chance.random() < 0.6:
            try:
                piece = sock.recv(self.chance.choice((1, 500, 100_000)))
            except WouldBlock:
                return
            self.got += piece
            if not piece and self.shut:
                self.finished = True
                sock.close()


def run(pipe: Pipe, sizes: tuple[int, int], v6: bool) -> None:
    chance = random.Random(pipe.random.random())
    streams = [chance.randbytes(size) for size in sizes]
    target = (HOST6 if v6 else HOST, 80)
    listener = pipe.stacks[1].listen(target)
    client = End(pipe.stacks[0].connect(target), streams[0], chance)
    ends = [client]
    for _ in range(60_000):
        if not pipe.step():
            pipe.now += 10 * MILLISECOND
        if len(ends) == 1 and listener.readable:
            ends.append(End(listener.accept(), streams[1], chance))
        for end in ends:
            end.act()
        if all(end.finished for end in ends) and len(ends) == 2:
            break
    else:
        raise AssertionError(f"no end: {[(end.sock.state, len(end.left), len(end.got)) for end in ends]}")
    assert len(ends) == 2
    assert ends[1].got == streams[0], (len(ends[1].got), len(streams[0]), ends[1].sock.error)
    assert ends[0].got == streams[1], (len(ends[0].got), len(streams[1]), ends[0].sock.error)
    listener.close()
    for _ in range(2000):
        if not pipe.step():
            break
    for stack in pipe.stacks:
        stack.events()
        tcp = stack.tcp
        assert list(tcp.table) == [] and tcp.received_bytes == tcp.queued_bytes == tcp.connections == 0
        assert stack.wheel.count == 0 and not tcp.time_wait


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 1 << 32), loss=st.sampled_from((0.0, 0.02, 0.15)), reorder=st.sampled_from((0.0, 0.3)),
    duplicate=st.sampled_from((0.0, 0.1)), corrupt=st.sampled_from((0.0, 0.05)), v6=st.booleans(),
    sizes=st.tuples(st.sampled_from((0, 1, 1000, 40_000, 150_000)), st.sampled_from((0, 1, 5000, 60_000))),
    sack=st.booleans(), timestamps=st.booleans(), scaling=st.booleans(), buffer=st.sampled_from((2048, 9000, 1 << 20)),
)
def test_streams_arrive_whole(
    seed: int, loss: float, reorder: float, duplicate: float, corrupt: float, v6: bool, sizes: tuple[int, int],
    sack: bool, timestamps: bool, scaling: bool, buffer: int,
) -> None:
    if buffer == 2048 or loss > 0.1:
        sizes = (min(sizes[0], 20_000), min(sizes[1], 10_000))
    pipe = Pipe(
        seed, loss=loss, reorder=reorder, duplicate=duplicate, corrupt=corrupt, sack=sack, timestamps=timestamps,
        window_scaling=scaling, receive_buffer=buffer, send_buffer=max(buffer, 4096),
        orphan_timeout=1800 * SECOND,
    )
    run(pipe, sizes, v6)


STATES = [
    "passive", "active", "close_wait", "fin_wait_1", "fin_wait_2", "closing", "last_ack", "time_wait", "connecting",
    "listen",
]
FLAGS = ["", ".", ".", ".", "P.", "F.", "S", "S.", "R", "R.", "FP.", "SF", "SR", "U.", "FSRPU.", "E.", "W."]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("offered", [(), (Mss(1460), SackPermitted(), Timestamps(1000, 0), Nop(), WindowScale(7))])
@settings(max_examples=6, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1 << 32))
def test_random_segments_near_the_state_do_no_harm(state: str, offered: Any, seed: int) -> None:
    chance = random.Random(seed)
    peer = Peer(receive_buffer=chance.choice((2048, 1 << 20)))
    made = getattr(peer, state)(**({} if state in ("connecting", "listen") else {"options": offered}))
    sock = made[0] if isinstance(made, tuple) else made
    peer.watch = None
    held: deque[int] = deque([0], maxlen=8)
    for _ in range(60):
        near = chance.choice((0, 0, 0, 1, -1, 100, 1460, -1460, 65535, 1 << 20, 1 << 31, chance.getrandbits(32)))
        ack = chance.choice((0, 0, 0, 1, -1, 500, 3000, -70000, 1 << 31, chance.getrandbits(32)))
        data = bytes(chance.choice((0, 0, 0, 1, 10, 536, 1400)))
        options: Any = chance.choice((None, None, (), (peer.timestamps(), Nop(), Nop()), chance.randbytes(40), "sack"))
        if options == "sack":
            at = peer.ack + chance.choice(tuple(held))
            blocks = tuple(
                ((at + chance.randrange(5000)) & 0xFFFFFFFF, (at + chance.randrange(5000)) & 0xFFFFFFFF)
                for _ in range(3)
            )
            options = (Sack(blocks), Nop(), Nop())
        before = len(peer.out)
        peer.send(
            chance.choice(FLAGS), peer.seq + near, peer.ack + ack, data, options=options,
            window=chance.choice((0, 1, 100, 65535)), urgent=chance.choice((0, 0, 65535)),
        )
        assert len(peer.out) - before <= 64
        if chance.random() < 0.3:
            peer.advance(chance.choice((0.05, 0.3, 3.0)))
        if chance.random() < 0.3:
            try:
                sock.send(bytes(chance.choice((1, 4000))))
                sock.recv(chance.choice((1, 5000)))
            except Error:
                pass
            peer.flush()
        held.append(chance.randrange(8000))
    sock.abort()
    if peer.listener:
        peer.listener.close()
    peer.watch = None
    peer.flush()
    peer.drain()
    peer.gone(400)
