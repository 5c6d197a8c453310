"""The engine: a TCP/IP stack without clock, thread, socket or file of its own.

Frames, the time and a random seed go in; frames, events and the next deadline come out. Everything between is
deterministic. What it is given it works at in batches (`batch.py`).
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from uinet.batch import Batches
from uinet.dhcp.client import DhcpClient
from uinet.dhcp.manager import Dhcp
from uinet.errors import BadSocket, Error, InvalidArgument, NotSupported
from uinet.ip.interface import Interface
from uinet.ip.neighbors import Neighbors
from uinet.ip.notice import LinkEvent
from uinet.ip.routes import Routes
from uinet.passive_socket import PassiveSocket
from uinet.ping import Ping
from uinet.settings.sysctl import Sysctl
from uinet.socket import Socket, new_datagram_socket, new_socket, open_onward
from uinet.sockopt import (
    AF_INET,
    AF_INET6,
    AF_UNSPEC,
    IP_COPY_MODE_ON,
    IP_SYNFILTER,
    IPPROTO_IP,
    IPPROTO_TCP,
    MSG_FASTOPEN,
    SO_L2INFO,
    SO_PASSIVE,
    SO_PROMISC,
    SO_REUSEPORT,
    SO_SETFIB,
    SO_VLANS,
    SOCK_DGRAM,
    SOCK_STREAM,
    SOL_SOCKET,
    TCP_FASTOPEN,
)
from uinet.tcp.config import Config
from uinet.tcp.copying import Copies, as_target, check_mode, check_target
from uinet.tcp.reception import Reception
from uinet.tcp.syn import Syn, Verdict
from uinet.tcp.tcb import Tcb
from uinet.wire.addresses import IPAddress, L2Info, pack_address, unpack_address
from uinet.wire.packet import is_mapped

if TYPE_CHECKING:
    from uinet.ip.hooks import PacketFilter
    from uinet.tcp.syn_events import SynEvent

DATAGRAM_BUFFER = 512 * 1024  # the receive buffer of a datagram socket
GOODBYES = 64  # rounds of events at its end

log = logging.getLogger("uinet")


class Stack(Batches):
    """One TCP/IP stack. Not for several threads: any number of stacks may run, each in one.

    `now`: the time of the last input, poll or call, ns. `clock`: None, or what tells the time (ns) to calls made
    between batches; without it they are made at the time of the last one, however long ago that was. `on_pending`:
    None, or called when a call made outside input and poll leaves something for a poll to do. `trace`: None, or
    ``f(now, what, subject, **details)``. `on_link_event`: None, or called with each :class:`uinet.LinkEvent`, after the
    batch: duplicates, routers, leases, and what the kernel tells of its interfaces. `simulated`: it runs in a
    simulation, where predictable numbers do no harm.
    """

    def __init__(self, seed: bytes = b"", now: int = 0) -> None:
        super().__init__(seed, now)
        self.dhcp = Dhcp(self.network, self.udp)
        self.on_link_event: Callable[[LinkEvent], None] | None = None
        self.link_watchers: list[Callable[[LinkEvent], None]] = []  # who else wants to know
        self.network.on_link_event = self._link_event
        self.network.on_kick = self.kick
        self.network.owner = weakref.ref(self)
        self.network.on_refresh = self._refresh
        self.on_control: Callable[[str | None], Any] | None = None
        self._config: tuple[tuple[int, ...], Config] | None = None
        self.simulated = False
        self._domains: dict[int, tuple[Config, Config]] = {}

    # interfaces and routes

    @property
    def interfaces(self) -> list[Interface]:
        """The interfaces, oldest first."""
        return self.network.interfaces

    @property
    def routes(self) -> Routes:
        """The routing table."""
        return self.network.routes

    @property
    def neighbors(self) -> Neighbors:
        """The neighbour table (ARP and ND)."""
        return self.network.neighbors

    @property
    def clock(self) -> Callable[[], int] | None:
        """Tells the time to calls made outside input and poll."""
        return self.tcp.clock

    @clock.setter
    def clock(self, value: Callable[[], int] | None) -> None:
        self.tcp.clock = value

    @property
    def epoch(self) -> int:
        """What to add to this stack's times to get the time of day, ns since 1970; 0 if whoever drives it has not said.
        Timestamps of frames without one of their own, and copies of flows, are told in it."""
        found: int = self.network.epoch
        return found

    @epoch.setter
    def epoch(self, value: int) -> None:
        self.network.epoch = value

    @property
    def on_pending(self) -> Callable[[], None] | None:
        """Called when there is something for a poll to do."""
        return self.tcp.on_pending

    @on_pending.setter
    def on_pending(self, value: Callable[[], None] | None) -> None:
        self.tcp.on_pending = value

    @property
    def trace(self) -> Callable[..., None] | None:
        """Is told of state changes."""
        return self.tcp.trace

    @trace.setter
    def trace(self, value: Callable[..., None] | None) -> None:
        self.tcp.trace = value

    @property
    def on_syn_event(self) -> Callable[[SynEvent], None] | None:
        """None, or called after each batch with each :class:`uinet.SynEvent`: SYNs that were dropped, rejected or
        answered with a cookie, and half-open connections that came to nothing, each with its reason."""
        return self._on_syn_event

    @on_syn_event.setter
    def on_syn_event(self, value: Callable[[SynEvent], None] | None) -> None:
        self._on_syn_event = value
        self.tcp.syn_events = [] if value is not None else None

    def copies(self) -> Copies:
        """What copies flows, made when it is first needed."""
        if self.tcp.copies is None:
            self.tcp.copies = Copies(self.tcp)
        found: Copies = self.tcp.copies
        return found

    def copy_flows(self, target: Any, *, mode: int = IP_COPY_MODE_ON, limit: int = 0) -> None:
        """Has the packets of every new connection copied, whose socket says nothing else: `mode` is a value of
        IP_COPY_MODE, `limit` of IP_COPY_LIMIT (bytes of each flow, 0 for none), `target` of IP_COPY_TARGET; None ends
        it for connections to come. InvalidArgument.
        """
        target = check_target(self.network, target)
        if not 0 <= limit < 1 << 60:
            raise InvalidArgument(f"a limit of {limit} bytes: want 0 or more")
        self.copies().plan = None if target is None else (check_mode(mode), limit, as_target(target))

    def add_interface(
        self, name: str, *, mac: str | bytes | None = None, mtu: int = 1500, cdom: int = 0, promiscuous: bool = False,
        layer: int = 2, checksums: bool = True, answer_any: bool = False,
    ) -> Interface:
        """Adds an interface. `mac` None: a random, locally administered one. A `cdom` above 0 is promiscuous and has
        this one interface. `answer_any`: a promiscuous interface answers ARP and ND for every address. InvalidArgument.
        """
        interface = self.network.add_interface(
            name, mac=mac, mtu=mtu, layer=layer, cdom=cdom, promiscuous=promiscuous or cdom > 0, checksums=checksums
        )
        interface.answer_any = answer_any
        return interface

    def remove_interface(self, interface: Interface) -> None:
        """Takes an interface away, with its addresses, routes and neighbours."""
        self.dhcp.stop(interface)
        self.network.remove_interface(interface)

    def start_dhcp(
        self, interface: Interface, *, host_name: str = "", client_id: bytes = b"", requested: Any = None,
        probe: bool = True,
    ) -> DhcpClient:
        """Has `interface` configured by DHCP (RFC 2131); what comes of it is told by `on_link_event` and the client.

        `host_name`: told to the server. `client_id`: type and identifier; the MAC if empty. `requested`: an address
        that was held before. `probe`: ask the link for duplicates before an address is used. InvalidArgument, and
        AddressInUse if UDP port 68 is taken.
        """
        if self.closed:
            raise BadSocket("the stack is closed")
        if interface.quiet or interface.relay is not None:
            raise InvalidArgument("workers that share an interface don't ask DHCP: give them an address")
        self.tcp.refresh()
        address = pack_address(requested) if requested is not None else b""
        if address and len(address) != 4:
            raise InvalidArgument("DHCP gives IPv4 addresses")
        return self.dhcp.start(
            interface, host_name=host_name, client_id=client_id, requested=address, probe=probe
        )

    @property
    def name_servers(self) -> list[IPAddress]:
        """The recursive name servers that routers and DHCP servers have told, the first told first."""
        return [unpack_address(packed) for packed in self.network.name_servers.servers()]

    @property
    def search_domains(self) -> list[str]:
        """The domains to search that they have told."""
        return self.network.name_servers.domains()

    # from outside

    @property
    def sysctl(self) -> Sysctl:
        """Every setting by its dotted name: ``stack.sysctl["net.inet.tcp.sack.enable"] = False``."""
        return Sysctl(self)

    def control(self, path: str | None) -> Any:
        """Opens a control socket at `path` (Unix, mode 0600) for ``uinet stat``, ``sysctl`` and ``top``, served by
        whoever drives this stack, and closed with that; a :class:`uinet.control.server.Server`. Without a path it
        serves only connections that it is given (`adopt`).

        NotSupported if nobody drives it who can: a `Driver` or a `Host` can. InvalidArgument for what is no path,
        AddressInUse, PermissionDenied.
        """
        if self.on_control is None:
            raise NotSupported("a control socket is served by what drives the stack: a Driver or a Host first")
        return self.on_control(path)

    def add_packet_filter(self, hook: PacketFilter) -> None:
        """Has `hook` see every IP packet of every interface, in both directions, with its link header: called with a
        :class:`uinet.FilteredPacket`. It answers None to let it pass, `Mark.DROP`, or another packet: bytes from the IP
        header on (checksums are computed), or a whole Frame. Incoming packets are seen before reassembly and before
        anything is decided about them, bridged ones too; outgoing ones as they leave. Filters run in the order in which
        they were added, outgoing packets meet them in the opposite one. `Interface.add_filter` is for one interface.
        """
        if not callable(hook):
            raise InvalidArgument(f"a packet filter is a callable, not {hook!r}")
        self.network.filters.append(hook)
        for interface in (self.network.loopback_interface, *self.interfaces):
            interface.looked_at()

    def remove_packet_filter(self, hook: PacketFilter) -> None:
        """Undoes one `add_packet_filter`; InvalidArgument without it."""
        if hook not in self.network.filters:
            raise InvalidArgument(f"{hook!r} is no packet filter of this stack")
        self.network.filters.remove(hook)
        for interface in (self.network.loopback_interface, *self.interfaces):
            interface.let_hooks_go()

    def _link_event(self, event: LinkEvent) -> None:
        for watcher in (*self.link_watchers, self.on_link_event):
            self.call_later(watcher, event)
        self.kick()

    def _refresh(self) -> None:
        self.tcp.refresh()

    # sockets

    def socket(self, family: int = AF_UNSPEC, kind: int = SOCK_STREAM) -> Socket:
        """A new socket: `family` AF_INET, AF_INET6 or AF_UNSPEC (both), `kind` SOCK_STREAM or SOCK_DGRAM."""
        if self.closed:
            raise BadSocket("the stack is closed")
        if family not in (AF_UNSPEC, AF_INET, AF_INET6):
            raise NotSupported(f"{family!r} is no family of this stack")
        if kind == SOCK_DGRAM:
            config = self._defaults().copy()
            config.receive_buffer = DATAGRAM_BUFFER
            return new_datagram_socket(self, family, config)
        if kind != SOCK_STREAM:
            raise NotSupported(f"{kind!r} is no type of socket of this stack")
        return Socket(self, family, kind, self._defaults())

    def _defaults(self) -> Config:
        """What is set on a new socket: shared by all of them while the settings stay as they are."""
        settings = self.tcp.settings
        wanted = (settings.receive_buffer, settings.send_buffer, settings.max_buffer, settings.passive.deadline)
        if self._config is None or self._config[0] != wanted:
            config = Config(*wanted[:3])
            config.reassembly_deadline = wanted[3]
            self._config = wanted, config
        return self._config[1]

    def listen(
        self, address: tuple[Any, Any], *, backlog: int = 128, vlans: Any = (), cdom: int = 0,
        promiscuous: bool = False, syn_filter: Callable[[Any], Verdict] | None = None, passive: bool = False,
        reuse_port: bool = False, fast_open: int = 0,
    ) -> Socket:
        """A listening socket on (ip, port), either of them `uinet.ANY`. `vlans`: of a promiscuous one, a stack, () for
        exactly no tags, or ANY. A `cdom` above 0 is promiscuous. `passive`: watches the connections that match, see
        :class:`uinet.PassiveSocket`. `fast_open`: how many Fast Open connections may be pending (TCP_FASTOPEN).
        AddressInUse, AddressNotAvailable, InvalidArgument.
        """
        sock = self.socket()
        sock.setsockopt(SOL_SOCKET, SO_PASSIVE, passive)
        sock.setsockopt(SOL_SOCKET, SO_SETFIB, cdom)
        sock.setsockopt(SOL_SOCKET, SO_PROMISC, promiscuous or cdom > 0)
        sock.setsockopt(SOL_SOCKET, SO_VLANS, vlans)
        sock.setsockopt(SOL_SOCKET, SO_REUSEPORT, reuse_port)
        sock.setsockopt(IPPROTO_IP, IP_SYNFILTER, syn_filter)
        if fast_open:
            sock.setsockopt(IPPROTO_TCP, TCP_FASTOPEN, fast_open)
        sock.bind(address)
        sock.listen(backlog)
        return sock

    def connect(
        self, address: tuple[Any, int], *, source: tuple[Any, Any] | None = None, l2: L2Info | None = None,
        cdom: int = 0, fast_open: bytes | None = None,
    ) -> Socket:
        """A connecting socket: EV_CONNECTED or EV_ERROR follows. `source`: local (ip, port), either ANY; in a `cdom`
        above 0 it must say the ip, and `l2` the MACs and VLAN stack. `fast_open`: the first bytes to send, which go in
        the SYN if the peer's Fast Open cookie is known (see MSG_FASTOPEN at `Socket.sendmsg`); at most what the send
        buffer takes. Errors as of `Socket.connect`.
        """
        sock = self.socket()
        if cdom:
            sock.setsockopt(SOL_SOCKET, SO_PROMISC, True)
            sock.setsockopt(SOL_SOCKET, SO_SETFIB, cdom)
            sock.setsockopt(SOL_SOCKET, SO_L2INFO, l2)
        elif l2 is not None:
            raise InvalidArgument("MACs and VLANs can be chosen in a connection domain above 0 only")
        if source is not None:
            sock.bind(source)
        if fast_open is None:
            sock.connect(address)
            return sock
        if len(fast_open) > sock.config.send_buffer:
            raise InvalidArgument(f"fast_open has {len(fast_open)} bytes, the send buffer {sock.config.send_buffer}")
        sock.sendto(fast_open, address, MSG_FASTOPEN)
        return sock

    def connect_onward(self, syn: Syn, interface: Interface) -> Socket:
        """A connection that a SYN asks for, by another promiscuous interface than it came by: with the same addresses,
        ports, MACs and tags, so that the server sees the client. AddressInUse."""
        if self.closed:
            raise BadSocket("the stack is closed")
        family = AF_INET if is_mapped(syn.destination_hi, syn.destination_lo) else AF_INET6
        sock = new_socket(self, family, SOCK_STREAM, self.promiscuous_config(interface.cdom))
        open_onward(sock, syn, interface)
        return sock

    def promiscuous_config(self, cdom: int) -> Config:
        """What is set on promiscuous sockets of a domain: shared by all of them, as in `_defaults`."""
        defaults = self._defaults()
        found = self._domains.get(cdom)
        if found is None or found[0] is not defaults:
            config = defaults.copy()
            config.promiscuous = True
            config.cdom = cdom
            found = self._domains[cdom] = (defaults, config)
        return found[1]

    def ping(
        self, destination: Any, *, payload: bytes = b"uinet", on_reply: Callable[[Ping, int, int], None] | None = None
    ) -> Ping:
        """Something that sends echo requests to `destination`: see :class:`uinet.ping.Ping`."""
        return Ping(self, destination, payload, on_reply)

    def connections(self) -> list[Socket]:
        """The sockets of all TCP connections, those that nobody has accepted yet left out."""
        return [
            entry.owner for entry in self.tcp.table
            if (isinstance(entry, Tcb) or (isinstance(entry, Reception) and entry.accepted)) and entry.owner is not None
        ]

    def watched(self, listener: Socket, primary: Reception) -> PassiveSocket:
        """The socket of a connection that `listener` watches, for its `accept`."""
        return PassiveSocket(self, listener.config, primary)

    def close(self) -> None:
        """Ends the stack, silently: nothing is sent any more, every connection fails with ConnectionAborted, SYNs that
        wait come to nothing ("closed"), and nothing can be done with sockets but read what had arrived.
        """
        if self.closed:
            return
        self.closed = self.tcp.closed_down = True
        self.tcp.on_pending = None
        self.on_control = None
        self.network.on_link_event = self.network.on_kick = self.network.on_refresh = None
        self._count()
        self.stats.refresh = None
        self.link_watchers = []
        self.tcp.busy = True
        self.tcp.shut_down()
        for client in list(self.dhcp.clients.values()):
            client.stop()
        self.udp.close_all()
        self.network.icmp.waiters.clear()
        for _ in range(GOODBYES):
            if not self.tcp.ready and not self.tcp.gone:
                break
            self._tell_gone()
            self._deliver()
        if self.tcp.syn_events:
            self._tell_syn_events()
        self._on_syn_event = self.tcp.syn_events = None
        self.tcp.pending = []
        self.later = []
        self.calls = []
        self.network.loopback = []
        for interface in list(self.network.interfaces):
            try:
                self.network.remove_interface(interface)
            except Error:
                log.exception("removing %r", interface)
        self.tcp.busy = False
