"""What a socket is, and says of itself."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any

from uinet import sockopt
from uinet.errors import BadSocket, InvalidArgument, NotConnected
from uinet.events import EV_READABLE, EV_WRITABLE
from uinet.sockopt import SOCK_STREAM
from uinet.tcp import calls
from uinet.tcp.calls import at_end
from uinet.tcp.config import Config, first_window, largest_buffer
from uinet.tcp.fast_open import takes_early
from uinet.tcp.listener import NO_QUEUE, Listener
from uinet.tcp.notify import notify
from uinet.tcp.state import CLOSED, ESTABLISHED, NAMES
from uinet.tcp.tcb import Tcb
from uinet.tcp.urgent import urgent_left
from uinet.udp.endpoint import UdpEndpoint
from uinet.wire.addresses import ANY, L2Info, join, unpack_address
from uinet.wire.kernels import track
from uinet.wire.packet import l2info_of

if TYPE_CHECKING:
    from uinet.passive_socket import PassiveSocket
    from uinet.socket import Socket
    from uinet.stack import Stack

IpAddress = IPv4Address | IPv6Address


class Place:
    """Where a socket belongs that is no connection: what it was bound to, and what it is.

    `bound`: see `Socket.bound`. `l2`: SO_L2INFO. `listener`, `endpoint`: what listens, or takes datagrams.
    """

    __slots__ = ("bound", "endpoint", "l2", "listener")

    def __init__(self) -> None:
        self.bound: tuple[bytes | None, int] | None = None
        self.l2: L2Info | None = None
        self.listener: Listener | None = None
        self.endpoint: UdpEndpoint | None = None


class SocketState:
    """What a :class:`uinet.socket.Socket` is, and says of itself. Arguments: as there."""

    def __init__(self, stack: Stack, family: int, kind: int, config: Config) -> None:
        self.tcb: Tcb | None = None
        self.stack = stack
        self.family = family
        self.type = kind
        self.config = config
        self.shared = True  # others have the same `config`: a copy is made before it changes
        self.place: Place | None = None  # None of a connection: the TCB has its key and link header
        self.on_event: Callable[[Socket, int], None] | None = None
        self.events = 0
        self.ready_queued = False
        self.listed = False  # in the stack's list for `events`
        self.closed = False
        self.user_context: Any = None

    def __repr__(self) -> str:
        serial = f" {self.tcb.serial}" if self.tcb is not None and self.tcb.serial else ""
        return f"<{type(self).__name__}{serial} {self.state}>"

    @property
    def listener(self) -> Listener | None:
        """What listens, if this socket does."""
        return self.place.listener if self.place is not None else None

    @property
    def endpoint(self) -> UdpEndpoint | None:
        """What takes datagrams, if it is a datagram socket."""
        return self.place.endpoint if self.place is not None else None

    @property
    def bound(self) -> tuple[bytes | None, int] | None:
        """(packed address, port) that it was bound to: all zeros any address of the family, None any, port 0 any."""
        return self.place.bound if self.place is not None else None

    @property
    def l2(self) -> L2Info | None:
        """SO_L2INFO as it was set."""
        return self.place.l2 if self.place is not None else None

    def placed(self) -> Place:
        if self.place is None:
            self.place = Place()
        return self.place

    @property
    def state(self) -> str:
        """The state's name, as RFC 9293 spells it; "BOUND", "OPEN" or "CLOSED" for what has none."""
        if self.tcb is not None:
            return NAMES[self.tcb.state]
        if self.closed:
            return "CLOSED"
        if self.listener is not None:
            return "LISTEN"
        return "BOUND" if self.bound is not None else "OPEN"

    @property
    def error(self) -> BaseException | None:
        """Why the connection failed, if it did."""
        if self.tcb is not None:
            return self.tcb.error
        return self.endpoint.error if self.endpoint is not None else None

    @property
    def soft_error(self) -> BaseException | None:
        """What the network has reported of a connection since its last progress, and may pass: a destination that
        can't be reached, a hop limit exceeded (RFC 9293, 3.9.2.2), retransmissions without answer (3.8.3: R1)."""
        return self.tcb.soft_error if self.tcb is not None else None

    @property
    def at_mark(self) -> bool:
        """Whether the last byte of urgent data is the next one to read (SIOCATMARK)."""
        return self.urgent_left == 1

    @property
    def urgent_left(self) -> int:
        """Bytes to read until the end of the urgent data that the peer has announced, arrived or not; 0: none."""
        return urgent_left(self.tcb) if self.tcb is not None else 0

    @property
    def proto(self) -> int:
        """The IP protocol's number, as of a kernel's socket."""
        return sockopt.IPPROTO_TCP if self.type == SOCK_STREAM else sockopt.IPPROTO_UDP

    def fileno(self) -> int:
        """-1: there is no descriptor. For programs that ask every socket."""
        return -1

    @property
    def readable(self) -> bool:
        """Whether recv (or accept) has something to say: data, the end, an error. False once it is closed."""
        return is_readable(self)

    @property
    def writable(self) -> bool:
        """Whether send would not raise WouldBlock. False once the socket is closed."""
        if self.closed:
            return False
        if self.endpoint is not None:
            return True
        tcb = self.tcb
        if tcb is None or (tcb.state < ESTABLISHED and not takes_early(tcb)):
            return tcb is not None and tcb.state == CLOSED
        return tcb.closing or self.send_space > 0

    @property
    def send_space(self) -> int:
        """Bytes that send takes now."""
        tcb = self.tcb
        if tcb is None or tcb.closing or tcb.state == CLOSED:
            return 0
        if self.config.not_sent_low and self.unsent >= self.config.not_sent_low:
            return 0
        return max(0, tcb.snd_limit - (tcb.snd_buf.length if tcb.snd_buf is not None else 0))

    @property
    def unread(self) -> int:
        """Bytes that have arrived in sequence and wait to be read (SIOCINQ)."""
        tcb = self.tcb
        return tcb.rcv_buf.length if tcb is not None and tcb.rcv_buf is not None else 0

    @property
    def unacknowledged(self) -> int:
        """Bytes that were given to send and are not acknowledged, sent or not (SIOCOUTQ)."""
        tcb = self.tcb
        return tcb.snd_buf.length if tcb is not None and tcb.snd_buf is not None else 0

    @property
    def unsent(self) -> int:
        """Bytes that were given to send and were not sent (SIOCOUTQNSD)."""
        return calls.unsent(self.tcb) if self.tcb is not None else 0

    def above_low_water(self, events: int) -> int:
        """What is left of events with SO_RCVLOWAT and TCP_NOTSENT_LOWAT."""
        if events & EV_READABLE and not self.readable:
            events &= ~EV_READABLE
        if events & EV_WRITABLE and self.tcb is not None and not self.writable:
            events &= ~EV_WRITABLE
            if self.tcb.pending_queued:
                notify(self.tcb, EV_WRITABLE)  # asked again when the batch has sent what it may
            else:
                self.tcb.wants_write = True  # the next ACK asks again
        return events

    @property
    def passive(self) -> bool:
        """Whether it watches connections of others, and sends nothing."""
        return self.config.passive and self.tcb is None

    def get_passive_peer(self) -> PassiveSocket:
        """Of a passive socket, the one with the other direction's bytes; InvalidArgument of any other."""
        raise InvalidArgument("only a watched connection has a passive peer")

    @property
    def receive_buffer(self) -> int:
        """Size of the receive buffer of a connection that begins."""
        return self.config.receive_buffer

    @property
    def receive_window(self) -> int:
        """The largest window to advertise to begin with: the receive buffer's size, or TCP_WINDOW_CLAMP."""
        return first_window(self.config)

    @property
    def receive_buffer_max(self) -> int:
        """How large the receive buffer may become."""
        return largest_buffer(self.config, self.stack.tcp.settings)

    @property
    def watched_buffer(self) -> int:
        """Size of the receive buffer of a direction that is watched: its sender can't be asked to wait."""
        config = self.config
        if not config.receive_auto:
            return config.receive_buffer
        return max(config.receive_buffer, self.stack.tcp.settings.watched_buffer)

    @property
    def cdom(self) -> int:
        """The connection domain."""
        return self.tcb.cdom if self.tcb is not None else self.config.cdom

    @property
    def context(self) -> Any:
        """What the SYN filter left for this connection."""
        return self.user_context

    @property
    def serialno(self) -> int:
        """The connection's number: 1 for the first of its stack; 0 before there is one."""
        return self.tcb.serial if self.tcb is not None else 0

    @property
    def l2info(self) -> L2Info | None:
        """MACs and VLAN stack of a promiscuous connection: of an accepted one as the final ACK of its handshake came
        with them (the source is the peer's MAC), of an active one as they were set (the source is ours). Before there
        is a connection what was set; None on a routed one.
        """
        if self.tcb is not None:
            if self.tcb.link_header is None:
                return None
            info = l2info_of(self.tcb.link_header)
            if info is None:
                return None
            return info.reversed() if self.tcb.passive_open else info
        return self.l2

    def getsockname(self) -> tuple[IpAddress | Any, int | Any]:
        """The local address and port; ANY for what is not bound or a wildcard."""
        if self.tcb is not None:
            return unpack_address(join(self.tcb.laddr_hi, self.tcb.laddr_lo)), self.tcb.lport
        if self.endpoint is not None:
            local = self.endpoint.local
            return (unpack_address(local) if local else ANY), self.endpoint.local_port or ANY
        if self.bound is None:
            return ANY, ANY
        address, port = self.bound
        return (unpack_address(address) if address else ANY), port or ANY

    def getpeername(self) -> tuple[IpAddress, int]:
        """The peer's address and port; NotConnected."""
        if self.tcb is not None:
            return unpack_address(join(self.tcb.raddr_hi, self.tcb.raddr_lo)), self.tcb.rport
        if self.endpoint is not None and self.endpoint.remote:
            return unpack_address(self.endpoint.remote), self.endpoint.remote_port
        raise NotConnected()

    def let_go(self) -> None:
        """Its listener listens no more: nobody but the program holds them, and they each other."""
        track(self.place)
        track(self)

    def mark(self, events: int) -> None:
        """Notes events of a listener or datagram socket, to be delivered after the batch."""
        self.events |= events
        if not self.ready_queued:
            self.ready_queued = True
            self.stack.tcp.ready.append(self)
            kick(self)

    def _unconnected(self) -> Exception:
        return BadSocket() if self.closed else NotConnected()


def is_readable(sock: SocketState) -> bool:
    """See `Socket.readable`."""
    if sock.closed:
        return False
    place = sock.place
    if place is not None and place.listener is not None:
        return place.listener.accepted is not NO_QUEUE
    if place is not None and place.endpoint is not None:
        return place.endpoint.readable
    tcb = sock.tcb
    if tcb is None:
        return False
    held = tcb.rcv_buf.length if tcb.rcv_buf is not None else 0
    if held == 0:
        return at_end(tcb)
    low = sock.config.receive_low
    return low <= 1 or held >= min(low, tcb.rcv_limit // 2) or tcb.fin_received or tcb.state == CLOSED


def kick(sock: SocketState) -> None:
    """Outside a batch: tells the event loop that there is something to flush."""
    tcp = sock.stack.tcp
    if not tcp.busy and tcp.on_pending is not None:
        tcp.on_pending()


def check_open(sock: SocketState) -> None:
    """BadSocket if the socket, or its stack, is closed; brings the stack's time up to date."""
    if sock.closed:
        raise BadSocket()
    tcp = sock.stack.tcp
    if tcp.closed_down:
        raise BadSocket("the stack is closed")
    tcp.refresh()


def connection_of(sock: SocketState) -> Tcb:
    """Its connection. BadSocket, NotConnected."""
    if sock.tcb is None:
        raise sock._unconnected()
    return sock.tcb
