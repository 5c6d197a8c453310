"""What can be set for the TCP of a stack, with its defaults. Sockets start from these; times are in ns."""

from __future__ import annotations

from typing import Any

from uinet.passive.options import Limits, Options
from uinet.tcp.congestion.names import check_congestion
from uinet.units import MILLISECOND, MINUTE, SECOND


class Settings:
    """The settings of one stack's TCP; change them before the sockets that they are to affect are made."""

    def __init__(self) -> None:
        # buffers, in bytes; the advertised window never exceeds the receive buffer. They begin so large, and grow up
        # to the maximum where a connection can use it (`autotune`), unless its user chooses a size
        self.receive_buffer = 1 << 18
        self.send_buffer = 1 << 18
        self.receive_buffer_max = 1 << 24
        self.send_buffer_max = 1 << 24
        self.max_buffer = 1 << 26  # the largest that setsockopt may ask for
        # path MTU discovery by probes (RFC 4821): 0 never, 1 where full segments vanish or the path was smaller a while
        # ago, 2 on every connection, from 1024 bytes on
        self.mtu_probing = 1
        # options offered in our SYNs
        self.timestamps = True
        self.window_scaling = True
        self.sack = True
        self.dsack = True  # RFC 2883: tell of what came twice
        # RFC 6298. The minimum follows common practice (RFC 6298 2.4 asks for 1 s and explains why less is used)
        self.rto_initial = 1 * SECOND
        self.rto_min = 200 * MILLISECOND
        self.rto_max = 60 * SECOND
        # RFC 9293 3.8.3: give up after R2; for a SYN at least 3 minutes
        self.user_timeout = 15 * MINUTE
        self.user_timeout_low = 100 * SECOND  # what a peer's user timeout option may ask for (RFC 5482, 3.1)
        self.user_timeout_high = 60 * MINUTE
        self.connect_timeout = 3 * MINUTE + 10 * SECOND
        self.orphan_timeout = 2 * MINUTE  # a closed socket whose peer lets nothing drain (threat: sockstress)
        self.delayed_ack = 40 * MILLISECOND
        self.msl = 30 * SECOND
        self.fin_wait_2_timeout = 60 * SECOND
        self.time_wait_limit = 65536
        self.keepalive_idle = 7200 * SECOND
        self.keepalive_interval = 75 * SECOND
        self.keepalive_count = 9
        # listening
        self.syn_ack_retries = 5
        self.syn_cookies = True
        self.syn_cache_limit = 16384  # half-open connections in all
        self.defer_limit = 16384  # deferred SYNs a listener
        self.defer_timeout = 75 * SECOND
        # Fast Open (RFC 7413); a socket has to ask for it
        self.fast_open_period = 86400 * SECOND  # of a server's key: a cookie is good for one to two of these
        self.fast_open_reset_time = 60 * SECOND  # how long one that a RST has ended counts as pending
        self.fast_open_cache = 1024  # servers' ports that a client remembers
        self.fast_open_pause = 60 * SECOND  # after a failure with a server; doubles with each
        self.fast_open_blackhole = 3600 * SECOND  # after three in a row with any; doubles likewise
        self.port_low = 32768  # ephemeral ports
        self.port_high = 60999
        # congestion and loss recovery
        self._congestion: Any = "cubic"  # see `congestion`
        self.pacing = False  # of algorithms that don't pace themselves: the window spread over the round trip
        self.hystart = True  # RFC 9406, with CUBIC
        self.hystart_train = True  # and a train of ACKs half a round trip long makes slow start careful
        self.frto = True  # RFC 5682
        self.slow_start_after_idle = True  # RFC 2861
        self.ecn = 2  # 0 never, 1 asked for (RFC 3168), 2 if the peer asks, 3 asked for with accurate feedback (9768)
        # protections
        self.initial_window_segments = 10  # RFC 6928
        self.min_mss = 216  # a peer that asks for smaller segments gets these (CVE-2019-11479)
        self.out_of_order_islands = 256  # pieces of out-of-order data a connection
        self.challenge_ack_interval = 500 * MILLISECOND  # per connection
        self.insecure_rst = False  # a RST resets anywhere in the window, not only at RCV.NXT
        self.insecure_syn = False  # so does a SYN there, instead of being asked about
        self.drop_syn_fin = 1  # SYNs with FIN: 0 taken, without the FIN; 1 dropped by listeners; 2 in every state
        self.rst_rate = 1000  # RSTs a second to strangers
        self.blackhole = 0  # no RSTs to strangers: 0 off, 1 not to their SYNs, 2 not to anything
        self.copy_held = 256 << 10  # bytes of packets kept of a flow while it is open whether they are wanted
        self.copy_memory = 64 << 20  # the same, of all flows
        self.drop_unexpected_signatures = False  # SYNs that are signed though their sender has no key here
        self.receive_memory = 1 << 30  # unread and out-of-order bytes of all connections together
        self.send_memory = 1 << 30  # queued and unacknowledged bytes, likewise: over half of it no buffer grows
        self.watched_buffer = 1 << 20  # unread bytes of a watched direction, unless SO_RCVBUF says so
        # watched connections (passive sockets): times, policies and limits of putting their streams together
        self.passive = Options(limits=Limits(holes=16))

    @property
    def congestion(self) -> Any:
        """Congestion control: a name (`uinet.tcp.congestion.names`), or a class of one's own, or what else makes an
        object for a connection. InvalidArgument when it is set to something else."""
        return self._congestion

    @congestion.setter
    def congestion(self, what: Any) -> None:
        self._congestion = check_congestion(what)
