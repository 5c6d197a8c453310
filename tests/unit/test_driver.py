from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.fakes import BrokenDevice, DescriptorDevice, FakeInterface, FakeStack, as_any
from uinet.driver import Driver
from uinet.errors import DeviceGone, InvalidArgument, NotSupported
from uinet.link.device import Device
from uinet.link.memory import MemoryDevice
from uinet.pump import BATCH
from uinet.stack import Stack
from uinet.wire.frame import Frame


class Rig:
    """A driver on a fake stack, with a clock that the test moves unless a device has a descriptor."""

    def __init__(self) -> None:
        self.now = 1000
        self.stack = FakeStack()
        self.driver = Driver(as_any(self.stack), clock=lambda: self.now)

    def add(self, device: Device, name: str = "eth0") -> FakeInterface:
        interface = FakeInterface(name)
        self.driver.add_device(device, as_any(interface))
        return interface


def frames(count: int, size: int = 20) -> list[Frame]:
    return [Frame(i.to_bytes(4, "big") + bytes(size - 4)) for i in range(count)]


def test_frames_go_in_and_answers_go_out() -> None:
    rig = Rig()
    near, far = MemoryDevice.pair()
    rig.add(near)
    rig.stack.answer = lambda data: [data + b"!"]
    far.send([Frame(b"ping")])
    assert rig.driver.run_until(lambda: rig.stack.inputs, 1.0)
    assert rig.stack.inputs == [("eth0", [b"ping"], 1000)]
    assert [frame.data for frame in far.recv()] == [b"ping!"]


def test_a_flood_is_eaten_in_batches_and_the_condition_asked_between() -> None:
    rig = Rig()
    near, far = MemoryDevice.pair()
    rig.add(near)
    far.send(frames(3 * BATCH))
    assert rig.driver.run_until(lambda: len(rig.stack.received()) > BATCH, 1.0)
    assert [len(batch) for _, batch, _ in rig.stack.inputs] == [BATCH, BATCH]


def test_two_devices_take_turns() -> None:
    rig = Rig()
    (near, far), (near2, far2) = MemoryDevice.pair("one"), MemoryDevice.pair("two")
    rig.add(near, "eth0")
    rig.add(near2, "eth1")
    far.send(frames(2 * BATCH))
    far2.send(frames(2 * BATCH))
    rig.driver.run_until(lambda: len(rig.stack.inputs) >= 4, 1.0)
    assert [name for name, _, _ in rig.stack.inputs] == ["eth0", "eth1", "eth0", "eth1"]


def test_nothing_to_wait_for_ends_the_run() -> None:
    rig = Rig()
    near, _ = MemoryDevice.pair()
    rig.add(near)
    assert rig.driver.run_once() is True  # the look at what came before
    assert rig.driver.run_once() is False
    assert rig.driver.run_until(lambda: False) is False


def test_a_stack_deadline_is_kept() -> None:
    rig = Rig()
    rig.stack.timer = 1000
    assert rig.driver.run_until(lambda: rig.stack.fired)
    assert rig.stack.fired == [1000]


def test_time_runs_out() -> None:
    rig = Rig()
    device = DescriptorDevice()
    rig.add(device)

    def tick() -> bool:
        rig.now += 600_000_000
        return False

    assert rig.driver.run_until(tick, 1.0) is False
    assert rig.now == 1000 + 2 * 600_000_000
    rig.driver.close()
    device.other.close()


def test_a_descriptor_wakes_the_driver() -> None:
    rig = Rig()
    device = DescriptorDevice()
    rig.add(device)
    rig.stack.answer = lambda data: [data.upper()]
    rig.driver.run_once(0)
    device.other.send(b"hello")
    assert rig.driver.run_until(lambda: rig.stack.inputs, 5.0)
    assert device.drain() == [b"HELLO"]
    rig.driver.close()
    assert device.closed
    device.other.close()


def test_a_full_device_keeps_its_frames_in_order_until_it_is_writable() -> None:
    rig = Rig()
    device = DescriptorDevice()
    interface = rig.add(device)
    rig.driver.run_once(0)
    before = device.fill()
    interface.queue = frames(before * 2 + 10)
    rig.driver.run_once(0)
    pump = rig.driver.pumps[0]
    assert pump.blocked
    interface.queue = [Frame(b"last")]  # while the device is full the stack keeps what it has
    rig.driver.run_once(0)
    assert interface.queue
    received: list[bytes] = []
    for _ in range(100):
        received += device.drain()
        rig.driver.run_once(0)
        if b"last" in received:
            break
    assert received[before:] == [frame.data for frame in frames(before * 2 + 10)] + [b"last"]
    assert not pump.blocked
    rig.driver.close()
    device.other.close()


def test_a_full_device_without_descriptor_says_when_it_has_room() -> None:
    rig = Rig()
    near, far = MemoryDevice.pair(queue=4)
    interface = rig.add(near)
    interface.queue = frames(10)
    rig.driver.run_once(0)
    received = []
    for _ in range(10):
        received += far.recv()
        rig.driver.run_once(0)
    assert [frame.data for frame in received] == [frame.data for frame in frames(10)]


def test_a_device_that_vanishes_is_one_error_and_the_others_go_on() -> None:
    rig = Rig()
    device, (near, far) = DescriptorDevice(), MemoryDevice.pair()
    lost, kept = rig.add(device, "lost"), rig.add(near, "kept")
    rig.driver.run_once(0)
    device.other.close()
    with pytest.raises(DeviceGone, match="the other end is gone"):
        rig.driver.run_until(lambda: False, 5.0)
    assert not lost.up
    assert kept.up
    assert device.closed
    assert rig.stack.stats["link_device_gone"] == 1
    far.send([Frame(b"still here")])
    assert rig.driver.run_until(lambda: rig.stack.inputs, 1.0)
    assert rig.stack.received() == [b"still here"]


def test_any_failure_of_a_device_counts_as_gone_and_names_it() -> None:
    rig = Rig()
    rig.add(BrokenDevice("broken"))
    with pytest.raises(DeviceGone, match=r"broken: .*error"):
        rig.driver.run_once(0)
    assert rig.driver.run_once(0) is False


def test_what_a_program_queues_for_a_device_that_is_gone_is_let_go() -> None:
    rig = Rig()
    interface = rig.add(BrokenDevice("broken"))
    pump = rig.driver.pumps[0]
    with pytest.raises(DeviceGone):
        rig.driver.run_once(0)
    interface.queue = frames(3)
    pump.flush()
    assert interface.queue == []


def test_a_paced_device_is_polled_at_its_deadline() -> None:
    class Paced(Device):
        due: int | None = 2000
        given = False

        @property
        def finished(self) -> bool:
            return self.given

        def deadline(self) -> int | None:
            return self.due

        def poll(self, now: int) -> None:
            assert now >= 2000
            self.due = None

        def recv(self, limit: int = 64) -> list[Frame]:
            if self.due is not None or self.given:
                return []
            self.given = True
            return [Frame(b"paced")]

    rig = Rig()
    rig.add(Paced("paced"))
    rig.driver.run_once(0)
    assert rig.stack.inputs == []
    rig.now = 2000
    assert rig.driver.run_until(lambda: rig.stack.inputs, 1.0)
    assert rig.stack.received() == [b"paced"]
    assert rig.driver.pumps[0].finished
    assert rig.driver.run_once() is False


def test_layers_must_agree() -> None:
    rig = Rig()
    with pytest.raises(InvalidArgument, match="layer 3"):
        rig.driver.add_device(MemoryDevice("m", layer=3), as_any(FakeInterface("eth0", 2)))


def test_a_device_can_be_taken_out_of_service() -> None:
    rig = Rig()
    near, far = MemoryDevice.pair()
    interface = rig.add(near)
    rig.driver.run_once(0)
    rig.driver.remove_device(near)
    far.send([Frame(b"nobody looks")])
    assert rig.driver.run_once(0) is False
    assert rig.stack.inputs == []
    assert not interface.up
    assert not near.closed


def test_closing_sends_what_is_queued_first() -> None:
    rig = Rig()
    near, far = MemoryDevice.pair()
    interface = rig.add(near)
    with rig.driver:
        interface.queue = [Frame(b"goodbye")]
    assert near.closed
    assert [frame.data for frame in far.recv()] == [b"goodbye"]
    assert "eth0" not in rig.driver.statistics()


def test_two_real_stacks_talk_without_an_event_loop() -> None:
    client, server = Stack(seed=b"client"), Stack(seed=b"server")
    near, far = MemoryDevice.pair()
    with Driver(client) as one, Driver(server) as two:
        for driver, stack, device, address in ((one, client, near, "10.0.0.1/24"), (two, server, far, "10.0.0.2/24")):
            interface = stack.add_interface("eth0")
            interface.add_address(address)
            driver.add_device(device, interface)
        listener = server.listen(("10.0.0.2", 80))
        sock = client.connect(("10.0.0.2", 80))

        def both(condition: Callable[[], object]) -> bool:
            def stepped() -> object:
                two.run_once(0)
                return condition()

            return one.run_until(stepped, 10)

        assert both(lambda: listener.readable)
        accepted = listener.accept()
        accepted.send(b"hello")
        accepted.close()
        assert both(lambda: sock.readable)
        assert sock.recv(100) == b"hello"
        assert both(lambda: sock.readable)
        assert sock.recv(100) == b""


def test_a_busy_device_is_asked_without_waiting_for_a_while_after_a_frame() -> None:
    rig = Rig()
    near, far = MemoryDevice.pair()
    near.busy_poll = 500
    rig.add(near)
    (pump,) = rig.driver.pumps
    rig.driver.run_once(0)
    assert not pump.ready  # nothing has come yet
    far.send(frames(1))
    rig.driver.run_once(0)
    assert pump.ready
    rig.now += 499
    rig.driver.run_once(3600)  # does not sleep
    assert pump.ready
    far.send(frames(1))
    rig.driver.run_once(3600)
    rig.now += 499
    rig.driver.run_once(3600)
    assert pump.ready
    rig.now += 1
    rig.driver.run_once(3600)
    assert not pump.ready


def test_control_socket_is_served_between_frames_and_closed_with_the_driver(tmp_path: Path) -> None:
    stack = Stack(b"control")
    device = DescriptorDevice()
    eth = stack.add_interface("eth0")
    path = tmp_path / "control"
    with pytest.raises(NotSupported):
        stack.control(str(path))
    with Driver(stack) as driver:
        driver.add_device(device, eth)
        stack.control(str(path))
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.connect(str(path))
            client.sendall(b'{"command":"stat","what":"devices"}\n')
            client.setblocking(False)
            received = bytearray()

            def answered() -> bool:
                with contextlib.suppress(BlockingIOError):
                    received.extend(client.recv(65536))
                return b'"end"' in received

            assert driver.run_until(answered, 10.0)
            [service] = driver.services
            assert driver.descriptors() == {device.fileno(): 1, service.fileno(): 1}
        assert b'"interface":"eth0","name":"rx_frames"' in received
        assert stack.sysctl["net.interface.eth0.up"] is True
    device.other.close()
    assert not path.exists()
    with pytest.raises(NotSupported):
        stack.control(str(path))


def test_control_request_alone_does_not_keep_a_driver_going(tmp_path: Path) -> None:
    with Driver(Stack(b"control")) as driver:
        driver.control(str(tmp_path / "control"))
        assert driver.run_once(0.0) is False


def test_another_loop_is_told_which_descriptors_to_wait_for() -> None:
    rig = Rig()
    device = DescriptorDevice()
    interface = rig.add(device)
    rig.add(MemoryDevice(), "eth1")  # it has none
    assert rig.driver.descriptors() == {device.fileno(): 1}
    device.fill()
    interface.queue = frames(2)
    rig.driver.run_once(0)
    assert rig.driver.descriptors() == {device.fileno(): 3}
    assert len(device.drain()) > 0
    rig.driver.run_once(0)
    assert rig.driver.descriptors() == {device.fileno(): 1}
    device.other.close()
    with pytest.raises(DeviceGone):
        rig.driver.run_once(0)
    assert rig.driver.descriptors() == {}


def test_another_loop_is_told_one_deadline() -> None:
    rig = Rig()
    assert rig.driver.deadline() is None
    near, far = MemoryDevice.pair()
    rig.add(near)
    rig.driver.run_once(0)
    assert rig.driver.deadline() is None
    rig.stack.timer = 5000
    assert rig.driver.deadline() == 5000
    rig.now = 4999
    rig.driver.run_once(0)
    assert rig.stack.fired == []
    far.send(frames(1))
    assert rig.driver.deadline() == 4999  # at once: nothing else tells of frames in memory
    rig.driver.run_once(0)
    assert rig.driver.deadline() == 5000
    rig.now = 5000
    rig.driver.run_once(0)
    assert rig.stack.fired == [5000] and rig.driver.deadline() is None
