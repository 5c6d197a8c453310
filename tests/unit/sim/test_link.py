from __future__ import annotations

from random import Random
from typing import Any

import pytest

from uinet.errors import InvalidArgument
from uinet.sim.clock import START, Clock
from uinet.sim.link import Channel, Conditions, both_ways, network_header
from uinet.units import MILLISECOND, SECOND
from uinet.wire import build
from uinet.wire.frame import Frame

IPV4 = bytes.fromhex("020000000002020000000001" "0800")
ARP = bytes.fromhex("020000000002020000000001" "0806")


class Rig:
    def __init__(self, seed: int = 1, **conditions: Any) -> None:
        self.clock = Clock()
        self.arrived: list[tuple[int, bytes]] = []
        self.channel = Channel(self.clock, Random(seed), self.receive, Conditions(**conditions))

    def receive(self, frame: Frame) -> None:
        assert frame.time == self.clock.now
        self.arrived.append((self.clock.now - START, frame.data))

    def send(self, *packets: bytes) -> None:
        for packet in packets:
            self.channel.send(Frame(packet))

    def run(self) -> list[tuple[int, bytes]]:
        while self.clock.step():
            pass
        return self.arrived


def packets(count: int, size: int = 125) -> list[bytes]:
    return [IPV4 + i.to_bytes(4, "big") + bytes(size - 18) for i in range(count)]


def test_rate_and_delay_say_when_each_frame_arrives() -> None:
    rig = Rig(rate=1e6, delay=0.010)
    rig.send(*packets(3))  # 1000 bits each: 1 ms on the wire
    assert [time for time, _ in rig.run()] == [11 * MILLISECOND, 12 * MILLISECOND, 13 * MILLISECOND]


def test_without_a_rate_everything_arrives_after_the_delay() -> None:
    rig = Rig(delay=0.5)
    rig.send(*packets(2))
    assert [time for time, _ in rig.run()] == [SECOND // 2] * 2


def test_a_full_queue_drops_the_newest() -> None:
    rig = Rig(rate=1e6, queue=2)
    sent = packets(5)
    rig.send(*sent)
    assert [data for _, data in rig.run()] == sent[:3]  # one on the wire, two waiting
    assert rig.channel.statistics()["queue_full"] == 2
    rig.send(sent[3])  # the wire is free again
    assert rig.run()[-1][1] == sent[3]


def test_loss_loses_about_its_share() -> None:
    rig = Rig(loss=0.25)
    rig.send(*packets(4000))
    lost = rig.channel.statistics()["lost"]
    assert 900 < lost < 1100
    assert len(rig.run()) == 4000 - lost


def test_duplicates_arrive_together() -> None:
    rig = Rig(duplicate=1.0, delay=0.001)
    rig.send(*packets(2))
    arrived = rig.run()
    assert [data for _, data in arrived] == [packet for packet in packets(2) for _ in range(2)]
    assert {time for time, _ in arrived} == {MILLISECOND}


def test_reorder_delivers_everything_in_another_order() -> None:
    rig = Rig(reorder=0.2, delay=0.010, rate=10e6)
    sent = packets(200)
    rig.send(*sent)
    arrived = [data for _, data in rig.run()]
    assert sorted(arrived) == sorted(sent)
    assert arrived != sent
    assert rig.channel.statistics()["reordered"] > 10


def test_jitter_varies_the_time_and_never_the_order() -> None:
    rig = Rig(jitter=0.010, delay=0.010)
    sent = packets(100)
    rig.send(*sent)
    arrived = rig.run()
    assert [data for _, data in arrived] == sent
    assert len({time for time, _ in arrived}) > 3
    assert all(10 * MILLISECOND <= time <= 20 * MILLISECOND for time, _ in arrived)


def test_corrupt_flips_one_bit_of_the_ip_packet() -> None:
    rig = Rig(corrupt=1.0)
    rig.send(*packets(300, 60))
    places = set()
    for (_, damaged), whole in zip(rig.run(), packets(300, 60), strict=True):
        differing = [i for i in range(60) if damaged[i] != whole[i]]
        assert len(differing) == 1
        assert (damaged[differing[0]] ^ whole[differing[0]]).bit_count() == 1
        places.add(differing[0])
    assert min(places) == 14
    assert max(places) == 59


def test_corrupt_loses_what_is_no_ip_packet() -> None:
    rig = Rig(corrupt=1.0)
    rig.send(ARP + bytes(28), b"\1\2\3", IPV4)
    assert rig.run() == []
    assert rig.channel.statistics()["corrupted"] == 3


def test_a_packet_beyond_the_mtu_is_dropped_whatever_its_tags() -> None:
    rig = Rig(mtu=100)
    tagged = IPV4[:12] + bytes.fromhex("88a80001" "81000002") + IPV4[12:]
    rig.send(IPV4 + bytes(100), IPV4 + bytes(101), tagged + bytes(100), tagged + bytes(101))
    assert len(rig.run()) == 2
    assert rig.channel.statistics()["too_long"] == 2


def test_drop_hook_loses_exactly_what_it_says() -> None:
    rig = Rig()
    sent = packets(5)
    rig.channel.drop = lambda frame: frame.data == sent[2]
    rig.send(*sent)
    assert [data for _, data in rig.run()] == sent[:2] + sent[3:]
    assert rig.channel.statistics()["dropped"] == 1


def test_same_seed_same_fate_other_seed_another() -> None:
    def fate(seed: int) -> list[tuple[int, bytes]]:
        rig = Rig(seed, loss=0.1, corrupt=0.1, reorder=0.1, duplicate=0.1, jitter=0.001, delay=0.01, rate=1e7)
        rig.send(*packets(300))
        return rig.run()

    assert fate(1) == fate(1)
    assert fate(1) != fate(2)


def test_conditions_change_on_the_way() -> None:
    rig = Rig(delay=0.001)
    rig.send(*packets(1))
    rig.channel.set(loss=1.0)
    rig.send(*packets(1))
    assert len(rig.run()) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"rate": 0}, {"delay": -1}, {"jitter": float("nan")}, {"loss": 1.5}, {"corrupt": -0.1}, {"queue": 0},
        {"mtu": 67},
    ],
)
def test_conditions_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match=next(iter(wrong)).replace("mtu", "MTU")):
        Conditions(**wrong)


def test_pairs_are_split_by_direction() -> None:
    assert both_ways({"loss": (0.1, 0.0), "delay": 1.0}) == (
        {"loss": 0.1, "delay": 1.0}, {"loss": 0.0, "delay": 1.0},
    )
    with pytest.raises(InvalidArgument, match="pair"):
        both_ways({"loss": (1, 2, 3)})


def test_network_header_is_found_behind_tags_and_on_layer_3() -> None:
    assert network_header(IPV4 + b"\x45", 2) == (14, 0x0800)
    assert network_header(IPV4[:12] + bytes.fromhex("8100000186dd60"), 2) == (18, 0x86DD)
    assert network_header(b"\x60", 3) == (0, 0x86DD)
    assert network_header(b"", 3) == (0, 0)
    assert network_header(IPV4[:13], 2) == (13, 0)


def runs_of_loss(rig: Rig, sent: list[bytes]) -> list[int]:
    """How long each run of lost frames is, in the order sent."""
    arrived = {data for _, data in rig.run()}
    runs, length = [], 0
    for packet in sent:
        if packet in arrived:
            if length:
                runs.append(length)
            length = 0
        else:
            length += 1
    return runs


def test_bursts_keep_the_share_that_is_lost_and_lose_several_in_a_row() -> None:
    sent = packets(20_000, 60)
    rig = Rig(loss=0.05, burst=4.0)
    rig.send(*sent)
    runs = runs_of_loss(rig, sent)
    assert 800 < sum(runs) < 1200
    assert 3.5 < sum(runs) / len(runs) < 4.5


def test_lose_every_loses_exactly_each_nth_frame_that_reaches_the_wire() -> None:
    sent = packets(100)
    rig = Rig(lose_every=10)
    rig.send(*sent)
    assert [data for _, data in rig.run()] == [packet for number, packet in enumerate(sent, 1) if number % 10]
    assert rig.channel.statistics()["lost"] == 10


def test_a_queue_of_bytes_is_full_when_its_bytes_are() -> None:
    rig = Rig(rate=1e6, queue_bytes=300)
    sent = packets(4)  # of 125 bytes: one on the wire, two in the queue
    rig.send(*sent)
    short = packets(1, 40)
    rig.send(*short)  # 250 + 40: there is room
    assert [data for _, data in rig.run()] == [*sent[:3], *short]
    assert rig.channel.statistics()["queue_full"] == 1


def test_queued_counts_what_waits_and_what_is_on_the_wire() -> None:
    rig = Rig(rate=1e6)
    rig.send(*packets(3))  # 1 ms each
    assert rig.channel.queued() == 3
    rig.clock.at(START + 1500 * 1000, lambda: None)
    while rig.clock.now < START + 1500 * 1000:
        rig.clock.step()
    assert rig.channel.queued() == 2


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"burst": 0.5}, "bursts are of one frame or more"),
        ({"burst": float("nan")}, "bursts are of one frame or more"),
        ({"burst": 2.0, "loss": 0.9}, "bursts of 2 frames can't lose 0.9 of all"),
        ({"lose_every": -1}, "or 0 for none"),
        ({"queue_bytes": 0}, "at least one byte"),
    ],
)
def test_conditions_that_cannot_be_are_refused(wrong: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidArgument, match=complaint):
        Conditions(**wrong)


def too_long(v6: bool, df: bool = True) -> bytes:
    source, destination = ("2001:db8::1", "2001:db8::2") if v6 else ("10.0.0.1", "10.0.0.2")
    return build.frame(build.ip(source, destination, 6, bytes(1300), flags=2 if df else 0), vlans=(7,))


@pytest.mark.parametrize("v6", [False, True])
def test_a_router_on_the_way_answers_what_it_cant_carry(v6: bool) -> None:
    rig = Rig(path_mtu=1280, delay=0.25, icmp=True)
    answers: list[Frame] = []
    rig.channel.refuse = answers.append
    frame = too_long(v6)
    rig.send(frame)
    assert rig.run() == [] and rig.clock.now - START == SECOND // 4
    answer = build.dissect(answers[0].data)
    assert answer.checksums_ok
    assert answers[0].data[:16] == frame[6:12] + frame[:6] + frame[12:16]
    message = answer.icmpv6 if v6 else answer.icmp
    assert (message.type, message.mtu) == (2 if v6 else 3, 1280)
    assert message.payload[:500] == frame[18:518]


def test_a_router_on_the_way_swallows_what_it_cant_carry() -> None:
    rig = Rig(path_mtu=1280)
    rig.channel.refuse = lambda frame: pytest.fail("an answer")
    rig.send(too_long(False), too_long(True), IPV4 + bytes(1280))
    assert len(rig.run()) == 1 and rig.channel.statistics()["too_long"] == 2


def test_a_router_on_the_way_says_nothing_of_what_may_be_fragmented() -> None:
    rig = Rig(path_mtu=1280, icmp=True)
    rig.channel.refuse = lambda frame: pytest.fail("an answer")
    rig.send(too_long(False, df=False), ARP + bytes(1400))
    assert rig.run() == []
