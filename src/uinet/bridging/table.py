"""The flows that a bridge passes on, found by their packets: the table, its bound, and what is done with each packet.

A flow that is only passed on costs a look-up. There are so many at most; when there are, the next one takes the place
of one that has had no packet for a round of the table (second chance), and that one is passed on as before, only more
slowly: nothing of it is lost. Flows that are tracked, and those whose numbers are translated, which nobody could pass
on without their entry, never give way: of these there are bounds of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from uinet.bridging.constants import (
    CLIENT_FIN,
    ENDED,
    IDLE,
    LINGER,
    PASS,
    RESET,
    ROUNDS,
    SERVER_FIN,
    TRACK,
)
from uinet.bridging.flow import BridgedFlow
from uinet.bridging.quoted import translated_error
from uinet.bridging.track import Budget, Track
from uinet.hashing import Buckets
from uinet.ip.flows import FlowInput
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
from uinet.wire.kernels import hash5, hash_short, load_u8, load_u16, load_u32, load_u64, vids
from uinet.wire.packet import Packet, is_tpid
from uinet.wire.segment import Segment

if TYPE_CHECKING:
    from uinet.bridging.translate import Translation
    from uinet.stack import Stack

LINK_HEADER = 14
NO_TAGS = b""
FLOWS = 65536
TRACKED = 4096
TRANSLATED = 16384
KEPT = 64 << 20  # bytes in flight that are kept of all tracked flows


class FlowTable(FlowInput):
    """The flows between two bridged interfaces of a stack.

    `limit`: how many there are at most, of which `tracked_limit` may be tracked and `translated_limit` translated;
    `budget`: bytes kept for tracked ones. `on_end`: None, or called with a flow that is over, idle or evicted, and a
    word that says which ("closed", "reset", "idle", "evicted"), when it leaves the table.
    """

    def __init__(
        self, stack: Stack, near: Interface, far: Interface, *, limit: int = FLOWS, tracked_limit: int = TRACKED,
        translated_limit: int = TRANSLATED, kept: int = KEPT,
    ) -> None:
        key = stack.network.random.secret("bridged flows")
        self.table = Buckets(int.from_bytes(key[:8], "big"), int.from_bytes(key[8:16], "big"))
        self.wheel = stack.wheel
        self.stats = stack.stats
        self.stack = stack
        self.limit = limit
        self.tracked_limit = tracked_limit
        self.translated_limit = translated_limit
        self.budget = Budget(kept)
        self.tracked = 0
        self.translated = 0
        self.evicted = 0
        self.refused = 0  # flows that found no place
        self.seg = Segment()
        self.from_client = False
        self.hand: BridgedFlow | None = None
        self.on_end: Callable[[BridgedFlow, str], Any] | None = None
        near.flows = far.flows = self

    def __len__(self) -> int:
        return self.table.count

    # finding

    def hash_of(
        self, high: int, low: int, port: int, other_high: int, other_low: int, other_port: int, vids: bytes
    ) -> int:
        """The keyed hash of a flow between two addresses and ports, the same for both directions."""
        if low > other_low or (low == other_low and (port > other_port or (port == other_port and high > other_high))):
            high, other_high = other_high, high
            low, other_low = other_low, low
            port, other_port = other_port, port
        word = port
        word = (word << 16) | other_port
        if len(vids):
            high ^= hash_short(self.table.k1, self.table.k0, vids)
        return hash5(self.table.k0, self.table.k1, high, low, other_high, other_low, word)

    def lookup(
        self, high: int, low: int, port: int, other_high: int, other_low: int, other_port: int, vids: bytes
    ) -> BridgedFlow | None:
        """The flow of packets from one address and port to the other, or None; `from_client` says which way they go."""
        key = self.hash_of(high, low, port, other_high, other_low, other_port, vids)
        flow: BridgedFlow | None = self.table.heads[self.table.bucket(key)]
        while flow is not None:
            if flow.hash == key and flow.vids == vids:
                if (
                    flow.client_lo == low and flow.server_lo == other_low and flow.client_port == port
                    and flow.server_port == other_port and flow.client_hi == high and flow.server_hi == other_high
                ):
                    self.from_client = True
                    return flow
                if (
                    flow.server_lo == low and flow.client_lo == other_low and flow.server_port == port
                    and flow.client_port == other_port and flow.server_hi == high and flow.client_hi == other_high
                ):
                    self.from_client = False
                    return flow
            flow = flow.hash_next
        return None

    def find(self, packet: Packet) -> BridgedFlow | None:
        """The flow of a packet whose transport header's first four bytes are there, or None; one that comes from the
        wrong side is none of it."""
        flow = self.lookup(
            packet.src_hi, packet.src_lo, load_u16(packet.data, packet.l4), packet.dst_hi, packet.dst_lo,
            load_u16(packet.data, packet.l4 + 2), packet.vids,
        )
        if flow is None or packet.interface is not (flow.near if self.from_client else flow.far):
            return None
        return flow

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

    # coming and going

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

    def add(self, packet: Packet, from_client: bool = True) -> BridgedFlow | None:
        """A new flow, in PASS, of a packet that its client (else its server) has sent; None if there is no room."""
        if self.table.count >= self.limit and not self.make_room():
            self.refused += 1
            return None
        port = load_u16(packet.data, packet.l4)
        other_port = load_u16(packet.data, packet.l4 + 2)
        flow = BridgedFlow()
        flow.table = self
        flow.hash = self.hash_of(
            packet.src_hi, packet.src_lo, port, packet.dst_hi, packet.dst_lo, other_port, packet.vids
        )
        interned = self.stack.tcp.interned
        flow.vids = interned.one(packet.vids)
        flow.header = interned.one(packet.link_header if from_client else packet.reply_header())
        interface: Interface = packet.interface
        flow.near, flow.far = interface, interface.bridge
        flow.client_hi, flow.client_lo, flow.client_port = packet.src_hi, packet.src_lo, port
        flow.server_hi, flow.server_lo, flow.server_port = packet.dst_hi, packet.dst_lo, other_port
        if not from_client:
            flow.near, flow.far = flow.far, flow.near
            flow.client_hi, flow.server_hi = flow.server_hi, flow.client_hi
            flow.client_lo, flow.server_lo = flow.server_lo, flow.client_lo
            flow.client_port, flow.server_port = flow.server_port, flow.client_port
        flow.last = packet.now
        if from_client:
            flow.client_frames, flow.client_octets = 1, len(packet.data)
        else:
            flow.server_frames, flow.server_octets = 1, len(packet.data)
        self.put(flow)
        return flow

    def put(self, flow: BridgedFlow) -> None:
        """Puts a flow, whose key and hash are set, into the table."""
        self.table.insert(flow)
        hand = self.hand
        if hand is None:
            flow.ring_next = flow.ring_previous = flow
            self.hand = flow
        else:
            before = hand.ring_previous
            assert before is not None
            flow.ring_next, flow.ring_previous = hand, before
            before.ring_next = hand.ring_previous = flow
        if flow.translation is not None:
            self.translated += 1
        if flow.track is not None:
            self.tracked += 1
        self.wheel.arm(flow, self.forget_at(flow))

    def forget_at(self, flow: BridgedFlow) -> int:
        """When a flow is forgotten if nothing more comes of it: soon after its end, or if only one side was seen."""
        short = flow.ends & ENDED or not ((flow.client_frames and flow.server_frames) or flow.translation is not None)
        return max(1, flow.last) + (LINGER if short else IDLE)

    def make_room(self) -> bool:
        """Second chance: the hand passes flows that have had a packet since it last did."""
        for _ in range(min(2 * self.table.count, ROUNDS)):
            flow = self.hand
            if flow is None:
                return False
            self.hand = flow.ring_next
            if flow.state != PASS or flow.translation is not None:
                continue
            if flow.seen:
                flow.seen = False
                continue
            self.evicted += 1
            self.remove(flow, "evicted")
            return True
        flow = self.hand
        if flow is not None and flow.state == PASS and flow.translation is None:
            self.evicted += 1
            self.remove(flow, "evicted")
            return True
        return False

    def remove(self, flow: BridgedFlow, why: str) -> None:
        """Takes a flow out of the table. `why`: see `on_end`; "" tells nobody."""
        if not self.table.remove(flow):
            return
        self.wheel.disarm(flow)
        following, before = flow.ring_next, flow.ring_previous
        if following is flow:
            self.hand = None
        elif following is not None and before is not None:
            before.ring_next = following
            following.ring_previous = before
            if self.hand is flow:
                self.hand = following
        flow.ring_next = flow.ring_previous = None
        if flow.translation is not None:
            self.translated -= 1
        flow.table = None
        if why and self.on_end is not None:
            self.on_end(flow, why)
        self.untrack(flow)
        flow.connection = None

    def due(self, flow: BridgedFlow, now: int) -> None:
        """The flow's timer."""
        later = self.forget_at(flow)
        if now < later:
            self.wheel.arm(flow, later)
            return
        self.remove(flow, "idle" if not flow.ends & ENDED else "reset" if flow.ends & RESET else "closed")

    # states

    def start_tracking(self, flow: BridgedFlow) -> bool:
        """Goes to TRACK; False if too many are tracked."""
        if flow.track is not None:
            return True
        if self.tracked >= self.tracked_limit:
            return False
        self.tracked += 1
        flow.track = Track(self.budget, flow.client_offer, flow.server_offer)
        flow.track.client.note_fin(flow.client_fin)
        flow.track.server.note_fin(flow.server_fin)
        flow.state = TRACK
        return True

    def untrack(self, flow: BridgedFlow) -> None:
        """Goes to PASS."""
        flow.state = PASS
        if flow.track is not None:
            self.tracked -= 1
            flow.track.release()
            flow.track = None
        flow.waiting = None

    def close(self) -> None:
        """Forgets every flow; those that are translated end there."""
        for flow in self.table.nodes():
            self.remove(flow, "")
