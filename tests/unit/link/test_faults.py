"""Faults on purpose."""

from __future__ import annotations

import pytest

from tests.unit.link.packets import Seen, packet, tcp_header
from uinet.errors import DeviceGone, InvalidArgument
from uinet.link.faults import Faults
from uinet.link.memory import MemoryDevice
from uinet.link.pipe import Pipe
from uinet.units import MILLISECOND, SECOND
from uinet.wire.frame import CHECKSUM_NEEDED, CHECKSUM_UNKNOWN, CHECKSUM_VALID, Frame


def numbered(n: int, size: int = 60) -> list[Frame]:
    return [Frame(k.to_bytes(4, "big") + bytes(size - 4)) for k in range(n)]


def numbers(frames: list[Frame]) -> list[int]:
    return [int.from_bytes(frame.data[:4], "big") for frame in frames]


def faulty(**options: object) -> tuple[Faults, MemoryDevice]:
    a, b = MemoryDevice.pair(queue=100_000)
    return Faults(a, **options), b  # type: ignore[arg-type]


def outcome(**options: object) -> list[int]:
    device, other = faulty(**options)
    device.send(numbered(1000))
    device.poll(0)
    device.poll(SECOND)
    return numbers(other.recv(5000))


def test_without_faults_everything_passes() -> None:
    device, other = faulty()
    frames = numbered(100)
    assert device.send(frames) == 100
    assert other.recv(100) == frames
    other.send(frames)
    assert device.recv(100) == frames
    assert device.deadline() is None


@pytest.mark.parametrize("direction", ["in", "out", "both"])
def test_drop_loses_about_as_many_as_asked_in_the_direction_asked(direction: str) -> None:
    device, other = faulty(drop=0.1, direction=direction, seed=3)
    device.send(numbered(2000))
    other.send(numbered(2000))
    lost_out, lost_in = 2000 - len(other.recv(5000)), 2000 - len(device.recv(5000))
    for lost, name in ((lost_out, "out"), (lost_in, "in")):
        if direction in (name, "both"):
            assert 150 < lost < 250
        else:
            assert lost == 0
    assert device.statistics()["fault_dropped"] == lost_in + lost_out


def test_same_seed_same_faults() -> None:
    options = {"drop": 0.1, "duplicate": 0.1, "reorder": 0.1}
    first = outcome(**options, seed=7)
    assert outcome(**options, seed=7) == first
    assert outcome(**options, seed=8) != first


def test_directions_do_not_disturb_each_other() -> None:
    device, other = faulty(drop=0.3, seed=5)
    quiet, quiet_other = faulty(drop=0.3, seed=5)
    for frame in numbered(200):
        device.send([frame])
        other.send([frame])
        device.recv()
        quiet.send([frame])
    assert numbers(other.recv(1000)) == numbers(quiet_other.recv(1000))


def test_duplicates_are_copies() -> None:
    device, other = faulty(duplicate=1.0)
    (frame,) = numbered(1)
    device.send([frame])
    first, second = other.recv()
    assert first.data == second.data
    assert first is not second
    assert device.statistics()["fault_duplicated"] == 1


def test_corruption_flips_one_bit_and_is_not_repaired_by_offload() -> None:
    device, other = faulty(corrupt=1.0)
    whole = packet(tcp_header(), b"payload" * 10)
    unfinished = packet(tcp_header(), b"payload" * 10, state="partial")
    device.send([Frame(unfinished, CHECKSUM_NEEDED), Frame(whole, CHECKSUM_VALID)])
    for frame in other.recv():
        difference = int.from_bytes(frame.data, "big") ^ int.from_bytes(whole, "big")
        assert difference.bit_count() == 1
        assert frame.checksum == CHECKSUM_UNKNOWN
    assert device.statistics()["fault_corrupted"] == 2


def test_chances_apply_to_the_packets_of_a_large_frame() -> None:
    device, other = faulty(drop=0.5, seed=1)
    data = packet(tcp_header(seq=0), bytes(60000), state="partial")
    device.send([Frame(data, CHECKSUM_NEEDED, 1000)])
    seen = [Seen(frame.data) for frame in other.recv(100)]
    assert 15 < len(seen) < 45
    assert {len(one.payload) for one in seen} == {1000}


def test_delay_alone_leaves_large_frames_whole() -> None:
    device, other = faulty(delay=MILLISECOND)
    large = Frame(packet(tcp_header(), bytes(60000), state="partial"), CHECKSUM_NEEDED, 1000)
    device.send([large])
    device.poll(0)
    device.poll(MILLISECOND)
    assert other.recv() == [large]


def test_reordered_packets_arrive_all_and_close_to_their_place() -> None:
    got = outcome(reorder=0.1, seed=1)
    assert sorted(got) == list(range(1000))
    assert got != sorted(got)
    assert max(abs(place - number) for place, number in enumerate(got)) <= 10


def test_frame_that_nothing_overtakes_is_released_in_time() -> None:
    device, other = faulty(reorder=1.0)
    device.send(numbered(1))
    assert device.deadline() == 0  # the time is not known yet
    device.poll(5 * SECOND)
    assert other.recv() == []
    assert device.deadline() == 5 * SECOND + 10 * MILLISECOND
    device.poll(5 * SECOND + 10 * MILLISECOND - 1)
    assert other.recv() == []
    device.poll(5 * SECOND + 10 * MILLISECOND)
    assert numbers(other.recv()) == [0]
    assert device.deadline() is None


def test_outbound_delay_counts_from_the_first_poll() -> None:
    device, other = faulty(delay=5 * MILLISECOND)
    device.send(numbered(2))
    assert other.recv() == []
    assert device.deadline() == 0
    device.poll(SECOND)
    assert device.deadline() == SECOND + 5 * MILLISECOND
    device.poll(SECOND + 5 * MILLISECOND)
    assert numbers(other.recv()) == [0, 1]
    assert device.deadline() is None


def test_inbound_delay_announces_what_is_due() -> None:
    device, other = faulty(delay=5 * MILLISECOND)
    calls: list[str] = []
    device.on_readable = lambda: calls.append("readable")
    other.send(numbered(3))
    assert calls == ["readable"]
    assert device.recv() == []
    device.poll(0)
    assert calls == ["readable"]
    device.poll(5 * MILLISECOND)
    assert calls == ["readable", "readable"]
    assert numbers(device.recv(2)) == [0, 1]
    assert device.deadline() == 0
    assert numbers(device.recv(2)) == [2]
    assert device.deadline() is None


def test_jitter_varies_the_delay_and_keeps_the_order() -> None:
    device, other = faulty(delay=10 * MILLISECOND, jitter=5 * MILLISECOND, seed=2)
    arrivals: list[tuple[int, int]] = []
    frames = numbered(100)
    for now in range(0, 2 * SECOND, MILLISECOND // 2):
        if now % (10 * MILLISECOND) == 0 and frames:
            device.send([frames.pop(0)])
        device.poll(now)
        arrivals += [(number, now) for number in numbers(other.recv())]
    assert [number for number, _ in arrivals] == list(range(100))
    delays = [now - number * 10 * MILLISECOND for number, now in arrivals]
    assert min(delays) < 7 * MILLISECOND
    assert max(delays) > 13 * MILLISECOND
    assert all(5 * MILLISECOND <= delay <= 16 * MILLISECOND for delay in delays)


def test_reordered_packet_skips_the_delay() -> None:
    device, other = faulty(delay=5 * MILLISECOND, reorder=0.5, seed=1)
    device.send(numbered(20))
    device.poll(0)
    early = numbers(other.recv())
    device.poll(5 * MILLISECOND)
    late = numbers(other.recv())
    assert len(early) == device.statistics()["fault_reordered"] > 0
    assert early == sorted(early)
    assert late == sorted(late)
    assert sorted(early + late) == list(range(20))


def test_rate_spaces_packets_out() -> None:
    device, other = faulty(rate=1e6)
    device.send(numbered(3, size=125))  # a millisecond each
    device.poll(SECOND)
    arrived = []
    for step in range(4):
        device.poll(SECOND + step * MILLISECOND)
        arrived.append(numbers(other.recv()))
    assert arrived == [[], [0], [1], [2]]


def test_line_that_was_idle_owes_nothing() -> None:
    device, other = faulty(rate=1e6)
    for now in (SECOND, 5 * SECOND):
        device.send(numbered(1, size=125))
        device.poll(now)
        assert device.deadline() == now + MILLISECOND
        device.poll(now + MILLISECOND)
        assert len(other.recv()) == 1


def test_delayed_frames_are_bounded() -> None:
    device, other = faulty(delay=SECOND, limit=10)
    device.send(numbered(15))
    assert device.statistics()["fault_queue_full"] == 5
    device.poll(0)
    device.poll(SECOND)
    assert numbers(other.recv()) == list(range(10))


def test_full_inner_device_is_back_pressure() -> None:
    a, b = MemoryDevice.pair(queue=4)
    device = Faults(a, duplicate=1.0)
    calls: list[str] = []
    device.on_writable = lambda: calls.append("writable")
    assert device.send(numbered(4)) == 4  # eight, with the copies
    assert device.send(numbered(1)) == 0
    assert numbers(b.recv()) == [0, 0, 1, 1]
    assert calls == ["writable"]
    assert device.send(numbered(1)) == 1  # the backlog has filled it again, so these two wait
    assert device.send(numbered(1)) == 0
    assert numbers(b.recv()) == [2, 2, 3, 3]
    assert numbers(b.recv()) == [0, 0]


def test_backlog_is_offered_again_by_the_timer() -> None:
    room = 0
    out: list[bytes] = []

    def send(data: bytes) -> None:
        if len(out) >= room:
            raise BlockingIOError
        out.append(data)

    device = Faults(Pipe(send), duplicate=1.0)
    assert device.send(numbered(1)) == 1
    assert device.deadline() == 0
    device.poll(SECOND)
    assert device.deadline() == SECOND + MILLISECOND
    room = 2
    device.poll(SECOND + MILLISECOND)
    assert len(out) == 2
    assert device.deadline() is None


def test_close_discards_what_is_delayed_and_closes_the_inner_device() -> None:
    device, other = faulty(delay=SECOND)
    device.send(numbered(3))
    other.send(numbered(2))
    device.recv()
    device.close()
    device.close()
    device.poll(5 * SECOND)
    assert device.inner.closed
    assert device.statistics()["discarded"] == 5
    with pytest.raises(DeviceGone, match="memory/a is closed"):
        device.recv()
    with pytest.raises(DeviceGone, match="memory/a is closed"):
        device.send([])


def test_wrapper_looks_like_what_it_wraps() -> None:
    inner = Pipe(lambda data: None, layer=3, mtu=1400, checksums=False, name="tunnel")
    device = Faults(inner, drop=0.5)
    assert (device.name, device.layer, device.mtu, device.checksums) == ("tunnel", 3, 1400, False)
    assert (device.fileno(), device.finished, device.offload) == (-1, False, False)
    inner.feed_many([b"x"] * 100)
    received = len(device.recv(100))
    assert device.statistics()["rx_frames"] == 100
    assert device.statistics()["fault_dropped"] == 100 - received


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"drop": 1.5}, "drop=1.5: want a probability"),
        ({"corrupt": -0.1}, "corrupt=-0.1"),
        ({"reorder": float("nan")}, "reorder=nan"),
        ({"delay": -1}, "delay=-1"),
        ({"jitter": -1}, "jitter=-1"),
        ({"rate": 0}, "rate=0"),
        ({"limit": 0}, "limit=0"),
        ({"direction": "up"}, "direction=up: want one of both, in, out"),
    ],
)
def test_bad_faults_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        faulty(**options)
    with pytest.raises(InvalidArgument, match="no checksums, so nobody could tell"):
        Faults(Pipe(lambda data: None, checksums=False), corrupt=0.1)
