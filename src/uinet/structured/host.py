"""A host on trio or anyio: a stack whose frames and time tasks of its own nursery move.

An error in the ``async with`` block leaves it as it is, not in a group; only a failing task of the host itself, a bug
or a callback of the program that raises, comes as an exception group, as from any nursery.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Coroutine, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

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
from uinet.endpoints import HostLike, IPAddress, PortLike, ip_address, listening_addresses, listening_port
from uinet.errors import BadSocket, ConnectionAborted, Error, TimedOut
from uinet.events import EV_CONNECTED, EV_READABLE, EV_WRITABLE
from uinet.filters import FilterRunner, SynFilter
from uinet.hosting import BaseHost, Loop, add_gateways, attach, owes
from uinet.ping import Ping
from uinet.readiness import check_waitable
from uinet.sending import SendFunction
from uinet.sockopt import IPPROTO_TCP, TCP_NODELAY
from uinet.structured.connection import wait_ready
from uinet.structured.pipe import Pipe
from uinet.structured.words import Event, Group, Words
from uinet.tcp.calls import failure

if TYPE_CHECKING:
    from uinet.addressing import Addressing
    from uinet.ip.interface import Interface
    from uinet.link.device import Device
    from uinet.link.memory import MemoryRegistry
    from uinet.socket import Socket
    from uinet.wire.addresses import L2Info

LARGEST = 65_535
ATTEMPT_DELAY = 0.25  # seconds (RFC 8305, 8: Connection Attempt Delay)


class StructuredHost(BaseHost):
    """The part of a host that trio and anyio have in common; ``async with`` enters it, and closes it in the end."""

    _words: Words  # of the library
    _manager: Any = None
    _group: Group | None = None

    def _make_loop(self, group: Group) -> tuple[Loop, MemoryRegistry]:
        """The event loop that runs the driver, whose tasks are of `group`, and where memory devices meet."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        if self._manager is not None:
            raise BadSocket("a host is entered once")
        self._manager = self._words.group()
        group: Group = await self._manager.__aenter__()
        try:
            self._enter(*self._make_loop(group))
        except BaseException:
            group.cancel_scope.cancel()
            await self._manager.__aexit__(None, None, None)
            raise
        self._group = group
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        left = error
        if error is None:
            try:
                await self._settle()
            except BaseException as raised:
                left = raised
        try:
            self._leave()
        except Exception as raised:  # of a device that can't even be closed
            left = raised if left is None else left
        assert self._group is not None
        self._group.cancel_scope.cancel()
        # the group is told of nothing but cancellation, which may be its own: other errors would come out in a group
        if left is not None and self._is_cancellation(left):
            if await self._manager.__aexit__(type(left), left, left.__traceback__):
                return True
        else:
            await self._manager.__aexit__(None, None, None)
        if left is not None and left is not error:
            raise left
        return False

    def _is_cancellation(self, error: BaseException) -> bool:
        cancelled = self._words.cancelled()
        if isinstance(error, BaseExceptionGroup):
            return error.subgroup(cancelled) is not None
        return isinstance(error, cancelled)

    async def _settle(self) -> None:
        """Closes everything, and waits until what was written is delivered, at most for `linger` seconds."""
        words = self._words
        driver = self.driver
        self.close()
        with words.move_on_after(self.linger):
            while owes(driver) or any(not pipe.outgoing.idle for pipe in self._pipes()):
                event = words.event()
                driver.on_progress = _setter(event)
                for pipe in self._pipes():
                    pipe.outgoing.on_idle = event.set
                await event.wait()
        await words.checkpoint()

    def _pipes(self) -> list[Pipe]:
        return [pump.device for pump in self.driver.pumps if isinstance(pump.device, Pipe)]

    def _begin_task(self, work: Coroutine[Any, Any, None], done: Callable[[], object]) -> Callable[[], object]:
        """Runs a coroutine as a task of the host; what cancels it."""
        if self._group is None:
            work.close()
            raise BadSocket("the host is not entered yet: use `async with`")
        scope = self._words.scope()

        async def run() -> None:
            try:
                with scope:
                    await work
            finally:
                done()

        self._group.start_soon(run)
        cancel: Callable[[], object] = scope.cancel
        return cancel

    # devices

    async def add_device(
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
        await self._words.checkpoint()
        interface, addressing, undo = self._begin_device(
            self.driver, device, name, addresses, mtu, mac, cdom, promiscuous, answer_any, probe, host_name
        )
        try:
            await self._wait_addresses(addressing, address_timeout)
            add_gateways(self.stack, gateway)
        except BaseException:
            undo()
            raise
        return interface

    async def configure(
        self, interface: Interface, addresses: str | Sequence[str], *, timeout: float = 30.0, probe: bool = False,
        host_name: str = "",
    ) -> None:
        """Gives an interface more addresses, and returns when they are there. TimedOut, AddressConflict."""
        await self._words.checkpoint()
        self.driver  # noqa: B018 - or the host is closed
        await self._wait_addresses(self._begin_addresses(interface, addresses, probe, host_name), timeout)

    async def _wait_addresses(self, addressing: Addressing, timeout: float) -> None:
        if not addressing.waits:
            return
        words = self._words
        try:
            with words.move_on_after(timeout) as scope:
                while addressing.outstanding():
                    event = words.event()
                    addressing.on_progress = event.set
                    await event.wait()
            if scope.cancelled_caught:
                raise TimedOut(f"{addressing.interface.name}: {addressing.missing()} within {timeout:g} s")
        finally:
            addressing.stop()

    def add_pipe(
        self,
        send: SendFunction,
        *,
        layer: int = 3,
        mtu: int = 1500,
        addresses: str | Sequence[str] = (),
        gateway: str | Sequence[str] | None = None,
        checksums: bool = True,
        name: str | None = None,
        mac: str | bytes | None = None,
        cdom: int = 0,
        promiscuous: bool = False,
        answer_any: bool = False,
    ) -> Pipe:
        """Adds an interface whose packets the program moves; see `Pipe`. The arguments: as of `uinet.Host.add_pipe`."""
        driver = self.driver
        pipe = Pipe(
            self._words, self._begin_task, send, layer=layer, mtu=mtu, checksums=checksums,
            name=name or f"pipe{len(self.stack.interfaces)}",
        )
        pipe.interface = attach(
            driver, pipe, name, addresses, gateway, None, mac, cdom, promiscuous, answer_any
        )
        return pipe

    # sockets of the engine

    async def wait(self, sock: Socket, events: int) -> int:
        """Waits until one of `events` (EV_READABLE, EV_WRITABLE, EV_ACCEPT, EV_CONNECTED) is so of a socket of
        `host.stack`; which. EV_ERROR or EV_CLOSED besides, or instead, if there is nothing more to wait for.

        InvalidArgument for a socket with an `on_event` of the program's own. To close a socket that others wait for,
        use `close_socket`.
        """
        self._readiness(sock)
        return await wait_ready(self._words, sock, check_waitable(events))

    def close_socket(self, sock: Socket) -> None:
        """Closes a socket of `host.stack`, and wakes the tasks that wait for it: they get EV_CLOSED."""
        readiness = self._readiness(sock)
        sock.close()
        readiness.wake_all()

    async def ping(
        self, host: str | bytes | IPAddress, count: int = 1, timeout: float = 1.0, *, interval: float = 1.0,
        payload: bytes = bytes(56),
    ) -> list[float | None]:
        """Sends `count` ICMP echo requests, `interval` seconds apart; the round trip of each in seconds, None for one
        that is not answered within `timeout` seconds. NetworkUnreachable, AddressNotAvailable, NameNotFound.
        """
        words = self._words
        (address, *_) = await self.resolve(host)
        self.driver  # noqa: B018
        outcome: dict[int, float] = {}
        event = words.event()

        def on_reply(pinger: Ping, sequence: int, rtt: int) -> None:
            outcome[sequence] = rtt / 1e9
            event.set()

        def on_error(pinger: Ping, sequence: int, error: Error) -> None:
            event.set()

        pinger = self.stack.ping(address, payload=payload, on_reply=on_reply)
        pinger.on_error = on_error
        times: list[float | None] = []
        try:
            for number in range(count):
                began = words.current_time()
                event = words.event()
                sequence = pinger.send()
                with words.move_on_after(timeout):
                    await event.wait()
                times.append(outcome.get(sequence))
                if number + 1 < count:
                    await words.sleep(max(0.0, interval - (words.current_time() - began)))
        finally:
            pinger.close()
        return times

    async def _connected(
        self, host: str | bytes | IPAddress, port: int, source: tuple[Any, Any] | None, l2: L2Info | None, cdom: int,
        fast_open: bytes | None,
    ) -> Socket:
        """A socket that is connected to the one of the host's addresses that answers first: another attempt begins
        when the last one has failed, or has taken `ATTEMPT_DELAY` (RFC 8305, 5). What the first attempt failed with if
        all do; NameNotFound, AddressError. Who is cancelled takes the attempts back.
        """
        words = self._words
        addresses = in_turns(await self.resolve(host))
        if source is not None and source[0] is not None:
            addresses = _like(addresses, source[0])
        if not addresses:
            raise NameNotFound(f"{host!r} has no address of the source's kind")
        if len(addresses) == 1:
            return await self._connect_one(addresses[0], port, source, l2, cdom, fast_open)
        won: list[Socket] = []
        failures: list[Error] = []

        async def attempt(address: IPAddress, failed: Event) -> None:
            try:
                sock = await self._connect_one(address, port, source, l2, cdom, fast_open)
            except Error as error:
                failures.append(error)
                failed.set()
                return
            won.append(sock)
            group.cancel_scope.cancel()

        try:
            async with words.group() as group:
                for address in addresses:
                    failed = words.event()
                    group.start_soon(attempt, address, failed)
                    with words.move_on_after(ATTEMPT_DELAY):
                        await failed.wait()
        except BaseException:
            for sock in won:
                sock.abort()
            raise
        for sock in won[1:]:
            sock.abort()  # it came at the same time
        if not won:
            raise failures[0]
        return won[0]

    async def _connect_one(
        self, address: IPAddress, port: int, source: tuple[Any, Any] | None, l2: L2Info | None, cdom: int,
        fast_open: bytes | None,
    ) -> Socket:
        sock = self._begin_connect(address, port, source, l2, cdom, fast_open)
        try:
            events = await wait_ready(self._words, sock, EV_CONNECTED)
        except BaseException:
            sock.abort()
            raise
        if sock.error is not None:
            raise failure(sock.error)
        if not events & EV_CONNECTED:
            raise ConnectionAborted()
        return sock

    def _listen(
        self,
        host: HostLike | Iterable[HostLike],
        port: PortLike | None,
        backlog: int,
        vlans: Any,
        cdom: int,
        syn_filter: SynFilter | None,
        passive: bool,
        reuse_port: bool,
        fast_open: int,
    ) -> list[tuple[Socket, FilterRunner | None]]:
        """A listening socket for each of the addresses."""
        self.driver  # noqa: B018
        number = listening_port(port, cdom > 0)
        made: list[tuple[Socket, FilterRunner | None]] = []
        try:
            for address in listening_addresses(host):
                runner = None if syn_filter is None else FilterRunner(syn_filter, self._begin_task, self.stack)
                sock = self.stack.listen(
                    (address, number), backlog=backlog, vlans=vlans, cdom=cdom, syn_filter=runner, passive=passive,
                    reuse_port=reuse_port, fast_open=fast_open,
                )
                sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, True)  # for its connections
                made.append((sock, runner))
        except BaseException:
            for sock, _ in made:
                sock.close()
            raise
        return made

    # names

    async def resolve(
        self, host: str | bytes | IPAddress, versions: tuple[int, ...] = (6, 4)
    ) -> list[IPAddress]:
        """The addresses that `host`, one already or a name, stands for: from the table `hosts`, else by DNS over this
        stack; those of IPv6 first unless `versions` says otherwise. NameNotFound."""
        await self._words.checkpoint()
        known = self._known_addresses(host, versions)
        if known is not None:
            return known
        assert isinstance(host, str)
        found: dict[int, list[IPAddress]] = {}
        failures: list[NameNotFound] = []

        async def ask(version: int) -> None:
            try:
                found[version] = await self._ask(host, TYPE_A if version == 4 else TYPE_AAAA)
            except NameNotFound as error:
                failures.append(error)

        async with self._words.group() as group:
            for version in versions:
                group.start_soon(ask, version)
        if not any(found.values()):
            raise failures[0] if failures else NameNotFound(f"{host!r} has no address")
        return [address for version in versions for address in found.get(version, ())]

    async def _ask(self, name: str, kind: int) -> list[IPAddress]:
        for _ in range(ROUNDS):
            for server in self._nameservers():
                query = make_query(name, kind)
                answer = None
                try:
                    with self._words.move_on_after(TIMEOUT):
                        answer = await self._exchange(server, query)
                    if answer is not None:
                        return parse_answer(answer, query, kind)
                except NameNotFound:
                    raise
                except (Error, Malformed):
                    continue  # the next one may know
        raise NameNotFound(f"no nameserver answers for {name!r}")

    async def _exchange(self, server: IPAddress, query: bytes) -> bytes:
        """The answer to `query`: by UDP, or if it does not fit there by TCP."""
        sock = self._datagram_socket(None, (server, 53))
        try:
            sock.send(query)
            while True:
                await self.wait(sock, EV_READABLE)
                answer = sock.recv(LARGEST)
                if answers(answer, query):  # others are ignored (RFC 5452, 9.1)
                    break
        finally:
            sock.close()
        return await self._exchange_over_tcp(server, over_tcp(query)) if truncated(answer) else answer

    async def _exchange_over_tcp(self, server: IPAddress, query: bytes) -> bytes:
        sock = await self._connect_one(server, 53, None, None, 0, None)
        received = b""
        try:
            while query:
                await self.wait(sock, EV_WRITABLE)
                query = query[sock.send(query) :]
            while len(received) < 2 or len(received) < 2 + struct.unpack_from(">H", received)[0]:
                await self.wait(sock, EV_READABLE)
                data = sock.recv(LARGEST)
                if not data:
                    raise Malformed("the answer ends too early")
                received += data
        finally:
            sock.close()
        return received[2 : 2 + struct.unpack_from(">H", received)[0]]


def _setter(event: Event) -> Callable[[], None]:
    def set_event() -> None:
        event.set()

    return set_event


def in_turns(addresses: list[IPAddress]) -> list[IPAddress]:
    """In the order in which to try them: after the first the first of the other IP version (RFC 8305, 4)."""
    for place, address in enumerate(addresses):
        if address.version != addresses[0].version:
            return [addresses[0], address, *addresses[1:place], *addresses[place + 1 :]]
    return addresses


def _like(addresses: list[IPAddress], source: Any) -> list[IPAddress]:
    """Those of the IP version of `source`, if that is an address."""
    try:
        version = ip_address(source).version
    except Error:
        return addresses  # ANY, or what connect will complain about
    return [address for address in addresses if address.version == version]
