"""A hand-made peer that speaks ECN: marks on its packets, and the three flags of the TCP header as one number."""

from __future__ import annotations

from typing import Any

from tests.unit.tcp.peer import PLAIN, Peer, Seg
from uinet.socket import Socket
from uinet.units import MASK32
from uinet.wire import checksums, ipv4
from uinet.wire.ipv4 import Ipv4Header
from uinet.wire.kernels import checksum
from uinet.wire.tcp_options import Option, Timestamps, Unknown

NOT_ECT, ECT1, ECT0, CE = range(4)
IP = 14
TCP = 34
ACC = 0b111  # a SYN that asks for accurate feedback
CLASSIC = 0b011


def ace(seg: Seg) -> int:
    """AE, CWR and ECE of a segment that the stack has sent."""
    return (4 if seg.frame.tcp.reserved & 1 else 0) | (2 if "W" in seg.flags else 0) | (1 if "E" in seg.flags else 0)


def ecn(seg: Seg) -> int:
    """The ECN field of its packet."""
    header = seg.frame.get(Ipv4Header)
    assert header is not None
    return int(header.tos) & 3


def counters(seg: Seg) -> tuple[int, list[int]] | None:
    """(kind, values) of the segment's AccECN option, or None."""
    for option in seg.options:
        if isinstance(option, Unknown) and option.kind in (172, 174):
            data = option.data
            return option.kind, [int.from_bytes(data[at : at + 3], "big") for at in range(0, len(data), 3)]
    return None


def accecn(kind: int, *values: int) -> Option:
    """An AccECN option."""
    return Unknown(kind, b"".join((value & 0xFFFFFF).to_bytes(3, "big") for value in values))


class EcnPeer(Peer):
    """`ace` and `ecn` can be said of each segment; what is not said is what the peer's state says."""

    def __init__(self, setting: int, **more: Any) -> None:
        super().__init__(ecn=setting, congestion="newreno", **more)
        self.ace = 0  # what the peer's segments carry

    def frame(self, flags: str, *more: Any, ace: int | None = None, ecn: int = 0, **options: Any) -> bytes:
        data = bytearray(super().frame(flags, *more, **options))
        value = self.ace if ace is None else ace
        data[TCP + 12] |= value >> 2
        data[TCP + 13] |= (value & 3) << 6
        data[IP + 1] |= ecn
        data[IP + 10 : IP + 12] = bytes(2)
        data[IP + 10 : IP + 12] = (checksum(data, IP, 20, 0) ^ 0xFFFF).to_bytes(2, "big")
        data[TCP + 16 : TCP + 18] = bytes(2)
        value = checksums.transport(bytes(data[26:30]), bytes(data[30:34]), ipv4.TCP, bytes(data[TCP:]))
        data[TCP + 16 : TCP + 18] = value.to_bytes(2, "big")
        return bytes(data)

    def server(self, syn: int, *, syn_ecn: int = 0, last: int | None = None, options: Any = PLAIN, **final: Any
               ) -> tuple[Socket, Seg]:
        """The stack as a server: a SYN with flags `syn`, and the last ACK with `last` (None: `self.ace`). The socket
        and the SYN,ACK."""
        self.listen()
        self.send("S", self.seq, options=options, ace=syn, ecn=syn_ecn)
        answer = self.out.pop(0)
        assert set(answer.flags) >= {"S", "."}
        self.seq = (self.seq + 1) & MASK32
        self.ack = (answer.seq + 1) & MASK32
        self.ts = answer.option(Timestamps) is not None
        self.send(".", ace=last, **final)
        sock = self.listener.accept()
        self.stack.events()
        assert sock.state == "ESTABLISHED"
        return sock, answer

    def client(self, answer: int, *, answer_ecn: int = 0, options: Any = PLAIN) -> tuple[Socket, Seg, Seg]:
        """The stack as a client: its SYN is answered with flags `answer`. The socket, the SYN, the ACK of that."""
        sock = self.stack.socket()
        sock.bind((self.here, 5080))
        self.port, self.peer_port = 5080, 7
        sock.connect((self.there, 7))
        self.flush()
        syn = self.out.pop(0)
        self.ack = (syn.seq + 1) & MASK32
        self.send("S.", self.seq, options=options, ace=answer, ecn=answer_ecn)
        self.seq = (self.seq + 1) & MASK32
        first = self.out.pop(0)
        self.stack.events()
        return sock, syn, first
