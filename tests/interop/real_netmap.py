"""What a real netmap does with us: to be run by hand, as root, where netmap is (docs/netmap.md). It needs no card.

    python -m tests.interop.real_netmap                    ports of VALE switches, and pipes
    python -m tests.interop.real_netmap ve0 ve1            and a veth pair of Linux, under netmap's emulation

It prints a line for each thing that it tries, and its exit status is 1 if one of them failed.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial

import uinet
from uinet.errors import DeviceError, DeviceGone
from uinet.link import Frame, NetmapDevice, conformance
from uinet.link.conformance import CHECKS, Subject, want

FLOOD = conformance.loses_nothing_when_it_is_full
SO_RCVBUFFORCE = 33
ETH_P_ALL = 3
failures = 0


def tried(name: str, work: Callable[[], object]) -> None:
    global failures
    begun = time.monotonic()
    try:
        work()
    except Exception as error:
        failures += 1
        print(f"FAIL {name}: {type(error).__name__}: {error}", flush=True)
        if not isinstance(error, conformance.ConformanceError):
            traceback.print_exc()
    else:
        print(f"pass {name} ({time.monotonic() - begun:.2f} s)", flush=True)


def between_ports(name: str, other_name: str) -> Subject:
    device, other = NetmapDevice(name), NetmapDevice(other_name)
    waiting: list[Frame] = []

    def settle() -> None:
        del waiting[: other.send(waiting)]

    def put(packets: Sequence[bytes]) -> None:
        waiting.extend(map(Frame, packets))
        settle()

    def take() -> list[bytes]:
        found: list[bytes] = []
        while frames := other.recv(1024):
            found += [frame.data for frame in frames]
        return found

    return Subject(device, put, take, settle, other.close)


def between_interfaces(name: str, other_name: str) -> Subject:
    """The other end is a packet socket on the other interface of a pair."""
    device = NetmapDevice(name)
    other = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    other.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
    other.bind((other_name, ETH_P_ALL))
    other.setblocking(False)

    def put(packets: Sequence[bytes]) -> None:
        for packet in packets:
            other.send(packet)

    def take() -> list[bytes]:
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                data, address = other.recvfrom(70000)
                if address[2] != socket.PACKET_OUTGOING:
                    found.append(data)
        return found

    return Subject(device, put, take, close=other.close, noisy=True)


def lending() -> None:
    with NetmapDevice("vale:lend0") as a, NetmapDevice("vale:lend1", lend=8) as b:
        sent = [conformance.frame(a, n) for n in range(12)]
        a.send(list(map(Frame, sent)))
        loans = b.lend()
        want([loan.copied for loan in loans] == [False] * 8 + [True] * 4, "8 of 12 packets lent, 4 copied")
        for n in range(300):  # around the ring more than once
            a.send([Frame(conformance.frame(a, 100 + n))] * 7)
            want(len(b.recv()) == 7, "7 packets each time")
        want([bytes(loan.data) for loan in loans] == sent, "lent packets untouched")
        for loan in loans[4:]:
            loan.release()
    for _ in range(50):  # all buffers come back, those that were never released too
        with NetmapDevice("vale:lend1", lend=8) as b:
            want(b.lendable == 8, f"8 buffers to lend, not {b.lendable}")


def forwarding() -> None:
    names = ("vale:pipe{1", "vale:pipe}1", "vale:pipe{2", "vale:pipe}2")  # which share their parent's memory
    with contextlib.ExitStack() as stack:
        a, b, c, d = (stack.enter_context(NetmapDevice(name, lend=32)) for name in names)
        for turn in range(500):
            sent = [conformance.frame(a, turn * 5 + n) for n in range(5)]
            a.send(list(map(Frame, sent)))
            loans = b.lend()
            want(not any(loan.copied for loan in loans), "packets lent, not copied")
            want(c.forward(loans) == 5, "5 packets forwarded")
            want([frame.data for frame in d.recv()] == sent, "5 packets at the end of both pipes")


def stacks() -> None:
    data = bytes(n * 7 % 251 for n in range(1_000_000))

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
        writer.close()

    async def work() -> None:
        async with uinet.Host(linger=0.2) as a, uinet.Host(linger=0.2) as b:
            await a.add_device("netmap:vale:stack0", addresses="10.0.0.1/24")
            await b.add_device("netmap:vale:stack1?lend=4", addresses="10.0.0.2/24")
            await b.start_server(echo, "10.0.0.2", 7)
            reader, writer = await a.open_connection("10.0.0.2", 7)
            writer.write(data)
            writer.write_eof()
            want(await asyncio.wait_for(reader.read(-1), 60) == data, "every byte back")

    asyncio.run(work())


def errors() -> None:
    with NetmapDevice("vale:busy{1"):
        try:
            NetmapDevice("vale:busy{1").close()
        except DeviceError as error:
            want("in use" in str(error), f"in use, not: {error}")
        else:
            raise conformance.ConformanceError("one port opened twice")


def host_rings(name: str, other: str) -> None:
    """The kernel's packets, by way of its rings, to the wire."""
    packet_socket = (socket.AF_PACKET, socket.SOCK_RAW)
    with contextlib.ExitStack() as stack:
        wire = stack.enter_context(NetmapDevice(name))
        host = stack.enter_context(NetmapDevice(f"{name}^"))
        far = stack.enter_context(socket.socket(*packet_socket, socket.htons(ETH_P_ALL)))
        far.bind((other, ETH_P_ALL))
        far.setblocking(False)
        near = stack.enter_context(socket.socket(*packet_socket))  # as the host's own stack would send
        near.bind((name, 0x0800))
        near.send(conformance.frame(wire, 77))
        end = time.monotonic() + 5
        while time.monotonic() < end:
            wire.send(host.recv())
            with contextlib.suppress(BlockingIOError):
                if far.recv(2000) == conformance.frame(wire, 77):
                    return
    raise conformance.ConformanceError("the host's packet did not reach the wire")


def down_and_up(name: str) -> None:
    with NetmapDevice(name) as device:
        one = [Frame(conformance.frame(device, 1))]
        want((device.recv(), device.send(one), device.down) == ([], 1, False), "up")
        subprocess.run(["ip", "link", "set", name, "down"], check=True)
        want((device.recv(), device.send(one), device.down) == ([], 1, True), "noticed that it is down")
        subprocess.run(["ip", "link", "set", name, "up"], check=True)
        device.poll(time.monotonic_ns())
        want(device.send(one) == 1 and not device.down, "noticed that it is up")


def deleted(name: str) -> None:
    device = NetmapDevice(name)
    with subprocess.Popen(["ip", "link", "del", name]):
        end = time.monotonic() + 10
        try:
            while time.monotonic() < end:
                device.recv()
                device.poll(1 << 62)
            raise conformance.ConformanceError("a deleted interface was not noticed")
        except DeviceGone:
            pass
        finally:
            device.close()  # for which the kernel waits


def main(interfaces: list[str]) -> int:
    print(f"uinet {uinet.__version__}, {'compiled' if uinet.compiled() else 'interpreted'}")
    for check in CHECKS:
        tried(f"pipe: {check.__name__}", partial(check, partial(between_ports, "vale:p{1", "vale:p}1")))
        if check is not FLOOD:  # a switch drops what a port has no room for
            tried(f"VALE: {check.__name__}", partial(check, partial(between_ports, "vale:a", "vale:b")))
    for work in (lending, forwarding, stacks, errors):
        tried(work.__name__, work)
    if len(interfaces) == 2:
        for check in CHECKS:
            if check is not FLOOD:  # emulation uses a packet's memory again while a packet socket has it
                tried(f"{interfaces[0]}: {check.__name__}", partial(check, partial(between_interfaces, *interfaces)))
        tried("host rings", lambda: host_rings(*interfaces))
        tried("down and up", lambda: down_and_up(interfaces[0]))
        tried("deleted", lambda: deleted(interfaces[0]))
    print(f"{failures} failed")
    return min(failures, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
