"""Segments that make no sense, on flows in every state: nothing raises, what is kept is counted right and bounded, and
frames pass a flow that is passed or tracked whatever is in them."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from uinet.errors import Unsafe
from uinet.proxy import Policy, Proxy
from uinet.stack import Stack
from uinet.units import SECOND
from uinet.wire import build
from uinet.wire.addresses import L2Info
from uinet.wire.frame import CHECKSUM_NEEDED, CHECKSUM_VALID, Frame
from uinet.wire.tcp_options import Mss, Nop, Sack, SackPermitted, Timestamps, WindowScale

L2 = L2Info.make("02:00:00:00:00:01", "02:00:00:00:00:02", (7,))
ENDS = (("10.0.0.1", 4000), ("10.0.0.2", 80))
FLAGS = (".", ".", ".", "P.", "F.", "S", "S.", "R", "R.", "", "FS.", "U.", "FPU")


class Mess:
    """A proxy, and what a random mind sends through it."""

    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        self.now = SECOND
        self.stack = Stack(b"%d" % seed, self.now)
        self.sides = [self.stack.add_interface(f"eth{cdom}", cdom=cdom) for cdom in (1, 2)]
        self.proxy = Proxy(
            self.stack, *self.sides, policy=Policy(decide=lambda syn: random.choice(["pass", "track", "track"])),
        )
        table = self.proxy.flows
        assert table is not None
        self.table = table
        table.budget.limit = random.choice([1000, 100_000])
        self.sense = random.choice([0.5, 0.9, 0.97])
        self.base = [random.getrandbits(32), random.getrandbits(32)]
        self.begun = [False, False]

    def sensible(self, side: int) -> bytes:
        """The next segment of an honest end."""
        (here, port), (there, other) = ENDS[side], ENDS[1 - side]
        options: tuple[Any, ...] = ()
        flags = "."
        payload = self.random.randbytes(self.random.choice([0, 100, 1400]))
        if not self.begun[side]:
            self.begun[side] = True
            flags, payload = ("S", b"") if side == 0 else ("S.", b"")
            options = (Mss(1460), SackPermitted(), Nop(), WindowScale(7))
        seq = self.base[side]
        self.base[side] = (seq + len(payload) + ("S" in flags)) & 0xFFFFFFFF
        return build.tcp(
            here, there, port, other, flags, seq, self.base[1 - side], 1000, options, payload,
            L2 if side == 0 else L2.reversed(),
        )

    def frame(self, side: int) -> bytes:
        random = self.random
        if random.random() < self.sense:
            return self.sensible(side)
        near = random.choice([0, 0, 0, 1, -1, random.randint(-3000, 3000), random.getrandbits(32)])
        seq = (self.base[side] + near) & 0xFFFFFFFF
        ack = (self.base[1 - side] + random.choice([0, 0, random.randint(-3000, 3000), random.getrandbits(32)]))
        flags = random.choice(FLAGS)
        options: list[Any] = []
        if "S" in flags:
            options = [Mss(random.choice([0, 536, 1460])), SackPermitted(), WindowScale(random.randint(0, 20))]
        if random.random() < 0.5:
            options += [Nop(), Nop(), Timestamps(random.getrandbits(32), random.getrandbits(32))]
        if random.random() < 0.2:
            options += [Nop(), Nop(), Sack(((random.getrandbits(32), random.getrandbits(32)),))]
        payload = random.randbytes(random.choice([0, 0, 1, 100, 1400]))
        if near == 0:
            self.base[side] = (seq + len(payload) + ("S" in flags) + ("F" in flags)) & 0xFFFFFFFF
        (here, port), (there, other) = ENDS[side], ENDS[1 - side]
        return build.tcp(
            here, there, port, other, flags, seq, ack & 0xFFFFFFFF, random.getrandbits(16), tuple(options), payload,
            L2 if side == 0 else L2.reversed(),
        )

    def step(self) -> None:
        random = self.random
        side = random.randint(0, 1)
        frames = [self.frame(side) for _ in range(random.randint(1, 3))]
        state = random.choice([0, CHECKSUM_VALID, CHECKSUM_NEEDED])
        self.now += random.choice([1000, SECOND // 100, SECOND])
        self.stack.input(self.sides[side], [Frame(data, state) for data in frames], self.now)
        for interface in self.sides:
            self.stack.output(interface)
        if random.random() < 0.2:
            for connection in self.proxy.connections():
                try:
                    connection.change(random.choice(["pass", "track", "intercept", "hold"]), random.choice([0, 1]))
                except Unsafe:
                    pass  # it says why, and nothing has happened

    def check(self) -> None:
        held = tracked = 0
        for flow in self.table.table.nodes():
            if flow.track is not None:
                tracked += 1
                held += flow.track.client.charge() + flow.track.server.charge()
        assert (held, tracked) == (self.table.budget.held, self.table.tracked)
        assert held <= self.table.budget.limit + 4096
        assert self.stack.stats["upcall_error"] == 0


@pytest.mark.parametrize("seed", range(40))
def test_nonsense(seed: int) -> None:
    mess = Mess(seed)
    for _ in range(120):
        mess.step()
        mess.check()
    mess.proxy.abort()
    mess.table.close()
    assert mess.table.budget.held == mess.table.tracked == mess.table.translated == len(mess.table) == 0
