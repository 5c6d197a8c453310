"""One connection through the proxy: its phases, and the record that is left of it.

::

    SYN ----> held ----> connecting ----> accepting ----> open ----> finished
               |  policy      |  server        |  client's   |  both streams ended,
               |  decides     |  answers       |  ACK comes  |  or a reset
               v              v                v             v
            bridged,       refused,        handshake       closed, reset,
            rejected       silent          failed          timeout

A connection that is bridged can be tracked, and taken over (it is open then); an open one can be let go: it is bridged
then. In the words of policies these are the states *pass*, *track*, *hold* and *intercept*, see `uinet.proxy.states`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from uinet.bridging.constants import STATES
from uinet.bridging.flow import BridgedFlow
from uinet.errors import Unsafe
from uinet.proxy.match import Flow
from uinet.socket import Socket
from uinet.sockopt import IP_COPY_MODE, IP_COPY_MODE_MAYBE, IP_COPY_MODE_OFF, IP_COPY_MODE_ON, IPPROTO_IP
from uinet.tcp.syn import Syn
from uinet.wheel import Timer
from uinet.wire.addresses import VlanTag

if TYPE_CHECKING:
    from uinet.proxy.engine import Proxy

HELD = "held"
CONNECTING = "connecting"
ACCEPTING = "accepting"
OPEN = "open"
BRIDGED = "bridged"
FINISHED = "finished"

OUTCOMES: dict[str, str] = {
    "closed": "both sides ended their streams",
    "reset": "one side reset the connection, and the other was reset in turn",
    "timeout": "a side stopped answering; both were reset",
    "refused": "the server refused: the client got a RST",
    "silent": "the server did not answer in time: the client saw silence",
    "unreachable": "the network said that the server can't be reached: the client saw silence",
    "busy": "the connection before this one still exists on the server's side: the SYN was dropped",
    "client-gone": "the client went away while its SYN was held",
    "handshake": "the client never completed its handshake: the server's side was reset",
    "policy": "the policy rejected the connection",
    "policy-error": "the policy raised: the SYN was dropped, or both sides were reset",
    "shutdown": "the proxy stopped: both sides were reset",
    "idle": "it was silent for hours while it was passed on: nothing is known of its end",
    "evicted": "it was forgotten while it was passed on, as there were too many; it goes on passing",
}
"""How a connection can end, and what that means."""


class Joint(Protocol):
    """What joins the two sockets of an open connection: the engine's splice, or streams through a policy."""

    @property
    def bytes_ab(self) -> int: ...

    @property
    def bytes_ba(self) -> int: ...

    @property
    def done(self) -> bool: ...

    @property
    def error(self) -> BaseException | None: ...

    on_done: Callable[[Any], None] | None

    def abort(self) -> None: ...


class Connection(Timer):
    """One connection, from its SYN on.

    `client` opened it and `server` is whom it asked for, whichever side of the proxy they are on
    (`flow.from_server`). `started`, `ended`: ns, as the stack counts. `outcome`: one of `OUTCOMES` once it is
    finished, with the `error` behind it, if any. As a timer it is that of a server that stays silent, or of a change
    that waits.

    `bridged`: its entry in the table of flows, while it is passed on. `changes`: (when, state) for each state that it
    came to. `wanted`: the state that it is to come to as soon as that is safe, "" if none; `refusal`: why it is not
    there yet, or why that was given up.
    """

    def __init__(self, proxy: Proxy | None, serial: int, syn: Syn, from_server: bool, started: int) -> None:
        self.blank_timer()
        self.proxy = proxy
        self.serial = serial
        self.first = syn  # whose addresses and MACs the `flow` has
        self.from_server = from_server
        self.syn: Syn | None = syn
        self.phase = HELD
        self.started = started
        self.ended = 0
        self.outcome = ""
        self.error: BaseException | None = None
        self.client: Socket | None = None
        self.server: Socket | None = None
        self.joint: Joint | None = None
        self.told_client_bytes = 0
        self.told_server_bytes = 0
        self.told_serials = (0, 0)
        self.bridged: BridgedFlow | None = None
        self.changes: list[tuple[int, str]] = []
        self.wanted = ""
        self.refusal = ""
        self.give_up_at = 0
        self.only_to_take_over = False  # it is tracked for that, and was not before
        self.squeezed: tuple[int, bool, int, bool] | None = None  # what both sides' receive buffers were
        self.recorded = False  # it was more than passed on
        self.codec: dict[str, Any] | None = None  # what a codec has saved, once it is finished

    @property
    def state(self) -> str:
        """"pass", "track", "hold" or "intercept"; "" once it is over."""
        if self.phase == FINISHED:
            return ""
        if self.phase == HELD:
            return "hold"
        if self.phase == BRIDGED and self.bridged is not None:
            return STATES[self.bridged.state]
        return "intercept"

    def change(self, state: str, wait: float = 5.0) -> str:
        """Brings it to another state: see :func:`uinet.proxy.states.change`."""
        if self.proxy is None:
            raise Unsafe("it is over")
        return self.proxy.change(self, state, wait)

    @property
    def flow(self) -> Flow:
        """Who connects with whom."""
        return Flow.of(self.first, self.from_server)

    @property
    def vlans(self) -> tuple[VlanTag, ...]:
        """The VLAN stack of its SYN."""
        l2 = self.first.l2info
        return () if l2 is None else l2.vlans

    # what the stack tells of it, for the proxy that it belongs to

    def expire(self, now: int) -> None:
        """The server has stayed silent for too long, or it is time to look whether a change is safe by now."""
        if self.proxy is not None:
            if self.wanted:
                self.proxy.try_change(self)
            else:
                self.proxy.server_silent(self)

    def on_segment(self) -> None:
        """A segment of it has been passed on, while it waits to be taken over."""
        if self.proxy is not None and self.wanted:
            self.proxy.try_change(self)

    def on_server(self, server: Socket, events: int) -> None:
        """Upcall of the socket towards the server, until it is joined."""
        if self.proxy is not None:
            self.proxy.on_server(self, server, events)

    def on_client_gone(self, syn: Syn, why: str) -> None:
        """The client has reset its attempt, or did not complete its handshake in time."""
        if self.proxy is not None:
            self.proxy.client_gone(self)

    def on_joint_done(self, joint: Joint) -> None:
        """Both streams have ended, or something has ended them."""
        if self.proxy is not None:
            self.proxy.joint_done(self, joint)

    @property
    def client_bytes(self) -> int:
        """Bytes that the client sent and the server's side took; of the time that it was passed on untracked, none."""
        return self.told_client_bytes + self._now(True)

    @property
    def server_bytes(self) -> int:
        """Bytes that the server sent and the client's side took, likewise."""
        return self.told_server_bytes + self._now(False)

    def _now(self, from_client: bool) -> int:
        """Bytes since it came to its present state."""
        if self.joint is not None:
            return self.joint.bytes_ab if from_client else self.joint.bytes_ba
        track = self.bridged.track if self.bridged is not None else None
        if track is None:
            return 0
        count: int = (track.client if from_client else track.server).octets
        return count

    def count_bytes(self) -> None:
        """Keeps the counts of the present state, which it is about to leave."""
        client, server = self.client_bytes, self.server_bytes
        self.told_client_bytes, self.told_server_bytes = client, server

    @property
    def serials(self) -> tuple[int, int]:
        """The numbers (IP_SERIALNO) of the two TCP connections, the client's and the server's; 0 for one that there is
        not. They name the files of ``--per-flow``."""
        known = self.told_serials
        client, server = self.client, self.server
        return (
            client.serialno if client is not None else known[0], server.serialno if server is not None else known[1]
        )

    def capture(self, wanted: bool) -> None:
        """Decides, once, on the packets that ``--per-flow --maybe`` keeps of it: written, with all that follow, or
        forgotten."""
        for sock in (self.client, self.server):
            if sock is not None and not sock.closed:
                mode = sock.getsockopt(IPPROTO_IP, IP_COPY_MODE)
                if mode & IP_COPY_MODE_MAYBE:
                    sock.setsockopt(IPPROTO_IP, IP_COPY_MODE, IP_COPY_MODE_ON if wanted else IP_COPY_MODE_OFF)

    def release(self) -> None:
        """Keeps the counts and lets go of sockets, joint and proxy, so that no cycle keeps them alive."""
        self.told_serials = self.serials
        self.count_bytes()
        self.codec = getattr(self.joint, "record", None)
        self.joint = None
        self.bridged = None
        syn = self.first
        syn.on_gone = None
        if syn.context is self:
            syn.context = None
        self.client = self.server = self.syn = self.proxy = None

    def as_dict(self, epoch: int = 0) -> dict[str, Any]:
        """The record as JSON has it; `epoch` (ns) is added to the stack's times, which become seconds."""
        flow = self.flow
        record: dict[str, Any] = {
            "serial": self.serial,
            "from": "server" if flow.from_server else "client",
            "vlans": [tag.vid for tag in self.vlans],
            "client": {
                "ip": str(flow.source),
                "port": flow.source_port,
                "mac": flow.source_mac.hex(":"),
                "bytes": self.client_bytes,
                "serialno": self.serials[0],
            },
            "server": {
                "ip": str(flow.destination),
                "port": flow.destination_port,
                "mac": flow.destination_mac.hex(":"),
                "bytes": self.server_bytes,
                "serialno": self.serials[1],
            },
            "start": (self.started + epoch) / 1e9,
            "end": (self.ended + epoch) / 1e9 if self.outcome else None,
            "outcome": self.outcome or self.phase,
        }
        if self.changes:
            record["states"] = [{"state": state, "at": (at + epoch) / 1e9} for at, state in self.changes]
        if self.refusal:
            record["refusal"] = self.refusal
        if self.codec is not None:
            record["codec"] = self.codec
        if self.error is not None:
            record["error"] = " ".join(str(self.error).split())
        return record

    def __repr__(self) -> str:
        flow = self.flow
        vlans = ":".join(str(tag.vid) for tag in self.vlans)
        where = f" vlan {vlans}" if vlans else ""
        client, server = flow.source, flow.destination
        ends = f"{endpoint(client, flow.source_port)} > {endpoint(server, flow.destination_port)}"
        return f"<Connection {self.serial} {ends}{where} {self.outcome or self.phase}>"


def endpoint(address: Any, port: int) -> str:
    """``10.0.0.1:80``, ``[fd00::1]:80``."""
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
