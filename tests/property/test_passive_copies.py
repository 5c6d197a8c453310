"""Simulated connections and imperfect copies of them: what the follower delivers is true, and its holes are exact.

What can be known of a stream whose copy is incomplete:

- Its beginning: exactly, if its SYN or the answer to it is in the copy.
- Its end: exactly, if its FIN is in the copy. Otherwise it reaches as far as its last byte in the copy, as the other
  side's ACKs and as the sender's own later sequence numbers say. The last number of these may be that of a FIN, which
  looks like one more byte: a follower can't tell, so one byte more or less is allowed there; but where the other side's
  FIN shows that the connection was closing and the number is the FIN's, no byte may be claimed missing for it.
- Between: bytes that are in no packet of the copy, and only they, are holes. That holds as long as no packet is later,
  against the other direction, than the skew that the follower was told of, and no retransmission than its deadline. One
  case of a later packet is no fault of the copy: it lacks the packet, the receiver had it, and its sender, who has not
  had the ACK, sends again. If by then the ACK has been in the copy for longer than the skew, these bytes may be either.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sim.programs import Conversation, pattern, run_conversation
from tests.unit.passive.copy import EPOCH, Connected, Copy, Stream, ones, seconds
from uinet.sim.network import Network

CLIENT = bytes((10, 0, 0, 1))
FIN, SYN, RST = 1, 2, 4
SKEW = 50_000_000  # the follower's default, ns
ABSENT, THERE, LATE = 0, 1, 2
Packet = tuple[int, bytes]  # time in ns, frame


class Tap:
    """What a port saw."""

    def __init__(self) -> None:
        self.packets: list[Packet] = []

    def write(self, data: bytes, time: int) -> None:
        if data[12:14] == b"\x08\x00" and data[23] == 6:
            self.packets.append((time, data))


def of_client(frame: bytes) -> bool:
    return frame[26:30] == CLIENT


@dataclass
class Half:
    """One direction's truth, and how much of it is in the copy."""

    data: bytes
    isn: int
    covered: bytearray = field(init=False)  # ABSENT, THERE or LATE for each byte
    acked: list[tuple[int, int]] = field(default_factory=list)  # (time, offset) of the other side's ACKs that moved
    numbers: int = 0  # the highest offset that ACKs or sequence numbers in the copy tell of
    last: int = 0  # behind the last byte in the copy
    fin: bool = False

    def __post_init__(self) -> None:
        self.covered = bytearray(len(self.data))

    def offset(self, number: int) -> int:
        return ((number - self.isn - 1 + 1000) & 0xFFFFFFFF) - 1000

    def ends(self, other: Half) -> set[int]:
        """How long the stream may be said to be."""
        if self.fin:
            return {len(self.data)}
        if self.numbers <= self.last:
            return {self.last}
        if self.numbers == len(self.data) + 1 and other.fin:
            return {len(self.data)}
        return {max(self.numbers - 1, self.last), self.numbers}

    def take(self, start: int, end: int, now: int) -> None:
        """Bytes are in the copy at `now`."""
        for at in range(start, end):
            if self.covered[at] == ABSENT:
                known = next((time for time, offset in self.acked if offset > at), now)
                self.covered[at] = LATE if now - known > SKEW else THERE

    def acknowledge(self, offset: int, now: int) -> None:
        self.numbers = max(self.numbers, offset)
        if not self.acked or offset > self.acked[-1][1]:
            self.acked.append((now, offset))

    def absent(self, end: int) -> list[bool]:
        """For each byte up to `end`: whether it is missing."""
        return [at >= len(self.covered) or self.covered[at] == ABSENT for at in range(end)]

    def late(self, end: int) -> list[bool]:
        return [at < len(self.covered) and self.covered[at] == LATE for at in range(end)]


def parse(frame: bytes) -> tuple[int, int, int, bytes]:
    """(seq, ack, flags, payload)."""
    tcp = 14 + (frame[14] & 15) * 4
    end = 14 + int.from_bytes(frame[16:18], "big")
    seq, ack = int.from_bytes(frame[tcp + 4 : tcp + 8], "big"), int.from_bytes(frame[tcp + 8 : tcp + 12], "big")
    return seq, ack, frame[tcp + 13], frame[tcp + (frame[tcp + 12] >> 4) * 4 : end]


class Scene:
    """One connection through the simulator, and what was on the wire."""

    def __init__(self, seed: int, sizes: tuple[int, int], taps: str, **conditions: Any) -> None:
        net = Network(seed=seed)
        a, b = net.host("10.0.0.1/24"), net.host("10.0.0.2/24")
        a.stack.neighbors.add("10.0.0.2", b.interface.mac)  # no link is so bad that ARP gives up
        b.stack.neighbors.add("10.0.0.1", a.interface.mac)
        link = net.link(a, b, **conditions)
        near, far = Tap(), Tap()
        link.a.captures.append(near)
        link.b.captures.append(far)
        talk = Conversation(a, b, "10.0.0.2", pattern(sizes[0], seed), pattern(sizes[1], ~seed))
        run_conversation(net, talk)
        net.run(timeout=3.0)
        if taps == "client":
            self.packets = near.packets
        elif taps == "server":
            self.packets = far.packets
        else:  # each direction where it is sent: what the link loses is in the copy all the same
            self.packets = [packet for packet in near.packets if of_client(packet[1])]
            self.packets += [packet for packet in far.packets if not of_client(packet[1])]
            self.packets.sort(key=lambda packet: packet[0])
        sent = {data for tap in (near, far) for _, data in tap.packets}
        isns = {of_client(data): parse(data)[0] for data in sent if parse(data)[2] & SYN}
        self.true = {True: talk.client.data, False: talk.server.data}
        self.isns = isns

    def halves(self, copy: list[Packet]) -> dict[bool, Half]:
        """What of the truth is in a copy."""
        halves = {way: Half(self.true[way], self.isns[way]) for way in (True, False)}
        for now, frame in copy:
            way = of_client(frame)
            half, other = halves[way], halves[not way]
            seq, ack, flags, payload = parse(frame)
            start = half.offset(seq) + bool(flags & SYN)
            end = start + len(payload)
            assert payload == half.data[start:end]
            half.take(start, end, now)
            half.last = max(half.last, end if payload else 0)
            if not flags & RST:  # which may be anybody's
                half.numbers = max(half.numbers, end)
            half.fin |= bool(flags & FIN)
            if flags & 0x10:
                other.acknowledge(other.offset(ack), now)
        return halves


def imperfect(
    packets: list[Packet], chance: random.Random, *, loss: float, duplicate: float, hold: float, skew: int, late: int,
) -> list[Packet]:
    """A copy: one direction `skew` ns behind, packets missing (no SYNs), doubled, and held back 1 to 8 places.

    No packet is held back for longer than `late` ns: time stamps are those of when the copy was made.
    """
    shifted = [(time + (skew if of_client(data) else 0), data) for time, data in packets]
    shifted.sort(key=lambda packet: packet[0])
    kept: list[Packet] = []
    for time, data in shifted:
        if parse(data)[2] & SYN or chance.random() >= loss:
            kept.append((time, data))
            if chance.random() < duplicate:
                kept.append((time, data))
    keyed: list[tuple[float, Packet]] = []
    for number, (time, data) in enumerate(kept):
        places = chance.randint(1, 8) if chance.random() < hold else 0
        while places and (number + places >= len(kept) or kept[number + places][0] - time > late):
            places -= 1
        keyed.append((number + (places + 0.5 if places else 0), (time, data)))
    keyed.sort(key=lambda item: item[0])
    clock = 0
    copy = []
    for _, (time, data) in keyed:
        clock = max(clock, time)
        copy.append((clock, data))
    return copy


def follow(copy: list[Packet], **options: Any) -> Copy:
    follower = Copy(deadline=600, **options)
    follower.play([(time, data, len(data)) for time, data in copy])
    return follower.finish()


def check(record: Connected, halves: dict[bool, Half], reset: bool = False) -> None:
    """Both streams are true outside their holes, and the holes are what the copy lacks.

    `reset`: there is a RST in the copy (a host that has forgotten the connection answers a late packet).
    """
    assert str(record.conn.client_address[0]) == "10.0.0.1"
    streams: dict[bool, Stream] = {True: record.client, False: record.server}
    for way, stream in streams.items():
        half = halves[way]
        assert stream.length in half.ends(halves[not way]), (way, stream.length, half.numbers, half.last, half.fin)
        found = [False] * stream.length
        for offset, length in stream.missing:
            found[offset : offset + length] = [True] * length
        wrong = [
            at for at, (is_missing, absent, late) in enumerate(
                zip(found, half.absent(stream.length), half.late(stream.length), strict=True)
            ) if is_missing != absent and not late
        ]
        assert wrong == [], way
        true = bytes(0 if gone else byte for gone, byte in zip(found, half.data.ljust(stream.length), strict=False))
        assert stream.data == true, way
        assert stream.fin == half.fin, way
    assert record.counted("conflicts") == 0
    if halves[True].fin and halves[False].fin:
        assert record.close in (("fin", "rst") if reset else ("fin",))


SIZES = st.sampled_from((0, 1, 2, 700, 1460, 5000, 20_000, 60_000))
CONDITIONS = st.sampled_from((
    {}, {"delay": 0.001}, {"rate": 20e6, "delay": 0.01}, {"rate": 20e6, "delay": 0.01, "loss": 0.05},
    {"rate": 5e6, "delay": 0.03, "loss": 0.02, "reorder": 0.1}, {"rate": 20e6, "delay": 0.002, "duplicate": 0.1},
    {"rate": 20e6, "delay": 0.01, "loss": 0.05, "reorder": 0.2, "duplicate": 0.1, "jitter": 0.005},
))
TAPS = st.sampled_from(("client", "server", "senders"))


@settings(max_examples=120, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 1 << 32), sizes=st.tuples(SIZES, SIZES), taps=TAPS, conditions=CONDITIONS,
    loss=st.sampled_from((0.0, 0.001, 0.02, 0.2)), duplicate=st.sampled_from((0.0, 0.05)),
    hold=st.sampled_from((0.0, 0.02, 0.3)), skew=st.integers(-30, 30),
)
def test_streams_are_true_and_holes_are_exact(
    seed: int, sizes: tuple[int, int], taps: str, conditions: dict[str, Any], loss: float, duplicate: float,
    hold: float, skew: int,
) -> None:
    scene = Scene(seed, sizes, taps, **conditions)
    copy = imperfect(
        scene.packets, random.Random(seed), loss=loss, duplicate=duplicate, hold=hold, skew=skew * 1_000_000,
        late=15_000_000,
    )
    found = follow(copy)
    check(found.one, scene.halves(copy), any(parse(data)[2] & RST for _, data in copy))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 1 << 32), sizes=st.tuples(SIZES, SIZES), taps=TAPS, conditions=CONDITIONS,
    hold=st.sampled_from((0.0, 0.02, 0.3)), skew=st.integers(-30, 30),
)
def test_a_copy_that_has_everything_has_no_holes(
    seed: int, sizes: tuple[int, int], taps: str, conditions: dict[str, Any], hold: float, skew: int
) -> None:
    scene = Scene(seed, sizes, taps, **conditions)
    copy = imperfect(
        scene.packets, random.Random(seed), loss=0, duplicate=0.1, hold=hold, skew=skew * 1_000_000, late=15_000_000
    )
    record = follow(copy).one
    assert (record.client.data, record.server.data) == (scene.true[True], scene.true[False])
    assert (record.client.holes, record.server.holes) == ([], [])
    assert record.close in ("fin", "rst")


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 1 << 32), sizes=st.tuples(SIZES, SIZES), taps=TAPS, conditions=CONDITIONS,
    share=st.floats(0.0, 1.0),
)
def test_from_any_point_on_the_rest_is_there(
    seed: int, sizes: tuple[int, int], taps: str, conditions: dict[str, Any], share: float
) -> None:
    """A copy that begins in the middle: each stream is the true one from its first byte in the copy on, or before."""
    scene = Scene(seed, sizes, taps, **conditions)
    copy = scene.packets[int(len(scene.packets) * share) :]
    found = follow(copy, midstream=True)
    if not copy:
        assert found.all == []
        return
    assert len(found.all) <= 1
    halves = scene.halves(copy)
    for record in found.all:
        ways = {True: record.client, False: record.server}
        if str(record.conn.client_address[0]) != "10.0.0.1":  # nothing tells who is who
            ways = {True: record.server, False: record.client}
        for way, stream in ways.items():
            half = halves[way]
            if not half.fin:  # it came before the copy began: what came late is true, and there is no end to count from
                assert all(event[2] in half.data for event in stream.events if event[0] == "data")
                continue
            first = first_seen(copy, way, scene.isns[way])
            base = len(half.data) - stream.length  # there is a FIN, so the ends are the same
            assert 0 <= base <= first
            found = [False] * stream.length
            for offset, length in stream.missing:
                found[offset : offset + length] = [True] * length
            assert found == half.absent(len(half.data))[base:]
            true = bytes(0 if gone else byte for gone, byte in zip(found, half.data[base:], strict=True))
            assert stream.data == true


def first_seen(copy: list[Packet], way: bool, isn: int) -> int:
    """The offset of the first packet of a direction."""
    seqs = [parse(data)[0] for _, data in copy if of_client(data) == way]
    return max(0, (seqs[0] - isn - 1 + 10 & 0xFFFFFFFF) - 10)


def test_the_same_copy_gives_the_same_streams_however_it_is_handed_over() -> None:
    """Time that passes without packets in between changes nothing that packets would not."""
    scene = Scene(11, (20_000, 20_000), "client", rate=20e6, delay=0.01, loss=0.05)
    copy = imperfect(
        scene.packets, random.Random(11), loss=0.02, duplicate=0.02, hold=0.1, skew=seconds(0.01), late=15_000_000
    )
    plain = follow(copy).one
    ticked = Copy(deadline=600)
    before = copy[0][0]
    for time, data in copy:
        for at in range(before, time, 5_000_000):
            ticked.wire.follower.advance(EPOCH + at)
        ticked.play([(time, data, len(data))])
        before = time
    ticked.finish()
    assert (ticked.one.client.data, ticked.one.client.missing) == (plain.client.data, plain.client.missing)
    assert (ticked.one.server.data, ticked.one.server.missing) == (plain.server.data, plain.server.missing)


@pytest.mark.parametrize("seed", range(8))
def test_what_was_damaged_on_the_link_is_not_in_the_copy(seed: int) -> None:
    """Bits flip before the tap: what the receiver drops for its checksum is dropped here too."""
    scene = Scene(seed, (30_000, 30_000), "server", rate=20e6, delay=0.005, corrupt=0.03)
    whole = set(scene_frames(scene))
    copy = [packet for packet in scene.packets if chance_keeps(seed, packet)]
    record = follow(copy, checksums="verify").all[0]
    halves = scene.halves([packet for packet in copy if packet[1] in whole])
    check(record, halves)


def chance_keeps(seed: int, packet: Packet) -> bool:
    return bool(parse(packet[1])[2] & SYN) or random.Random(f"{seed} {packet[0]}").random() > 0.02


def scene_frames(scene: Scene) -> list[bytes]:
    """The frames that are undamaged: their checksums are right."""
    good = []
    for _, frame in scene.packets:
        segment = frame[34 : 14 + int.from_bytes(frame[16:18], "big")]
        pseudo = frame[26:34] + bytes((0, 6)) + len(segment).to_bytes(2, "big")
        if frame[14] == 0x45 and ones(frame[14:34]) == 0xFFFF and ones(pseudo + segment) == 0xFFFF:
            good.append(frame)
    return good
