"""A stack on gevent."""

from __future__ import annotations

import inspect
import struct
from collections.abc import Callable, Sequence
from ssl import SSLContext
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import gevent
from gevent.event import Event

from uinet.dns import (
    ROUNDS,
    TIMEOUT,
    TYPE_A,
    TYPE_AAAA,
    Malformed,
    NameNotFound,
    answers,
    make_query,
    over_tcp,
    parse_answer,
    truncated,
)
from uinet.endpoints import IPAddress, PortLike, listening_addresses, listening_port
from uinet.errors import Error, InvalidArgument, NotSupported, TimedOut
from uinet.gevent.loop import GeventLoop, memory_of_hub
from uinet.gevent.sockets import Socket, engine_socket, wait_ready
from uinet.gevent.tls import TlsSocket
from uinet.hosting import BaseHost, add_gateways, owes
from uinet.readiness import check_waitable
from uinet.sockopt import AF_UNSPEC, IPPROTO_TCP, SOCK_STREAM, TCP_NODELAY
from uinet.tcp.syn import Verdict
from uinet.units import SECOND

if TYPE_CHECKING:
    from uinet.addressing import Addressing
    from uinet.ip.interface import Interface
    from uinet.link.device import Device
    from uinet.ping import Ping
    from uinet.socket import Socket as EngineSocket
    from uinet.tcp.syn import Syn
    from uinet.wire.addresses import L2Info

SynFilter = Callable[["Syn"], Verdict]
LARGEST = 65_535


class Host(BaseHost):
    """One stack on gevent's hub: ``with Host() as host``. Calls block the greenlet that makes them, nobody else.

    Leaving the block closes what is open and waits, at most `linger` seconds, until it is delivered; an error resets
    it. For the thread whose hub it is. Otherwise as :class:`uinet.hosting.BaseHost`, which has the arguments.
    """

    def __enter__(self) -> Self:
        self._enter(GeventLoop(), memory_of_hub())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._settle()
        finally:
            self._leave()

    def _settle(self) -> None:
        driver = self.driver
        self.close()
        progress = Event()
        driver.on_progress = progress.set
        with gevent.Timeout(self.linger, False):
            while owes(driver):
                progress.clear()
                progress.wait()

    # devices

    def add_device(
        self,
        device: str | Device,
        *,
        name: str | None = None,
        addresses: str | Sequence[str] = (),
        gateway: str | Sequence[str] | None = None,
        mtu: int | None = None,
        mac: str | bytes | None = None,
        cdom: int = 0,
        promiscuous: bool = False,
        answer_any: bool = False,
        probe: bool = False,
        host_name: str = "",
        address_timeout: float = 30.0,
    ) -> Interface:
        """Adds an interface whose frames `device`, an open one or a URL, carries; the host closes it.

        The arguments, the errors, and that the addresses are there when this returns: as of `uinet.Host.add_device`.
        """
        interface, addressing, undo = self._begin_device(
            self.driver, device, name, addresses, mtu, mac, cdom, promiscuous, answer_any, probe, host_name
        )
        try:
            self._wait_addresses(addressing, address_timeout)
            add_gateways(self.stack, gateway)
        except BaseException:
            undo()
            raise
        return interface

    def configure(
        self, interface: Interface, addresses: str | Sequence[str], *, timeout: float = 30.0, probe: bool = False,
        host_name: str = "",
    ) -> None:
        """Gives an interface more addresses, and returns when they are there. TimedOut, AddressConflict."""
        self.driver  # noqa: B018 - or the host is closed
        self._wait_addresses(self._begin_addresses(interface, addresses, probe, host_name), timeout)

    def _wait_addresses(self, addressing: Addressing, timeout: float) -> None:
        if not addressing.waits:
            return
        progress = Event()
        addressing.on_progress = progress.set
        try:
            with gevent.Timeout(timeout, False):
                while addressing.outstanding():
                    progress.clear()
                    progress.wait()
                return
            raise TimedOut(f"{addressing.interface.name}: {addressing.missing()} within {timeout:g} s")
        finally:
            addressing.stop()

    # sockets

    def socket(self, family: int = AF_UNSPEC, kind: int = SOCK_STREAM) -> Socket:
        """A new socket: `family` AF_INET, AF_INET6 or AF_UNSPEC (both), `kind` SOCK_STREAM or SOCK_DGRAM, of
        `uinet`."""
        self.driver  # noqa: B018
        return Socket(self, self.stack.socket(family, kind))

    def connect(
        self,
        address: tuple[Any, int],
        *,
        timeout: float | None = None,
        source: tuple[Any, Any] | None = None,
        l2: L2Info | None = None,
        cdom: int = 0,
        fast_open: bytes | None = None,
        ssl: SSLContext | None = None,
        server_hostname: str | None = None,
    ) -> Socket:
        """A socket connected to (address or name, port), as ``socket.create_connection``: the addresses of a name are
        tried one after the other, each for `timeout` seconds.

        `ssl`: a context; it is a :class:`uinet.gevent.TlsSocket` then, after the handshake. `server_hostname`: what the
        certificate has to be for, `address` unless given.
        `source`, `l2`, `cdom`, `fast_open` and errors: as of `uinet.Host.create_connection`; NameNotFound.
        """
        addresses = self.resolve(address[0])
        for number, ip in enumerate(addresses):
            made = Socket(self, self._begin_connect(ip, address[1], source, l2, cdom, fast_open))
            made.settimeout(timeout)
            try:
                made.wait_connected()
                break
            except Error:
                if number + 1 == len(addresses):
                    raise
        if ssl is None:
            return made
        return TlsSocket(made, ssl, server_hostname=server_hostname or str(address[0]))

    def listen(
        self,
        address: tuple[Any, PortLike | None],
        *,
        backlog: int = 128,
        vlans: Any = (),
        cdom: int = 0,
        syn_filter: SynFilter | None = None,
        passive: bool = False,
        reuse_port: bool = False,
        fast_open: int = 0,
    ) -> Socket:
        """A listening socket at (address, port): "" or None is every address; otherwise as `uinet.Host.create_server`.

        `syn_filter` runs in the hub and must not block: one that has to think returns DEFER and has a greenlet call
        `syn.deliver`.
        """
        self.driver  # noqa: B018
        if inspect.iscoroutinefunction(syn_filter):
            raise NotSupported("an async SYN filter needs an async event system: return DEFER, let a greenlet decide")
        places = listening_addresses(address[0])
        if len(places) != 1:
            raise InvalidArgument("a socket listens at one address, or at all of them")
        sock = self.stack.listen(
            (places[0], listening_port(address[1], cdom > 0)), backlog=backlog, vlans=vlans, cdom=cdom,
            syn_filter=syn_filter, passive=passive, reuse_port=reuse_port, fast_open=fast_open,
        )
        sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, True)  # for its connections
        return Socket(self, sock)

    def udp_socket(self, local: tuple[Any, int] | None = None, remote: tuple[Any, int] | None = None) -> Socket:
        """A UDP socket bound to `local`, connected to `remote`, or both: (IP address, port)."""
        return Socket(self, self._datagram_socket(local, remote))

    def wait(self, sock: Socket | EngineSocket, events: int, timeout: float | None = None) -> int:
        """Waits until one of `events` (EV_READABLE, EV_WRITABLE, EV_ACCEPT, EV_CONNECTED) is so of a socket of
        `host.stack`; which. EV_ERROR or EV_CLOSED besides, or instead, if there is nothing more to wait for. TimedOut.

        InvalidArgument for a socket with an `on_event` of the program's own.
        """
        inner = engine_socket(sock)
        self._readiness(inner)
        return wait_ready(inner, check_waitable(events), timeout)

    def ping(
        self, host: str | bytes | IPAddress, count: int = 1, timeout: float = 1.0, *, interval: float = 1.0,
        payload: bytes = bytes(56),
    ) -> list[float | None]:
        """Sends `count` ICMP echo requests, `interval` seconds apart; the round trip of each in seconds, None for one
        that is not answered within `timeout` seconds. NetworkUnreachable, AddressNotAvailable, NameNotFound.
        """
        (address, *_) = self.resolve(host)
        clock = self.driver.clock
        outcome: dict[int, float] = {}
        settled = Event()

        def on_reply(pinger: Ping, sequence: int, rtt: int) -> None:
            outcome[sequence] = rtt / SECOND
            settled.set()

        pinger = self.stack.ping(address, payload=payload, on_reply=on_reply)
        pinger.on_error = lambda pinger, sequence, error: settled.set()
        times: list[float | None] = []
        try:
            for number in range(count):
                began = clock()
                settled.clear()
                sequence = pinger.send()
                settled.wait(timeout)
                times.append(outcome.get(sequence))
                if number + 1 < count:
                    gevent.sleep(max(0.0, interval - (clock() - began) / SECOND))
        finally:
            pinger.close()
        return times

    # names

    def resolve(self, host: str | bytes | IPAddress, versions: tuple[int, ...] = (6, 4)) -> list[IPAddress]:
        """The addresses that `host`, one already or a name, stands for: from the table `hosts`, else by DNS over this
        stack; those of IPv6 first unless `versions` says otherwise. NameNotFound."""
        known = self._known_addresses(host, versions)
        if known is not None:
            return known
        assert isinstance(host, str)
        kinds = [TYPE_A if version == 4 else TYPE_AAAA for version in versions]
        asked = [gevent.spawn(self._try, host, kind) for kind in kinds]
        try:
            gevent.joinall(asked, raise_error=True)
        finally:
            gevent.killall(asked)
        found = [address for one in asked for address in one.value]
        if not found:
            raise NameNotFound(f"{host!r} has no address that a nameserver tells of")
        return found

    def _try(self, name: str, kind: int) -> list[IPAddress]:
        try:
            return self._ask(name, kind)
        except NameNotFound:
            return []  # the other version may be known

    def _ask(self, name: str, kind: int) -> list[IPAddress]:
        for _ in range(ROUNDS):
            for server in self._nameservers():
                query = make_query(name, kind)
                try:
                    with gevent.Timeout(TIMEOUT, TimedOut(f"{server} does not answer")):
                        answer = self._exchange(server, query)
                    return parse_answer(answer, query, kind)
                except NameNotFound:
                    raise
                except (Error, Malformed):
                    continue  # the next one may know
        raise NameNotFound(f"no nameserver answers for {name!r}")

    def _exchange(self, server: IPAddress, query: bytes) -> bytes:
        """The answer to `query`: by UDP, or if it does not fit there by TCP."""
        with self.udp_socket(remote=(server, 53)) as asking:
            asking.send(query)
            while not answers(answer := asking.recv(LARGEST), query):
                continue  # others are ignored (RFC 5452, 9.1)
        if not truncated(answer):
            return answer
        with self.connect((server, 53)) as longer, longer.makefile("rb") as file:
            longer.sendall(over_tcp(query))
            head = file.read(2)
            length = struct.unpack(">H", head)[0] if len(head) == 2 else 0
            answer = bytes(file.read(length))
            if len(answer) < max(1, length):
                raise Malformed("the answer ends too early")
            return answer
