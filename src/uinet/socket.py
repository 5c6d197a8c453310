"""Sockets: BSD in meaning, non-blocking, objects instead of descriptors.

A call that can't be done now raises :class:`uinet.WouldBlock`; `on_event`, or `Stack.events`, says when to try again.
Errors are subclasses of :class:`uinet.Error` and of Python's own (``ConnectionResetError``, ...).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any

from uinet import sockopt
from uinet.errors import (
    AddressError,
    AddressNotAvailable,
    AlreadyConnected,
    BadSocket,
    BrokenPipe,
    InvalidArgument,
    NotConnected,
    NotSupported,
    WouldBlock,
)
from uinet.events import EV_CLOSED, EV_CONNECTED, EV_EOF, EV_ERROR, EV_READABLE, EV_WRITABLE
from uinet.ip.interface import Interface
from uinet.placement import (
    check_domain,
    free_port,
    pattern_of,
    place_promiscuous,
    place_routed,
)
from uinet.socket_options import configure_endpoint, get_option, set_option
from uinet.sockopt import AF_INET, AF_INET6, SHUT_RD, SHUT_RDWR, SHUT_WR, SOCK_DGRAM, SOCK_STREAM
from uinet.tcp import calls
from uinet.tcp.calls import at_end
from uinet.tcp.calls import close as close_connection
from uinet.tcp.calls import receive as take_received
from uinet.tcp.calls import receive_into as take_received_into
from uinet.tcp.calls import receive_piece as take_received_piece
from uinet.tcp.calls import send as queue_to_send
from uinet.tcp.close import abort as abort_connection
from uinet.tcp.close import forget_unread
from uinet.tcp.config import Config, configure, first_window, largest_buffer
from uinet.tcp.fast_open import takes_early
from uinet.tcp.info import TcpInfo, tcp_info
from uinet.tcp.layout import is_v4
from uinet.tcp.listener import NO_QUEUE, Listener
from uinet.tcp.notify import notify
from uinet.tcp.reception import Reception
from uinet.tcp.send import wants_output
from uinet.tcp.state import CLOSED, ESTABLISHED, NAMES
from uinet.tcp.syn import Syn
from uinet.tcp.tcb import Tcb, new_tcb
from uinet.tcp.urgent import mark_urgent, urgent_left
from uinet.udp.endpoint import UdpEndpoint
from uinet.wire.addresses import (
    ANY,
    L2Info,
    check_port,
    is_multicast,
    join,
    pack_address,
    unpack_address,
    vids,
)
from uinet.wire.kernels import take, track, untrack
from uinet.wire.packet import l2info_of

if TYPE_CHECKING:
    from uinet.passive_socket import PassiveSocket
    from uinet.stack import Stack

IpAddress = IPv4Address | IPv6Address

MAX_BACKLOG = 1 << 20


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


class Socket:
    """One socket of a stack; made by `Stack.socket`, `listen`, `connect` and `accept`.

    `on_event`: None, or ``f(socket, events)``, called after each batch in which something happened. `family`, `type`:
    as given. `stack`: whose it is.
    """

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

    def __del__(self) -> None:
        tcb = self.tcb
        if tcb is not None and tcb.state == CLOSED:
            forget_unread(tcb)  # it counts against the stack's memory, and nobody can read it any more

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

    # state

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

    # options

    def setsockopt(self, level: int, name: int, value: Any) -> None:
        """Sets an option (see `uinet.sockopt`). InvalidArgument, NotSupported."""
        check_open(self)
        set_option(self, level, name, value)

    def getsockopt(self, level: int, name: int) -> Any:
        """The value of an option. NotSupported."""
        return get_option(self, level, name)

    # binding, listening, connecting

    def bind(self, address: tuple[Any, Any]) -> None:
        """Sets the local address and port, either of them `uinet.ANY` (or, for a port, 0: any; for an address, None
        or "" both families, "0.0.0.0" or "::" one).

        AddressError; AddressNotAvailable if the address is not this stack's (in domain 0, without IP_BINDANY).
        """
        check_open(self)
        if self.bound is not None or self.tcb is not None or self.listener is not None:
            raise InvalidArgument("the socket is bound already")
        ip, port = pair(address)
        packed = self._pack(ip)
        number = 0 if port is ANY or port is None else check_port(port)
        if self.endpoint is not None:
            check_domain(self.stack, self.config)
            configure_endpoint(self, self.endpoint)
            self.stack.udp.bind(self.endpoint, packed or b"", number)
            self.placed().bound = (packed, self.endpoint.local_port)
            return
        if packed and any(packed) and not self.config.cdom and not self.config.bind_any:
            if not self.stack.network.is_local(packed):
                raise AddressNotAvailable(f"{ip} is none of this stack's addresses")
        self.placed().bound = (packed, number)

    def _pack(self, ip: Any) -> bytes | None:
        """A packed address; None for any of both families."""
        if ip is ANY or ip is None or ip == "":
            if self.family == AF_INET:
                return bytes(4)
            return bytes(16) if self.family == AF_INET6 else None
        return self._pack_one(ip)

    def _pack_one(self, ip: Any) -> bytes:
        """A packed address of this socket's family; AddressError."""
        packed = pack_address(ip)
        if (self.family == AF_INET and len(packed) != 4) or (self.family == AF_INET6 and len(packed) != 16):
            raise AddressError(f"{ip} is not of the socket's family")
        return packed

    def listen(self, backlog: int = 128) -> None:
        """Takes connections from now on. `backlog`: how many may wait to be accepted, and how many half-open ones are
        kept before SYN cookies begin. AddressInUse, InvalidArgument.
        """
        check_open(self)
        if self.type != SOCK_STREAM:
            raise NotSupported("only stream sockets listen")
        if self.tcb is not None:
            raise InvalidArgument("the socket is connected")
        if self.listener is not None:
            self.listener.backlog = min(max(1, backlog), MAX_BACKLOG)
            return
        config = self.config
        check_domain(self.stack, self.config)
        packed, port = self.bound if self.bound is not None else (self._pack(ANY), 0)
        tcp = self.stack.tcp
        listener = Listener(self, config, min(max(1, backlog), MAX_BACKLOG))
        listener.reuse = config.reuse_port
        listener.passive = config.passive
        listener.syn_filter = config.syn_filter
        listener.catch_all = config.catch_all
        if config.catch_all and (not config.cdom or packed is not None or port):
            raise InvalidArgument("SO_CATCHALL is for a promiscuous listener on (ANY, ANY)")
        tags = None if config.vlans is ANY else vids(config.vlans)  # type: ignore[arg-type]
        kind, halves = pattern_of(packed)
        if port == 0 and not config.promiscuous:
            port = free_port(self.stack, config.cdom, halves)
        tcp.listeners.add(listener, config.cdom, tags, kind, halves[0], halves[1], port)
        untrack(listener)  # the stack holds it while it listens
        self.placed().bound = (packed, port)
        untrack(self.placed()).listener = listener
        untrack(self)

    def accept(self) -> Socket:
        """The oldest connection that waits. WouldBlock; InvalidArgument if the socket does not listen.

        One EV_ACCEPT may stand for several: accept until it raises WouldBlock.
        """
        return accept_one(self)

    def connect(self, address: tuple[Any, int]) -> None:
        """Opens a connection (stream) or sets the peer (datagram). Returns at once: EV_CONNECTED or EV_ERROR follows.

        In a domain above 0 the local address must be bound and SO_L2INFO set. With TCP_FASTOPEN_CONNECT, and if a Fast
        Open cookie of the peer is known, nothing is sent until the first send, recv or shutdown. AddressError,
        AddressNotAvailable, AddressInUse, NetworkUnreachable, AlreadyConnected.
        """
        check_open(self)
        self._connect(address, self.config.fast_open_connect, True)

    def _connect(self, address: tuple[Any, int], fast_open: bool, hold: bool) -> None:
        ip, port = pair(address)
        remote = self._pack_one(ip)
        check_port(port)
        if self.endpoint is not None:
            check_domain(self.stack, self.config)
            configure_endpoint(self, self.endpoint)
            self.stack.udp.connect(self.endpoint, remote, port)
            return
        if self.tcb is not None:
            raise AlreadyConnected()
        if self.listener is not None:
            raise InvalidArgument("the socket listens")
        if self.config.passive:
            raise InvalidArgument("a passive socket sends nothing, no SYN either")
        if port == 0:
            raise AddressError("a connection needs a port above 0")
        if is_multicast(remote) or not any(remote) or remote == b"\xff\xff\xff\xff":
            raise AddressError(f"{ip} is no address to connect to")
        check_domain(self.stack, self.config)
        tcb = new_tcb(self.stack.tcp)
        configure(tcb, self.config)
        if self.config.cdom:
            place_promiscuous(self.stack, tcb, self.config, self.l2, self.bound, remote, port)
        else:
            place_routed(self.stack, tcb, self.bound, remote, port, self.config.tx_interface)
        tcb.auth = self.config.keys.signer(tcb.raddr_hi, tcb.raddr_lo, tcb.rport)
        tcb.owner = self
        self.stack.tcp.connect(tcb, fast_open, hold)
        self.tcb = tcb
        self.place = None
        untrack(self)  # the stack holds it while the connection lasts
        if tcb.fast_open is not None and tcb.fast_open.held:
            notify(tcb, EV_WRITABLE)
        kick(self)

    # data

    def send(self, data: bytes | bytearray | memoryview, flags: int = 0) -> int:
        """Queues as much of `data` as there is room for; how many bytes.

        A bytes object may be kept by reference; anything else is copied. With MSG_OOB all that is queued is urgent (RFC
        9293, 3.8.5). WouldBlock if there is no room at all, BrokenPipe after close, NotConnected, or what has ended the
        connection.
        """
        return send_on(self, data, flags)

    def sendto(self, data: bytes | bytearray | memoryview, address: tuple[Any, int], flags: int = 0) -> int:
        """Sends one datagram. With MSG_FASTOPEN a stream socket connects, see `sendmsg`. AddressError,
        NetworkUnreachable, MessageTooLong."""
        return self.sendmsg([data], flags=flags, address=address)

    def sendmsg(
        self, buffers: Iterable[bytes | bytearray | memoryview], ancillary: Iterable[tuple[int, int, Any]] = (),
        flags: int = 0, address: tuple[Any, int] | None = None,
    ) -> int:
        """As `send`, from several buffers. On a datagram socket `address` may say where to, and ancillary data with
        which MACs and tags (SOL_SOCKET, SO_L2INFO, L2Info) and from where (IPPROTO_IP, IP_ORIGDSTADDR, (ip, port)):
        what `recvmsg` gave, the L2Info reversed, makes an answer.

        With MSG_FASTOPEN a stream socket connects to `address` and queues the data, which goes in the SYN if a Fast
        Open cookie of the peer is known, else once the connection is established. A SYN may arrive twice: only for data
        that does no harm if it does (RFC 7413, 2.1). Errors as of `connect`.
        """
        check_open(self)
        data = b"".join(bytes(memoryview(buffer)) for buffer in buffers)
        if self.endpoint is None:
            if flags & sockopt.MSG_FASTOPEN and self.tcb is None:
                if address is None:
                    raise InvalidArgument("MSG_FASTOPEN needs the address to connect to")
                self._connect(address, True, False)
                if not data:
                    return 0
            return self.send(data, flags)
        l2: L2Info | None = None
        source: tuple[bytes, int] = (b"", 0)
        for level, name, value in ancillary:
            if (level, name) == (sockopt.SOL_SOCKET, sockopt.SO_L2INFO):
                l2 = sockopt.check_l2(value)
            elif (level, name) == (sockopt.IPPROTO_IP, sockopt.IP_ORIGDSTADDR):
                source = pack_address(pair(value)[0]), check_port(value[1])
            else:
                raise InvalidArgument(f"({level}, {name}) is no ancillary data of a datagram")
        target: tuple[bytes, int] = (b"", 0)
        if address is not None:
            target = pack_address(pair(address)[0]), check_port(address[1])
        count = self.stack.udp.send(self.endpoint, data, *target, source=source[0], source_port=source[1], l2=l2)
        kick(self)
        return count

    def recv(self, limit: int, flags: int = 0) -> bytes:
        """Up to `limit` bytes; b"" at the end of the stream. WouldBlock, NotConnected, or what ended the connection,
        after everything that had arrived before. With MSG_PEEK they stay there.
        """
        if self.endpoint is not None:
            return self.recvfrom(limit, flags)[0]
        tcb = connection_of(self)
        if limit < 0:
            raise InvalidArgument(f"{limit} is no number of bytes")
        if flags & sockopt.MSG_OOB:
            raise InvalidArgument("urgent data is read in line: Socket.urgent_left tells how much")
        queue = tcb.rcv_buf
        if queue is not None and queue.length and not self.closed:
            if tcb.urgent_in and self.config.oob_inline:
                limit = self._to_mark(tcb, limit)
            if not flags & sockopt.MSG_PEEK:
                return take_received(tcb, limit)
            limit = min(limit, queue.length)
            if limit == 0:
                return b""
            queue.locate(0, limit)
            return take(queue.source, queue.source_offset, limit)
        self._nothing_to_read(tcb)
        return b""

    def recv_piece(self, limit: int) -> bytes:
        """As `recv` of a stream, but perhaps less than has arrived, if that saves a copy."""
        return read_piece(self, limit)

    def recv_into(self, buffer: Any, limit: int = 0, flags: int = 0) -> int:
        """As `recv`, into a writable buffer; how many bytes, 0 at the end of the stream."""
        view = memoryview(buffer).cast("B")
        if limit:
            view = view[:limit]
        if self.endpoint is not None or flags & sockopt.MSG_PEEK:
            data = self.recv(len(view), flags)
            view[: len(data)] = data
            return len(data)
        tcb = connection_of(self)
        if tcb.rcv_buf is not None and tcb.rcv_buf.length and not self.closed:
            if tcb.urgent_in and self.config.oob_inline:
                view = view[: self._to_mark(tcb, len(view))]
            return take_received_into(tcb, view)
        self._nothing_to_read(tcb)
        return 0

    @staticmethod
    def _to_mark(tcb: Tcb, limit: int) -> int:
        """How much of `limit` bytes one read takes with SO_OOBINLINE: none crosses the mark (RFC 6093, 2)."""
        left = urgent_left(tcb)
        return min(limit, left - 1) if left > 1 else limit

    def _nothing_to_read(self, tcb: Tcb) -> None:
        """Returns at the end of the stream, raises otherwise."""
        if self.closed:
            raise BadSocket()
        if tcb.error is not None:
            raise calls.failure(tcb.error)
        if not at_end(tcb):
            if tcb.fast_open is not None and tcb.fast_open.held:
                tcb.fast_open.held = False  # nothing to wait for: the SYN goes
                wants_output(tcb)
            raise WouldBlock()

    def recvfrom(self, limit: int, flags: int = 0) -> tuple[bytes, tuple[IpAddress, int]]:
        """One datagram, cut to `limit` bytes, and who sent it."""
        data, _, _, address = self.recvmsg(limit, flags)
        return data, address

    def recvmsg(
        self, limit: int, flags: int = 0
    ) -> tuple[bytes, list[tuple[int, int, Any]], int, tuple[IpAddress, int]]:
        """One datagram (data, ancillary data, flags, address): with IP_ORIGDSTADDR, where it was sent to, and with
        SO_L2INFO where it came by a promiscuous interface, and with SO_TIMESTAMPNS, if that is set, when: ns since
        1970, as its device tells, or as the stack's driver does. On a stream, as `recv`.
        """
        if self.endpoint is None:
            return self.recv(limit, flags), [], 0, self.getpeername()
        check_open(self)
        datagram = self.endpoint.peek() if flags & sockopt.MSG_PEEK else self.endpoint.receive()
        destination = unpack_address(datagram.destination), datagram.destination_port
        ancillary: list[tuple[int, int, Any]] = [(sockopt.IPPROTO_IP, sockopt.IP_ORIGDSTADDR, destination)]
        if datagram.l2info is not None:
            ancillary.append((sockopt.SOL_SOCKET, sockopt.SO_L2INFO, datagram.l2info))
        if self.config.timestamps:
            ancillary.append((sockopt.SOL_SOCKET, sockopt.SO_TIMESTAMPNS, datagram.captured))
        return datagram.data[:limit], ancillary, 0, (unpack_address(datagram.source), datagram.source_port)

    # the end

    def shutdown(self, how: int) -> None:
        """Ends one direction or both: SHUT_WR sends FIN after what is queued, SHUT_RD throws away what comes.

        InvalidArgument, NotConnected.
        """
        check_open(self)
        if how not in (SHUT_RD, SHUT_WR, SHUT_RDWR):
            raise InvalidArgument(f"{how!r} is no way to shut down")
        tcb = connection_of(self)
        if tcb.state == CLOSED:
            raise NotConnected()
        if how != SHUT_WR:
            tcb.receive_shut = True
            forget_unread(tcb)
            wants_output(tcb)  # the window is open again
        if how != SHUT_RD:
            calls.shut_sending(tcb)

    def close(self) -> None:
        """Lets go of the socket: what is queued is still sent, then FIN (see SO_LINGER). Again: nothing."""
        close_socket(self)

    def abort(self) -> None:
        """Resets the connection now, even one that was closed and lingers; a listener is closed."""
        abort_socket(self)

    def info(self) -> TcpInfo:
        """What is known of the connection, as TCP_INFO; NotConnected."""
        if self.tcb is None:
            raise NotConnected()
        return tcp_info(self.tcb)

    # what the stack calls

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


def new_socket(stack: Stack, family: int, kind: int, config: Config) -> Socket:
    """What a constructor makes, at less cost."""
    sock = Socket.__new__(Socket)
    sock.tcb = None
    sock.stack = stack
    sock.family = family
    sock.type = kind
    sock.config = config
    sock.shared = True
    sock.place = None
    sock.on_event = None
    sock.events = 0
    sock.ready_queued = False
    sock.listed = False
    sock.closed = False
    sock.user_context = None
    return sock


def accept_one(listening: Socket) -> Socket:
    """See `Socket.accept`."""
    check_open(listening)
    listener = listening.place.listener if listening.place is not None else None
    if listener is None:
        raise InvalidArgument("the socket does not listen")
    if listener.accepted is NO_QUEUE:
        raise WouldBlock()
    connection = listener.take()
    listening.shared = True
    if isinstance(connection, Reception):
        return listening.stack.watched(listening, connection)
    tcb: Tcb = connection
    sock = new_socket(listening.stack, AF_INET if is_v4(tcb) else AF_INET6, listening.type, listening.config)
    sock.tcb = tcb
    extras = tcb.extras
    if extras is not None:
        sock.user_context = extras.user_context
        extras.user_context = None
    tcb.owner = untrack(sock)  # the stack holds it while the connection lasts
    events = EV_CONNECTED | EV_WRITABLE
    if tcb.rcv_buf is not None:
        events |= EV_READABLE
    if tcb.fin_received:
        events |= EV_READABLE | EV_EOF
    if tcb.state == CLOSED:
        events |= EV_CLOSED | EV_READABLE
    if extras is not None and extras.error is not None:
        events |= EV_ERROR
    notify(tcb, events)
    kick(listening)
    return sock


def adopt_connection(stack: Stack, tcb: Tcb, config: Config) -> Socket:
    """A socket for a connection that goes on (see `tcp.takeover`): its first events wait to be told."""
    sock = new_socket(stack, AF_INET if is_v4(tcb) else AF_INET6, SOCK_STREAM, config)
    sock.tcb = tcb
    tcb.owner = untrack(sock)  # the stack holds it while the connection lasts
    notify(tcb, EV_CONNECTED | EV_WRITABLE | (EV_READABLE | EV_EOF if tcb.fin_received else 0))
    kick(sock)
    return sock


def open_onward(sock: Socket, syn: Syn, interface: Interface) -> None:
    """Opens the connection that a SYN asks for, by a promiscuous interface (see `Stack.connect_onward`)."""
    tcp = sock.stack.tcp
    tcp.refresh()
    tcb = new_tcb(tcp)
    configure(tcb, sock.config)
    interned = tcp.interned
    tcb.interface = interface
    tcb.link_header = interned.one(take(syn.frame, 0, syn.header_end) if interface.layer == 2 else b"")
    tcp.table.set_key(
        tcb, interface.cdom, interned.one(syn.vids), syn.source_hi, syn.source_lo, syn.source_port,
        syn.destination_hi, syn.destination_lo, syn.destination_port,
    )
    tcb.owner = sock
    tcb.ack_held = True  # the server's handshake is over when the client's is (`acknowledge_now`), or after a moment
    tcp.connect(tcb)
    sock.tcb = tcb
    untrack(sock)  # the stack holds it while the connection lasts
    kick(sock)


def is_readable(sock: Socket) -> bool:
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


def read_piece(sock: Socket, limit: int) -> bytes:
    """See `Socket.recv_piece`."""
    tcb = connection_of(sock)
    if tcb.rcv_buf is None or tcb.rcv_buf.length == 0 or sock.closed or tcb.urgent_in:
        return sock.recv(limit)
    return take_received_piece(tcb, limit)


def send_on(sock: Socket, data: bytes | bytearray | memoryview, flags: int) -> int:
    """See `Socket.send`."""
    if sock.place is not None and sock.place.endpoint is not None:
        return sock.sendmsg([data], flags=flags)
    check_open(sock)
    tcb = connection_of(sock)
    if tcb.error is not None:
        raise calls.failure(tcb.error)
    if tcb.closing or tcb.state == CLOSED:
        raise BrokenPipe()
    if tcb.state < ESTABLISHED and not takes_early(tcb):
        raise WouldBlock()
    if type(data) is not bytes and type(data) is not bytearray:
        data = bytes(memoryview(data))  # a subclass may do what it likes with its length; an int is no data
    if len(data) == 0:
        return 0
    if sock.config.not_sent_low and sock.unsent >= sock.config.not_sent_low:
        tcb.wants_write = True
        raise WouldBlock()
    count = queue_to_send(tcb, data, 0, len(data))
    if count == 0:
        raise WouldBlock()
    if flags & sockopt.MSG_OOB:
        mark_urgent(tcb)
    return count


def close_socket(sock: Socket) -> None:
    """See `Socket.close`."""
    if sock.closed:
        return
    tcp = sock.stack.tcp
    tcp.refresh()
    sock.closed = True
    place = sock.place
    if place is not None and place.listener is not None:
        sock.stack.tcp.close_listener(place.listener)
        place.listener = None  # they would keep each other alive
    if place is not None and place.endpoint is not None:
        sock.stack.udp.close(place.endpoint)
        place.endpoint.notify = None
    tcb = sock.tcb
    if tcb is not None:
        close_connection(tcb, sock.config.linger)
        part(sock, tcb)
    kick(sock)


def abort_socket(sock: Socket) -> None:
    """See `Socket.abort`."""
    tcb = sock.tcb
    if tcb is None:
        sock.close()
        return
    tcp = sock.stack.tcp
    tcp.refresh()
    sock.closed = True
    tcb.orphan = True
    if tcb.state != CLOSED:
        abort_connection(tcb)
    forget_unread(tcb)
    part(sock, tcb)
    kick(sock)


def kick(sock: Socket) -> None:
    """Outside a batch: tells the event loop that there is something to flush."""
    tcp = sock.stack.tcp
    if not tcp.busy and tcp.on_pending is not None:
        tcp.on_pending()


def check_open(sock: Socket) -> None:
    """BadSocket if the socket, or its stack, is closed; brings the stack's time up to date."""
    if sock.closed:
        raise BadSocket()
    tcp = sock.stack.tcp
    if tcp.closed_down:
        raise BadSocket("the stack is closed")
    tcp.refresh()


def connection_of(sock: Socket) -> Tcb:
    """Its connection. BadSocket, NotConnected."""
    if sock.tcb is None:
        raise sock._unconnected()
    return sock.tcb


def part(sock: Socket, tcb: Tcb) -> None:
    """Breaks the cycle with a connection that is over; one that has something to tell yet is parted after that."""
    if tcb.state == CLOSED and not tcb.ready_queued:
        tcb.owner = None
        track(sock)


def pair(address: Any) -> tuple[Any, Any]:
    """An (ip, port) pair; AddressError if it is none."""
    if not isinstance(address, (tuple, list)) or len(address) != 2:
        raise AddressError(f"an address is (ip, port), not {address!r}")
    return address[0], address[1]


def new_datagram_socket(stack: Stack, family: int, config: Config) -> Socket:
    """A UDP socket."""
    sock = Socket(stack, family, SOCK_DGRAM, config)
    endpoint = stack.udp.endpoint(family={AF_INET: 4, AF_INET6: 16}.get(family, 0), cdom=config.cdom)
    endpoint.notify = lambda ended: sock.mark(EV_READABLE | (EV_ERROR if ended.error is not None else 0))
    sock.placed().endpoint = endpoint
    return sock
