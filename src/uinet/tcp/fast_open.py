"""TCP Fast Open (RFC 7413): data in the SYN, for those who have met before.

Read first: RFC 7413, 4.1 (cookies) and 4.2 (the protocol). Here are the cookies that a server gives and believes, the
cookies and failures that a client remembers, and what either end has to know of one connection. What a listener does
with a SYN is in `fast_listen`.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from uinet.seq import seq_diff, seq_gt
from uinet.tcp.discovery import path_mtu
from uinet.tcp.layout import headers_length, is_v4
from uinet.tcp.negotiate import DEFAULT_MSS_V4, DEFAULT_MSS_V6
from uinet.tcp.table import Entry
from uinet.tcp.tcb import Tcb
from uinet.units import MASK32
from uinet.wire.addresses import join
from uinet.wire.constants import KIND_FAST_OPEN
from uinet.wire.kernels import hash5, load_u64, store_bytes, store_u8, store_u64, take
from uinet.wire.packet import Packet
from uinet.wire.segment import Segment

if TYPE_CHECKING:
    from uinet.tcp.settings import Settings

COOKIE_LENGTH = 8  # of ours; those of others have 4 to 16 bytes
NOP = 1

# what `ServerCookies.check` answers
BAD = 0
GOOD = 1
AGEING = 2  # good, but a new one should be given

WORST_FAILURES = 12  # doublings of the pause after a failure
MISSES = 3  # Fast Opens in a row that were swallowed, while plain SYNs passed: the way out is to blame


class ServerCookies:
    """The cookies of one stack as a server: a keyed hash of both addresses and the time (RFC 7413, 4.1.2).

    The key comes from the stack's seed and changes with each period, so a cookie is good for one to two periods; a
    listener may have keys of its own instead (TCP_FASTOPEN_KEY), which do not age.
    """

    def __init__(self, secret: bytes, settings: Settings) -> None:
        self.key = load_u64(secret, 0), load_u64(secret, 8)
        self.settings = settings

    def make(self, entry: Entry, now: int, keys: bytes) -> bytes:
        """The cookie for the entry's peer now. `keys`: the listener's own, 16 bytes or 32 (with the one before), or
        empty."""
        cookie = bytearray(COOKIE_LENGTH)
        if keys:
            store_u64(cookie, 0, self._of(entry, (load_u64(keys, 0), load_u64(keys, 8)), 0))
        else:
            store_u64(cookie, 0, self._of(entry, self.key, now // self.settings.fast_open_period))
        return bytes(cookie)

    def check(self, entry: Entry, cookie: bytes, now: int, keys: bytes) -> int:
        """GOOD, AGEING or BAD: what a cookie that the entry's peer has sent is worth."""
        if len(cookie) != COOKIE_LENGTH:
            return BAD
        value = load_u64(cookie, 0)
        if keys:
            if value == self._of(entry, (load_u64(keys, 0), load_u64(keys, 8)), 0):
                return GOOD
            if len(keys) == 32 and value == self._of(entry, (load_u64(keys, 16), load_u64(keys, 24)), 0):
                return AGEING
            return BAD
        period = now // self.settings.fast_open_period
        if value == self._of(entry, self.key, period):
            return GOOD
        return AGEING if value == self._of(entry, self.key, period - 1) else BAD

    def _of(self, entry: Entry, key: tuple[int, int], period: int) -> int:
        where = ((entry.cdom & MASK32) << 32) | (period & MASK32)
        return hash5(key[0], key[1], entry.raddr_hi, entry.raddr_lo, entry.laddr_hi, entry.laddr_lo, where)


class Known:
    """What a client remembers of one server's port: its cookie and MSS, and how often Fast Open has failed."""

    __slots__ = ("blocked_until", "cookie", "failures", "mss")

    def __init__(self) -> None:
        self.cookie = b""
        self.mss = 0
        self.failures = 0
        self.blocked_until = 0


class ClientCookies:
    """The cookie cache of one stack (RFC 7413, 4.1.3), bounded: who was used longest ago goes.

    It remembers failures as well (4.1.3.1): after one, Fast Open with that server rests for `fast_open_pause`, twice as
    long after each more. Where several in a row were swallowed though plain SYNs passed, no SYN of this stack carries
    the option for `fast_open_blackhole`, again doubling.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.known: OrderedDict[bytes, Known] = OrderedDict()
        self.misses = 0
        self.strikes = 0
        self.blocked_until = 0

    def find(self, entry: Entry) -> Known | None:
        """What is known of the server of `entry`."""
        key = key_of(entry)
        known = self.known.get(key)
        if known is not None:
            self.known.move_to_end(key)
        return known

    def _get(self, entry: Entry) -> Known:
        known = self.find(entry)
        if known is None:
            while len(self.known) >= max(1, self.settings.fast_open_cache):
                self.known.popitem(last=False)
            known = self.known[key_of(entry)] = Known()
        return known

    def blocked(self, entry: Entry, now: int) -> bool:
        """Whether a SYN to that server should be a plain one."""
        known = self.find(entry)
        return now < self.blocked_until or (known is not None and now < known.blocked_until)

    def learn(self, entry: Entry, cookie: bytes, mss: int) -> None:
        """The server has given a cookie, with a SYN that named its MSS (0: it did not)."""
        known = self._get(entry)
        known.cookie = cookie
        known.mss = mss

    def succeeded(self, entry: Entry) -> None:
        """The server has taken data of a SYN."""
        known = self._get(entry)
        known.failures = 0
        known.blocked_until = 0
        self.misses = 0
        self.strikes = 0

    def failed(self, entry: Entry, now: int) -> None:
        """A SYN with the option was not answered, or its data was not taken."""
        known = self._get(entry)
        known.blocked_until = now + (self.settings.fast_open_pause << known.failures)
        known.failures = min(known.failures + 1, WORST_FAILURES)

    def swallowed(self, now: int) -> None:
        """A plain SYN was answered where one with the option was not."""
        self.misses += 1
        if self.misses >= MISSES:
            self.misses = 0
            self.blocked_until = now + (self.settings.fast_open_blackhole << self.strikes)
            self.strikes = min(self.strikes + 1, WORST_FAILURES)


def key_of(entry: Entry) -> bytes:
    """Whom a cookie is for and from: both addresses, domain, and the server's port (RFC 7413, 4.1.3.1)."""
    where = (entry.cdom << 16) | entry.rport
    return join(entry.laddr_hi, entry.laddr_lo) + join(entry.raddr_hi, entry.raddr_lo) + where.to_bytes(6, "big")


class FastOpen:
    """What Fast Open remembers of one connection.

    A client's: `waiting`: the SYN was not sent yet; `held`: and waits for the first data. `offers`: the next SYN has
    the option, with `cookie` (empty: asks for one). `sent`: bytes of data in the SYN. `lost`: none answered it.
    A server's: `listener`: who took it; `counted`: it counts as pending there; `was_reset`: a RST has ended it.
    Either's: `taken`: data of the SYN was taken.
    """

    __slots__ = ("cookie", "counted", "held", "listener", "lost", "offers", "sent", "taken", "waiting", "was_reset")

    def __init__(self) -> None:
        self.listener: Any = None
        self.cookie = b""
        self.waiting = False
        self.held = False
        self.offers = False
        self.sent = 0
        self.lost = False
        self.taken = False
        self.counted = False
        self.was_reset = False


# what both ends do


def takes_early(tcb: Tcb) -> bool:
    """Whether the user may send before the handshake is complete."""
    fast = tcb.fast_open
    return fast is not None and (fast.waiting or fast.listener is not None)


def put_cookie(scratch: bytearray, at: int, cookie: bytes) -> int:
    """Writes the option, padded in front to whole words (RFC 7413, 4.1.1); its length."""
    length = 2 + len(cookie)
    pad = -length % 4
    for index in range(pad):
        store_u8(scratch, at + index, NOP)
    at += pad
    store_u8(scratch, at, KIND_FAST_OPEN)
    store_u8(scratch, at + 1, length)
    store_bytes(scratch, at + 2, cookie, 0, len(cookie))
    return pad + length


def handshake_done(tcb: Tcb) -> None:
    """SYN-RECEIVED has become ESTABLISHED: a server's connection is pending no more."""
    fast = tcb.fast_open
    assert fast is not None
    fast.offers = False
    if fast.counted:
        fast.counted = False
        fast.listener.fast_pending -= 1


def ended(tcb: Tcb) -> None:
    """The connection is over. A server's that a RST has ended before the handshake was complete stays pending for a
    while, or whoever sends SYN and RST in turn would never reach the limit (RFC 7413, 5.1)."""
    fast = tcb.fast_open
    assert fast is not None
    context = tcb.context
    if fast.counted:
        fast.counted = False
        fast.listener.fast_pending -= 1
        if fast.was_reset:
            fast.listener.note_reset(context.now + context.settings.fast_open_reset_time)
    elif fast.offers and fast.sent and tcb.soft_error is not None:
        context.fast_client.failed(tcb, context.now)  # an ICMP error answered the SYN (RFC 7413, 4.1.3.1)


# what a client does


def begin_client(tcb: Tcb, hold: bool) -> None:
    """Makes `tcb`, whose key is set, open fast: with the server's cookie if there is one, else it asks for one.

    `hold`: with a cookie, the SYN waits for the first data.
    """
    context = tcb.context
    fast = FastOpen()
    fast.waiting = True
    tcb.fast_open = fast
    if tcb.auth is not None or context.fast_client.blocked(tcb, context.now):
        return  # a plain SYN; what is sent before it goes waits for the handshake
    known = context.fast_client.find(tcb)
    fast.offers = True
    if known is not None:
        fast.cookie = known.cookie
    fast.held = hold and len(fast.cookie) > 0


def syn_payload(tcb: Tcb, options: int) -> int:
    """How many bytes of the send buffer go into the SYN, whose options have `options` bytes: at most what fits the
    server's MSS as it is remembered (RFC 7413, 4.1.3), and none without a cookie (4.2.1)."""
    fast = tcb.fast_open
    if fast is None or not fast.offers or not fast.cookie or tcb.snd_buf is None:
        return 0
    known = tcb.context.fast_client.find(tcb)
    mss = known.mss if known is not None else 0
    if mss == 0:
        mss = DEFAULT_MSS_V4 if is_v4(tcb) else DEFAULT_MSS_V6
    room = min(mss, path_mtu(tcb) - headers_length(tcb)) - options
    return max(0, min(room, tcb.snd_buf.length))


def syn_lost(tcb: Tcb) -> bool:
    """The SYN, or a server's SYN,ACK, was not answered in time; False if it is not to be sent again.

    A client goes on without data and option (RFC 7413, 4.2.1); a server tries as often as with any SYN,ACK.
    """
    fast = tcb.fast_open
    assert fast is not None
    context = tcb.context
    if fast.listener is not None:
        fast.offers = False
        return tcb.backoff <= context.settings.syn_ack_retries
    if fast.offers:
        fast.offers = False
        if fast.sent:
            fast.lost = True
            context.stats.count("tcp_fastopen_lost")
            context.fast_client.failed(tcb, context.now)
    return True


def syn_acknowledged(tcb: Tcb, packet: Packet, seg: Segment) -> None:
    """SYN-SENT: an acceptable SYN,ACK. What of the SYN's data it does not acknowledge is sent again (RFC 7413, 4.2.1).

    Leaves SND.NXT where the SYN,ACK says, and the send buffer begins there.
    """
    fast = tcb.fast_open
    assert fast is not None
    context = tcb.context
    client = context.fast_client
    taken = seq_diff(seg.ack, (tcb.iss + 1) & MASK32)
    if taken and tcb.snd_buf is not None:
        tcb.snd_buf.drop(taken)
        tcb.context.queued_bytes -= taken
        if tcb.snd_buf.length == 0:
            tcb.snd_buf = None
    if seq_gt(tcb.snd_nxt, seg.ack):
        tcb.retransmits += 1
        context.stats.count("tcp_retransmit")
    tcb.snd_nxt = seg.ack
    if seg.cookie_length > 0:
        client.learn(tcb, take(packet.data, seg.cookie_at, seg.cookie_length), seg.mss)
    if taken:
        fast.taken = True
        context.stats.count("tcp_fastopen_active")
        client.succeeded(tcb)
    elif fast.sent:
        context.stats.count("tcp_fastopen_refused")
        if fast.lost:
            client.swallowed(context.now)
        elif seg.cookie_length <= 0:
            client.failed(tcb, context.now)
    fast.offers = False


def silence(tcb: Tcb) -> None:
    """The retransmission timer has fired on an established connection. If the peer has said nothing since it took the
    SYN's data, a middlebox may have lost track of the connection: no Fast Open there for now."""
    fast = tcb.fast_open
    assert fast is not None
    if fast.listener is None and fast.taken and tcb.bytes_in == 0 and tcb.backoff == 2:
        context = tcb.context
        context.stats.count("tcp_fastopen_lost")
        context.fast_client.failed(tcb, context.now)
        context.fast_client.swallowed(context.now)
