"""A host that is awake: a stack of its own, with its addresses, routes and services."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from uinet.errors import Error, InvalidArgument, WouldBlock
from uinet.hosts.services import Service, answer, begin, happens
from uinet.socket import Socket
from uinet.sockopt import SOCK_DGRAM
from uinet.stack import Stack
from uinet.wire.addresses import IPAddress, unpack_address

if TYPE_CHECKING:
    from uinet.hosts.plan import HostPlan

MOST_CONNECTIONS = 256  # at once on one host; of more the longest idle is reset
RECEIVE_MEMORY = 16 << 20
SILENT = ("filtered", "closed")


class Awake:
    """`last`: when a frame last came, ns. `deadline`: of its stack, 0 for never. `count`: is told what happens, by a
    counter's name."""

    def __init__(self, plan: HostPlan, seed: bytes, now: int, checksums: bool, count: Callable[[str], None]) -> None:
        self.plan = plan
        self.last = now
        self.deadline = 0
        self.count = count
        group = plan.group
        self.stack = Stack(seed, now)
        self.stack.tcp.settings.receive_memory = self.stack.tcp.settings.send_memory = RECEIVE_MEMORY
        self.interface = self.stack.add_interface("eth0", mac=plan.mac, mtu=group.mtu, checksums=checksums)
        for address, first in zip(plan.addresses, group.addresses, strict=True):
            self.interface.add_address(f"{unpack_address(address)}/{first.length}")
        for gateway in group.gateways:
            self.stack.routes.add(
                "::/0" if ":" in gateway else "0.0.0.0/0", via=gateway, interface=self.interface
            )
        for prefix, gateway in group.routes:
            self.stack.routes.add(prefix, via=gateway, interface=self.interface)
        self.open: OrderedDict[Socket, None] = OrderedDict()  # the longest idle first
        for port, service in group.tcp.items():
            if service.kind not in SILENT:
                listener = self.stack.listen((None, port))
                listener.on_event = partial(self._accept, service)
        for port, service in group.udp.items():
            if service.kind not in SILENT:
                sock = self.stack.socket(kind=SOCK_DGRAM)
                sock.bind((None, port))
                sock.on_event = partial(self._datagrams, service)

    @property
    def name(self) -> str:
        """The host's name."""
        return self.plan.name

    @property
    def number(self) -> int:
        """Its number in its group."""
        return self.plan.number

    @property
    def ip(self) -> IPAddress:
        """Its first address."""
        return unpack_address(self.plan.addresses[0])

    def set(self, settings: dict[str, Any]) -> None:
        """Gives the stack these settings, by name; what one of them may be depends on another, so in two rounds."""
        for _ in range(2):
            for name, value in settings.items():
                with contextlib.suppress(InvalidArgument):
                    self.stack.sysctl[name] = value

    def _accept(self, service: Service, listener: Socket, events: int) -> None:
        while listener.readable:
            sock = listener.accept()
            self.count("connections")
            if len(self.open) >= MOST_CONNECTIONS:
                oldest = next(iter(self.open))
                del self.open[oldest]
                oldest.on_event = None
                oldest.abort()
                self.count("evicted")
            self.open[sock] = None
            sock.on_event = self._event
            try:
                begin(sock, service, self)
            except Error:
                sock.close()
            if sock.closed:
                self.open.pop(sock, None)

    def _event(self, sock: Socket, events: int) -> None:
        if sock not in self.open:
            return
        self.open.move_to_end(sock)
        if not happens(sock, events, self):
            del self.open[sock]

    def _datagrams(self, service: Service, sock: Socket, events: int) -> None:
        while sock.readable:
            try:
                data, source = sock.recvfrom(65536)
                self.count("datagrams")
                said = answer(service, data)
                if said is not None and source[1]:
                    sock.sendto(said, source)
            except WouldBlock:
                return
            except Error:
                continue  # what an earlier answer came to, or a source that can't be answered

    @property
    def idle(self) -> bool:
        """Whether nobody would miss its stack."""
        return not self.open and not self.stack.tcp.connections

    def close(self) -> None:
        """Ends the stack, silently."""
        self.open.clear()
        self.stack.close()
