"""The emulator on devices that the test holds, and on a clock that the test moves."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from tests.unit.fakes import DescriptorDevice
from uinet.errors import InvalidArgument
from uinet.link.memory import MemoryRegistry
from uinet.link.offload import finish
from uinet.sim.clock import Clock
from uinet.sim.emulator import BACKLOG, RETRY, Emulator
from uinet.sim.link import Channel, Conditions
from uinet.units import MILLISECOND, SECOND
from uinet.wire import build
from uinet.wire.frame import CHECKSUM_VALID, Frame

START = 5 * SECOND
HEADER = bytes.fromhex("020000000002020000000001" "0800")


def packets(count: int, size: int = 125) -> list[bytes]:
    return [HEADER + i.to_bytes(4, "big") + bytes(size - 18) for i in range(count)]


class Rig:
    def __init__(self, **conditions: Any) -> None:
        self.time = START
        self.a, self.b = DescriptorDevice("a"), DescriptorDevice("b")
        self.link = Emulator(self.a, self.b, clock=lambda: self.time, **conditions)

    def send(self, *frames: bytes, end: str = "a") -> None:
        device = self.a if end == "a" else self.b
        for frame in frames:
            device.other.send(frame)
            self.link.step(0)

    def at(self, time: int, end: str = "b") -> list[bytes]:
        """What has come out of one end when `time` has passed since the start."""
        self.time = START + time
        self.link.step(0)
        return (self.a if end == "a" else self.b).drain()


@pytest.fixture
def close() -> Any:
    made: list[Rig] = []
    yield made.append
    for rig in made:
        rig.link.close()
        rig.a.other.close()
        rig.b.other.close()


def test_frames_come_out_when_the_rate_and_the_delay_say(close: Any) -> None:
    rig = Rig(rate=1e6, delay=0.010)  # 1 ms for 125 bytes
    close(rig)
    sent = packets(3)
    rig.send(*sent)
    assert rig.at(11 * MILLISECOND - 1) == []
    assert rig.at(11 * MILLISECOND) == sent[:1]
    assert rig.at(12 * MILLISECOND) == sent[1:2]
    assert rig.at(20 * MILLISECOND) == sent[2:]


def test_each_direction_has_conditions_of_its_own(close: Any) -> None:
    rig = Rig(delay=(0.010, 0.030))
    close(rig)
    there, back = packets(2)
    rig.send(there)
    rig.send(back, end="b")
    assert rig.at(10 * MILLISECOND) == [there]
    assert rig.at(29 * MILLISECOND, "a") == []
    assert rig.at(30 * MILLISECOND, "a") == [back]


def test_an_emulator_that_wakes_up_late_delays_no_later_frame(close: Any) -> None:
    rig = Rig(rate=1e6)
    close(rig)
    sent = packets(4)
    rig.send(*sent[:2])
    assert rig.at(7 * MILLISECOND) == sent[:2]
    rig.send(sent[2])  # the wire has been free for 5 ms
    assert rig.at(8 * MILLISECOND) == [sent[2]]
    late = rig.link.statistics()["lateness_us"]
    assert (late["frames"], late["max"], late["p50"]) == (3, 6000.0, pytest.approx(5000, rel=0.07))


def test_faults_are_those_that_the_simulator_makes_of_the_same_seed(close: Any) -> None:
    conditions = {"loss": 0.2, "burst": 2.0, "duplicate": 0.1, "corrupt": 0.1, "reorder": 0.1, "delay": 0.005}
    sent = packets(300)
    rig = Rig(seed=9, **conditions)
    close(rig)
    rig.send(*sent)
    found = [data for step in range(12) for data in rig.at(step * MILLISECOND)]
    clock, arrived = Clock(START), []
    channel = Channel(clock, Random("9/a"), lambda frame: arrived.append(frame.data), Conditions(**conditions))
    for data in sent:
        channel.send(Frame(data))
    while clock.step():
        pass
    assert found == arrived
    assert rig.link.statistics()["ab"] == {**channel.statistics(), "overrun": 0}


def test_a_frame_that_stands_for_several_is_cut(close: Any) -> None:
    whole = Frame(build.tcp("10.0.0.1", "10.0.0.2", 1, 2, payload=bytes(3000), flags="A"), CHECKSUM_VALID, 1000)
    rig = Rig()
    close(rig)
    rig.a.recv = lambda limit=64: [whole]  # type: ignore[method-assign, misc]
    rig.a.other.send(b"something to read")
    rig.link.step(0)
    rig.a.recv = lambda limit=64: []  # type: ignore[method-assign, misc]
    out = rig.at(0)
    assert out == [packet.data for packet in finish(whole, 2)]
    assert [len(data) for data in out] == [54 + 1000] * 3


def test_a_full_device_gets_its_frames_when_it_has_room(close: Any) -> None:
    rig = Rig()
    close(rig)
    filled = rig.b.fill()
    sent = packets(3)
    rig.send(*sent)
    assert len(rig.at(0)) == filled
    assert rig.at(RETRY - 1) == sent  # there was room at once: another step offers them again


def test_what_a_full_device_makes_wait_has_a_limit_and_is_counted(close: Any) -> None:
    rig = Rig()
    close(rig)
    rig.b.fill()
    side = rig.link.sides[1]
    for number in range(BACKLOG + 5):
        side.deliver(Frame(number.to_bytes(20, "big")))
    assert rig.link.statistics()["ab"]["overrun"] == 5
    assert len(side.outbox) == BACKLOG


def test_reset_forgets_what_is_on_its_way_and_counts_from_zero(close: Any) -> None:
    rig = Rig(delay=0.010)
    close(rig)
    rig.send(*packets(2))
    rig.link.reset(delay=0.001)
    assert rig.at(SECOND) == []
    assert rig.link.statistics()["ab"]["sent"] == 0


def test_set_changes_what_enters_from_now_on(close: Any) -> None:
    rig = Rig(delay=0.010)
    close(rig)
    rig.link.set(delay=(0.001, 0.020), loss=(0.0, 1.0))
    one, other = packets(2)
    rig.send(one)
    rig.send(other, end="b")
    assert rig.at(MILLISECOND) == [one]
    assert rig.at(SECOND, "a") == []


def test_stop_ends_a_run_and_until_is_asked(close: Any) -> None:
    rig = Rig()
    close(rig)
    asked: list[bool] = []

    def until() -> bool:
        asked.append(True)
        if len(asked) == 3:
            rig.link.stop()
        return False

    def moving() -> int:
        rig.time += SECOND
        return rig.time

    rig.link.now = moving
    assert rig.link.run(until) is True
    assert len(asked) == 3
    assert rig.link.run(lambda: True) is True
    assert rig.link.run(timeout=0.0) is False


def test_devices_of_two_layers_or_without_a_descriptor_are_refused() -> None:
    registry = MemoryRegistry()
    with DescriptorDevice() as one, registry.open("m") as memory:
        with pytest.raises(InvalidArgument, match="no descriptor"):
            Emulator(one, memory)
        two = DescriptorDevice()
        two.layer = 3
        with pytest.raises(InvalidArgument, match="is of layer 2, but descriptor of layer 3"):
            Emulator(one, two)
        two.close()
        two.other.close()
        one.other.close()
