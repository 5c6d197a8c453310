"""Sockets: BSD in meaning, non-blocking, objects instead of descriptors.

A call that can't be done now raises :class:`uinet.WouldBlock`; `on_event`, or `Stack.events`, says when to try again.
Errors are subclasses of :class:`uinet.Error` and of Python's own (``ConnectionResetError``, ...).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from uinet import sockopt
from uinet.errors import (
    AddressError,
    AddressNotAvailable,
    AlreadyConnected,
    InvalidArgument,
    NotConnected,
    NotSupported,
    WouldBlock,
)
from uinet.events import EV_CLOSED, EV_CONNECTED, EV_EOF, EV_ERROR, EV_READABLE, EV_WRITABLE
from uinet.ip.interface import Interface
from uinet.placement import check_domain, free_port, pattern_of, place_promiscuous, place_routed
from uinet.socket_data import pair, read, read_into, read_piece, receive_datagram, send_datagram, send_on
from uinet.socket_options import configure_endpoint, get_option, set_option
from uinet.socket_state import IpAddress, SocketState, check_open, connection_of, kick
from uinet.sockopt import AF_INET, AF_INET6, SHUT_RD, SHUT_RDWR, SHUT_WR, SOCK_DGRAM, SOCK_STREAM
from uinet.tcp import calls
from uinet.tcp.calls import close as close_connection
from uinet.tcp.close import abort as abort_connection
from uinet.tcp.close import forget_unread
from uinet.tcp.config import Config, configure
from uinet.tcp.info import TcpInfo, tcp_info
from uinet.tcp.layout import is_v4
from uinet.tcp.listener import NO_QUEUE, Listener
from uinet.tcp.notify import notify
from uinet.tcp.reception import Reception
from uinet.tcp.send import wants_output
from uinet.tcp.state import CLOSED
from uinet.tcp.syn import Syn
from uinet.tcp.tcb import Tcb, new_tcb
from uinet.wire.addresses import ANY, check_port, is_multicast, pack_address, vids
from uinet.wire.kernels import take, track, untrack

if TYPE_CHECKING:
    from uinet.stack import Stack


MAX_BACKLOG = 1 << 20


class Socket(SocketState):
    """One socket of a stack; made by `Stack.socket`, `listen`, `connect` and `accept`.

    `on_event`: None, or ``f(socket, events)``, called after each batch in which something happened. `family`, `type`:
    as given. `stack`: whose it is.
    """

    def __del__(self) -> None:
        tcb = self.tcb
        if tcb is not None and tcb.state == CLOSED:
            forget_unread(tcb)  # it counts against the stack's memory, and nobody can read it any more

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
        return send_datagram(self, data, ancillary, address)

    def recv(self, limit: int, flags: int = 0) -> bytes:
        """Up to `limit` bytes; b"" at the end of the stream. WouldBlock, NotConnected, or what ended the connection,
        after everything that had arrived before. With MSG_PEEK they stay there.
        """
        if self.endpoint is not None:
            return self.recvfrom(limit, flags)[0]
        return read(self, limit, flags)

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
        return read_into(self, view)

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
        return receive_datagram(self, limit, flags)

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


def part(sock: Socket, tcb: Tcb) -> None:
    """Breaks the cycle with a connection that is over; one that has something to tell yet is parted after that."""
    if tcb.state == CLOSED and not tcb.ready_queued:
        tcb.owner = None
        track(sock)


def new_datagram_socket(stack: Stack, family: int, config: Config) -> Socket:
    """A UDP socket."""
    sock = Socket(stack, family, SOCK_DGRAM, config)
    endpoint = stack.udp.endpoint(family={AF_INET: 4, AF_INET6: 16}.get(family, 0), cdom=config.cdom)
    endpoint.notify = lambda ended: sock.mark(EV_READABLE | (EV_ERROR if ended.error is not None else 0))
    sock.placed().endpoint = endpoint
    return sock
