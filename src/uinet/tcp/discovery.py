"""Path MTU discovery of connections: by ICMP, by probes, and by what vanishes without a word.

Read first: RFC 1191 and RFC 8201 (ICMP), RFC 5927 section 7 (whom to believe), RFC 4821 and RFC 8899 (probes). A probe
is data of the stream in one segment larger than all before: if it arrives the segments become as large, and if only it
is lost nothing is known of congestion.

A connection has a `Path` once its path is known to carry less than the interface; others cost nothing.
"""

from __future__ import annotations

from uinet.seq import seq_diff, seq_geq, seq_gt, seq_leq
from uinet.tcp.constants import FRAGMENTS, NO_FRTO, TIMEOUT, TIMESTAMPS_LENGTH
from uinet.tcp.flight import Flight
from uinet.tcp.layout import find_path, headers_length, is_v4, route_of
from uinet.tcp.path import (
    BASE,
    COMPLETE,
    DISCOVER_PROBE,
    PROBING_ALWAYS,
    PROBING_OFF,
    SEARCHING,
    Path,
)
from uinet.tcp.sent import Ack
from uinet.tcp.tcb import Tcb
from uinet.units import MILLISECOND, MINUTE
from uinet.wire.addresses import join

FLOOR_V4 = 552  # bytes of a packet: below it no IPv4 path goes (CVE-2004-1060)
FLOOR_V6 = 1280
BASE_V4 = 1064  # 1024 bytes of data: works nearly everywhere (RFC 4821, 7.2)
RAISE = 10 * MINUTE  # PMTU_RAISE_TIMER (RFC 8899, 5.1.1), and the age of a report (RFC 1191 6.3, RFC 8201 5.3)
MAX_PROBES = 3  # RFC 8899, 5.1.2
GRAIN = 8  # bytes: a search that knows its end so closely is over
FOLLOWING = 3  # full segments behind a probe, whose ACKs tell of its loss (RFC 4821, 7.4)
PAUSE = 5  # round trips between a probe that was lost and the next
SILENCE = 3  # timeouts in a row until full segments count as swallowed (R1 of RFC 9293, 3.8.3)
SILENCE_AT_BASE = 5  # the same for the base
ETHERNET = 1500
# sizes that links have: jumbo frames, Ethernet, PPPoE, tunnels over these (RFC 4821, 7.3: common sizes first)
COMMON = (9000, 8192, 4352, 2304, 1500, 1492, 1480, 1476, 1460, 1450, 1440, 1428, 1420, 1400, 1380, 1360, 1300, 1280)

# what becomes of an ICMP report
REFUSED = 0
BELIEVED = 1
HELD = 2  # for later; no other connection is to know


# sizes


def path_mtu(tcb: Tcb) -> int:
    """The path's MTU as far as the network layer knows it: the interface's for a promiscuous connection."""
    if tcb.link_header is None and find_path(tcb.context, tcb) and not on_its_own(tcb):
        return route_of(tcb.context, tcb).mtu
    return tcb.interface.mtu if tcb.interface is not None else 1500


def on_its_own(tcb: Tcb) -> bool:
    """Whether neither ICMP nor what other connections have found out counts: it probes alone, or routers fragment."""
    return tcb.mtu_discover == DISCOVER_PROBE or is_fragmented(tcb)


def is_fragmented(tcb: Tcb) -> bool:
    """Whether routers may fragment what it sends: then probes would tell nothing either."""
    return tcb.marks & FRAGMENTS != 0 and is_v4(tcb)


def probing(tcb: Tcb) -> int:
    """When it probes: one of path's PROBING_."""
    return PROBING_OFF if is_fragmented(tcb) else tcb.mtu_probing


def overhead(tcb: Tcb) -> int:
    """Bytes of a full packet that are no data: IP, TCP and the options that every segment has."""
    signature = tcb.auth.overhead if tcb.auth is not None else 0
    return headers_length(tcb) + (TIMESTAMPS_LENGTH if tcb.ts_ok else 0) + signature


def packet_size(tcb: Tcb) -> int:
    """Bytes of a packet with a full segment."""
    return tcb.mss + overhead(tcb)


def largest(tcb: Tcb) -> int:
    """The largest packet that interface and peer allow, whatever the path does."""
    mtu = tcb.interface.mtu if tcb.interface is not None else 1500
    return min(mtu, tcb.peer_mss + headers_length(tcb))


def floor_of(tcb: Tcb) -> int:
    """The packet size below which nothing makes us go."""
    return FLOOR_V4 if is_v4(tcb) else FLOOR_V6


def base_of(tcb: Tcb) -> int:
    """The packet size that is believed to work (BASE_PLPMTU)."""
    return BASE_V4 if is_v4(tcb) else FLOOR_V6


def set_size(tcb: Tcb, size: int, confirmed: bool) -> None:
    """Makes full packets `size` bytes long. `confirmed`: one of that size has reached the peer."""
    tcb.mss = max(size - overhead(tcb), tcb.context.settings.min_mss)
    flight = tcb.flight
    if flight is not None:
        flight.full = 2 if confirmed else 0
    if tcb.path is not None:
        tcb.path.low = packet_size(tcb)


def path_of(tcb: Tcb) -> Path:
    """The connection's path; made if there is none."""
    if tcb.path is None:
        tcb.path = Path(packet_size(tcb), largest(tcb))
    return tcb.path


def begin(tcb: Tcb) -> None:
    """The connection is established: if it is to probe in any case it begins with the base."""
    if probing(tcb) == PROBING_ALWAYS and packet_size(tcb) > base_of(tcb):
        path = path_of(tcb)
        path.high = largest(tcb)
        path.state = BASE
        set_size(tcb, base_of(tcb), False)


# the network layer's knowledge


def route_changed(tcb: Tcb) -> None:
    """Routes or path MTUs have changed since the connection's was looked up (RFC 8201, 5.2: every connection of a path
    learns of its MTU)."""
    if not find_path(tcb.context, tcb):
        return
    known = min(path_mtu(tcb), largest(tcb))
    size = packet_size(tcb)
    if known < size:
        lower(tcb, known)
    elif known > size and tcb.path is None:
        path = path_of(tcb)  # the connection began with what the cache knew, and that was forgotten
        path.next_at = tcb.context.now


def lower(tcb: Tcb, size: int) -> None:
    """The path carries no more than `size` bytes: for ten minutes that is not doubted."""
    path = path_of(tcb)
    path.probing = False
    path.claimed = 0
    path.failures = 0
    path.state = COMPLETE
    path.next_at = tcb.context.now + RAISE
    set_size(tcb, size, False)
    path.high = path.low


def publish(tcb: Tcb, size: int) -> None:
    """Tells other connections to the same destination what probes or timeouts have shown."""
    if tcb.link_header is None and not on_its_own(tcb):
        tcb.context.network.pmtu.learn(join(tcb.raddr_hi, tcb.raddr_lo), size)


# ICMP


def too_big(tcb: Tcb, mtu: int, seq: int) -> int:
    """A router says that the packet with the segment at `seq`, which is in [SND.UNA, SND.NXT), was larger than its
    `mtu` (RFC 1191, RFC 8201): REFUSED, BELIEVED or HELD.

    Until a full packet has been acknowledged that is what discovery begins with; afterwards the path is known to carry
    such packets, and the report waits until a timeout shows that it no longer does (RFC 5927, 7.2).
    """
    flight = tcb.flight
    if flight is None or on_its_own(tcb):
        return REFUSED
    mtu = max(mtu, floor_of(tcb))
    if flight.holds(seq) or seq_diff(tcb.snd_nxt, seq) + overhead(tcb) <= mtu:
        return REFUSED  # it has arrived, or was never so large
    path = tcb.path
    if path is not None and path.probing and seq_leq(path.start, seq) and seq_gt(path.end, seq):
        if mtu >= path.size or mtu < path.low:
            return REFUSED
        path.high = mtu  # RFC 8899, 4.6.1: no need to try this size again
        flight.lose(path.start, path.end)
        probe_lost(tcb, flight, None)
        path.failures = 0
        path.fresh = True
        path.next_at = tcb.context.now
        narrow(tcb, path)
        return HELD
    if mtu >= packet_size(tcb):
        return REFUSED
    if flight.full != 2:
        lower(tcb, mtu)
        return BELIEVED
    path = path_of(tcb)
    if mtu > path.claimed:  # of two the milder: if that is not enough its router says so again
        path.claimed = mtu
        path.claimed_seq = seq
    tcb.context.stats.count("tcp_mtu_held")
    return HELD


# what ACKs and timeouts tell


def progressed(tcb: Tcb) -> None:
    """SND.UNA has moved on a connection that has a path: a report about what is acknowledged was wrong, a probe whose
    octets were not sent again has arrived."""
    path = tcb.path
    if path is None:
        return
    if path.claimed and seq_gt(tcb.snd_una, path.claimed_seq):
        path.claimed = 0
        tcb.context.stats.count("tcp_mtu_refuted")
    if path.probing and seq_geq(tcb.snd_una, path.end):
        path.probing = False
        path.failures = 0
        tcb.context.stats.count("tcp_mtu_probe_ok")
        set_size(tcb, path.size, True)
        if path.high < largest(tcb) or path_mtu(tcb) < path.low:
            publish(tcb, path.low)  # the path is known to be small, though not how small; or is larger than was known
        narrow(tcb, path)


def probe_lost(tcb: Tcb, flight: Flight, ack: Ack | None) -> bool:
    """Something counts as lost: whether it is the probe alone. Then its octets are sent again in smaller segments,
    which is no matter of congestion control (RFC 4821, 7.6.2). If more is lost the probe has told nothing (7.6.4)."""
    path = tcb.path
    if path is None or not path.probing:
        return False
    path.probing = False
    run = flight.next_lost()
    if run is None or run.again or run.start != path.start or flight.lost > seq_diff(path.end, path.start):
        return False
    if ack is not None:
        ack.lost = 0
    if seq_gt(path.end, run.end):
        flight.lose(path.start, path.end)  # without SACK its first piece alone is known to be lost
    flight.total_lost -= flight.lost
    flight.undo = False
    flight.frto = NO_FRTO
    tcb.recovering = TIMEOUT
    tcb.recover = path.end if tcb.sack_ok else tcb.snd_nxt  # without SACK duplicates count up to there
    context = tcb.context
    context.stats.count("tcp_mtu_probe_lost")
    path.failures += 1
    path.next_at = context.now + PAUSE * (tcb.srtt if tcb.srtt else MILLISECOND)
    if path.failures >= MAX_PROBES:
        path.failures = 0
        path.fresh = False
        if path.high >= path.size:
            path.high = path.size - 1
        narrow(tcb, path)
    return True


def timed_out(tcb: Tcb, flight: Flight) -> None:
    """The retransmission timer has fired, before anything is sent again: believes a report that waited for that, or
    that full packets are swallowed (RFC 4821 7.7, RFC 8899 4.3)."""
    context = tcb.context
    path = tcb.path
    if path is not None:
        path.probing = False
        if path.claimed:
            claimed = path.claimed
            lower(tcb, claimed)
            publish(tcb, claimed)
            return
    if probing(tcb) == PROBING_OFF or tcb.backoff < SILENCE:
        return
    if tcb.snd_wnd < tcb.mss:
        return  # the peer's window has shrunk over what is in flight: that it is not taken says nothing of the path
    size = packet_size(tcb)
    least = base_of(tcb)
    if size <= least and tcb.backoff >= SILENCE_AT_BASE:
        least = floor_of(tcb)
    if size <= least or seq_diff(tcb.snd_nxt, tcb.snd_una) <= least - overhead(tcb):
        return
    context.stats.count("tcp_black_hole")
    path = path_of(tcb)
    if path.state != BASE:
        path.high = max(size, path.high) if path.state == SEARCHING else size
    path.state = BASE
    path.failures = 0
    path.fresh = True
    set_size(tcb, least, False)


# probes


def candidate(path: Path) -> int:
    """The size to try next: first the largest, then Ethernet's, then the middle or a common size that is near it."""
    if path.fresh:
        return path.high
    if path.low < ETHERNET <= path.high:
        return ETHERNET
    middle = (path.low + path.high + 1) // 2
    near = (path.high - path.low) // 4
    for size in COMMON:
        if path.low < size <= path.high and middle - near <= size <= middle + near:
            return size
    return middle


def narrow(tcb: Tcb, path: Path) -> None:
    """`low` or `high` has moved: goes on with the search, or ends it."""
    if path.high >= path.low + GRAIN:
        path.size = candidate(path)
        return
    path.state = COMPLETE
    path.next_at = tcb.context.now + RAISE
    publish(tcb, path.low)


def search(tcb: Tcb, path: Path) -> None:
    """Begins a search, upwards from what is in use."""
    path.fresh = True
    path.failures = 0
    path.state = SEARCHING
    path.size = path.high


def due(tcb: Tcb, flight: Flight, path: Path) -> bool:
    """Whether the state allows for a probe now; moves on from states whose time is over."""
    if tcb.context.now < path.next_at or path.probing:
        return False
    if path.state == BASE and flight.full == 2:
        search(tcb, path)
    elif path.state == COMPLETE:
        most = largest(tcb)
        if probing(tcb) == PROBING_OFF:
            set_size(tcb, min(path_mtu(tcb), most), False)  # RFC 1191, 6.3: the next report will tell
            path.high = path.low
            path.next_at = tcb.context.now + RAISE
        elif most >= path.low + GRAIN:
            path.high = most
            search(tcb, path)
        else:
            path.next_at = tcb.context.now + RAISE
    return path.state == SEARCHING and flight.full == 2


def probe_length(tcb: Tcb, available: int, room: int, window: int, sack: int) -> int:
    """Bytes of data for a probe that is to be sent now instead of a full segment (RFC 4821, 7.4); 0: none is to be;
    -1: one is, as soon as the congestion window has drained enough, and nothing else before it.

    `available`, `room`, `window`: bytes that there are to send and that congestion window and peer let out; `sack`:
    of SACK option in the segment.
    """
    path = tcb.path
    flight = tcb.flight
    if path is None or flight is None or tcb.recovering or flight.lost or flight.sacked or not due(tcb, flight, path):
        return 0
    length = path.size - overhead(tcb) - sack
    needed = length + FOLLOWING * tcb.mss
    if length <= tcb.mss or available < needed or window < needed or tcb.cwnd < needed:
        return 0
    return length if room >= length else -1


def probe_sent(tcb: Tcb, start: int, end: int) -> None:
    """The probe is on its way with the octets [start, end)."""
    path = tcb.path
    if path is not None:
        path.probing = True
        path.start = start
        path.end = end
        tcb.context.stats.count("tcp_mtu_probe")
