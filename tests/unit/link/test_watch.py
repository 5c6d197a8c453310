"""News of the kernel about an interface: messages taken apart, and none believed further than its lengths."""

from __future__ import annotations

import random
import socket
import struct
from typing import Any

from uinet.ip import notice
from uinet.link import watch
from uinet.link.memory import MemoryDevice
from uinet.link.watch import Change, LinkWatch, attributes, messages
from uinet.link.wrapper import Wrapper
from uinet.pump import Pump
from uinet.stack import Stack

INET6 = int(socket.AF_INET6)


def message(kind: int, body: bytes) -> bytes:
    return (struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body).ljust(-(-(16 + len(body)) // 4) * 4, b"\0")


def attribute(kind: int, value: bytes) -> bytes:
    return (struct.pack("=HH", 4 + len(value), kind) + value).ljust(-(-(4 + len(value)) // 4) * 4, b"\0")


def link(index: int = 7, flags: int = 0, mtu: int | None = None, kind: int = 16, family: int = 0) -> bytes:
    told = b"" if mtu is None else attribute(4, struct.pack("=I", mtu))
    return message(kind, struct.pack("=BxHiII", family, 1, index, flags, 0) + attribute(3, b"eth0\0") + told)


def address(kind: int, packed: bytes, index: int = 7, length: int = 24) -> bytes:
    family = 2 if len(packed) == 4 else INET6
    return message(kind, struct.pack("=BBBBi", family, length, 0, 0, index) + attribute(1, packed))


class Kernel:
    """A netlink socket that says what the test wants."""

    def __init__(self) -> None:
        self.inbox: list[Any] = []
        self.asked: list[bytes] = []
        self.closed = False

    def recvfrom(self, size: int) -> tuple[bytes, tuple[int, int]]:
        if not self.inbox:
            raise BlockingIOError
        item = self.inbox.pop(0)
        if isinstance(item, OSError):
            raise item
        return item if isinstance(item, tuple) else (item, (0, 1))

    def send(self, data: bytes) -> int:
        self.asked.append(data)
        return len(data)

    def close(self) -> None:
        self.closed = True

    def fileno(self) -> int:
        return -1


def watching(flags: int = 0x10001, mtu: int = 1500) -> tuple[LinkWatch, Kernel]:
    """A watch that knows how its interface is."""
    made = LinkWatch.__new__(LinkWatch)
    made.index, made.up, made.carrier, made.mtu, made._known = 7, False, False, 0, False
    kernel = Kernel()
    made._socket = kernel  # type: ignore[assignment]
    kernel.inbox.append(link(flags=flags, mtu=mtu))
    assert made.read() == []
    return made, kernel


def kinds(changes: list[Change]) -> list[str]:
    return [change.kind for change in changes]


def test_what_changes_is_told_once_and_in_order() -> None:
    made, kernel = watching()
    assert (made.up, made.carrier, made.mtu) == (True, True, 1500)
    kernel.inbox += [
        link(flags=0x10001, mtu=1500), link(flags=1, mtu=1500), link(flags=0x10001, mtu=1500),
        link(flags=0x10001, mtu=9000), link(flags=0, mtu=9000), link(flags=0x10001),
    ]
    changes = made.read()
    assert kinds(changes) == [
        "carrier-down", "carrier-up", "mtu-changed", "link-down", "carrier-down", "link-up", "carrier-up",
    ]
    assert changes[2].mtu == made.mtu == 9000
    kernel.inbox.append(link(kind=17))
    assert kinds(made.read()) == ["link-removed"]


def test_addresses_of_the_kernels_own() -> None:
    made, kernel = watching()
    kernel.inbox += [address(20, b"\x0a\0\0\1"), address(21, b"\x0a\0\0\1"), address(21, bytes(15) + b"\1", length=64)]
    assert made.read() == [
        Change("kernel-address-added", 0, b"\x0a\0\0\1", 24), Change("kernel-address-removed", 0, b"\x0a\0\0\1", 24),
        Change("kernel-address-removed", 0, bytes(15) + b"\1", 64),
    ]


def test_other_interfaces_other_senders_and_ports_of_bridges_are_none_of_its_business() -> None:
    made, kernel = watching()
    kernel.inbox += [
        link(index=8), address(20, bytes(4), index=8), (link(flags=0), (4711, 0)), link(flags=0, family=7),
        message(99, b""), message(3, bytes(4)),
    ]
    assert made.read() == []


def test_after_an_overflow_it_asks_how_things_are() -> None:
    made, kernel = watching()
    asked = len(kernel.asked)
    kernel.inbox += [OSError(105, "No buffer space available"), link(flags=0, mtu=1400)]
    assert kinds(made.read()) == ["link-down", "carrier-down", "mtu-changed"]
    assert len(kernel.asked) == asked + 1


def test_damaged_messages_are_read_to_their_damage() -> None:
    chance = random.Random(5)
    whole = link(mtu=1500) + address(20, bytes(4)) + address(21, bytes(16))
    for _ in range(3000):
        data = bytearray(whole[: chance.randrange(len(whole) + 1)])
        for _ in range(chance.randrange(6)):
            if data:
                data[chance.randrange(len(data))] = chance.randrange(256)
        made, kernel = watching()
        kernel.inbox.append(bytes(data))
        made.read()
        for _, body in messages(bytes(data)):
            list(attributes(body, 8))


def test_words_are_those_of_link_events() -> None:
    ours = {value for name, value in vars(watch).items() if name.isupper() and isinstance(value, str)}
    theirs = {
        notice.LINK_UP, notice.LINK_DOWN, notice.LINK_REMOVED, notice.CARRIER_UP, notice.CARRIER_DOWN,
        notice.MTU_CHANGED, notice.KERNEL_ADDRESS_ADDED, notice.KERNEL_ADDRESS_REMOVED,
    }
    assert ours == theirs


def pumped(mtu: int = 1500, *addresses: str) -> tuple[Pump, Kernel, list[str]]:
    """A pump whose device has news, and what its stack tells of them."""
    made, kernel = watching()
    stack = Stack(b"watch")
    device = Wrapper(MemoryDevice.pair()[0])
    device.link_watch = made
    interface = stack.add_interface("eth0", mtu=mtu)
    for prefix in addresses:
        interface.add_address(prefix)
    told: list[str] = []
    stack.on_link_event = lambda event: told.append(str(event))
    return Pump(stack, device, interface), kernel, told


def test_the_stack_is_told_and_its_mtu_follows() -> None:
    pump, kernel, told = pumped()
    generation = pump.stack.network.generation
    kernel.inbox += [link(flags=1, mtu=1500), link(flags=1, mtu=9000), address(21, b"\x0a\0\0\1")]
    pump.link_changed()
    pump.stack.poll(0)
    assert told == [
        "eth0: carrier-down", "eth0: mtu-changed: 9000", "eth0: kernel-address-removed 10.0.0.1: /24",
    ]
    assert pump.interface.mtu == pump.device.mtu == pump.device.inner.mtu == 9000
    assert pump.stack.network.generation > generation, "routes are looked up anew"


def test_an_mtu_that_was_chosen_stays() -> None:
    pump, kernel, told = pumped(1400)
    kernel.inbox.append(link(flags=0x10001, mtu=9000))
    pump.link_changed()
    pump.stack.poll(0)
    assert told == ["eth0: mtu-changed: 9000"]
    assert pump.interface.mtu == 1400


def test_with_ipv6_the_mtu_follows_no_further_than_ipv6_goes() -> None:
    pump, kernel, _ = pumped(1500, "fd00::1/64")
    for mtu, wanted in ((1000, 1280), (1600, 1280)):
        kernel.inbox.append(link(flags=0x10001, mtu=mtu))
        pump.link_changed()
        assert pump.interface.mtu == wanted
    pump, kernel, _ = pumped(1500)
    kernel.inbox += [link(flags=0x10001, mtu=1000), link(flags=0x10001, mtu=70000), link(flags=0x10001, mtu=20)]
    pump.link_changed()
    assert pump.interface.mtu == 65535


def test_a_device_closes_what_listens() -> None:
    pump, kernel, _ = pumped()
    pump.device.close()
    assert kernel.closed
