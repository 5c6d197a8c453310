"""The devices of Linux are put to the checks of `uinet.link.conformance`, in namespaces of their own."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator, Sequence

import pytest

from tests.interop.netns import Namespace, namespace, veth
from uinet.link import open_device
from uinet.link.conformance import Subject, check_all

pytestmark = pytest.mark.interop

SO_RCVBUFFORCE = 33
ETH_P_ALL = 3


def raw_end(where: Namespace, interface: str, device_url: str, device_in: Namespace) -> Subject:
    """A device whose other end is a packet socket on the kernel's side."""
    with device_in.entered():
        device = open_device(device_url)
    with where.entered():
        other = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        other.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        other.bind((interface, ETH_P_ALL))
    other.setblocking(False)
    waiting: list[bytes] = []

    def settle() -> None:
        with contextlib.suppress(BlockingIOError):
            while waiting:
                other.send(waiting[0])
                del waiting[0]

    def put(frames: Sequence[bytes]) -> None:
        waiting.extend(frames)
        settle()

    def take() -> list[bytes]:
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                data, address = other.recvfrom(70000)
                if address[2] != socket.PACKET_OUTGOING:
                    found.append(data)
        return found

    return Subject(device, put, take, settle, other.close, noisy=True)


Maker = Callable[[str], Subject]


@pytest.fixture(scope="module")
def make() -> Iterator[Maker]:
    with (
        namespace("left", ipv6=False) as left,
        namespace("right", ipv6=False) as right,
        veth(left, "l0", right, "r0"),
    ):

        def made(url: str) -> Subject:
            if url.startswith(("tap:", "tun:")):
                return raw_end(left, "dev0", url, left)
            return raw_end(right, "r0", url, left)

        yield made


@pytest.mark.parametrize("url", [
    "tap:dev0", "tap:dev0?offload=0", "tun:dev0", "tun:dev0?offload=0", "packet:l0", "packet:l0?offload=0",
    "packet:l0?ring=4M", "xdp:l0?mode=generic", "xdp:l0?mode=native",
])  # fmt: skip
def test_device_conforms(make: Maker, url: str) -> None:
    check_all(lambda: make(url))
