"""What a listener does with a SYN that carries the Fast Open option (RFC 7413, 4.2.2 and 5.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uinet.tcp.fast_open import AGEING, BAD
from uinet.tcp.listener import Listener
from uinet.wire.kernels import take
from uinet.wire.packet import Packet
from uinet.wire.segment import Segment

if TYPE_CHECKING:
    from uinet.tcp.protocol import Tcp
    from uinet.tcp.syn_cache import SynEntry


def may_open_early(tcp: Tcp, listener: Listener, entry: SynEntry, packet: Packet, seg: Segment) -> bool:
    """Whether the SYN makes a connection at once. If not, the ordinary handshake follows; `entry.gives_cookie` says
    whether its SYN,ACK brings a cookie.
    """
    stats = tcp.stats
    limit = listener.config.fast_open
    if limit == 0 or seg.cookie_length < 0 or entry.auth is not None:  # no room for both options
        return False
    if seg.cookie_length == 0:
        entry.gives_cookie = True
        stats.count("tcp_fastopen_cookie_asked")
        return False
    cookie = take(packet.data, seg.cookie_at, seg.cookie_length)
    worth = tcp.fast_server.check(entry, cookie, tcp.now, listener.config.fast_open_key)
    if worth == BAD:
        entry.gives_cookie = True
        stats.count("tcp_fastopen_bad_cookie")
        return False
    pending = listener.fast_pending + listener.recent_resets(tcp.now)
    if pending >= limit or tcp.received_bytes >= tcp.settings.receive_memory:
        stats.count("tcp_fastopen_overflow")
        return False
    entry.gives_cookie = worth == AGEING
    return True
