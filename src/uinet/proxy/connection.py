"""One connection through the proxy: its phases, and the record that is left of it.

::

    SYN ----> held ----> connecting ----> accepting ----> open ----> finished
               |  policy      |  server        |  client's   |  both streams ended,
               |  decides     |  answers       |  ACK comes  |  or a reset
               v              v                v             v
            bridged,       refused,        handshake       closed, reset,
            rejected       silent          failed          timeout
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from uinet.proxy.match import Flow
from uinet.wheel import Timer

if TYPE_CHECKING:
    from uinet.socket import Socket

HELD = "held"
CONNECTING = "connecting"
ACCEPTING = "accepting"
OPEN = "open"
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


class Deadline(Timer):
    """A timer that calls a function."""

    def __init__(self, action: Callable[[], None]) -> None:
        super().__init__()
        self.action = action

    def expire(self, now: int) -> None:
        self.action()


class Connection:
    """One connection, from its SYN on.

    `client` opened it and `server` is whom it asked for, whichever side of the proxy they are on
    (`flow.from_server`). `started`, `ended`: ns, as the stack counts. `outcome`: one of `OUTCOMES` once it is
    finished, with the `error` behind it, if any.
    """

    __slots__ = (
        "_bytes", "client", "deadline", "ended", "error", "flow", "joint", "outcome", "phase", "serial",
        "server", "started", "syn", "vlans",
    )

    def __init__(self, serial: int, flow: Flow, syn: Any, started: int) -> None:
        self.serial = serial
        self.flow = flow
        self.vlans = () if syn.l2info is None else syn.l2info.vlans
        self.syn = syn
        self.phase = HELD
        self.started = started
        self.ended = 0
        self.outcome = ""
        self.error: BaseException | None = None
        self.client: Socket | None = None
        self.server: Socket | None = None
        self.joint: Joint | None = None
        self.deadline: Deadline | None = None
        self._bytes = (0, 0)

    @property
    def client_bytes(self) -> int:
        """Bytes that the client sent and the server's side took."""
        return self._bytes[0] if self.joint is None else self.joint.bytes_ab

    @property
    def server_bytes(self) -> int:
        """Bytes that the server sent and the client's side took."""
        return self._bytes[1] if self.joint is None else self.joint.bytes_ba

    def release(self) -> None:
        """Keeps the counts and lets go of sockets and joint, so that no cycle keeps them alive."""
        self._bytes = (self.client_bytes, self.server_bytes)
        self.joint = None
        self.client = self.server = self.syn = self.deadline = None

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
            },
            "server": {
                "ip": str(flow.destination),
                "port": flow.destination_port,
                "mac": flow.destination_mac.hex(":"),
                "bytes": self.server_bytes,
            },
            "start": (self.started + epoch) / 1e9,
            "end": (self.ended + epoch) / 1e9 if self.outcome else None,
            "outcome": self.outcome or self.phase,
        }
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
