"""What a user of dpkt or Scapy writes: parse each packet with it, put each direction's payloads in order by hand.

Arguments: ``dpkt`` or ``scapy``, the capture, how many packets. Every piece in order goes to a Python function. Holes,
time and memory are nobody's concern here: it is the least that such a program does.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator

Packet = tuple[tuple[object, object, int, int], int, int, bytes]
total = 0


def deliver(data: bytes) -> None:
    global total
    total += len(data)


def by_dpkt(name: str, count: int) -> Iterator[Packet]:
    import dpkt

    with open(name, "rb") as file:
        for _, frame in itertools.islice(dpkt.pcap.Reader(file), count):
            ip = dpkt.ethernet.Ethernet(frame).data
            if isinstance(ip, dpkt.ip.IP) and isinstance(tcp := ip.data, dpkt.tcp.TCP):
                yield (ip.src, ip.dst, tcp.sport, tcp.dport), tcp.seq, tcp.flags, tcp.data


def by_scapy(name: str, count: int) -> Iterator[Packet]:
    from scapy.layers.inet import IP, TCP
    from scapy.layers.l2 import Ether  # noqa: F401 - knows the captures' link type
    from scapy.utils import PcapReader

    with PcapReader(name) as reader:
        for packet in itertools.islice(reader, count):
            if TCP in packet:
                ip, tcp = packet[IP], packet[TCP]
                data = bytes(tcp.payload)[: ip.len - 4 * ip.ihl - 4 * tcp.dataofs]
                yield (ip.src, ip.dst, tcp.sport, tcp.dport), tcp.seq, int(tcp.flags), data


def main() -> None:
    expected: dict[object, int] = {}
    held: dict[object, dict[int, bytes]] = {}
    parse = by_dpkt if sys.argv[1] == "dpkt" else by_scapy
    packets = 0
    for key, seq, flags, data in parse(sys.argv[2], int(sys.argv[3])):
        packets += 1
        if flags & 2:
            expected[key] = (seq + 1) & 0xFFFFFFFF
            held.pop(key, None)
        elif data and key in expected:
            behind = (seq - expected[key]) & 0xFFFFFFFF
            if behind >= 1 << 31:
                data = data[(1 << 32) - behind :]
                behind = 0
            if not data:
                continue
            if behind:
                held.setdefault(key, {})[seq] = data
                continue
            deliver(data)
            expected[key] = (expected[key] + len(data)) & 0xFFFFFFFF
            waiting = held.get(key)
            while waiting and (data := waiting.pop(expected[key], b"")):
                deliver(data)
                expected[key] = (expected[key] + len(data)) & 0xFFFFFFFF
    print(json.dumps({"bytes": total, "packets": packets, "connections": len(expected) // 2}))


if __name__ == "__main__":
    main()
