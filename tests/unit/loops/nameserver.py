"""A DNS server on a stack, made of upcalls: any event system may run it."""

from __future__ import annotations

import struct
from ipaddress import ip_address

import uinet
from uinet.dns import encode_name, read_name

LONG = 60  # bytes: answers of more come by TCP


class NameServer:
    """Answers for `names` (name: addresses) at port 53 of every address of `stack`; `asked` counts the questions."""

    def __init__(self, stack: uinet.Stack, names: dict[str, list[str]]) -> None:
        self.names = {
            encode_name(name)[:-1]: [ip_address(one) for one in addresses] for name, addresses in names.items()
        }
        self.asked = {"udp": 0, "tcp": 0}
        self.udp = stack.socket(uinet.AF_INET, uinet.SOCK_DGRAM)
        self.udp.bind((uinet.ANY, 53))
        self.udp.on_event = self._datagrams
        self.tcp = stack.listen((uinet.ANY, 53))
        self.tcp.on_event = self._connections

    def answer(self, query: bytes) -> bytes:
        name, at = read_name(query, 12)
        (kind,) = struct.unpack_from(">H", query, at)
        known = [one.packed for one in self.names.get(name, []) if _kind(one) == kind]
        head = query[:2] + struct.pack(">HHHHH", 0x8180 | (0 if name in self.names else 3), 1, len(known), 0, 0)
        records = [b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, len(one)) + one for one in known]
        return head + query[12:] + b"".join(records)

    def _datagrams(self, sock: uinet.Socket, events: int) -> None:
        while sock.readable:
            query, sender = sock.recvfrom(4096)
            self.asked["udp"] += 1
            answer = self.answer(query)
            if len(answer) > LONG:
                answer = answer[:2] + struct.pack(">HHHHH", 0x8380, 1, 0, 0, 0) + query[12:]
            sock.sendto(b"\0\0" + answer[2:], sender)  # somebody else's answer comes first
            sock.sendto(answer, sender)

    def _connections(self, sock: uinet.Socket, events: int) -> None:
        while sock.readable:
            sock.accept().on_event = self._stream

    def _stream(self, sock: uinet.Socket, events: int) -> None:
        if sock.readable and not sock.closed:
            data = sock.recv(4096)
            if data:
                self.asked["tcp"] += 1
                answer = self.answer(data[2:])
                sock.send(struct.pack(">H", len(answer)) + answer)
            sock.close()


def _kind(address: object) -> int:
    return 1 if getattr(address, "version", 4) == 4 else 28
