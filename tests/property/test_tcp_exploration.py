"""The state machine explored: two stacks, and any calls, losses, delays and changes of mind in any order.

Whatever happens, the invariants of traces hold in both directions, the books of what is in flight balance, a byte that
was read was sent, in its place; and when both ends are closed and time has passed nothing is left of any of it.
"""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from tests.property.test_tcp_streams import MACS
from tests.unit.tcp.peer import HOST, PEER
from uinet.errors import Error, WouldBlock
from uinet.seq import seq_diff
from uinet.sim.invariants import Watch, segment_of
from uinet.stack import Stack
from uinet.tcp.tcb import Tcb
from uinet.units import MASK32, MILLISECOND, SECOND
from uinet.wire import build

ADDRESSES = (PEER, HOST)
TCP = 6
NODELAY, MAXSEG, CORK, CONGESTION = 1, 2, 3, 13


def stream(serial: int, offset: int, length: int) -> bytes:
    """Bytes [offset, offset + length) of the stream number `serial`: each place has its own value."""
    return bytes((serial * 31 + at * 7 + (at >> 8)) & 0xFF for at in range(offset, offset + length))


class End:
    """One end of one connection: the socket, and what went in and came out."""

    def __init__(self, sock: Any, serial: int) -> None:
        self.sock = sock
        self.serial = serial
        self.sent = 0
        self.read = 0
        self.peer: End | None = None


class Exploration(RuleBasedStateMachine):
    """Two stacks on a wire that does what the rules say."""

    ends = Bundle("ends")

    @initialize(
        target=ends, seed=st.integers(0, 1 << 16), congestion=st.sampled_from(("cubic", "newreno", "bbr")),
        sack=st.booleans(), timestamps=st.booleans(), ecn=st.sampled_from((0, 1, 2)), pacing=st.booleans(),
        buffer=st.sampled_from((4096, 30_000, 1 << 20)),
    )
    def begin(self, seed: int, buffer: int, **chosen: Any) -> Any:
        self.now = (seed % 9_000) * SECOND + SECOND  # the ISNs are anywhere
        self.stacks = []
        self.links = []
        self.wire: list[list[Any]] = [[], []]  # frames on their way to each stack
        self.watches: dict[tuple[int, int, int], Watch] = {}
        self.made: list[End] = []
        for index in (0, 1):
            stack = Stack(b"%d %d" % (seed, index), self.now)
            for name, value in chosen.items():
                setattr(stack.tcp.settings, name, value)
            stack.tcp.settings.receive_buffer = stack.tcp.settings.send_buffer = buffer
            link = stack.add_interface("eth0", mac=MACS[index])
            link.add_address(f"{ADDRESSES[index]}/24")
            stack.neighbors.add(ADDRESSES[1 - index], MACS[1 - index])
            self.stacks.append(stack)
            self.links.append(link)
        self.listeners = [stack.listen((ADDRESSES[index], 80), backlog=4) for index, stack in enumerate(self.stacks)]
        first = self.connect(0)
        self.pass_all()
        return multiple(first, self.accept(1))

    # the wire

    def watch(self, sender: int, ours: int, theirs: int) -> Watch:
        return self.watches.setdefault((sender, ours, theirs), Watch())

    def collect(self) -> None:
        """Takes what both stacks send onto the wire, and checks it."""
        for index in (0, 1):
            for frame in self.stacks[index].output(self.links[index]):
                taken = build.dissect(frame.data)
                self.wire[1 - index].append((frame.data, taken))
                if taken.get(build.tcp_wire.TcpHeader) is None:
                    continue
                header = taken.tcp
                self.watch(index, header.source_port, header.destination_port).from_stack(segment_of(taken, self.now))

    def deliver(self, to: int, frames: list[Any]) -> None:
        for _, taken in frames:
            if taken.get(build.tcp_wire.TcpHeader) is not None:
                header = taken.tcp
                segment = segment_of(taken, self.now)
                watch = self.watch(to, header.destination_port, header.source_port)
                watch.from_peer(
                    segment.flags, header.seq, header.ack, header.window, len(taken.payload), header.options
                )
        self.stacks[to].input(self.links[to], [data for data, _ in frames], self.now)
        self.collect()

    @rule(to=st.integers(0, 1), count=st.integers(1, 40))
    def pass_on(self, to: int, count: int) -> None:
        frames, self.wire[to] = self.wire[to][:count], self.wire[to][count:]
        self.deliver(to, frames)

    @rule()
    def pass_all(self) -> None:
        """Both ways, until nobody has anything to say."""
        for _ in range(200):
            if not self.wire[0] and not self.wire[1]:
                return
            for to in (0, 1):
                frames, self.wire[to] = self.wire[to], []
                self.deliver(to, frames)

    @rule(to=st.integers(0, 1), at=st.integers(0, 30))
    def lose(self, to: int, at: int) -> None:
        del self.wire[to][at : at + 1]

    @rule(to=st.integers(0, 1), at=st.integers(0, 30), later=st.integers(1, 10))
    def overtake(self, to: int, at: int, later: int) -> None:
        if at < len(self.wire[to]):
            self.wire[to].insert(at + later, self.wire[to].pop(at))

    @rule(to=st.integers(0, 1), at=st.integers(0, 30))
    def repeat(self, to: int, at: int) -> None:
        if at < len(self.wire[to]):
            self.wire[to].append(self.wire[to][at])

    @rule(duration=st.sampled_from((1, 10, 45, 250, 1100, 7000)))
    def wait(self, duration: int) -> None:
        """Lets time pass; what is on the wire stays there."""
        target = self.now + duration * MILLISECOND
        for _ in range(400):
            times = [stack.next_deadline() for stack in self.stacks]
            due = min((time for time in times if time is not None), default=target)
            self.now = max(self.now, min(due, target))
            for stack in self.stacks:
                stack.poll(self.now)
            self.collect()
            if due > target:
                break
        self.now = target

    # calls

    @rule(target=ends, client=st.integers(0, 1))
    def open(self, client: int) -> End:
        return self.connect(client)

    def connect(self, client: int) -> End:
        sock = self.stacks[client].connect((ADDRESSES[1 - client], 80))
        end = End(sock, 2 * len(self.made))
        self.made.append(end)
        self.flush()
        return end

    @rule(target=ends, which=st.integers(0, 1))
    def take(self, which: int) -> End:
        return self.accept(which)

    def accept(self, which: int) -> End:
        try:
            sock = self.listeners[which].accept()
        except WouldBlock:
            return End(None, 0)
        for other in self.made:  # who has connected to it
            mine, theirs = other.sock.tcb, sock.tcb
            if mine is not None and (mine.lport, mine.raddr_lo) == (theirs.rport, theirs.laddr_lo):
                end = End(sock, other.serial + 1)
                end.peer, other.peer = other, end
                self.made.append(end)
                return end
        raise AssertionError("a connection of nobody's")

    def flush(self) -> None:
        for stack in self.stacks:
            stack.poll(self.now)
        self.collect()

    @rule(end=ends, size=st.sampled_from((1, 700, 1448, 5000, 40_000, 40_000)))
    def send(self, end: End, size: int) -> None:
        if end.sock is None:
            return
        try:
            end.sent += end.sock.send(stream(end.serial, end.sent, size))
        except Error:
            return
        self.flush()

    @rule(end=ends, limit=st.sampled_from((1, 1000, 100_000)))
    def receive(self, end: End, limit: int) -> None:
        if end.sock is None:
            return
        try:
            piece = end.sock.recv(limit)
        except Error:
            return
        if end.peer is not None:
            assert piece == stream(end.peer.serial, end.read, len(piece)), "not what was sent"
        end.read += len(piece)
        self.flush()

    @rule(end=ends, option=st.sampled_from((
        (NODELAY, 1), (NODELAY, 0), (CORK, 1), (CORK, 0), (CONGESTION, "newreno"), (CONGESTION, "bbr"),
        (CONGESTION, "cubic"), (MAXSEG, 600),
    )))
    def change(self, end: End, option: tuple[int, Any]) -> None:
        if end.sock is not None:
            try:
                end.sock.setsockopt(TCP, *option)
            except Error:
                return
            self.flush()

    @rule(end=ends, how=st.integers(0, 2))
    def shutdown(self, end: End, how: int) -> None:
        if end.sock is not None:
            try:
                end.sock.shutdown(how)
            except Error:
                return
            self.flush()

    @rule(end=ends, size=st.sampled_from((1448, 20_000, 60_000)), lost=st.lists(st.integers(0, 20), max_size=4))
    def talk(self, end: End, size: int, lost: list[int]) -> None:
        """Data, of which some segments are lost, and what the other end makes of it."""
        if end.sock is None or end.peer is None:
            return
        self.send(end, size)
        to = 1 if end.sock.stack is self.stacks[0] else 0
        for at in lost:
            self.lose(to, at)
        self.pass_all()
        self.receive(end.peer, 100_000)

    @rule(end=ends, how=st.sampled_from(("close", "abort", "no", "no", "no", "no")))
    def close(self, end: End, how: str) -> None:
        if end.sock is not None and how != "no":
            end.sock.abort() if how == "abort" else end.sock.close()
            self.flush()

    # what holds

    @invariant()
    def books_balance(self) -> None:
        for stack in getattr(self, "stacks", ()):
            for tcb in list(stack.tcp.table):
                if isinstance(tcb, Tcb):
                    check_books(tcb)

    def teardown(self) -> None:
        if not hasattr(self, "stacks"):
            return
        for end in self.made:
            end.sock.close()
        for listener in self.listeners:
            listener.close()
        self.flush()
        for _ in range(400):  # twenty minutes, on a wire that loses nothing
            for to in (0, 1):
                frames, self.wire[to] = self.wire[to], []
                self.deliver(to, frames)
            if not self.wire[0] and not self.wire[1]:
                if not any(list(stack.tcp.table) or stack.wheel.count for stack in self.stacks):
                    break
                self.wait(7000)
        for stack in self.stacks:
            stack.events()
            tcp = stack.tcp
            assert list(tcp.table) == [] and tcp.connections == tcp.syn_count == len(tcp.time_wait) == 0
            assert tcp.received_bytes == tcp.queued_bytes == 0
            assert stack.wheel.count == 0


def check_books(tcb: Tcb) -> None:
    """What is in flight is what lies between SND.UNA and SND.NXT, and its sums are right."""
    outstanding = seq_diff(tcb.snd_nxt, tcb.snd_una)
    assert outstanding >= 0
    flight = tcb.flight
    if flight is None or tcb.state < 4:
        return
    runs = flight.runs[flight.first :]
    assert sum((run.end - run.start) & MASK32 for run in runs) == outstanding
    assert flight.sacked == sum((run.end - run.start) & MASK32 for run in runs if run.sacked)
    assert flight.lost == sum((run.end - run.start) & MASK32 for run in runs if run.lost)
    assert flight.ranges == sum(run.sacked for run in runs)
    assert not any(run.sacked and run.lost for run in runs)
    for before, after in itertools.pairwise(runs):
        assert before.end == after.start, "a gap in what is in flight"
    if outstanding and not tcb.persisting:
        assert tcb.rexmt_at, "nothing would ever send it again"


TestExploration = Exploration.TestCase
TestExploration.settings = settings(
    max_examples=25, stateful_step_count=50, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
