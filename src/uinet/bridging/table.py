"""What is done with each packet of the flows that a bridge knows.

A flow that is only passed on costs a look-up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uinet.bridging.constants import CLIENT_FIN, ENDED, LINGER, PASS, RESET, SERVER_FIN
from uinet.bridging.flow import BridgedFlow
from uinet.bridging.index import FlowIndex
from uinet.bridging.quoted import translated_error
from uinet.ip.interface import Interface
from uinet.tcp.offer import Offer
from uinet.units import MASK32
from uinet.wire.constants import (
    ACK,
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    FIN,
    MAX_TAGS,
    MORE_FRAGMENTS,
    OFFSET_MASK,
    PROTO_TCP,
    RST,
    SYN,
    V4_MAPPED,
)
from uinet.wire.frame import Frame
from uinet.wire.kernels import load_u8, load_u16, load_u32, load_u64, vids
from uinet.wire.packet import Packet, is_tpid

if TYPE_CHECKING:
    from uinet.bridging.track import Track
    from uinet.bridging.translate import Translation

LINK_HEADER = 14
NO_TAGS = b""


class FlowTable(FlowIndex):
    """The flows between two bridged interfaces, whose packets it takes from now on; see :class:`FlowIndex`."""

    def __init__(self, stack: Any, near: Interface, far: Interface, **bounds: int) -> None:
        super().__init__(stack, **bounds)
        near.flows = far.flows = self

    # packets

    def passes(self, side: Any, data: bytes, size: int, layer: int, now: int) -> bool:
        """Whether a frame in a device's buffer is one of a flow that is only passed on, and nothing in it is to be
        noted: no SYN, FIN or RST, no IP options, no fragment. It is counted then."""
        at = 0
        tags = 0
        if layer == 2:
            at = LINK_HEADER
            if size < at + 40:
                return False
            ethertype = load_u16(data, 12)
            while is_tpid(ethertype):
                if tags == MAX_TAGS or size < at + 44:
                    return False
                tags += 1
                at += 4
                ethertype = load_u16(data, at - 2)
            if ethertype != ETHERTYPE_IPV4 and ethertype != ETHERTYPE_IPV6:
                return False
        elif size < 40:
            return False
        names = vids(data, tags) if tags else NO_TAGS
        if load_u8(data, at) == 0x45:
            if load_u8(data, at + 9) != PROTO_TCP or load_u16(data, at + 6) & (MORE_FRAGMENTS | OFFSET_MASK):
                return False
            l4 = at + 20
            flow = self.lookup(
                0, V4_MAPPED | load_u32(data, at + 12), load_u16(data, l4), 0, V4_MAPPED | load_u32(data, at + 16),
                load_u16(data, l4 + 2), names,
            )
        elif load_u8(data, at) >> 4 == 6 and load_u8(data, at + 6) == PROTO_TCP and size >= at + 60:
            l4 = at + 40
            flow = self.lookup(
                load_u64(data, at + 8), load_u64(data, at + 16), load_u16(data, l4), load_u64(data, at + 24),
                load_u64(data, at + 32), load_u16(data, l4 + 2), names,
            )
        else:
            return False
        if flow is None or flow.state != PASS or flow.translation is not None:
            return False
        if load_u8(data, l4 + 13) & (SYN | FIN | RST) or side is not (flow.near if self.from_client else flow.far):
            return False
        self._count(flow, size, now)
        return True

    def passed(self, interface: Any, frames: int, octets: int) -> None:
        """Counts what a device has passed on."""
        receiver = self.stack.receiver
        receiver.frames += frames
        receiver.octets += octets
        self.stats.count("link_bridged", frames)
        self.stats.count("link_tx_frames", frames)
        self.stats.count("link_tx_bytes", octets)
        side: Interface = interface
        side.rx_frames += frames
        side.rx_bytes += octets
        other = side.bridge
        if other is not None:
            other.tx_frames += frames
            other.tx_bytes += octets
            other.counted_frames += frames
            other.counted_bytes += octets

    def _count(self, flow: BridgedFlow, size: int, now: int) -> None:
        """A frame of `size` bytes of a flow, the way that `from_client` says."""
        flow.seen = True
        flow.last = now
        if self.from_client:
            flow.client_frames += 1
            flow.client_octets += size
        else:
            flow.server_frames += 1
            flow.server_octets += size

    def segment(self, interface: Any, packet: Packet) -> bool:
        """Passes on a packet of a flow that is known; False if it is not, or begins another."""
        if packet.end - packet.l4 < 20:
            return False
        flow = self.find(packet)
        if flow is None:
            return False
        flags = load_u8(packet.data, packet.l4 + 13)
        if flags & (SYN | FIN | RST) and not self._signal(flow, packet, flags):
            return False
        self._count(flow, len(packet.data), packet.now)
        if flow.state == PASS and flow.translation is None:
            self._forward(interface, packet.frame)
        else:
            self._closely(flow, interface, packet)
        return True

    def _forward(self, interface: Interface, frame: Frame) -> None:
        other = interface.bridge
        if other is not None:
            self.stats.count("link_bridged")
            other.transmit(frame)

    def _closely(self, flow: BridgedFlow, interface: Interface, packet: Packet) -> None:
        """A packet of a flow that is tracked or translated."""
        seg = self.seg
        code = seg.parse(packet)
        translation: Translation | None = flow.translation
        from_client = self.from_client
        if translation is None:
            self._forward(interface, packet.frame)
        elif code:
            self.stats.count("tcp_bad_checksum")
            return  # its receiver would drop it as well
        else:
            self._translate(translation, interface, packet, from_client)
            if not from_client:
                translation.nearer(seg)
        if code or flow.track is None:
            return
        track: Track = flow.track
        track.segment(from_client, packet, seg)
        flow.client_offer = track.client.offer
        flow.server_offer = track.server.offer
        if flow.waiting is not None:
            flow.waiting()

    def _translate(
        self, translation: Translation, interface: Interface, packet: Packet, from_client: bool
    ) -> None:
        other = interface.bridge
        if other is None:
            return
        frame = translation.frame(packet, self.seg, from_client)
        if not frame.gso_size and packet.end - packet.l3 > other.mtu:
            self.stats.count("bridge_too_large")
            return
        self.stats.count("bridge_translated")
        other.transmit(frame)

    def _signal(self, flow: BridgedFlow, packet: Packet, flags: int) -> bool:
        """A SYN, FIN or RST; False for a SYN that begins another flow on this one's addresses and ports: the old one is
        forgotten."""
        if flags & SYN:
            if flags & ACK:
                self._note_offer(flow, packet)
            elif flow.ends or not self._repeated(flow, packet):
                if flow.translation is not None and not flow.ends:
                    return True  # the other end challenges it, or else resets what it knows nothing of
                self.remove(flow, "reset" if flow.ends & RESET else "closed")
                return False
            return True
        if flags & RST:
            flow.ends |= RESET
        else:
            self._note_fin(flow, packet)
        if flow.ends & RESET or flow.ends & (CLIENT_FIN | SERVER_FIN) == CLIENT_FIN | SERVER_FIN:
            flow.ends |= ENDED
            self.wheel.arm(flow, packet.now + LINGER)
        return True

    def _repeated(self, flow: BridgedFlow, packet: Packet) -> bool:
        """Whether a SYN is the one that began the flow, come again."""
        return self.from_client and flow.server_offer is None and flow.client_offer is not None

    def _note_offer(self, flow: BridgedFlow, packet: Packet) -> None:
        """A SYN|ACK of a flow that is not tracked: what it offers is kept, should it be tracked later."""
        if flow.track is None and not self.from_client and not self.seg.parse(packet):
            flow.server_offer = Offer(packet.data, self.seg)

    def _note_fin(self, flow: BridgedFlow, packet: Packet) -> None:
        """A FIN passes: where it is is kept, should the flow be tracked later."""
        seg = self.seg
        if seg.parse(packet):
            return
        if self.from_client:
            flow.ends |= CLIENT_FIN
            flow.client_fin = (seg.seq + seg.length) & MASK32
            return
        flow.ends |= SERVER_FIN
        if flow.translation is not None:
            flow.translation.nearer(seg)
        flow.server_fin = (seg.seq + seg.length) & MASK32

    def icmp_error(self, interface: Any, packet: Packet) -> bool:
        """Passes on an ICMP error that quotes a packet of a translated flow, with the number that its sender knows."""
        if not self.translated or interface.bridge is None:
            return False
        frame = translated_error(self, interface, packet)
        if frame is None:
            return False
        self._forward(interface, frame)
        return True

    def stranger(self, interface: Any, packet: Packet) -> None:
        """A SYN that nobody here wants, or a segment of a flow that began before this bridge did or was forgotten: it
        is known from now on."""
        if packet.end - packet.l4 < 20 or interface.bridge is None:
            return
        flags = load_u8(packet.data, packet.l4 + 13)
        if flags & RST or flags & (SYN | ACK) == SYN | ACK or self.find(packet) is not None:
            return
        # a late segment of a connection that is proxied, and one half of which is over, must not take the other's away
        other = self.stack.tcp.table.find(
            interface.bridge.cdom, packet.vids, packet.src_hi, packet.src_lo, load_u16(packet.data, packet.l4),
            packet.dst_hi, packet.dst_lo, load_u16(packet.data, packet.l4 + 2),
        )
        if other is not None:
            return
        flow = self.add(packet)
        if flow is not None and flags & SYN and not self.seg.parse(packet):
            flow.client_offer = Offer(packet.data, self.seg)
