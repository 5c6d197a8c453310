"""The connections of a stack as rows: open, half-open, in TIME-WAIT, and watched ones.

A walk (`uinet.hashing.Walk`) gives some entries of the table at a time, so that the stack runs between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from uinet.control.fields import ADDRESS, FLAG, NUMBER, SECONDS, TEXT, Field, Fields
from uinet.errors import ControlError
from uinet.hashing import Walk
from uinet.tcp.constants import COPIED
from uinet.tcp.copying import MODES, FlowCopy
from uinet.tcp.discovery import path_mtu
from uinet.tcp.info import RECOVERY
from uinet.tcp.reception import Reception
from uinet.tcp.recovery import pipe
from uinet.tcp.state import NAMES
from uinet.tcp.syn_cache import SynEntry
from uinet.tcp.tcb import Tcb
from uinet.tcp.time_wait import TimeWait
from uinet.units import MASK32, SECOND
from uinet.wire.addresses import join, pack_address, parse_vlans, split, unpack_address, vids
from uinet.wire.packet import l2info_of

if TYPE_CHECKING:
    from uinet.control.served import Served
    from uinet.tcp.table import Entry

BUCKETS = 32  # of the table, in one step
MAPPED = 0xFFFF  # what comes before an IPv4 address in an IPv4-mapped one


def _address(high: int, low: int) -> str:
    if high == 0 and low >> 32 == MAPPED:
        return f"{low >> 24 & 255}.{low >> 16 & 255}.{low >> 8 & 255}.{low & 255}"
    return str(unpack_address(join(high, low)))


def vlans_of(packed: bytes) -> str:
    """``100:200``, outermost first; "" without tags."""
    return ":".join(str(packed[at] << 8 | packed[at + 1]) for at in range(0, len(packed), 2))


def _state(entry: Any) -> str:
    if isinstance(entry, Tcb):
        return NAMES[entry.state]
    if isinstance(entry, TimeWait):
        return "TIME-WAIT"
    if isinstance(entry, SynEntry):
        return "DEFERRED" if entry.deferred else "SYN-RECEIVED"
    return "WATCHED"


def _interface(entry: Any) -> str | None:
    return entry.interface.name if entry.interface is not None else None


def _mac(side: int) -> Callable[[Any], str | None]:
    """Of the two MACs of what we send: 0 the source, ours, 1 the destination, the peer's."""

    def get(entry: Any) -> str | None:
        info = l2info_of(entry.link_header) if entry.link_header else None
        return None if info is None else str(info[side])

    return get


def _of_tcb(get: Callable[[Tcb], Any]) -> Callable[[Any], Any]:
    """What only a connection with a TCB has."""
    return lambda entry: get(entry) if isinstance(entry, Tcb) else None


def _left(name: str) -> Callable[[Any], Any]:
    """Seconds until one of the timers; None while it is off."""

    def get(entry: Any) -> float | None:
        at = getattr(entry, name) if isinstance(entry, Tcb) else 0
        return max(0, at - entry.context.now) / SECOND if at else None

    return get


def _unread(entry: Any) -> int | None:
    if isinstance(entry, Tcb):
        return entry.rcv_buf.length if entry.rcv_buf is not None else 0
    return entry.charge() if isinstance(entry, Reception) else None


def _queued(tcb: Tcb) -> int:
    return tcb.snd_buf.length if tcb.snd_buf is not None else 0


def _bytes_in(entry: Any) -> int | None:
    if isinstance(entry, Tcb):
        return entry.bytes_in
    return entry.end if isinstance(entry, Reception) else None


def _out_of_order(tcb: Tcb) -> int:
    return tcb.reassembly.length if tcb.reassembly is not None else 0


def _idle(tcb: Tcb) -> float | None:
    return max(0, tcb.context.now - tcb.last_heard) / SECOND if tcb.last_heard else None


def _congestion(tcb: Tcb) -> str | None:
    return tcb.congestion.name if tcb.congestion is not None else None


def _recovering(tcb: Tcb) -> str:
    return RECOVERY[tcb.recovering]


def _auth(entry: Any) -> str | None:
    return entry.auth.name if entry.auth is not None else None


def _copy(get: Callable[[FlowCopy], Any]) -> Callable[[Any], Any]:
    """What only a connection has whose packets are copied."""

    def tell(entry: Any) -> Any:
        copies = entry.context.copies if entry.marks & COPIED and isinstance(entry, Tcb) else None
        flow = copies.of(entry) if copies is not None else None
        return get(flow) if flow is not None else None

    return tell


def _serial(entry: Any) -> int | None:
    if isinstance(entry, Tcb):
        return entry.serial
    return entry.conn.serial if isinstance(entry, Reception) and entry.conn is not None else None


KEY = (
    Field("serial", NUMBER, _serial, "number of the connection (IP_SERIALNO)"),
    Field("cdom", NUMBER, lambda entry: entry.cdom, "connection domain", False),
    Field("vlans", TEXT, lambda entry: vlans_of(entry.vids), "VLAN IDs, outermost first"),
    Field("local", ADDRESS, lambda entry: _address(entry.laddr_hi, entry.laddr_lo), "local address"),
    Field("lport", NUMBER, lambda entry: entry.lport, "local port"),
    Field("remote", ADDRESS, lambda entry: _address(entry.raddr_hi, entry.raddr_lo), "the peer's address"),
    Field("rport", NUMBER, lambda entry: entry.rport, "the peer's port"),
    Field("state", TEXT, _state, "state of RFC 9293, or DEFERRED (a SYN), or WATCHED (passive)"),
    Field("interface", TEXT, _interface, "interface", False),
    Field("local_mac", TEXT, _mac(0), "MAC that is sent from, of a promiscuous connection", False),
    Field("remote_mac", TEXT, _mac(1), "the peer's MAC, of a promiscuous connection", False),
)
TRAFFIC = (
    Field("bytes_in", NUMBER, _bytes_in, "bytes received in sequence"),
    Field("bytes_out", NUMBER, _of_tcb(lambda tcb: tcb.bytes_out), "bytes sent, each counted once"),
    Field("segments_in", NUMBER, _of_tcb(lambda tcb: tcb.segments_in), "segments received", False),
    Field("segments_out", NUMBER, _of_tcb(lambda tcb: tcb.segments_out), "segments sent", False),
    Field("retransmits", NUMBER, _of_tcb(lambda tcb: tcb.retransmits), "segments sent again"),
    Field("unread", NUMBER, _unread, "bytes that wait to be read"),
    Field("queued", NUMBER, _of_tcb(_queued), "bytes to send, or sent and not acknowledged"),
    Field("unacked", NUMBER, _of_tcb(lambda tcb: (tcb.snd_nxt - tcb.snd_una) & MASK32), "sent, not acknowledged",
          False),
    Field("pipe", NUMBER, _of_tcb(pipe), "of these, believed to be in the network (RFC 6675)", False),
    Field("out_of_order", NUMBER, _of_tcb(_out_of_order), "bytes received ahead of a gap", False),
    Field("idle", SECONDS, _of_tcb(_idle), "since the peer was last heard", False),
)
PATH = (
    Field("rtt", SECONDS, _of_tcb(lambda tcb: tcb.srtt / SECOND), "smoothed round trip (RFC 6298)"),
    Field("rttvar", SECONDS, _of_tcb(lambda tcb: tcb.rttvar / SECOND), "its variation", False),
    Field("rto", SECONDS, _of_tcb(lambda tcb: tcb.rto / SECOND), "retransmission timeout", False),
    Field("backoff", NUMBER, _of_tcb(lambda tcb: tcb.backoff), "times that it was doubled", False),
    Field("cwnd", NUMBER, _of_tcb(lambda tcb: tcb.cwnd), "congestion window, bytes"),
    Field("ssthresh", NUMBER, _of_tcb(lambda tcb: tcb.ssthresh), "slow start threshold", False),
    Field("congestion", TEXT, _of_tcb(_congestion), "congestion control; none before there was something to send",
          False),
    Field("recovery", TEXT, _of_tcb(_recovering), "state of loss recovery", False),
    Field("mss", NUMBER, _of_tcb(lambda tcb: tcb.mss), "payload of a full segment sent", False),
    Field("rcv_mss", NUMBER, _of_tcb(lambda tcb: tcb.rcv_mss), "largest segment received", False),
    Field("pmtu", NUMBER, _of_tcb(path_mtu), "path MTU as far as it is known", False),
    Field("snd_wnd", NUMBER, _of_tcb(lambda tcb: tcb.snd_wnd), "the peer's window", False),
    Field("rcv_wnd", NUMBER, _of_tcb(lambda tcb: (tcb.rcv_adv - tcb.rcv_nxt) & MASK32), "our window", False),
    Field("snd_buffer", NUMBER, _of_tcb(lambda tcb: tcb.snd_limit), "send buffer", False),
    Field("rcv_buffer", NUMBER, _of_tcb(lambda tcb: tcb.rcv_limit), "receive buffer", False),
    Field("pacing_rate", NUMBER, _of_tcb(lambda tcb: tcb.pacing_rate), "bytes a second; 0: not paced", False),
    Field("sack", FLAG, _of_tcb(lambda tcb: bool(tcb.sack_ok)), "SACK in use", False),
    Field("timestamps", FLAG, _of_tcb(lambda tcb: bool(tcb.ts_ok)), "timestamps in use", False),
    Field("ecn", FLAG, _of_tcb(lambda tcb: bool(tcb.ecn_ok)), "congestion marks in use", False),
    Field("signed", TEXT, _auth, "md5 or ao, where segments are signed", False),
    Field("passive_open", FLAG, _of_tcb(lambda tcb: bool(tcb.passive_open)), "a listener has taken it", False),
    Field("spliced", FLAG, _of_tcb(lambda tcb: tcb.splice is not None), "joined to another in the engine", False),
    Field("copy", TEXT, _copy(lambda flow: MODES[flow.mode]), "whether its packets are copied: maybe or on", False),
    Field("copied", NUMBER, _copy(lambda flow: flow.bytes), "bytes of packets copied", False),
    Field("orphan", FLAG, _of_tcb(lambda tcb: bool(tcb.orphan)), "its user has let go of it", False),
)
SEQUENCE = (
    Field("iss", NUMBER, _of_tcb(lambda tcb: tcb.iss), "ISS", False),
    Field("irs", NUMBER, _of_tcb(lambda tcb: tcb.irs), "IRS", False),
    Field("snd_una", NUMBER, _of_tcb(lambda tcb: tcb.snd_una), "SND.UNA", False),
    Field("snd_nxt", NUMBER, _of_tcb(lambda tcb: tcb.snd_nxt), "SND.NXT", False),
    Field("rcv_nxt", NUMBER, _of_tcb(lambda tcb: tcb.rcv_nxt), "RCV.NXT", False),
)
TIMERS = (
    Field("timer_rexmt", SECONDS, _left("rexmt_at"), "to the next retransmission or window probe", False),
    Field("timer_loss", SECONDS, _left("loss_at"), "to the end of the reordering window, or a tail probe (RFC 8985)",
          False),
    Field("timer_delack", SECONDS, _left("delack_at"), "to a delayed ACK", False),
    Field("timer_keep", SECONDS, _left("keep_at"), "to a keepalive probe", False),
    Field("timer_close", SECONDS, _left("close_at"), "to the end of FIN-WAIT-2, or of an orphan", False),
)
FIELDS = Fields(*KEY, *TRAFFIC, *PATH, *SEQUENCE, *TIMERS)


def connections(served: Served) -> Iterator[list[Any]]:
    """All entries, some at a time: whoever is there from the first to the last comes once."""
    walk = Walk(served.stack.tcp.table)
    while not walk.done:
        found = walk.step(BUCKETS)
        yield [entry for entry in found if not isinstance(entry, Reception) or entry.primary]


def find(served: Served, request: dict[str, Any]) -> Entry | None:
    """The entry whose key a request has: ``local``, ``lport``, ``remote``, ``rport``, and ``cdom`` and ``vlans`` if it
    has such. ControlError for what is no key."""
    try:
        local, remote = split(pack_address(str(request["local"]))), split(pack_address(str(request["remote"])))
        lport, rport, cdom = (int(request.get(name, 0)) for name in ("lport", "rport", "cdom"))
        text = str(request.get("vlans") or "")
        tags = vids(parse_vlans([int(tag) for tag in text.split(":")])) if text else b""
        if not (0 <= lport <= 65535 and 0 <= rport <= 65535 and 0 <= cdom < 1 << 32):
            raise ValueError
    except (KeyError, ValueError, TypeError, OverflowError):
        raise ControlError("a connection's key is local, lport, remote, rport, and cdom and vlans") from None
    return served.stack.tcp.table.find(cdom, tags, local[0], local[1], lport, remote[0], remote[1], rport)
