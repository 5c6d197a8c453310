"""A network in one process, on virtual time: hosts with real stacks, links with faults, taps for tests.

A run depends on the seed and on what the program does, on nothing else: no wall clock, no thread, no other
source of chance. The same program gives the same frames at the same nanoseconds.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from random import Random
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from uinet.errors import InvalidArgument, TimedOut
from uinet.sim.capture import CaptureFile
from uinet.sim.clock import Clock
from uinet.sim.link import Channel, Conditions, Link, Port, Segment, both_ways
from uinet.sim.loop import VirtualLoop
from uinet.sim.nodes import Host, Tap
from uinet.stack import Stack
from uinet.units import SECOND, seconds
from uinet.wire.addresses import Mac

if TYPE_CHECKING:
    from uinet.aio.host import Host as AioHost

T = TypeVar("T")
Both: TypeAlias = T | tuple[T, T]  # one value, or one for each direction (a to b, b to a)
Node = Host | Tap
Path = str | os.PathLike[str]


class Network:
    """A simulated network.

    `seed`: what all chance comes from, that of the stacks included. `limit`: virtual seconds that one `run`
    or asyncio loop may take before it is given up with TimedOut. `close`, or leaving its ``with`` block,
    completes the captures.
    """

    def __init__(self, seed: int = 0, *, limit: float = 86_400.0) -> None:
        self.seed = seed
        self.limit = limit
        self.clock = Clock()
        self.hosts: list[Host] = []
        self.links: list[Link] = []
        self._taps = 0
        self._segments = 0
        self._captures: list[CaptureFile] = []
        self._finalizer = weakref.finalize(self, _close_all, self._captures)

    def __enter__(self) -> Network:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def now(self) -> int:
        """Virtual time in nanoseconds; it begins at one second."""
        return self.clock.now

    # nodes

    def host(
        self,
        *addresses: str,
        name: str | None = None,
        mac: str | bytes | None = None,
        mtu: int = 1500,
        layer: int = 2,
        cdom: int = 0,
        promiscuous: bool = False,
        answer_any: bool = False,
        gateway: str | Iterable[str] = (),
    ) -> Host:
        """A host with a stack of its own and a first interface that has `addresses` ("10.0.0.1/24").

        `mac`: of the first interface; without it one that the host's number gives. `gateway`: the next hop
        of a default route, or several, one of each IP version. `promiscuous`: its interfaces are, in the
        domains `cdom` (at least 1) and following. `answer_any`: they answer ARP and ND for all addresses.
        """
        number = len(self.hosts) + 1
        if number > 0xFFFF:
            raise InvalidArgument("a network has at most 65535 hosts")
        if promiscuous and cdom == 0:
            cdom = 1
        first = None if mac is None else Mac(mac)

        def macs(index: int) -> Mac:
            if index == 0 and first is not None:
                return first
            return Mac(bytes((2, 0, 0)) + number.to_bytes(2, "big") + bytes((index,)))

        host = Host(
            self.clock,
            Stack(seed=self._derive("host", number), now=self.clock.now),
            name or f"h{number}",
            macs=macs,
            mtu=mtu,
            layer=layer,
            cdom=cdom,
            promiscuous=promiscuous,
            answer_any=answer_any,
        )
        for address in addresses:
            host.interface.add_address(address)
        for hop in [gateway] if isinstance(gateway, str) else gateway:
            host.stack.routes.add("::/0" if ":" in hop else "0.0.0.0/0", via=hop)
        self.hosts.append(host)
        return host

    def tap(self, name: str | None = None, *, layer: int = 2) -> Tap:
        """A node that is test code: it sees each frame, and injects its own."""
        self._taps += 1
        return Tap(self.clock, name or f"tap{self._taps}", layer)

    def aio_host(self, *addresses: str, **options: Any) -> AioHost:
        """A :class:`uinet.aio.Host` for programs on this network's loop; arguments as for `host`.

        Its `sim` is the simulated host, to be given to `link`.
        """
        from uinet.aio.host import Host as AioHost

        host = self.host(*addresses, **options)
        return AioHost(stack=host.stack, driven=True, sim=host)

    # links

    def link(
        self,
        a: Node | AioHost,
        b: Node | AioHost,
        *,
        rate: Both[float | None] = None,
        delay: Both[float] = 0.0,
        jitter: Both[float] = 0.0,
        loss: Both[float] = 0.0,
        reorder: Both[float] = 0.0,
        duplicate: Both[float] = 0.0,
        corrupt: Both[float] = 0.0,
        queue: Both[int] = 1000,
        reorder_delay: Both[float | None] = None,
        burst: Both[float] = 1.0,
        lose_every: Both[int] = 0,
        queue_bytes: Both[int | None] = None,
        mark: Both[int | None] = None,
        path_mtu: Both[int | None] = None,
        icmp: Both[bool] = False,
        mtu: int | None = None,
        capture: Path | tuple[Path | None, Path | None] | None = None,
        addresses: tuple[str | Sequence[str], str | Sequence[str]] = ((), ()),
    ) -> Link:
        """Connects two nodes. A host's first link is its first interface's; each further one adds an
        interface.

        Conditions are those of :class:`Conditions`, for both directions or as a pair (a to b, b to a).
        `mtu`: of the link and of the interfaces at its ends; without it theirs stay, and the link carries
        what they send. `path_mtu` is what they don't know of. `capture`: a pcapng file of what the interface
        at `a` sends and receives, or a pair for both ends. `addresses`: a pair of what to add to the
        interfaces at the ends.
        """
        forward, backward = both_ways(
            {
                "rate": rate, "delay": delay, "jitter": jitter, "loss": loss, "reorder": reorder,
                "duplicate": duplicate, "corrupt": corrupt, "queue": queue, "reorder_delay": reorder_delay,
                "burst": burst, "lose_every": lose_every, "queue_bytes": queue_bytes, "path_mtu": path_mtu,
                "icmp": icmp, "mark": mark,
            }
        )
        ports = self._port(a, mtu, addresses[0]), self._port(b, mtu, addresses[1])
        if ports[0].layer != ports[1].layer:
            raise InvalidArgument(f"{a!r} and {b!r} are of different layers")
        carried = mtu or max(self._mtu(a), self._mtu(b)) or 1500
        number = len(self.links) + 1
        ab = self._channel(f"link {number} ab", ports[0], ports[1].receive, mtu=carried, **forward)
        ba = self._channel(f"link {number} ba", ports[1], ports[0].receive, mtu=carried, **backward)
        ab.refuse, ba.refuse = ports[0].receive, ports[1].receive
        link = Link(*ports, ab, ba)
        self.links.append(link)
        paths = capture if isinstance(capture, tuple) else (capture, None)
        for port, path in zip(ports, paths, strict=True):
            if path is not None:
                port.files.append(self._capture(path, port.layer, port.name))
        return link

    def switch(
        self,
        *nodes: Node | AioHost,
        rate: float | None = None,
        delay: float = 0.0,
        jitter: float = 0.0,
        loss: float = 0.0,
        reorder: float = 0.0,
        duplicate: float = 0.0,
        corrupt: float = 0.0,
        queue: int = 1000,
        reorder_delay: float | None = None,
        burst: float = 1.0,
        lose_every: int = 0,
        queue_bytes: int | None = None,
        mark: int | None = None,
        mtu: int | None = None,
        capture: Path | None = None,
    ) -> Segment:
        """Joins nodes by one Ethernet segment: each frame reaches every other node.

        The conditions are those of each node's way into it. `capture`: a pcapng file of what passes.
        """
        self._segments += 1
        segment = Segment()
        carried = mtu or max((self._mtu(node) for node in nodes), default=0) or 1500
        for node in nodes:
            port = self._port(node, mtu, ())
            if segment.ports and port.layer != segment.ports[0].layer:
                raise InvalidArgument(f"{node!r} is of another layer than the others")
            segment.ports.append(port)
            self._channel(
                f"segment {self._segments} {len(segment.ports)}", port, segment.channel_from(port), rate=rate,
                delay=delay, jitter=jitter, loss=loss, reorder=reorder, duplicate=duplicate, corrupt=corrupt,
                queue=queue, reorder_delay=reorder_delay, burst=burst, lose_every=lose_every, queue_bytes=queue_bytes,
                mark=mark,
                mtu=carried,
            )
        if capture is not None and segment.ports:
            segment.captures.append(self._capture(capture, segment.ports[0].layer, "segment"))
        return segment

    def _port(self, node: Node | AioHost, mtu: int | None, addresses: str | Sequence[str]) -> Port:
        inner = node if isinstance(node, Host | Tap) else node.sim
        if not isinstance(inner, Host | Tap):
            raise InvalidArgument(f"{node!r} is no node of a simulated network")
        port = inner.free_port(mtu)
        for address in [addresses] if isinstance(addresses, str) else addresses:
            if not isinstance(inner, Host):
                raise InvalidArgument(f"{inner!r} has no addresses")
            inner.interfaces[-1].add_address(address)
        return port

    def _mtu(self, node: Node | AioHost) -> int:
        inner = node if isinstance(node, Host | Tap) else node.sim
        return inner.interfaces[-1].mtu if isinstance(inner, Host) else 0

    def _channel(self, label: str, port: Port, deliver: Any, **conditions: Any) -> Channel:
        random = Random(self._derive(label, 0))
        port.channel = Channel(self.clock, random, deliver, Conditions(**conditions), port.layer)
        return port.channel

    def _capture(self, path: Path, layer: int, name: str) -> CaptureFile:
        capture = CaptureFile(path, layer, name)
        self._captures.append(capture)
        return capture

    def _derive(self, label: str, number: int) -> bytes:
        return blake2b(f"{self.seed} {label} {number}".encode(), digest_size=32).digest()

    # running

    def run(self, until: Callable[[], object] | None = None, timeout: float | None = None) -> None:
        """Lets things happen, until `until()` is true; it is asked after each event.

        `timeout`: virtual seconds. TimedOut when they have passed, or when nothing is left to happen, and
        the condition still does not hold. Without a condition: runs for `timeout`, or without one until
        nothing is left to happen.
        """
        try:
            self._run(until, timeout)
        finally:
            for capture in self._captures:
                capture.flush()

    def _run(self, until: Callable[[], object] | None, timeout: float | None) -> None:
        clock = self.clock
        span = self.limit if timeout is None else timeout
        end = clock.now + seconds(span)
        while until is None or not until():
            upcoming = clock.next_time()
            if upcoming is not None and upcoming <= end:
                clock.step()
                continue
            if upcoming is None and timeout is None:
                if until is None:
                    return
                raise TimedOut(f"nothing is left to happen at {self._when()}: the condition does not hold")
            clock.advance(end)
            if until is None and timeout is not None:
                return
            what = "things still happen" if until is None else "the condition does not hold"
            raise TimedOut(f"{what} after {span:g} s of virtual time, at {self._when()}")

    def _when(self) -> str:
        return f"{self.clock.now / SECOND:.6f} s"

    def asyncio(self, host: AioHost | None = None, **naming: Any) -> VirtualLoop:
        """A new asyncio event loop on this network's time: ``asyncio.Runner(loop_factory=net.asyncio)``.

        With `host`, one of this network's, the loop's own `create_connection`, `create_server` and so on go through
        it, as with :class:`uinet.aio.EventLoop`; `naming`: its `nameservers` and `hosts`.
        """
        if host is None:
            return VirtualLoop(self.clock, self.limit)
        from uinet.aio.eventloop import loop_class

        loop = loop_class(VirtualLoop)(self.clock, self.limit)
        loop.use(host, **naming)
        assert isinstance(loop, VirtualLoop)
        return loop

    def close(self) -> None:
        """Completes the capture files. The network can't record any more afterwards."""
        self._finalizer()

    def statistics(self) -> dict[str, dict[str, int]]:
        """The counters of every direction of every link, by "a > b"."""
        return {
            f"{sender.name} > {receiver.name}": channel.statistics()
            for link in self.links
            for sender, receiver, channel in ((link.a, link.b, link.ab), (link.b, link.a, link.ba))
        }


def _close_all(captures: list[CaptureFile]) -> None:
    for capture in captures:
        capture.close()
