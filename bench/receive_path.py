"""The receive path alone: 1448-byte segments in order, two stacks joined in memory, no system calls.

Counted is everything from the frame to the socket buffer, the ACK included; the sender's work is measured beside it.
"""

from __future__ import annotations

import time

import uinet
from bench.harness import interleave, line, save

ROUNDS = 400
DATA = b"x" * 65536
WANTED = 1000.0  # ns


class Pair:
    """Two stacks with one connection."""

    def __init__(self) -> None:
        bytearray(1 << 23)  # glibc gives back what is free above its largest piece so far: no page faults now
        self.a, self.b = uinet.Stack(b"a"), uinet.Stack(b"b")
        self.ia, self.ib = self.a.add_interface("e0"), self.b.add_interface("e0")
        self.ia.add_address("10.0.0.1/24")
        self.ib.add_address("10.0.0.2/24")
        self.now = 0
        listener = self.b.listen((uinet.ANY, 80))
        self.client = self.a.connect(("10.0.0.2", 80))
        while True:
            out, back = self.a.output(self.ia), self.b.output(self.ib)
            if not out and not back:
                break
            self.b.input(self.ib, out, 0)
            self.a.input(self.ia, back, 0)
        self.server = listener.accept()

    def burst(self, rounds: int) -> int:
        """Moves data for so many rounds; how many segments that took."""
        segments = 0
        for _ in range(rounds):
            self.now += 1000
            for _ in range(2):
                try:
                    self.client.send(DATA)
                except uinet.WouldBlock:
                    break
            frames = self.a.output(self.ia)
            self.b.input(self.ib, frames, self.now)
            try:
                while True:
                    self.server.recv(1 << 20)
            except uinet.WouldBlock:
                self.a.input(self.ia, self.b.output(self.ib), self.now)
            segments += len(frames)
        return segments

    def run(self) -> dict[str, float]:
        """ns a segment of each part."""
        clock = time.perf_counter
        spent = {"send": 0.0, "receive": 0.0, "read": 0.0, "ack": 0.0}
        segments = 0
        for _ in range(ROUNDS):
            self.now += 1000
            t0 = clock()
            for _ in range(2):
                try:
                    self.client.send(DATA)
                except uinet.WouldBlock:
                    break
            frames = self.a.output(self.ia)
            t1 = clock()
            self.b.input(self.ib, frames, self.now)
            t2 = clock()
            try:
                while True:
                    self.server.recv(1 << 20)
            except uinet.WouldBlock:
                back = self.b.output(self.ib)
            t3 = clock()
            self.a.input(self.ia, back, self.now)
            t4 = clock()
            segments += len(frames)
            spent["send"] += t1 - t0
            spent["receive"] += t2 - t1
            spent["read"] += t3 - t2
            spent["ack"] += t4 - t3
        return {name: value / segments * 1e9 for name, value in spent.items()}


def main(runs: int = 5) -> None:
    print("receive_path: 1448-byte in-order segments between two stacks in memory, ns a segment")
    pair = Pair()
    pair.run()
    parts: dict[str, list[float]] = {"send": [], "receive": [], "read": [], "ack": []}

    def once() -> float:
        for name, value in pair.run().items():
            parts[name].append(value)
        return parts["receive"][-1] + parts["read"][-1]

    whole = interleave({"receive": once}, max(runs, 5))["receive"]
    line("receive, up to the socket buffer and the ACK", parts["receive"], "ns")
    line("receive and read by the program", whole, "ns")
    line("send, from the socket buffer to the frame", parts["send"], "ns")
    line("ACK taken in by the sender, a segment sent", parts["ack"], "ns")
    save("receive_path", {"ns_per_segment": parts, "wanted_ns": WANTED})
