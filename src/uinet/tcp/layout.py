"""How a segment's bytes are laid out, and the way they take: for connections, SYN cache entries, TIME-WAITs and resets.

Headers are written into one scratch buffer a stack; headers and payload become one bytes object at the end.
"""

from __future__ import annotations

from uinet.errors import Error
from uinet.ip.neighbors import STATIC, NextHop
from uinet.ip.network import Route
from uinet.tcp.constants import COPY_TX, FRAGMENTS, PINNED
from uinet.tcp.context import Context
from uinet.tcp.signing import sign
from uinet.tcp.table import Entry
from uinet.units import MASK32
from uinet.wire.constants import PROTO_TCP
from uinet.wire.frame import CHECKSUM_NEEDED, CHECKSUM_UNKNOWN, CHECKSUM_VALID, LargeFrame, gathered, new_frame
from uinet.wire.kernels import (
    checksum,
    join,
    join2,
    put_tcp,
    put_v4,
    put_v6,
    store_bytes,
    store_u16,
    store_u32,
    summed,
    take,
)
from uinet.wire.packet import is_mapped

NOP_NOP_TIMESTAMPS = 0x0101080A
EMPTY = b""


def is_v4(entry: Entry) -> bool:
    """Whether the connection runs over IPv4."""
    return is_mapped(entry.raddr_hi, entry.raddr_lo)


def headers_length(entry: Entry) -> int:
    """Bytes of the IP header and the TCP header, without options."""
    return 40 if is_v4(entry) else 60


def find_path(context: Context, entry: Entry) -> bool:
    """Makes `entry.next_hop` good for a routed connection; False if there is no way now."""
    network = context.network
    if entry.next_hop is not None and entry.generation == network.generation:
        return True
    try:
        route = route_of(context, entry)
    except Error:
        entry.next_hop = None
        return False
    entry.next_hop = route.next_hop
    entry.interface = route.interface
    entry.generation = network.generation
    return True


def route_of(context: Context, entry: Entry) -> Route:
    """The route of a connection of domain 0: the network's, or by the one interface that its user has chosen
    (IP_TXIF). NetworkUnreachable, AddressNotAvailable."""
    network = context.network
    if entry.marks & PINNED:
        return network.route(
            join(entry.raddr_hi, entry.raddr_lo), join(entry.laddr_hi, entry.laddr_lo), entry.interface
        )
    return network.route_between(entry.raddr_hi, entry.raddr_lo, entry.laddr_hi, entry.laddr_lo)


def begin(context: Context, entry: Entry) -> int:
    """Writes the link header; where the IP header goes in the scratch buffer, or -1 if there is no way to the peer."""
    if entry.link_header is not None:
        store_bytes(context.scratch, 0, entry.link_header, 0, len(entry.link_header))
        return len(entry.link_header)
    if not find_path(context, entry):
        return -1
    hop = entry.next_hop
    assert hop is not None
    header = hop.link_header
    if header is None or (hop.state != STATIC and context.now >= hop.reachable_until):
        return 0  # to be resolved or confirmed: `transmit` hands it to the neighbours without a link header
    store_bytes(context.scratch, 0, header, 0, len(header))
    return len(header)


def unresolved(entry: Entry, at: int) -> NextHop | None:
    """The next hop whose link header the neighbours have to find out first: none lies before `at`, and the link has
    such. None if the frame is complete."""
    hop = entry.next_hop
    if at == 0 and entry.link_header is None and hop is not None and hop.link_header != EMPTY:
        return hop
    return None


def transmit(
    context: Context, entry: Entry, at: int, seq: int, ack: int, flags: int, window: int, options: int,
    source: bytes | bytearray, offset: int, length: int,
) -> None:
    """Sends one segment: the IP header goes to `at` of the scratch buffer, the TCP header behind it.

    `options`: bytes of options that already stand behind the TCP header's 20 (a multiple of 4). `window`: the field's
    value. The payload is `length` bytes of `source` at `offset`.
    """
    scratch = context.scratch
    if entry.auth is not None:
        options = sign(
            entry, scratch, at + headers_length(entry), options, seq, ack, flags, window, context.urgent, source,
            offset, length,
        )
    l4 = at + headers_length(entry) - 20
    header = 20 + options
    pseudo = put_headers(context, entry, at, seq, ack, flags, window, header, length)
    if entry.marks & FRAGMENTS and is_v4(entry):
        allow_fragments(context, entry, at, 1)
    interface = entry.interface
    assert interface is not None
    state = CHECKSUM_UNKNOWN
    if interface.checksums:
        packet = summed(scratch, l4 + header, l4, l4 + 16, pseudo, source, offset, length)
    else:
        state = CHECKSUM_VALID
        packet = join2(scratch, l4 + header, source, offset, length)
    context.segments_out += 1
    hop = unresolved(entry, at)
    if entry.marks & COPY_TX:
        context.copies.sent(entry, new_frame(packet, state), hop)
    if hop is not None:
        context.network.neighbors.send(hop, packet, state, 0)
        return
    interface.transmit(new_frame(packet, state))


def transmit_large(
    context: Context, entry: Entry, at: int, seq: int, ack: int, flags: int, window: int, options: int,
    pieces: list[memoryview], length: int, segment: int,
) -> None:
    """Sends several segments of `segment` bytes of payload each as one frame, to a device that cuts them. As
    `transmit`, but that the payload, `length` bytes, is in `pieces`, and not copied."""
    scratch = context.scratch
    l4 = at + headers_length(entry) - 20
    header = 20 + options
    pseudo = put_headers(context, entry, at, seq, ack, flags, window, header, length)
    store_u16(scratch, l4 + 16, checksum(scratch, l4, 0, pseudo))
    interface = entry.interface
    assert interface is not None
    count = (length + segment - 1) // segment
    context.segments_out += count
    if entry.marks & FRAGMENTS and is_v4(entry):
        allow_fragments(context, entry, at, count)
    frame = LargeFrame(take(scratch, 0, l4 + header), segment, pieces, at, l4)
    hop = unresolved(entry, at)
    if entry.marks & COPY_TX:
        context.copies.sent(entry, gathered(frame), hop)
    if hop is not None:
        context.network.neighbors.send(hop, gathered(frame).data, CHECKSUM_NEEDED, segment)
        return
    interface.tx_bytes += length
    interface.transmit(frame)


def put_headers(
    context: Context, entry: Entry, at: int, seq: int, ack: int, flags: int, window: int, header: int, length: int
) -> int:
    """Writes the IP header at `at` of the scratch buffer and the TCP header behind it, whose `header` bytes include
    options that stand there already; its checksum is 0. The sum of the pseudo header, for `length` bytes of payload.
    """
    scratch = context.scratch
    size = header + length
    tos = entry.tos | entry.ecn
    if is_v4(entry):
        l4 = at + 20
        pseudo = put_v4(
            scratch, at, tos, entry.ttl, PROTO_TCP, entry.laddr_lo & MASK32, entry.raddr_lo & MASK32, size
        )
    else:
        l4 = at + 40
        pseudo = put_v6(
            scratch, at, tos, entry.ttl, PROTO_TCP, entry.laddr_hi, entry.laddr_lo, entry.raddr_hi, entry.raddr_lo, size
        )
    ports = entry.lport
    ports = (ports << 16) | entry.rport
    put_tcp(scratch, l4, ports, seq, ack, ((header // 4) << 28) | (flags << 16) | window, context.urgent)
    return pseudo


def allow_fragments(context: Context, entry: Entry, at: int, count: int) -> None:
    """Makes the IPv4 header at `at` one that routers may fragment: no DF, and an identification (RFC 6864, 4.2); of a
    packet that is to be cut into `count` those that follow it are its alone."""
    scratch = context.scratch
    source, destination = join(entry.laddr_hi, entry.laddr_lo), join(entry.raddr_hi, entry.raddr_lo)
    identification = context.network.identifications.next(source, destination, PROTO_TCP, count)
    store_u16(scratch, at + 4, identification & 0xFFFF)
    store_u16(scratch, at + 6, 0)
    store_u16(scratch, at + 10, 0)
    store_u16(scratch, at + 10, checksum(scratch, at, 20, 0) ^ 0xFFFF)


def put_timestamps(scratch: bytearray, at: int, tsval: int, tsecr: int) -> int:
    """Writes the timestamps option, aligned (RFC 7323, appendix A); its 12 bytes."""
    store_u32(scratch, at, NOP_NOP_TIMESTAMPS)
    store_u32(scratch, at + 4, tsval)
    store_u32(scratch, at + 8, tsecr)
    return 12


def put_syn_options(
    scratch: bytearray, at: int, mss: int, wscale: int, sack: bool, timestamps: bool, tsval: int, tsecr: int
) -> int:
    """Writes the options of a SYN; their length. `wscale`: -1 for none."""
    start = at
    store_u32(scratch, at, (2 << 24) | (4 << 16) | mss)
    at += 4
    if sack and timestamps:
        store_u16(scratch, at, 0x0402)
        store_u16(scratch, at + 2, 0x080A)
    elif sack:
        store_u32(scratch, at, 0x01010402)
    elif timestamps:
        store_u32(scratch, at, NOP_NOP_TIMESTAMPS)
    if sack or timestamps:
        at += 4
    if timestamps:
        store_u32(scratch, at, tsval)
        store_u32(scratch, at + 4, tsecr)
        at += 8
    if wscale >= 0:
        store_u32(scratch, at, 0x01030300 | wscale)
        at += 4
    return at - start


def mss_within(entry: Entry, limit: int) -> int:
    """The MSS option's value where the user has set a limit (TCP_MAXSEG; 0: none)."""
    mss = mss_to_offer(entry)
    return limit if 0 < limit < mss else mss


def mss_to_offer(entry: Entry) -> int:
    """The MSS option's value: what a packet of the interface's MTU holds (RFC 9293 3.7.1, MUST-67)."""
    interface = entry.interface
    mtu = 1500
    if interface is not None:
        mtu = interface.mtu
        said = interface.mtu_v4 if is_v4(entry) else interface.mtu_v6
        if 0 < said < mtu:
            mtu = said  # a router or DHCP server knows the link better
    return mtu - headers_length(entry)
