"""Passive sockets: the two streams of a connection of others, rebuilt from a copy of its packets. They never send,
until one is told to take part: from then on it is an ordinary connection (`go_active`).

`accept` on a passive listener gives the *primary* socket, whose stream is what the endpoint that got the SYN received:
the bytes that the client sent. `get_passive_peer` gives the socket of the other direction.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from uinet import sockopt
from uinet.errors import BadSocket, InvalidArgument, NotConnected, NotSupported, WouldBlock
from uinet.events import EV_CLOSED, EV_CONNECTED, EV_EOF, EV_ERROR, EV_READABLE, EV_WRITABLE
from uinet.passive.constants import FINISHED, SYN_SEEN
from uinet.passive.half import Half
from uinet.passive.holes import REASONS
from uinet.socket import Socket
from uinet.socket_options import checked
from uinet.socket_state import IpAddress, check_open, kick
from uinet.sockopt import AF_INET, AF_INET6, SHUT_RD, SHUT_RDWR, SHUT_WR, SOCK_STREAM, Config
from uinet.tcp.go_active import step_in
from uinet.tcp.layout import is_v4
from uinet.tcp.notify import notify
from uinet.tcp.reception import Reception, failure, header_of
from uinet.units import MILLISECOND
from uinet.wire.addresses import L2Info, join, unpack_address
from uinet.wire.packet import l2info_of

if TYPE_CHECKING:
    from uinet.stack import Stack

MOST = 1 << 40  # bytes that anybody can ask for


class Hole(NamedTuple):
    """`length` bytes at `offset` of a stream that the copy does not have.

    `reason`: "lost" (the receiver acknowledged them), "deadline" (it may have), "budget" (too much waited), "overrun"
    (our own buffer was full), "end" (of the connection), "snaplen", "urgent".
    """

    offset: int
    length: int
    reason: str


class PassiveInfo(NamedTuple):
    """What is known of one direction of a watched connection. Sizes in bytes, times in seconds of the stack's clock.

    `bytes_received`: the stream so far, holes included; `missing` of them are in holes, `overrun` of these because our
    buffer was full. `out_of_order`: held back behind something missing. `counters`: what else was seen, by name
    ("retransmitted", "conflicts", ...). `close`: how the connection ended ("fin", "rst", "timeout", "end"), or "".
    """

    state: str
    bytes_received: int
    unread: int
    missing: int
    holes: int
    overrun: int
    out_of_order: int
    segments_in: int
    handshake: bool
    fin: bool
    close: str
    deadline: float
    counters: dict[str, int]


class PassiveSocket(Socket):
    """One direction of a watched connection. Local is the endpoint whose reception it is, the peer who sends to it.

    Made by `accept` and `get_passive_peer`. `config` begins as the listener's. Once it has gone active (`go_active`, or
    `send`) it is as any other socket, and stays an object of this class.
    """

    __slots__ = ("partner", "reception")

    def __init__(self, stack: Stack, config: Config, reception: Reception) -> None:
        super().__init__(stack, AF_INET if is_v4(reception) else AF_INET6, SOCK_STREAM, config)
        self.shared = True
        self.reception = reception
        self.partner: PassiveSocket | None = None
        if reception.primary:
            self.user_context, reception.user_context = reception.user_context, None
        events = EV_CONNECTED
        if reception.end:
            events |= EV_READABLE
        if reception.finished:
            events |= EV_READABLE | EV_EOF
        if reception.over:
            events |= EV_READABLE | EV_EOF | EV_CLOSED
            reception.owner = None
        else:
            reception.owner = self
        reception.accepted = True
        if self.error is not None:
            events |= EV_ERROR
        self.mark(events)

    # state

    @property
    def passive(self) -> bool:
        """Whether it still only watches."""
        return self.tcb is None

    @property
    def state(self) -> str:
        """ "ESTABLISHED", "CLOSE-WAIT" behind the stream's FIN, "CLOSED"."""
        if self.tcb is not None:
            return super().state
        if self.closed or self.reception.over:
            return "CLOSED"
        return "CLOSE-WAIT" if self.reception.finished else "ESTABLISHED"

    @property
    def error(self) -> BaseException | None:
        """Why the stream ended without a FIN, if it did: ConnectionReset for a RST, TimedOut for silence."""
        if self.tcb is not None:
            return super().error
        return failure(self.reception)

    @property
    def readable(self) -> bool:
        """Whether recv has something to say: data, a hole, the end. False once it is closed."""
        if self.tcb is not None:
            return super().readable
        return not self.closed and (self.unread > 0 or self.reception.at_end())

    @property
    def unread(self) -> int:
        """Bytes that recv would give now, those of holes counted."""
        if self.tcb is not None:
            return super().unread
        return self.reception.end - self.reception.position

    @property
    def writable(self) -> bool:
        """False."""
        if self.tcb is not None:
            return super().writable
        return False

    @property
    def send_space(self) -> int:
        """0."""
        if self.tcb is not None:
            return super().send_space
        return 0

    @property
    def cdom(self) -> int:
        """The connection domain."""
        if self.tcb is not None:
            return super().cdom
        return self.reception.cdom

    @property
    def serialno(self) -> int:
        """The connection's number, the same for both directions."""
        if self.tcb is not None:
            return super().serialno
        return self.reception.conn.serial if self.reception.conn is not None else 0

    @property
    def l2info(self) -> L2Info | None:
        """MACs and VLAN stack of the first frame seen of this direction: the source is the sender's MAC. While none was
        seen, those of the other direction, turned round.
        """
        if self.tcb is not None:
            return super().l2info
        return l2info_of(header_of(self.reception))

    def getsockname(self) -> tuple[IpAddress, int]:
        """Address and port of the endpoint that receives this stream."""
        if self.tcb is not None:
            return super().getsockname()
        reception = self.reception
        return unpack_address(join(reception.laddr_hi, reception.laddr_lo)), reception.lport

    def getpeername(self) -> tuple[IpAddress, int]:
        """Address and port of the endpoint that sends it."""
        if self.tcb is not None:
            return super().getpeername()
        reception = self.reception
        return unpack_address(join(reception.raddr_hi, reception.raddr_lo)), reception.rport

    def get_passive_peer(self) -> PassiveSocket:
        """The socket of the other direction, always the same one. NotConnected if that was closed; BadSocket."""
        check_open(self)
        if self.partner is None:
            other = self.reception.other
            if other is None or other.shut or not self.reception.primary:
                raise NotConnected("the passive peer was closed")
            self.shared = True
            other.limit = self.watched_buffer
            self.partner = PassiveSocket(self.stack, self.config, other)
            self.partner.partner = self
            self.partner.user_context = self.user_context
        return self.partner

    def info(self) -> Any:
        """A :class:`PassiveInfo`."""
        if self.tcb is not None:
            return super().info()
        reception = self.reception
        conn = reception.conn
        assert conn is not None
        half: Half = conn.client if reception.primary else conn.server
        held = half.gap.size if half.gap is not None else 0
        path = conn.path
        deadline = path.client_deadline if reception.primary else path.server_deadline
        return PassiveInfo(
            state=self.state, bytes_received=reception.end, unread=self.unread,
            missing=half.hole_bytes + reception.overrun, holes=half.hole_count, overrun=reception.overrun,
            out_of_order=held, segments_in=half.packets, handshake=half.flags & SYN_SEEN != 0,
            fin=half.flags & FINISHED != 0, close=conn.close, deadline=deadline / 1e9, counters=half.counters,
        )

    # taking part

    def go_active(self, *, reset: bool | None = None) -> None:
        """Goes on as the endpoint whose reception this is, in the middle of its connection: from now on this is a live
        connection to the peer, which notices nothing. What is unread stays readable. The other direction's socket ends.

        `reset`: whether the endpoint that is played gets a RST, as if from its peer, or is left silent, and may go on
        talking; None: as SO_ACTIVE_RESET says. Again: nothing. Unsafe, with the reason, where that would not go
        unnoticed: bytes are missing or an option is not known; then it goes on watching. BadSocket.
        """
        check_open(self)
        if self.tcb is not None:
            return
        self.stack.tcp.refresh()
        chosen = self.config.active_reset if reset is None else reset
        self.tcb = step_in(self.stack.tcp.watching(), self.reception, self.config, chosen)
        self.tcb.owner = self
        if self.partner is not None:
            self.partner.partner = None
            self.partner = None
        events = EV_CONNECTED | EV_WRITABLE
        if self.tcb.rcv_buf is not None or self.tcb.fin_received:
            events |= EV_READABLE
        notify(self.tcb, events)
        kick(self)

    # options

    def setsockopt(self, level: int, name: int, value: Any) -> None:
        """Sets an option: SO_RCVBUF and TCP_REASSDL of this direction, SO_KEEPALIVE and its times of the connection
        (how long silence may last). Others are remembered and mean nothing. InvalidArgument, NotSupported.
        """
        if self.tcb is not None:
            super().setsockopt(level, name, value)
            return
        check_open(self)
        if (level, name) in sockopt.BEFORE_BIND:
            raise InvalidArgument("this option says where a socket belongs: set it on the listener")
        if self.shared:
            self.config = self.config.copy()
            self.shared = False
        value = checked(self, level, name, value)
        attribute = sockopt.apply(self.config, level, name, value)
        if attribute.startswith("copy_"):
            self._choose_copies(attribute)
        elif attribute == "receive_buffer":
            self.reception.limit = self.config.receive_buffer
        elif attribute == "reassembly_deadline" or attribute.startswith("keep"):
            self._set_times(attribute)

    def _choose_copies(self, attribute: str) -> None:
        """One of the options of copies has changed: they are of the connection, both its directions."""
        copies = self.stack.copies()
        reception = self.reception if self.reception.primary else self.reception.other
        if reception is None or reception.over or reception.conn is None:
            return
        copies.choose(reception, self.config, attribute, reception.conn.serial, True)
        if reception.other is not None:
            copies.share(reception, reception.other)

    def _set_times(self, attribute: str) -> None:
        reception = self.reception
        conn = reception.conn
        if conn is None or reception.over:
            return
        watch = self.stack.tcp.watching()
        path = conn.path
        client, server, idle = path.client_deadline, path.server_deadline, path.idle
        if attribute != "reassembly_deadline":
            idle = watch.idle_of(self.config)
        elif reception.primary:
            client = self.config.reassembly_deadline
        else:
            server = self.config.reassembly_deadline
        conn.path = watch.path_for(client, server, idle)
        watch.arm(conn, max(1, self.stack.now))  # what waits is looked at once more
        kick(self)

    def getsockopt(self, level: int, name: int) -> Any:
        """The value of an option. NotSupported."""
        if self.tcb is not None:
            return super().getsockopt(level, name)
        if (level, name) == (sockopt.SOL_SOCKET, sockopt.SO_PASSIVE):
            return 1
        if (level, name) == (sockopt.IPPROTO_IP, sockopt.IP_COPY_MODE):
            copies = self.stack.tcp.copies
            return copies.mode_of(self.reception) if copies is not None else sockopt.IP_COPY_MODE_OFF
        if (level, name) == (sockopt.IPPROTO_TCP, sockopt.TCP_REASSDL):
            conn = self.reception.conn
            assert conn is not None
            path = conn.path
            time = path.client_deadline if self.reception.primary else path.server_deadline
            return time // MILLISECOND if time % MILLISECOND == 0 else time / MILLISECOND
        return super().getsockopt(level, name)

    # what a socket that is somebody's already can't do

    def bind(self, address: tuple[Any, Any]) -> None:
        """InvalidArgument."""
        raise InvalidArgument("the socket is of a watched connection")

    def listen(self, backlog: int = 128) -> None:
        """InvalidArgument."""
        raise InvalidArgument("the socket is of a watched connection")

    def connect(self, address: tuple[Any, int]) -> None:
        """NotSupported."""
        raise silent()

    def send(self, data: bytes | bytearray | memoryview, flags: int = 0) -> int:
        """Goes active (`go_active`), and sends to the peer as the endpoint whose reception this is. Unsafe; and errors
        as of `Socket.send`."""
        self.go_active()
        return super().send(data, flags)

    def sendmsg(
        self, buffers: Iterable[bytes | bytearray | memoryview], ancillary: Iterable[tuple[int, int, Any]] = (),
        flags: int = 0, address: tuple[Any, int] | None = None,
    ) -> int:
        """As `send`, from several buffers."""
        self.go_active()
        return super().sendmsg(buffers, ancillary, flags)

    # data

    def recv(self, limit: int, flags: int = 0) -> bytes:
        """Up to `limit` bytes, holes as zeros; b"" at the end of the stream, however it came (see `error`).

        With MSG_HOLE_BREAK it stops before a hole; when the next byte is in one, it gives zeros for that hole alone:
        `recvmsg` or `next_hole` tell what it is. With MSG_PEEK everything stays there. One call gives 64 KiB of zeros
        at most, however long the hole. WouldBlock, BadSocket.
        """
        if self.tcb is not None:
            return super().recv(limit, flags)
        return self._read(limit, flags, None)

    def recv_into(self, buffer: Any, limit: int = 0, flags: int = 0) -> int:
        """As `recv`, into a writable buffer; how many bytes, 0 at the end of the stream."""
        if self.tcb is not None:
            return super().recv_into(buffer, limit, flags)
        view = memoryview(buffer).cast("B")
        if limit:
            view = view[:limit]
        if flags & (sockopt.MSG_PEEK | sockopt.MSG_HOLE_BREAK) or not self._anything():
            data = self._read(len(view), flags, None)
            view[: len(data)] = data
            return len(data)
        return self.reception.read_into(view)

    def recvmsg(
        self, limit: int, flags: int = 0
    ) -> tuple[bytes, list[tuple[int, int, Any]], int, tuple[IpAddress, int]]:
        """(data, ancillary data, flags, sender). Each piece of a hole in the data is told of by
        (IPPROTO_TCP, TCP_HOLE, Hole); with MSG_HOLE_BREAK the data of a hole come alone, and flags have MSG_HOLE_BREAK.
        """
        if self.tcb is not None:
            return super().recvmsg(limit, flags)
        found: list[Any] = []
        data = self._read(limit, flags, found)
        ancillary = [
            (sockopt.IPPROTO_TCP, sockopt.TCP_HOLE, Hole(offset, length, REASONS[reason]))
            for offset, length, reason in found
        ]
        alone = flags & sockopt.MSG_HOLE_BREAK and found
        return data, ancillary, sockopt.MSG_HOLE_BREAK if alone else 0, self.getpeername()

    def next_hole(self) -> Hole | None:
        """What is left of the hole that the next byte is in; None if that byte is there, or nothing is known of it."""
        if self.tcb is not None:
            return None
        if self.closed:
            raise BadSocket()
        found = self.reception.next_hole()
        return None if found is None else Hole(found[0], found[1], REASONS[found[2]])

    def skip_hole(self) -> Hole | None:
        """Passes over the hole that the next byte is in, whatever its length, and returns it; None if there is none."""
        hole = self.next_hole()
        if hole is not None:
            self.reception.skip_hole()
        return hole

    def _read(self, limit: int, flags: int, found: list[Any] | None) -> bytes:
        if limit < 0:
            raise InvalidArgument(f"{limit} is no number of bytes")
        if not self._anything():
            return b""
        stop = flags & sockopt.MSG_HOLE_BREAK != 0
        return self.reception.read(min(limit, MOST), stop, flags & sockopt.MSG_PEEK != 0, found)

    def _anything(self) -> bool:
        """Whether there is something to read; False at the end. WouldBlock, BadSocket."""
        if self.closed:
            raise BadSocket()
        if self.unread:
            return True
        if not self.reception.at_end():
            raise WouldBlock()
        return False

    # the end

    def shutdown(self, how: int) -> None:
        """SHUT_RD: throws away what there is and what comes. NotSupported for the direction that is not there."""
        if self.tcb is not None:
            super().shutdown(how)
            return
        check_open(self)
        if how not in (SHUT_RD, SHUT_WR, SHUT_RDWR):
            raise InvalidArgument(f"{how!r} is no way to shut down")
        if how != SHUT_RD:
            raise silent()
        self.reception.discard()

    def close(self) -> None:
        """Lets go of this direction; the other goes on, if its socket was ever asked for. Of both: the connection is
        not watched any more. Again: nothing.
        """
        if self.tcb is not None:
            super().close()
            return
        if self.closed:
            return
        self.closed = True
        reception = self.reception
        reception.discard()
        reception.owner = None
        if self.partner is not None:
            self.partner.partner = None
            self.partner = None
        elif not self.stack.closed:
            self.stack.tcp.watching().abandon(reception, "closed")

    def abort(self) -> None:
        """As `close`: there is nobody to be told."""
        if self.tcb is not None:
            super().abort()
            return
        self.close()


def silent() -> NotSupported:
    """What to raise for a call that would send."""
    return NotSupported("a passive socket watches: it never sends")
