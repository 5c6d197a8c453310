"""The follower: packets of a capture in, streams of all its connections out."""

from __future__ import annotations

from uinet.hashing import Buckets
from uinet.passive.arrive import arrives
from uinet.passive.codes import NOTHING, SEGMENT
from uinet.passive.connection import Connection, Path
from uinet.passive.constants import MANY_VIDS
from uinet.passive.decoder import Decoder
from uinet.passive.engine import Engine
from uinet.passive.options import Options
from uinet.passive.sink import Sink
from uinet.wire.constants import ACK, FIN, RST, SYN
from uinet.wire.kernels import hash5, load_u16, load_u64, take
from uinet.wire.packet import Packet
from uinet.wire.segment import Segment

MAX_PATHS = 65_536
WELL_KNOWN = 1024


class Follower(Engine):
    """Rebuilds the streams of all TCP connections in a copy of their packets, and tells `sink` of them.

    `seed` keys the hash of the table of connections, so that nobody can choose ones that collide.

    Call `finish` at the end: connections are out of the cyclic collector's sight, and a follower that is dropped before
    that keeps them.
    """

    def __init__(self, sink: Sink, options: Options | None = None, *, seed: bytes = b"") -> None:
        super().__init__(sink, options if options is not None else Options())
        key = (seed + bytes(16))[:16]
        self.lanes = [Decoder(self.options, self.tally) for _ in range(3)]
        for lane in self.lanes:
            lane.fragments = self.lanes[0].fragments
        self.turn = 0
        self.table = Buckets(load_u64(key, 0), load_u64(key, 8))
        self.paths: dict[bytes, Path] = {}
        self.bytes = 0
        self.segments = 0
        self.from_client = False
        self.ignoring_vlans = self.options.ignore_vlans

    def packet(self, link_type: int, data: bytes, start: int, captured: int, length: int, time: int) -> None:
        """One packet: the `captured` bytes of `data` at `start`, of `length` on the wire, at `time` ns since 1970."""
        self.enqueue(link_type, data, start, captured, length, time)
        self.flush()

    def enqueue(self, link_type: int, data: bytes, start: int, captured: int, length: int, time: int) -> None:
        """As `packet`, but what it does may happen as late as two packets later, or in `flush`.

        With a million connections each packet is about one that is in no cache. A packet's slot of the table is
        fetched when it comes, its connection while the next one is read, and only then it is its turn.
        """
        self.frames += 1
        self.bytes += length
        turn = self.turn
        lane: Decoder = self.lanes[turn]
        code = lane.decode(link_type, data, start, captured, length, time)
        lane.time = time
        lane.frame = self.frames
        table = self.table
        if code == SEGMENT:
            if lane.mark:
                self.look_at_vlans(lane)
            lane.key = self.hash_of(lane.packet, lane.seg, lane.mark)
            table.warm_slot(table.bucket(lane.key))
        lane.code = code
        before: Decoder = self.lanes[turn - 1 if turn else 2]
        if before.code == SEGMENT:
            table.warm_head(table.bucket(before.key))
        turn = turn + 1 if turn < 2 else 0
        self.turn = turn
        lane = self.lanes[turn]
        if lane.code != NOTHING:
            self.take(lane)

    def flush(self) -> None:
        """Does what `enqueue` has left to do."""
        turn = self.turn
        for _ in range(2):
            turn = turn + 1 if turn < 2 else 0
            lane: Decoder = self.lanes[turn]
            if lane.code != NOTHING:
                self.take(lane)

    def take(self, lane: Decoder) -> None:
        """The turn of a packet that was decoded."""
        code = lane.code
        lane.code = NOTHING
        self.at(lane.time)
        if code != SEGMENT:
            return
        self.segments += 1
        self.frame = lane.frame
        packet = lane.packet
        seg = lane.seg
        self.ttl = packet.ttl
        lane.verify()
        conn = self.find(lane.key, lane.mark, packet, seg)
        if conn is None:
            self.meet(lane, packet, seg)
            return
        if self.clock.strange:
            self.doubted.append(conn)
        arrives(self, conn, self.from_client, seg, packet.data, lane.captured, lane.sum, lane.signed)

    def advance(self, time: int) -> None:
        """Time passes without packets: to `time`, ns since 1970."""
        self.flush()
        if self.now:
            self.at(time)

    def finish(self) -> None:
        """The copy is over: what is held is delivered behind its holes, and every connection ends."""
        self.flush()
        self.lanes[0].finish()
        conns = self.wheel.waiting(self.count)  # each has a timer; in this order they lie in memory
        assert len(conns) == self.count == len(self.table)
        self.table = Buckets(self.table.k0, self.table.k1)
        self.end_all(conns)

    def look_at_vlans(self, lane: Decoder) -> None:
        """Of more than two VIDs the mark is a hash; of none that are ignored it is 0."""
        if self.ignoring_vlans:
            lane.mark = 0
        elif lane.mark == MANY_VIDS:
            lane.name_stack()
            lane.mark = MANY_VIDS | (self.hash_vids(lane.packet.vids) & 0xFFFFFF)

    def hash_of(self, packet: Packet, seg: Segment, mark: int) -> int:
        """The keyed hash of a segment's connection, the same for both directions."""
        high = packet.src_hi
        low = packet.src_lo
        other_high = packet.dst_hi
        other_low = packet.dst_lo
        port = seg.source_port
        other_port = seg.destination_port
        if low > other_low or (low == other_low and (port > other_port or (port == other_port and high > other_high))):
            high, other_high = other_high, high
            low, other_low = other_low, low
            port, other_port = other_port, port
        word = port
        word = (word << 32) | other_port
        if mark:
            wide = mark
            word |= (wide >> 16) << 48 | (wide & 0xFFFF) << 16
        return hash5(self.table.k0, self.table.k1, high, low, other_high, other_low, word)

    def hash_vids(self, vids: bytes) -> int:
        """The keyed hash of a VLAN stack."""
        value = len(vids)
        for offset in range(0, len(vids), 2):
            value = hash5(self.table.k1, self.table.k0, value, load_u16(vids, offset), 0, 0, 0)
        return value

    def find(self, key: int, mark: int, packet: Packet, seg: Segment) -> Connection | None:
        """The connection of a segment, or None; `from_client` says who sent it."""
        conn: Connection | None = self.table.head(self.table.bucket(key))
        while conn is not None:
            if conn.hash == key and conn.mark == mark:
                if (
                    conn.client_lo == packet.src_lo and conn.server_lo == packet.dst_lo
                    and conn.client_port == seg.source_port and conn.server_port == seg.destination_port
                    and conn.client_hi == packet.src_hi and conn.server_hi == packet.dst_hi
                    and (mark < MANY_VIDS or conn.path.vids == packet.vids)
                ):
                    self.from_client = True
                    return conn
                if (
                    conn.client_lo == packet.dst_lo and conn.server_lo == packet.src_lo
                    and conn.client_port == seg.destination_port and conn.server_port == seg.source_port
                    and conn.client_hi == packet.dst_hi and conn.server_hi == packet.src_hi
                    and (mark < MANY_VIDS or conn.path.vids == packet.vids)
                ):
                    self.from_client = False
                    return conn
            conn = conn.hash_next
        return None

    def meet(self, lane: Decoder, packet: Packet, seg: Segment) -> None:
        """A segment of no connection: it may begin one."""
        flags = seg.flags
        if flags & RST:
            self.tally.count("rst_alone")
            return
        from_client = True
        if flags & SYN:
            if flags & FIN:
                self.tally.count("nonsense_flags")
                return
            from_client = not flags & ACK
        elif not flags & ACK:
            self.tally.count("no_ack")
            return
        elif not self.midstream and self.count >= self.limit_connections:
            self.tally.count("ignored_midstream")  # a SYN that is late is not worth a connection that is there
            return
        elif seg.source_port < WELL_KNOWN <= seg.destination_port:
            from_client = False
        conn = self.begin(self.path_of(lane, packet))
        conn.hash = lane.key
        conn.mark = lane.mark
        conn.client_hi, conn.client_lo, conn.client_port = packet.src_hi, packet.src_lo, seg.source_port
        conn.server_hi, conn.server_lo, conn.server_port = packet.dst_hi, packet.dst_lo, seg.destination_port
        if not from_client:
            conn.swap()
        self.table.insert(conn)
        if self.clock.strange:
            self.doubted.append(conn)
        arrives(self, conn, from_client, seg, packet.data, lane.captured, lane.sum, lane.signed)
        self.begun(conn)

    def path_of(self, lane: Decoder, packet: Packet) -> Path:
        """The MACs and VLAN stack of a packet, one object for all that have the same."""
        header = take(packet.data, lane.link_start, lane.link_length)
        path = self.paths.get(header)
        if path is not None and path.mark == lane.mark and lane.mark < MANY_VIDS:
            return path
        lane.name_stack()
        vids = b"" if self.ignoring_vlans else packet.vids
        if path is None or path.vids != vids:
            if len(self.paths) >= MAX_PATHS:
                self.paths.clear()
            path = Path(self, vids, header)
            path.mark = lane.mark
            self.paths[header] = path
        return path

    def admit(self, conn: Connection) -> None:
        """A connection that has its hash goes into the table."""
        self.table.insert(conn)

    def dismiss(self, conn: Connection) -> None:
        """A connection that is in the table leaves it."""
        self.table.remove(conn)

    @property
    def stats(self) -> dict[str, int]:
        """Counters by name, those that are not zero."""
        counters = {
            "packets": self.frames, "bytes": self.bytes, "segments": self.segments, "connections": self.serial,
            "closed": self.closes, "delivered": self.delivered, "missing": self.missing,
        }
        return {**counters, **self.tally.as_dict()}
