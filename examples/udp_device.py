"""A device of your own: Ethernet frames in UDP datagrams, one each, as QEMU's ``-netdev dgram`` over inet sends them.

    python examples/udp_device.py          two stacks in this process ping each other over UDP sockets of the kernel

In a package, an entry point makes it a scheme of device URLs, for the command line too (docs/write-a-device.md):

    [project.entry-points."uinet.devices"]
    udp = "my_package:udp_scheme"          uinet ping -d 'udp:127.0.0.1:7001?local=7000' -a 10.0.0.1/24 10.0.0.2
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import uinet
from uinet.link import Common, Device, Frame, Options, WritingDevice
from uinet.link.options import parse_number


class UdpDevice(WritingDevice):
    """Frames to and from `peer`, (host, port), through UDP port `local` of this host. DeviceError."""

    def __init__(self, peer: tuple[str, int], local: int, mtu: int = 1450) -> None:
        super().__init__(f"udp:{peer[0]}:{peer[1]}", mtu=mtu)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self.socket.setblocking(False)
            self.socket.bind(("", local))
            self.socket.connect(peer)  # so that nobody else's datagrams come in
        except OSError as error:
            self.socket.close()
            raise uinet.DeviceError(f"{self.name}: {error.strerror}") from None

    def recv(self, limit: int = 64) -> list[Frame]:
        self.require_open()
        frames: list[Frame] = []
        for _ in range(limit):
            try:
                frames.append(Frame(self.socket.recv(65536)))
            except BlockingIOError:
                break
            except ConnectionError:
                continue  # an ICMP error: the peer is not there, or not yet
        self.count("rx_frames", len(frames))
        self.count("rx_bytes", sum(len(frame) for frame in frames))
        return frames

    def write(self, packet: bytes) -> bool:
        if len(packet) > self.largest():
            self.count("tx_oversize")
            return True
        try:
            self.socket.send(packet)
        except BlockingIOError:
            return False  # full: it is offered again once the descriptor is writable
        except OSError:
            self.count("tx_down")
        else:
            self.sent(len(packet))
        return True

    def fileno(self) -> int:
        return -1 if self.closed else self.socket.fileno()

    def close(self) -> None:
        super().close()
        self.socket.close()


def udp_scheme(name: str, options: Options, common: Common) -> Callable[[], Device]:
    """``udp:HOST:PORT?local=PORT``: what the entry point names."""
    host, _, port = name.rpartition(":")
    if not host or not port.isdecimal():
        raise uinet.DeviceURLError(f"udp:{name}: want udp:HOST:PORT")
    local = options.take("local", parse_number(65535), 0)
    return lambda: UdpDevice((host, int(port)), local, common.mtu or 1450)


def free_port() -> int:
    """A port of the kernel's UDP that nobody has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def main() -> None:
    here, there = free_port(), free_port()
    async with uinet.Host() as a, uinet.Host() as b:
        await a.add_device(UdpDevice(("127.0.0.1", there), here), addresses="10.0.0.1/24")
        await b.add_device(UdpDevice(("127.0.0.1", here), there), addresses="10.0.0.2/24")
        for answer in await a.ping("10.0.0.2", 3, interval=0.01):
            print("answered in", answer)


if __name__ == "__main__":
    asyncio.run(main())
