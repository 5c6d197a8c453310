"""Settings of TCP: `uinet.tcp.settings.Settings`. Names are FreeBSD's where it has the same thing."""

from __future__ import annotations

from uinet.passive.options import CHECKSUMS, URGENT
from uinet.passive.overlap import POLICIES
from uinet.settings.kinds import Choice, Duration, Flag, Kind, Named, Size, Whole
from uinet.settings.registry import CONNECTIONS, SOCKETS, UNTIL_WATCHED, Setting
from uinet.tcp.congestion.names import NAMES
from uinet.units import MICROSECOND, MILLISECOND, MINUTE, SECOND

HOUR = 60 * MINUTE
DAY = 24 * HOUR
MANY = 1 << 24
BUFFER = Size(4096, 1 << 30)
MEMORY = Size(1 << 20, 1 << 40)
TIMEOUT = Duration(SECOND, DAY)


def _tcp(name: str, attribute: str, kind: Kind, rfc: str, help: str, applies: str = "at once", **more: str) -> Setting:
    return Setting(f"net.inet.tcp.{name}", "tcp", attribute, kind, rfc, help, applies, **more)


def _passive(name: str, attribute: str, kind: Kind, help: str, applies: str = UNTIL_WATCHED) -> Setting:
    return Setting(f"net.inet.tcp.passive.{name}", "passive", attribute, kind, "", help, applies)


def _limit(name: str, attribute: str, kind: Kind, help: str) -> Setting:
    return Setting(f"net.inet.tcp.passive.{name}", "limits", attribute, kind, "", help, UNTIL_WATCHED)


BUFFERS = (
    Setting("kern.ipc.maxsockbuf", "tcp", "max_buffer", Size(4096, 1 << 31), "",
            "the largest buffer that SO_RCVBUF and SO_SNDBUF may ask for", SOCKETS),
    _tcp("recvspace", "receive_buffer", BUFFER, "9293 3.8.6",
         "receive buffer of a new socket, and of what a new listener accepts", SOCKETS,
         at_most="receive_buffer_max"),
    _tcp("recvbuf_max", "receive_buffer_max", BUFFER, "7323 2", "how large a receive buffer grows by itself",
         at_least="receive_buffer"),
    _tcp("sendspace", "send_buffer", BUFFER, "9293 3.8.6",
         "send buffer of a new socket, and of what a new listener accepts", SOCKETS,
         at_most="send_buffer_max"),
    _tcp("sendbuf_max", "send_buffer_max", BUFFER, "", "how large a send buffer grows by itself",
         at_least="send_buffer"),
    _tcp("recvmem", "receive_memory", MEMORY, "",
         "unread and out-of-order bytes of all connections; over half of it no buffer grows"),
    _tcp("sendmem", "send_memory", MEMORY, "",
         "queued and unacknowledged bytes of all connections; over half of it no buffer grows"),
)
OPTIONS = (
    _tcp("timestamps.enable", "timestamps", Flag(), "7323 3", "offer timestamps", CONNECTIONS),
    _tcp("window_scaling.enable", "window_scaling", Flag(), "7323 2", "offer window scaling", CONNECTIONS),
    _tcp("sack.enable", "sack", Flag(), "2018", "offer selective acknowledgment", CONNECTIONS),
    _tcp("sack.dsack", "dsack", Flag(), "2883", "tell the peer of what came twice"),
    _tcp("ecn.enable", "ecn", Whole(0, 3), "3168, 9768",
         "congestion marks: 0 never, 1 asked for, 2 if the peer asks, 3 asked for with accurate feedback", CONNECTIONS),
    _tcp("minmss", "min_mss", Whole(48, 1460, "bytes"), "9293 3.7.1",
         "a peer that asks for smaller segments gets these (CVE-2019-11479)", CONNECTIONS),
    _tcp("mtu_probing", "mtu_probing", Whole(0, 2), "4821, 8899",
         "probes for the path's MTU: 0 never, 1 where full segments vanish, 2 always", CONNECTIONS),
    _tcp("signature.drop_unexpected", "drop_unexpected_signatures", Flag(), "2385, 5925",
         "drop SYNs that are signed though their sender has no key here"),
)
TIMES = (
    _tcp("rexmit_initial", "rto_initial", Duration(MILLISECOND, MINUTE), "6298 2.1",
         "retransmission timeout before the first round trip is known", CONNECTIONS, at_most="rto_max"),
    _tcp("rexmit_min", "rto_min", Duration(MILLISECOND, MINUTE), "6298 2.4", "least retransmission timeout",
         at_most="rto_max"),
    _tcp("rexmit_max", "rto_max", Duration(SECOND, HOUR), "6298 2.5", "largest retransmission timeout",
         at_least="rto_min"),
    _tcp("user_timeout", "user_timeout", TIMEOUT, "9293 3.8.3",
         "a connection ends when nothing was acknowledged for so long (R2)"),
    _tcp("user_timeout_low", "user_timeout_low", TIMEOUT, "5482 3.1",
         "least user timeout that a peer's option may ask for", at_most="user_timeout_high"),
    _tcp("user_timeout_high", "user_timeout_high", TIMEOUT, "5482 3.1",
         "largest user timeout that a peer's option may ask for", at_least="user_timeout_low"),
    _tcp("keepinit", "connect_timeout", TIMEOUT, "9293 3.8.3", "how long opening a connection may take"),
    _tcp("keepidle", "keepalive_idle", Duration(SECOND, 30 * DAY), "9293 3.8.4",
         "silence after which keepalive probes, unless a socket says"),
    _tcp("keepintvl", "keepalive_interval", Duration(SECOND, DAY), "9293 3.8.4", "time between keepalive probes"),
    _tcp("keepcnt", "keepalive_count", Whole(1, 127), "9293 3.8.4",
         "keepalive probes without answer that end a connection"),
    _tcp("delacktime", "delayed_ack", Duration(0, 500 * MILLISECOND), "9293 3.8.6.3", "how long an ACK may wait"),
    _tcp("msl", "msl", Duration(MILLISECOND, 10 * MINUTE), "9293 3.4.1",
         "maximum segment lifetime; TIME-WAIT lasts two of them"),
    _tcp("maxtcptw", "time_wait_limit", Whole(1, MANY), "9293 3.10.7.4", "connections in TIME-WAIT at most"),
    _tcp("finwait2_timeout", "fin_wait_2_timeout", TIMEOUT, "9293 3.6",
         "how long a closed connection waits for the peer's FIN"),
    _tcp("orphan_timeout", "orphan_timeout", TIMEOUT, "",
         "how long a closed connection whose peer lets nothing drain is kept (sockstress)"),
)
LISTENING = (
    _tcp("syncache.rexmtlimit", "syn_ack_retries", Whole(0, 12), "9293 3.8.3", "times that a SYN,ACK is sent again"),
    _tcp("syncache.cachelimit", "syn_cache_limit", Whole(1, MANY), "4987 3.4",
         "half-open connections in all; beyond, SYN cookies"),
    _tcp("syncookies", "syn_cookies", Flag(), "4987 3.6", "answer with cookies what the SYN cache has no room for"),
    _tcp("synfilter.limit", "defer_limit", Whole(1, MANY), "", "deferred SYNs of a listener"),
    _tcp("synfilter.timeout", "defer_timeout", Duration(SECOND, HOUR), "", "how long a SYN may stay deferred"),
    _tcp("fastopen.key_period", "fast_open_period", Duration(MINUTE, 365 * DAY), "7413 4.1.2",
         "how long a server's key is used; a cookie is good for one to two of these"),
    _tcp("fastopen.reset_time", "fast_open_reset_time", Duration(0, HOUR), "7413 5.1",
         "how long a Fast Open connection that a RST has ended counts as pending"),
    _tcp("fastopen.client_cache", "fast_open_cache", Whole(1, 1 << 20), "7413 4.1.3",
         "servers' ports whose cookies a client remembers"),
    _tcp("fastopen.server_disable_time", "fast_open_pause", Duration(0, DAY), "7413 4.1.3.1",
         "no Fast Open with a server after a failure; doubles with each"),
    _tcp("fastopen.path_disable_time", "fast_open_blackhole", Duration(0, 7 * DAY), "7413 4.1.3.1",
         "no Fast Open at all after three failures in a row; doubles likewise"),
    _tcp("portrange.first", "port_low", Whole(1, 65535), "6056", "lowest ephemeral port", at_most="port_high"),
    _tcp("portrange.last", "port_high", Whole(1, 65535), "6056", "highest ephemeral port", at_least="port_low"),
)
CONGESTION = (
    _tcp("cc.algorithm", "congestion", Named(NAMES), "9438", "congestion control, unless a socket says", CONNECTIONS),
    _tcp("cc.hystart.enable", "hystart", Flag(), "9406", "end slow start of CUBIC as delay grows (HyStart++)"),
    _tcp("cc.hystart.train", "hystart_train", Flag(), "", "a train of ACKs half a round trip long does so as well"),
    _tcp("pacing", "pacing", Flag(), "", "spread the window over the round trip, where the algorithm does not itself"),
    _tcp("frto", "frto", Flag(), "5682", "undo what a timeout without loss did"),
    _tcp("slow_start_after_idle", "slow_start_after_idle", Flag(), "2861", "a window that was not used shrinks"),
    _tcp("initcwnd_segments", "initial_window_segments", Whole(1, 100), "6928", "initial window, in segments",
         CONNECTIONS),
)
PROTECTION = (
    _tcp("reass.maxqueuelen", "out_of_order_islands", Whole(1, 65535), "",
         "pieces of out-of-order data of a connection"),
    _tcp("challenge_ack_interval", "challenge_ack_interval", Duration(0, MINUTE), "5961 7",
         "least time between challenge ACKs of a connection"),
    _tcp("insecure_rst", "insecure_rst", Flag(), "5961 3",
         "RSTs anywhere in the window reset a connection, as before RFC 5961"),
    _tcp("insecure_syn", "insecure_syn", Flag(), "5961 4", "SYNs in the window reset a connection, as before RFC 5961"),
    _tcp("drop_synfin", "drop_syn_fin", Whole(0, 2), "9293 3.10.7",
         "SYNs with FIN: 0 taken, without the FIN, 1 dropped by listeners, 2 dropped in every state"),
    _tcp("blackhole", "blackhole", Whole(0, 2), "9293 3.10.7.1",
         "segments of no connection meet silence, no RST: 0 none, 1 SYNs, 2 all"),
    _tcp("rst_rate", "rst_rate", Whole(0, 1_000_000_000), "9293 3.5.2", "RSTs a second to strangers"),
)
COPYING = (
    _tcp("copy.held", "copy_held", Size(0, 1 << 30), "",
         "bytes of packets kept of a flow while IP_COPY_MODE is \"maybe\"", at_most="copy_memory"),
    _tcp("copy.memory", "copy_memory", Size(0, 1 << 40), "", "the same, of all flows", at_least="copy_held"),
)
PASSIVE = (
    _tcp("passive.bufspace", "watched_buffer", BUFFER, "",
         "unread bytes of a watched direction, unless SO_RCVBUF says", CONNECTIONS),
    _passive("deadline", "deadline", Duration(0, HOUR), "how long a gap in a watched stream is waited for", SOCKETS),
    _passive("skew", "skew", Duration(0, MINUTE), "how long, once the other side has acknowledged it"),
    _passive("idle", "idle", Duration(MICROSECOND, 30 * DAY),
             "a watched connection that is silent for so long is over"),
    _passive("midstream", "midstream", Flag(),
             "watch connections whose handshake was not seen (followers of captures)"),
    _passive("overlap", "overlap", Choice(tuple(POLICIES)), "which of two overlapping segments counts"),
    _passive("checksums", "checksums", Choice(CHECKSUMS), "whether segments with a wrong checksum are dropped"),
    _passive("urgent", "urgent", Choice(URGENT), "whether an urgent byte is in the stream, or a hole"),
    _passive("ignore_vlans", "ignore_vlans", Flag(), "connections are the same on every VLAN"),
    _limit("maxconnections", "connections", Whole(1, 1 << 30), "connections watched at once"),
    _limit("maxheld", "held", Size(1, 1 << 40), "out-of-order bytes of all watched connections"),
    _limit("maxheld_connection", "held_connection", Size(1, 1 << 40), "the same, of one connection"),
    _limit("maxholes", "holes", Whole(1, 1 << 30), "holes listed of one stream; more are only counted"),
    _limit("maxfragments", "fragments", Size(0, 1 << 40), "bytes of IP fragments kept for watched connections"),
    _limit("maxrecall", "recall", Size(0, 1 << 40),
           "delivered bytes remembered, to notice retransmissions that differ"),
)
TCP = (*BUFFERS, *OPTIONS, *TIMES, *LISTENING, *CONGESTION, *PROTECTION, *COPYING, *PASSIVE)
