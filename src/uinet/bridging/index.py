"""The flows of a bridge that are known: found by their packets, bounded in number.

There are so many at most; when there are, the next one takes the place of one that has had no packet for a round of the
table (second chance), and that one is passed on as before, only more slowly: nothing of it is lost. Flows that are
tracked, and those whose numbers are translated, which nobody could pass on without their entry, never give way: of
these there are bounds of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from uinet.bridging.constants import ENDED, IDLE, LINGER, PASS, RESET, ROUNDS, TRACK
from uinet.bridging.flow import BridgedFlow
from uinet.bridging.track import Budget, Track
from uinet.hashing import Buckets
from uinet.ip.flows import FlowInput
from uinet.ip.interface import Interface
from uinet.wire.kernels import hash5, hash_short, load_u16
from uinet.wire.packet import Packet
from uinet.wire.segment import Segment

if TYPE_CHECKING:
    from uinet.stack import Stack

FLOWS = 65536
TRACKED = 4096
TRANSLATED = 16384
KEPT = 64 << 20  # bytes in flight that are kept of all tracked flows


class FlowIndex(FlowInput):
    """The flows between two bridged interfaces of a stack, by addresses, ports and VIDs.

    `limit`: how many there are at most, of which `tracked_limit` may be tracked and `translated_limit` translated;
    `budget`: bytes kept for tracked ones. `on_end`: None, or called with a flow that is over, idle or evicted, and a
    word that says which ("closed", "reset", "idle", "evicted"), when it leaves the table.
    """

    def __init__(
        self, stack: Stack, *, limit: int = FLOWS, tracked_limit: int = TRACKED,
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
        flow: BridgedFlow | None = self.table.head(self.table.bucket(key))
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

    # coming and going

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
