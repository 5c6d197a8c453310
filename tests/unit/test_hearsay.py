"""Several workers' stacks as one host: who answers, who learns, and whose a connection is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

import uinet
from tests.unit.fakes import DescriptorDevice, as_any
from uinet.errors import InvalidArgument
from uinet.hearsay import Hearsay, take_part
from uinet.link.sharing import Part, parts
from uinet.link.steering import owner
from uinet.wire.frame import Frame

WORKERS = 3
MAC = "02:00:00:00:00:77"
OURS = {4: "10.0.0.2", 6: "fd00::2"}
THEIRS = {4: "10.0.0.1", 6: "fd00::1"}


class Crew:
    """Stacks that share a wire with `peer`, by the rule that the kernel uses. `sent`: frames of each to the wire."""

    def __init__(self) -> None:
        self.now = 0
        self.peer = uinet.Stack(b"peer")
        self.wire = self.peer.add_interface("wire", mac="02:00:00:00:00:01")
        self.parts = parts(WORKERS)
        self.stacks = [uinet.Stack(b"worker %d" % index) for index in range(WORKERS)]
        self.interfaces = [stack.add_interface("wire", mac=MAC) for stack in self.stacks]
        self.heard: list[Hearsay | None] = [
            take_part(stack, interface, as_any(SimpleNamespace(part=part)))
            for stack, interface, part in zip(self.stacks, self.interfaces, self.parts, strict=True)
        ]
        self.sent: list[list[bytes]] = [[] for _ in range(WORKERS)]
        for interface in (*self.interfaces, self.wire):
            interface.announce_groups()
            for prefix in ("/24", "/64"):
                addresses = THEIRS if interface is self.wire else OURS
                interface.add_address(addresses[4 if prefix == "/24" else 6] + prefix, announce=True)

    def run(self) -> None:
        """Until nothing moves."""
        for _ in range(50):
            self.now += 1_000_000
            moved = False
            for index, (stack, interface) in enumerate(zip(self.stacks, self.interfaces, strict=True)):
                stack.poll(self.now)
                frames = stack.output(interface)
                self.sent[index] += [frame.data for frame in frames]
                moved |= bool(frames)
                self.peer.input(self.wire, frames, self.now)
            self.peer.poll(self.now)
            for frame in self.peer.output(self.wire):
                moved = True
                index = owner(frame.data, 2) % WORKERS
                self.stacks[index].input(self.interfaces[index], [frame], self.now)
            for heard in self.heard:
                if heard is not None:
                    heard.serve(self.now)
            if not moved:
                return
        raise AssertionError("it does not come to an end")

    def close(self) -> None:
        for part in self.parts:
            part.close()
            part.deafen()


@pytest.fixture
def crew() -> Iterator[Crew]:
    made = Crew()
    made.run()
    yield made
    made.close()


@pytest.mark.parametrize("version", [4, 6])
def test_one_speaks_for_all_and_all_learn(crew: Crew, version: int) -> None:
    assert crew.sent[1] == crew.sent[2] == []  # nothing was announced, tested or reported twice
    assert crew.sent[0]
    answers: list[Any] = []
    ping = crew.peer.ping(OURS[version], on_reply=lambda *reply: answers.append(reply))
    ping.send()
    crew.run()
    assert len(answers) == 1
    where = crew.peer.network.neighbors
    assert {hop.mac for hop in where if hop.mac is not None} == {bytes(uinet.Mac(MAC))}
    key = bytes(uinet.Mac("02:00:00:00:00:01"))
    for stack in crew.stacks:
        assert [hop.mac for hop in stack.network.neighbors if hop.mac is not None] in ([key], [key, key])


@pytest.mark.parametrize("version", [4, 6])
def test_connections_that_a_worker_opens_come_back_to_it(crew: Crew, version: int) -> None:
    listener = crew.peer.listen((THEIRS[version], 80), backlog=100)
    mine: list[uinet.Socket] = []
    for _ in range(10):
        mine += [stack.connect((THEIRS[version], 80)) for stack in crew.stacks]
        crew.run()
    assert {sock.state for sock in mine} == {"ESTABLISHED"}
    for sock in mine:
        sock.send(b"hello")
    crew.run()
    theirs = []
    while listener.readable:
        theirs.append(listener.accept())
        theirs[-1].send(theirs[-1].recv(100))
    crew.run()
    assert len(theirs) == 30
    assert [sock.recv(100) for sock in mine] == [b"hello"] * 30


@pytest.mark.parametrize("version", [4, 6])
def test_answers_to_connected_datagrams_come_back(crew: Crew, version: int) -> None:
    family = uinet.AF_INET if version == 4 else uinet.AF_INET6
    server = crew.peer.socket(family, uinet.SOCK_DGRAM)
    server.bind((THEIRS[version], 53))
    asking = []
    for _ in range(5):
        for stack in crew.stacks:
            sock = stack.socket(family, uinet.SOCK_DGRAM)
            sock.connect((THEIRS[version], 53))
            sock.send(b"?")
            asking.append(sock)
        crew.run()
    while True:
        try:
            data, address = server.recvfrom(100)
        except uinet.WouldBlock:
            break
        server.sendto(data, address)
    crew.run()
    assert [sock.recv(10) for sock in asking] == [b"?"] * 15


def test_listeners_of_all_workers_serve_whom_they_own(crew: Crew) -> None:
    listeners = [stack.listen((OURS[4], 80), backlog=100) for stack in crew.stacks]
    clients = []
    for _ in range(60):
        clients.append(crew.peer.connect((OURS[4], 80)))
        crew.run()
    assert {sock.state for sock in clients} == {"ESTABLISHED"}
    accepted = [0] * WORKERS
    for index, listener in enumerate(listeners):
        while listener.readable:
            listener.accept()
            accepted[index] += 1
    assert sum(accepted) == 60
    assert min(accepted) > 5


def test_a_neighbour_that_moves_is_told_to_all(crew: Crew) -> None:
    for stack in crew.stacks:
        stack.connect((THEIRS[4], 80))
    crew.run()
    moved = uinet.Stack(b"moved")
    interface = moved.add_interface("wire", mac="02:00:00:00:00:99")
    interface.add_address(THEIRS[4] + "/24", announce=True)
    for frame in moved.output(interface):
        assert owner(frame.data, 2) == 0
        crew.stacks[0].input(crew.interfaces[0], [frame], crew.now)
    for heard in crew.heard:
        if heard is not None:
            heard.serve(crew.now)
    for stack in crew.stacks:
        assert bytes(uinet.Mac("02:00:00:00:00:99")) in [hop.mac for hop in stack.network.neighbors]


def test_dhcp_is_not_for_workers(crew: Crew) -> None:
    for stack, interface in zip(crew.stacks, crew.interfaces, strict=True):
        with pytest.raises(InvalidArgument, match="give them an address"):
            stack.start_dhcp(interface)


def test_a_promiscuous_interface_has_nothing_to_hear() -> None:
    stack = uinet.Stack(b"x")
    interface = stack.add_interface("wire", cdom=1)
    assert take_part(stack, interface, as_any(SimpleNamespace(part=Part(1, 2, [], None)))) is None
    assert not interface.quiet
    assert stack.network.owns is not None


def test_the_ear_that_is_full_loses_and_nobody_waits() -> None:
    first, second = parts(2)
    for _ in range(2000):
        first.tell(Frame(bytes(1500)))
    heard = 0
    while frames := second.hear():
        heard += len(frames)
    assert 0 < heard < 2000
    first.close()
    assert second.hear() == []
    second.close()
    second.close()
    assert second.fileno() == -1


def arp_of(mac: bytes) -> Frame:
    """A gratuitous ARP."""
    sender = mac + bytes((10, 0, 0, 1))
    return Frame(b"\xff" * 6 + mac + b"\x08\x06\x00\x01\x08\x00\x06\x04\x00\x01" + sender + bytes(6) + sender[6:])


@pytest.mark.parametrize("kind", ["driver", "loop"])
def test_drivers_listen_and_let_go_in_the_end(kind: str) -> None:
    first, second = parts(2)
    stack = uinet.Stack(b"x")
    interface = stack.add_interface("wire", mac=MAC)
    interface.add_address("10.0.0.2/24")
    device = DescriptorDevice()
    device.part = second
    mac = bytes.fromhex("020000000001")
    stack.connect(("10.0.0.1", 80))  # makes it a neighbour that is asked for
    if kind == "driver":
        with uinet.Driver(stack) as driver:
            driver.add_device(device, interface)
            first.tell(arp_of(mac))
            assert driver.run_until(lambda: stack.stats["arp_requests_in"] == 1, 5)
    else:
        asyncio.run(on_a_loop(stack, interface, device, first, mac))
    assert second.fileno() == -1
    assert device.closed
    device.other.close()
    first.close()


async def on_a_loop(stack: uinet.Stack, interface: Any, device: DescriptorDevice, first: Part, mac: bytes) -> None:
    from uinet.driving import LoopDriver

    driver = LoopDriver(stack, as_any(asyncio.get_running_loop()))
    driver.add(device, interface)
    first.tell(arp_of(mac))
    for _ in range(500):
        if stack.stats["arp_requests_in"]:
            break
        await asyncio.sleep(0.01)
    assert stack.stats["arp_requests_in"] == 1
    driver.close()
