"""A whole stack on an Ethernet link, and the link's other end in a test's hands: frames in and out, virtual time."""

from __future__ import annotations

from typing import Any

import uinet
from uinet.socket import Socket
from uinet.units import SECOND
from uinet.wire import build, icmp, icmpv6, ipv4, ipv6
from uinet.wire.addresses import BROADCAST_MAC, L2Info, Mac, multicast_mac, pack_address
from uinet.wire.dissection import Dissected

OURS, OURS6 = "10.0.0.2", "2001:db8::2"
PEER, PEER6 = "10.0.0.1", "2001:db8::1"
GATEWAY, GATEWAY6 = "10.0.0.254", "2001:db8::fe"
OUTSIDE, OUTSIDE6 = "192.0.2.9", "2001:db8:99::9"
MAC = Mac("02:00:00:00:00:02")
PEER_MAC = Mac("02:00:00:00:00:01")
TO_US = L2Info(PEER_MAC, MAC)
TO_ALL = L2Info(PEER_MAC, BROADCAST_MAC)


def p(address: str) -> bytes:
    return pack_address(address)


def to_group(group: str) -> L2Info:
    """The link header of a packet to a multicast group."""
    return L2Info(PEER_MAC, multicast_mac(p(group)))


class Lan:
    """A stack with 10.0.0.2/24 and 2001:db8::2/64 on eth0, default gateways, and neighbours whose MACs are known."""

    def __init__(self, *, known: bool = True, mtu: int = 1500) -> None:
        self.stack = uinet.Stack(seed=b"conformance", now=1000 * SECOND)
        self.stats = self.stack.stats
        self.eth0 = self.stack.add_interface("eth0", mac=str(MAC), mtu=mtu)
        self.eth0.add_address(f"{OURS}/24")
        self.eth0.add_address(f"{OURS6}/64")
        self.stack.routes.add("0.0.0.0/0", via=GATEWAY)
        self.stack.routes.add("::/0", via=GATEWAY6)
        if known:
            for address in (PEER, PEER6, GATEWAY, GATEWAY6):
                self.stack.neighbors.add(address, PEER_MAC)

    def feed(self, *frames: bytes) -> list[Dissected]:
        """Hands frames in; what goes out."""
        self.stack.input(self.eth0, frames, self.stack.now)
        return self.sent()

    def sent(self) -> list[Dissected]:
        return [build.dissect(frame.data) for frame in self.stack.output(self.eth0)]

    def advance(self, wait: float) -> list[Dissected]:
        """Lets time pass; what goes out meanwhile."""
        found = []
        end = self.stack.now + round(wait * SECOND)
        while self.stack.now < end:
            self.stack.poll(min(end, self.stack.now + SECOND // 10))
            found += self.sent()
        return found

    def udp(self, port: int = 7000, address: Any = uinet.ANY) -> Socket:
        """A bound datagram socket."""
        sock = self.stack.socket(kind=uinet.SOCK_DGRAM)
        sock.bind((address, port))
        return sock


def packet_of(frame: bytes) -> bytearray:
    """The IP packet of a frame, to be spoilt."""
    return bytearray(frame[14:])


def frame_of(packet: bytes, l2: L2Info = TO_US) -> bytes:
    """A frame around a packet."""
    return build.frame(bytes(packet), l2)


def resum(packet: bytearray) -> bytes:
    """An IPv4 packet with the header checksum that it should have."""
    size = (packet[0] & 15) * 4
    packet[10:12] = bytes(2)
    words = sum(int.from_bytes(packet[at : at + 2], "big") for at in range(0, size, 2))
    words = (words & 0xFFFF) + (words >> 16)
    words = (words & 0xFFFF) + (words >> 16)
    packet[10:12] = (words ^ 0xFFFF).to_bytes(2, "big")
    return bytes(packet)


def icmp_of(frames: list[Dissected]) -> list[tuple[int, int]]:
    """(type, code) of the ICMP messages among frames."""
    found = []
    for frame in frames:
        if icmp.IcmpMessage in frame:
            found.append((frame.icmp.type, frame.icmp.code))
        elif icmpv6.Icmpv6Message in frame:
            found.append((frame.icmpv6.type, frame.icmpv6.code))
    return found


def header_of(frame: Dissected) -> ipv4.Ipv4Header | ipv6.Ipv6Header:
    return frame.ipv4 if ipv4.Ipv4Header in frame else frame.ipv6
