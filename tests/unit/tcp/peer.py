"""A TCP peer driven by hand: a stack under test with one link, in virtual time, and what it sends taken apart.

Whatever the stack sends is checked against the invariants that hold on every trace (`Watch`), without being asked.
"""

from __future__ import annotations

from typing import Any

from uinet.errors import Error, WouldBlock
from uinet.link.offload import finish
from uinet.sim.invariants import Segment as Seg
from uinet.sim.invariants import Watch, segment_of
from uinet.socket import Socket
from uinet.stack import Stack
from uinet.tcp.tcb import Tcb
from uinet.units import MASK32, SECOND
from uinet.wire import build
from uinet.wire.frame import Frame, gathered
from uinet.wire.tcp_options import (
    Mss,
    Nop,
    SackPermitted,
    Timestamps,
    WindowScale,
)

MAC = "02:00:00:00:00:02"
PEER_MAC = "02:00:00:00:00:01"
HOST, PEER = "10.0.0.2", "10.0.0.1"
HOST6, PEER6 = "2001:db8::2", "2001:db8::1"
PORT = 80
PEER_PORT = 40000
ISN = 0xFFFFFFF6  # the peer's: its stream wraps after nine bytes
FULL = (Mss(1460), SackPermitted(), Timestamps(1000, 0), Nop(), WindowScale(7))
PLAIN = (Mss(1460),)


class Peer:
    """The stack under test and the hand-made peer at the other end of its link. `out`: segments not expected yet."""

    def __init__(
        self, *, v6: bool = False, now: int = 1000 * SECOND, mtu: int = 1500, seed: bytes = b"peer",
        gathers: bool = False, **settings: Any
    ) -> None:
        self.stack = Stack(seed, now)
        for name in ("receive_buffer", "send_buffer"):
            if name in settings:  # a test that says how large a buffer is wants it to stay so
                settings.setdefault(f"{name}_max", settings[name])
        for name, value in settings.items():
            assert hasattr(self.stack.tcp.settings, name)
            setattr(self.stack.tcp.settings, name, value)
        self.eth0 = self.stack.add_interface("eth0", mac=MAC, mtu=mtu)
        self.eth0.gathers = gathers
        self.eth0.add_address(f"{HOST}/24")
        if mtu >= 1280:
            self.eth0.add_address(f"{HOST6}/64")
        for address in (PEER, PEER6):
            self.stack.neighbors.add(address, PEER_MAC, self.eth0)
        self.here, self.there = (HOST6, PEER6) if v6 else (HOST, PEER)
        self.port, self.peer_port = PORT, PEER_PORT
        self.out: list[Seg] = []
        self.large: list[Frame] = []  # of what was sent: frames of many segments
        self.other: list[Any] = []  # what was no TCP
        self.watch: Watch | None = Watch()
        self.listener: Any = None
        self.seq = ISN  # the peer's SND.NXT
        self.ack = 0  # the peer's RCV.NXT
        self.window = 65535
        self.ts = False
        self.ts_echo = 0
        self.ts_ahead = 0

    # time

    @property
    def now(self) -> int:
        return self.stack.now

    def count(self, name: str) -> int:
        return self.stack.stats[name]

    def advance(self, duration: float) -> None:
        """Lets `duration` seconds pass, deadline by deadline."""
        target = self.now + round(duration * SECOND)
        for _ in range(100_000):
            deadline = self.stack.next_deadline()
            if deadline is None or deadline > target:
                break
            self.stack.poll(max(deadline, self.now))
            self.collect()
        else:
            raise AssertionError("deadlines without end")
        self.stack.poll(target)
        self.collect()

    def flush(self) -> None:
        """Lets the stack send what calls have queued."""
        self.stack.poll(self.now)
        self.collect()

    # segments

    def frame(
        self, flags: str, seq: int | None = None, ack: int | None = None, data: bytes = b"", *,
        window: int | None = None, options: Any = None, urgent: int = 0,
    ) -> bytes:
        """A segment of the peer; what is left out is what the peer would send now."""
        seq = self.seq if seq is None else seq & MASK32
        ack = (self.ack if ack is None else ack & MASK32) if "." in flags else 0
        window = self.window if window is None else window
        if options is None:
            options = (Nop(), Nop(), self.timestamps()) if self.ts else ()
        noted = () if isinstance(options, bytes) else options
        if self.watch is not None:
            self.watch.from_peer(flags, seq, ack, window, len(data), noted)
        return build.tcp(
            self.there, self.here, self.peer_port, self.port, flags, seq, ack, window, options, data,
            urgent_pointer=urgent,
        )

    def timestamps(self) -> Timestamps:
        return Timestamps((self.now // 1_000_000 + 1000 + self.ts_ahead) & MASK32, self.ts_echo)

    def send(self, flags: str, seq: int | None = None, ack: int | None = None, data: bytes = b"", **more: Any) -> None:
        """Sends one segment to the stack and takes what it answers. A RST is never answered with a RST."""
        before = len(self.out)
        self.give(self.frame(flags, seq, ack, data, **more))
        resets = [seg for seg in self.out[before:] if "R" in seg.flags]
        assert len(resets) <= 1
        assert not (resets and "R" in flags), "a RST answered with a RST"

    def give(self, *frames: bytes) -> None:
        """Gives the stack a batch of frames."""
        self.stack.input(self.eth0, frames, self.now)
        self.collect()

    def data(self, data: bytes, flags: str = "P.", **more: Any) -> None:
        """Sends data in sequence."""
        seq, self.seq = self.seq, (self.seq + len(data) + flags.count("F")) & MASK32
        self.send(flags, seq, None, data, **more)

    def collect(self) -> None:
        frames = self.stack.output(self.eth0)
        self.large += [frame for frame in frames if frame.gso_size]
        for packet in (cut for frame in frames for cut in finish(gathered(frame), 2)):
            taken = build.dissect(packet.data)
            if taken.get(build.tcp_wire.TcpHeader) is None:
                self.other.append(taken)
                continue
            header = taken.tcp
            seg = segment_of(taken, self.now)
            self.out.append(seg)
            stamp = seg.option(Timestamps)
            if stamp and (header.destination_port, header.source_port) == (self.peer_port, self.port):
                self.ts_echo = stamp.value
            if self.watch is not None and header.destination_port == self.peer_port:
                self.watch.from_stack(seg)

    def expect(self, flags: str | None = None, **fields: Any) -> Seg:
        """Takes the oldest segment that the stack has sent, which has these flags and fields."""
        assert self.out, f"nothing was sent, wanted {flags}"
        seg = self.out.pop(0)
        if flags is not None:
            assert set(seg.flags) == set(flags), f"wanted {flags}: {seg[:6]}"
        for name, value in fields.items():
            found = len(seg.data) if name == "length" else getattr(seg, name)
            if name in ("seq", "ack"):
                value &= MASK32
            assert found == value, f"{name} is {found}, wanted {value}: {seg[:6]}"
        return seg

    def quiet(self) -> None:
        """Nothing was sent."""
        assert not self.out, [(*seg[1:5], len(seg.data)) for seg in self.out]

    def drain(self) -> list[Seg]:
        """Takes all that was sent."""
        taken, self.out = self.out, []
        return taken

    def take(self, *, acknowledge: bool = True) -> bytes:
        """Takes the data that was sent in sequence, and acknowledges it."""
        got = b""
        for seg in self.drain():
            if seg.seq == self.ack and (seg.data or "F" in seg.flags):
                got += seg.data
                self.ack = seg.end
        if acknowledge:
            self.send(".")
        return got

    # connections

    def listen(self, **options: Any) -> Socket:
        self.listener = self.stack.listen((self.here, self.port), **options)
        return self.listener

    def syn(self, options: Any = PLAIN, **more: Any) -> Seg:
        """Sends a SYN to the listener; the SYN,ACK."""
        self.send("S", self.seq, options=options, **more)
        seg = self.expect("S.", ack=self.seq + 1)
        self.seq = (self.seq + 1) & MASK32
        self.ack = (seg.seq + 1) & MASK32
        self.ts = seg.option(Timestamps) is not None
        return seg

    def passive(self, options: Any = PLAIN, *, window: int = 65535, before: Any = None, **listen: Any) -> Socket:
        """A connection that the peer has opened, accepted."""
        if self.listener is None:
            self.listen(**listen)
        if before is not None:
            before(self.listener)
        self.syn(options)
        self.window = window
        self.send(".")
        self.quiet()
        sock: Socket = self.listener.accept()
        self.stack.events()
        assert sock.state == "ESTABLISHED"
        return sock

    def connecting(self, before: Any = None) -> tuple[Socket, Seg]:
        """A socket in SYN-SENT, and its SYN."""
        sock = self.stack.socket()
        sock.bind((self.here, PORT + 5000))
        if before is not None:
            before(sock)
        self.port = PORT + 5000
        self.peer_port = 7
        sock.connect((self.there, 7))
        self.flush()
        seg = self.expect("S")
        self.ack = (seg.seq + 1) & MASK32
        return sock, seg

    def active(self, options: Any = PLAIN, *, window: int = 65535, before: Any = None) -> Socket:
        """A connection that the stack has opened."""
        sock, _ = self.connecting(before)
        stamped = any(isinstance(option, Timestamps) for option in options)
        if stamped:
            options = tuple(Timestamps(o.value, self.ts_echo) if isinstance(o, Timestamps) else o for o in options)
        self.window = window
        self.send("S.", self.seq, options=options)
        self.seq = (self.seq + 1) & MASK32
        self.ts = stamped and bool(self.stack.tcp.settings.timestamps)
        self.expect(".", seq=self.ack, ack=self.seq, length=0)
        assert sock.state == "ESTABLISHED"
        self.stack.events()
        return sock

    def close_wait(self, **more: Any) -> Socket:
        sock = self.passive(**more)
        self.data(b"", "F.")
        self.expect(".", ack=self.seq)
        assert sock.state == "CLOSE-WAIT"
        return sock

    def fin_wait_1(self, **more: Any) -> Socket:
        sock = self.passive(**more)
        sock.shutdown(1)
        self.flush()
        self.expect("F.", seq=self.ack)
        assert sock.state == "FIN-WAIT-1"
        return sock

    def fin_wait_2(self, **more: Any) -> Socket:
        sock = self.fin_wait_1(**more)
        self.ack = (self.ack + 1) & MASK32
        self.send(".")
        self.quiet()
        assert sock.state == "FIN-WAIT-2"
        return sock

    def closing(self, **more: Any) -> Socket:
        sock = self.fin_wait_1(**more)
        self.data(b"", "F.")
        self.expect(".", ack=self.seq)
        assert sock.state == "CLOSING"
        return sock

    def last_ack(self, **more: Any) -> Socket:
        sock = self.close_wait(**more)
        sock.shutdown(1)
        self.flush()
        self.expect("F.", seq=self.ack)
        assert sock.state == "LAST-ACK"
        return sock

    def time_wait(self, **more: Any) -> Socket:
        """A connection in TIME-WAIT; its socket is told that it is over."""
        sock = self.fin_wait_2(**more)
        self.data(b"", "F.")
        self.expect(".", ack=self.seq)
        assert len(self.stack.tcp.time_wait) == 1
        return sock

    # the end

    def tcbs(self) -> int:
        return sum(isinstance(entry, Tcb) for entry in self.stack.tcp.table)

    def gone(self, wait: float = 700) -> None:
        """After `wait` seconds nothing is left of any connection: no TCB, timer or byte."""
        self.advance(wait)
        self.stack.events()
        tcp = self.stack.tcp
        assert list(tcp.table) == []
        assert (tcp.connections, tcp.syn_count, len(tcp.time_wait)) == (0, 0, 0)
        assert tcp.received_bytes == 0 and tcp.queued_bytes == 0
        assert not tcp.pending and not tcp.ready
        assert self.stack.wheel.count == 0


def read(sock: Socket, limit: int = 1 << 24) -> bytes:
    """All that can be read now."""
    got = b""
    while True:
        try:
            piece = sock.recv(limit)
        except WouldBlock:
            return got
        if not piece:
            return got
        got += piece


def error_of(call: Any, *args: Any) -> type[BaseException] | None:
    """What `call` raises, if it raises."""
    try:
        call(*args)
    except Error as error:
        return type(error)
    return None
