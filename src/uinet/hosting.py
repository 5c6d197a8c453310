"""What the hosts of all event systems have in common: a stack, its devices and their addresses, and when it has done.

An event system gives a `Loop`: a few callbacks on descriptors and time, as asyncio's event loops have them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from uinet.addressing import Addressing
from uinet.dns import NameNotFound, Names
from uinet.driving import LoopDriver
from uinet.endpoints import IPAddress, ip_address
from uinet.errors import AddressError, BadSocket, InvalidArgument
from uinet.link.url import open_device
from uinet.readiness import Readiness, readiness_of
from uinet.sockopt import AF_INET, AF_INET6, IPPROTO_TCP, SOCK_DGRAM, TCP_NODELAY
from uinet.stack import Stack

if TYPE_CHECKING:
    from uinet.control.server import Server
    from uinet.ip.interface import Interface
    from uinet.ip.notice import LinkEvent
    from uinet.link.device import Device
    from uinet.link.memory import MemoryRegistry
    from uinet.pump import Pump
    from uinet.socket import Socket
    from uinet.wire.addresses import L2Info

# closed, and what was written, or the FIN, is not acknowledged yet
OWING = frozenset(("FIN-WAIT-1", "CLOSING", "LAST-ACK"))


class Handle(Protocol):
    """What `Loop.call_later` returns."""

    def cancel(self) -> object:
        """The call will not be made."""


class Loop(Protocol):
    """What `LoopDriver` needs of an event loop: asyncio's words, of which one that has a virtual clock has ``time_ns``
    as well."""

    def add_reader(self, fd: Any, callback: Callable[..., Any], *args: Any) -> Any:
        """Calls ``callback(*args)`` whenever `fd` is readable."""

    def remove_reader(self, fd: Any) -> Any:
        """Undoes `add_reader`."""

    def add_writer(self, fd: Any, callback: Callable[..., Any], *args: Any) -> Any:
        """Calls ``callback(*args)`` whenever `fd` is writable."""

    def remove_writer(self, fd: Any) -> Any:
        """Undoes `add_writer`."""

    def call_soon(self, callback: Callable[..., Any], *args: Any) -> Any:
        """Calls ``callback(*args)`` soon, and not before it returns."""

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any) -> Handle:
        """Calls ``callback(*args)`` after `delay` seconds."""


def attach(
    driver: LoopDriver,
    device: Device,
    name: str | None,
    addresses: str | Sequence[str] = (),
    gateway: str | Sequence[str] | None = None,
    mtu: int | None = None,
    mac: str | bytes | None = None,
    cdom: int = 0,
    promiscuous: bool = False,
    answer_any: bool = False,
) -> Interface:
    """Makes an interface of the driver's stack whose frames `device` carries; nothing of it stays if that fails."""
    stack: Stack = driver.stack
    interface = stack.add_interface(
        name or device.name, mac=mac or device.mac, mtu=mtu or device.mtu, cdom=cdom,
        promiscuous=promiscuous, layer=device.layer, checksums=device.checksums, answer_any=answer_any,
    )
    interface.announce_groups()
    try:
        for address in [addresses] if isinstance(addresses, str) else addresses:
            interface.add_address(address)
        add_gateways(stack, gateway)
    except BaseException:
        stack.remove_interface(interface)
        raise
    driver.add(device, interface)
    return interface


def withdraw(driver: LoopDriver, interface: Interface, device: Device) -> None:
    """Undoes `attach`; the device stays open."""
    for pump in list(driver.pumps):
        if pump.device is device:
            driver.remove(pump)
    if interface in driver.stack.interfaces:
        driver.stack.remove_interface(interface)


def add_gateways(stack: Stack, gateway: str | Sequence[str] | None) -> None:
    """Adds a default route by each of the next hops."""
    for hop in [gateway] if isinstance(gateway, str) else gateway or ():
        stack.routes.add("::/0" if ":" in hop else "0.0.0.0/0", via=hop)


def owes(driver: LoopDriver) -> bool:
    """Whether something that was written, or a FIN, has not been delivered yet."""
    if any(pump.blocked for pump in driver.pumps):
        return True
    return any(sock.closed and sock.state in OWING for sock in driver.stack.connections())


class Closable(Protocol):
    """What a host closes when it is closed itself."""

    def close_now(self) -> None:
        """Closes it, and wakes who waits for it."""


class DeviceHost:
    """A stack with devices on some event loop: what all hosts have, asyncio's and those of :class:`BaseHost`.

    `stack`: an existing one, else one is made from `seed` (bytes; fresh ones if None). `linger`: seconds for which
    closing waits until what was written is delivered. `on_device_gone`: None, or called with the interface and the
    error of a device that has vanished. `on_link_event`: None, or called with each :class:`uinet.LinkEvent`.
    """

    _addressing: type[Addressing] = Addressing

    def __init__(self, stack: Stack | None, seed: bytes | None, linger: float) -> None:
        self.stack = stack if stack is not None else Stack(seed=seed or os.urandom(32))
        self.linger = linger
        self.on_device_gone: Callable[[Interface, Exception], object] | None = None
        self.on_link_event: Callable[[LinkEvent], object] | None = None
        self._driver: LoopDriver | None = None
        self._registry: MemoryRegistry | None = None  # where ``memory:NAME`` devices meet

    def _drive(self, loop: Loop, registry: MemoryRegistry) -> None:
        """The stack's frames and time are moved by `loop` from now on."""
        self._driver = LoopDriver(self.stack, loop)
        self._driver.on_gone = self._device_gone
        self._registry = registry

    def _open_device(self, device: str | Device, mtu: int | None, mac: str | bytes | None) -> Device:
        if not isinstance(device, str):
            return device
        return open_device(device, registry=self._registry, mtu=mtu, mac=mac)

    def _begin_device(
        self,
        driver: LoopDriver,
        device: str | Device,
        name: str | None,
        addresses: str | Sequence[str],
        mtu: int | None,
        mac: str | bytes | None,
        cdom: int,
        promiscuous: bool,
        answer_any: bool,
        probe: bool,
        host_name: str,
    ) -> tuple[Interface, Any, Callable[[], None]]:
        """An interface on `device`, what its addresses wait for, and what takes both back."""
        opened = self._open_device(device, mtu, mac)

        def undo() -> None:
            if interface is not None:
                withdraw(driver, interface, opened)
            if opened is not device:
                opened.close()

        interface = None
        try:
            interface = attach(driver, opened, name, (), None, mtu, mac, cdom, promiscuous, answer_any)
            return interface, self._begin_addresses(interface, addresses, probe, host_name), undo
        except BaseException:
            undo()
            raise

    def _begin_addresses(
        self, interface: Interface, addresses: str | Sequence[str], probe: bool, host_name: str
    ) -> Any:
        """What waits for an interface's addresses, an `Addressing`."""
        addressing = self._addressing(self.stack, interface, addresses, probe=probe)
        addressing.start(host_name)
        if not addressing.waits:
            addressing.stop()
        return addressing

    def stats(self) -> dict[str, Any]:
        """Counters that are not zero: "stack" of all, "interfaces" and "devices" by interface name."""
        pumps = self._driver.pumps if self._driver is not None else []
        return {
            "stack": self.stack.stats.as_dict(),
            "interfaces": {interface.name: interface.statistics() for interface in self.stack.interfaces},
            "devices": {pump.interface.name: pump.device.statistics() for pump in pumps},
        }

    def _link_event(self, event: LinkEvent) -> None:
        if self.on_link_event is not None:
            self.on_link_event(event)

    def _device_gone(self, pump: Pump) -> None:
        if self.on_device_gone is not None and pump.gone is not None:
            self.on_device_gone(pump.interface, pump.gone)

    def _watch_links(self, on: bool) -> None:
        """Whether `on_link_event` is called."""
        watchers = self.stack.link_watchers
        if on:
            watchers.append(self._link_event)
        elif self._link_event in watchers:
            watchers.remove(self._link_event)


class BaseHost(DeviceHost):
    """The part of a host that waits for nothing. Arguments as of :class:`DeviceHost`.

    `nameservers`, `hosts`: see `uinet.dns.Names`; without name servers those that routers and DHCP servers have told
    are asked.
    """

    def __init__(
        self,
        stack: Stack | None = None,
        *,
        seed: bytes | None = None,
        linger: float = 5.0,
        nameservers: Iterable[str | IPAddress] = (),
        hosts: Mapping[str, str | Iterable[str]] | None = None,
    ) -> None:
        super().__init__(stack, seed, linger)
        self.names = Names(nameservers, hosts)
        self._opened: set[Closable] = set()
        self._closed = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else "not entered" if self._driver is None else "open"
        return f"<{type(self).__module__}.{type(self).__name__} {state}>"

    @property
    def driver(self) -> LoopDriver:
        """What moves frames and time; BadSocket before the host is entered, and after it was left."""
        if self._driver is None:
            raise BadSocket("the host is closed" if self._closed else "the host is not entered yet: use `with`")
        return self._driver

    def control(self, path: str | None) -> Server:
        """Opens a control socket at `path` (Unix, mode 0600) for ``uinet stat``, ``sysctl`` and ``top``; it is closed
        with the host. See `Stack.control`; BadSocket before the host is entered, and after it was left."""
        return self.driver.control(path)

    def _enter(self, loop: Loop, registry: MemoryRegistry) -> None:
        """Runs on `loop` from now on; ``memory:NAME`` devices meet in `registry`."""
        if self._driver is not None or self._closed:
            raise BadSocket("a host is entered once")
        self._drive(loop, registry)
        self._watch_links(True)

    def _leave(self) -> None:
        """Ends stack and devices, now: what still owes something is reset."""
        if self._driver is None:
            return
        self.close()
        driver, self._driver = self._driver, None
        self._watch_links(False)
        for sock in self.stack.connections():
            if sock.closed and sock.state in OWING:
                sock.abort()
        driver.flush()
        driver.close()
        self.stack.close()

    def close(self) -> None:
        """Closes all streams and listeners; what was written is still sent, as long as the host is not left."""
        self._closed = True
        for opened in list(self._opened):
            opened.close_now()

    # sockets

    def _begin_connect(
        self, address: IPAddress, port: int, source: tuple[Any, Any] | None, l2: L2Info | None, cdom: int,
        fast_open: bytes | None,
    ) -> Socket:
        """A socket that connects."""
        self.driver  # noqa: B018 - or the host is closed
        sock = self.stack.connect((address, port), source=source, l2=l2, cdom=cdom, fast_open=fast_open)
        sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, True)  # for who writes small pieces, as all these libraries do
        return sock

    def _datagram_socket(
        self, local: tuple[Any, int] | None, remote: tuple[Any, int] | None, family: int | None = None
    ) -> Socket:
        """A UDP socket that is bound, connected, or both: (IP address, port)."""
        self.driver  # noqa: B018
        own = None if local is None or local[0] is None else ip_address(local[0])
        peer = None if remote is None else ip_address(remote[0])
        either = own or peer
        if family is None:
            if either is None:
                raise InvalidArgument("a datagram socket needs a local or a remote address")
            family = AF_INET if either.version == 4 else AF_INET6
        sock = self.stack.socket(family, SOCK_DGRAM)
        try:
            if local is not None:
                sock.bind((own, local[1]))
            if remote is not None:
                sock.connect((peer, remote[1]))
        except BaseException:
            sock.close()
            raise
        return sock

    def _readiness(self, sock: Socket) -> Readiness:
        if sock.stack is not self.stack:
            raise InvalidArgument(f"{sock!r} is of another stack")
        return readiness_of(sock)

    # names

    def _known_addresses(self, host: str | bytes | IPAddress, versions: tuple[int, ...]) -> list[IPAddress] | None:
        """The addresses that `host` stands for, as far as nobody has to be asked; None if somebody has."""
        if not isinstance(host, str):
            return [ip_address(host)]
        try:
            return [ip_address(host)]
        except AddressError:
            if ":" in host or not host or (host[0].isdigit() and host.replace(".", "").isdigit()):
                raise
        known = self.names.known(host, versions)
        if known is None and not self._nameservers():
            raise NameNotFound(f"{host!r} is not known here, and there is no nameserver to ask")
        if known is not None and not known:
            raise NameNotFound(f"{host!r} has no address")
        return known

    def _nameservers(self) -> list[IPAddress]:
        return self.names.nameservers or self.stack.name_servers
