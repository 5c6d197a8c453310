"""Captures made by hand: conversations of two, packet by packet."""

from __future__ import annotations

from collections.abc import Iterable

from uinet.wire import build
from uinet.wire.addresses import VlanTag
from uinet.wire.pcap import PcapWriter

MILLISECOND = 1_000_000
EPOCH = 1_400_000_000_000_000_000
NEAR_2_32 = 0xFFFFFF00


class Talk:
    """One connection. Each call adds a packet to `packets`: (time in ns, frame), a millisecond after the one before."""

    def __init__(
        self,
        client: tuple[str, int] = ("10.0.0.1", 1234),
        server: tuple[str, int] = ("10.0.0.2", 80),
        vlans: tuple[int | VlanTag, ...] = (),
        *,
        start: int = EPOCH,
        isn: tuple[int, int] = (NEAR_2_32, NEAR_2_32 + 64),
    ) -> None:
        self.ends = (client, server)
        self.vlans = vlans
        self.time = start
        self.nxt = list(isn)
        self.packets: list[tuple[int, bytes]] = []

    def send(self, who: int, flags: str, payload: bytes = b"", *, lost: bool = False) -> Talk:
        """A segment of the client (0) or the server (1); `lost` ones don't get into the capture."""
        (src, sport), (dst, dport) = self.ends[who], self.ends[1 - who]
        seq, ack = self.nxt[who], self.nxt[1 - who] if flags != "S" else 0
        if not lost:
            frame = build.tcp(
                src, dst, sport, dport, flags, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, payload=payload, vlans=self.vlans
            )
            self.packets.append((self.time, frame))
        self.nxt[who] += len(payload) + ("S" in flags) + ("F" in flags)
        self.time += MILLISECOND
        return self

    def opened(self) -> Talk:
        """The handshake."""
        return self.send(0, "S").send(1, "SA").send(0, "A")

    def says(self, who: int, data: bytes, size: int = 1448, lost: Iterable[int] = ()) -> Talk:
        """Data in segments of `size`, each acknowledged; those whose numbers are in `lost` are not in the capture."""
        for number, at in enumerate(range(0, len(data), size)):
            self.send(who, "A", data[at : at + size], lost=number in lost)
            self.send(1 - who, "A")
        return self

    def closed(self) -> Talk:
        """Both ends' FINs."""
        return self.send(0, "FA").send(1, "FA").send(0, "A")


def whole(asks: bytes, answers: bytes, **settings: object) -> Talk:
    """A connection from its SYN to its last ACK."""
    talk = Talk(**settings)  # type: ignore[arg-type]
    return talk.opened().says(0, asks).says(1, answers).closed()


def capture(*talks: Talk) -> bytes:
    """A pcap file of these, in the order of time."""
    writer = PcapWriter(nanoseconds=True)
    packets = sorted((packet for talk in talks for packet in talk.packets), key=lambda packet: packet[0])
    return writer.header() + b"".join(writer.packet(data, time) for time, data in packets)
