"""One connection of a copy: who, where, since when, and how it ended."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any

from uinet.hashing import Node
from uinet.passive.constants import (
    BUDGET,
    CLOSE_NONE,
    CLOSES,
    CONFLICT,
    DOUBTFUL,
    LIMIT,
    LOST_END,
    MIDSTREAM,
    REUSED,
    REVERSED,
    RST_IGNORED,
    UNFINISHED,
    WAITING,
)
from uinet.passive.half import Half
from uinet.wire.addresses import Mac, VlanTag, join, unpack_address
from uinet.wire.kernels import untrack
from uinet.wire.packet import l2info_of

if TYPE_CHECKING:
    from uinet.passive.core import Core

NOTES = (
    (REUSED, "reused"),  # its end was not seen: another connection began on the same addresses and ports
    (LOST_END, "lost-end"),  # a FIN is missing in the copy, but was acknowledged
    (LIMIT, "limit"),  # given up early, so that no more than `Limits.connections` are kept
    (BUDGET, "budget"),  # data were not waited for as long as the deadline says: too much was held
    (CONFLICT, "conflict"),  # different bytes for the same place in a stream
    (RST_IGNORED, "rst-ignored"),  # a RST was seen that the connection outlived
    (UNFINISHED, "checksums-unfinished"),  # captured on the sender, before its network card filled in checksums
    (DOUBTFUL, "doubtful"),  # data were delivered that its receiver may have dropped
)


class Path:
    """What many connections have in common: the VLAN stack and MACs, who follows them, and for how long things wait.

    `client_deadline`, `server_deadline`: how long gaps in what the client and the server sent are waited for;
    `deadline`: the longer of the two. `idle`: after that much silence a connection is over. ns.
    """

    def __init__(self, core: Core, vids: bytes, header: bytes) -> None:
        self.core = core
        self.vids = vids
        self.header = header
        self.mark = 0  # of the VLAN stack, where it says all of it
        self.deadline = self.client_deadline = self.server_deadline = core.deadline
        self.idle = core.idle


class Extra:
    """What few connections have: an open question."""

    def __init__(self) -> None:
        # a SYN on a connection that is not over: a new one begins if this is answered
        self.syn_base = 0
        self.syn_stamp = 0
        self.syn_scale = 0
        self.syn_from_client = True
        self.syn_timestamps = False
        self.syn_pending = False
        self.syn_answer = False  # it is a SYN|ACK: its SYN is not in the copy
        self.answer_base = 0
        # a RST, which counts unless its sender goes on
        self.rst_at = 0
        self.rst_from_client = False
        self.rst_exact = False
        # further SYN|ACKs: the client's ACK says which one counts
        self.candidates: list[int] = []
        untrack(self)


class Connection(Node):
    """A connection. `client` is the stream that the client sent, `server` the server's.

    `start` and `end`: time stamps of its first and last packet, ns. `serial`: its number, in order of first packets;
    `frame`: the number of the first packet in the capture, from 1. `user` is for the sink.
    """

    def __init__(self, path: Path) -> None:
        # a Node's fields first: a chain of calls for them would cost more than all the rest
        self.deadline = 0
        self.slot = -1
        self.level = 0
        self.mark = 0  # its VLAN stack in 32 bits, see `Decoder.mark`
        self.wheel_next = None
        self.wheel_previous = None
        self.hash = 0
        self.hash_next = None
        self.path = path
        self.serial = -1
        self.frame = 0
        self.start = 0
        self.last = 0
        self.client = Half()
        self.server = Half()
        self.client_hi = 0
        self.client_lo = 0
        self.server_hi = 0
        self.server_lo = 0
        self.client_port = 0
        self.server_port = 0
        self.state = WAITING
        self.closing = CLOSE_NONE
        self.flags = 0
        self.user: Any = None
        self.extra: Extra | None = None
        untrack(self)

    def expire(self, now: int) -> None:
        """The wheel has come to its deadline, at `now`, ns of packet time."""
        self.path.core.due(self, now)

    def swap(self) -> None:
        """Makes the client the server."""
        self.client, self.server = self.server, self.client
        high, low, port = self.client_hi, self.client_lo, self.client_port
        self.client_hi, self.client_lo, self.client_port = self.server_hi, self.server_lo, self.server_port
        self.server_hi, self.server_lo, self.server_port = high, low, port
        self.flags ^= REVERSED

    def asides(self) -> Extra:
        """The extra, begun if need be."""
        extra = self.extra
        if extra is None:
            extra = self.extra = Extra()
        return extra

    @property
    def end(self) -> int:
        """The time stamp of its last packet, ns."""
        return self.last - self.path.core.clock.shift

    @property
    def close(self) -> str:
        """How it ended: "fin", "rst", "timeout", "end" (of the capture); "" while it goes on."""
        return CLOSES[self.closing]

    @property
    def midstream(self) -> bool:
        """Whether its beginning is not in the copy."""
        return self.flags & MIDSTREAM != 0

    @property
    def notes(self) -> list[str]:
        """Why its record is not plain."""
        return [name for bit, name in NOTES if self.flags & bit]

    @property
    def vids(self) -> bytes:
        """Two bytes for each VLAN tag whose VID is not 0."""
        return self.path.vids

    @property
    def client_address(self) -> tuple[IPv4Address | IPv6Address, int]:
        """The client's address and port."""
        return unpack_address(join(self.client_hi, self.client_lo)), self.client_port

    @property
    def server_address(self) -> tuple[IPv4Address | IPv6Address, int]:
        """The server's address and port."""
        return unpack_address(join(self.server_hi, self.server_lo)), self.server_port

    @property
    def vlans(self) -> tuple[VlanTag, ...]:
        """The VLAN tags of its first packet, outermost first."""
        info = l2info_of(self.path.header)
        return info.vlans if info is not None else ()

    @property
    def client_mac(self) -> Mac | None:
        """The client's MAC; None where packets have none."""
        info = l2info_of(self.path.header)
        if info is None:
            return None
        return info.destination if self.flags & REVERSED else info.source

    @property
    def server_mac(self) -> Mac | None:
        """The server's MAC; None where packets have none."""
        info = l2info_of(self.path.header)
        if info is None:
            return None
        return info.source if self.flags & REVERSED else info.destination
