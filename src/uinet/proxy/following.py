"""The demonstration's last look: its own capture, followed, has every byte of both sides of the proxy."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from uinet.following.api import Run, options
from uinet.following.inputs import Sources
from uinet.following.streams import Coalescer
from uinet.proxy.demo import Endpoint, stream
from uinet.wire.pcap import PcapWriter, read

if TYPE_CHECKING:
    from pathlib import Path

    from uinet.passive.connection import Connection
    from uinet.proxy.demo import Demo, Plan

Key = tuple[Endpoint, Endpoint, tuple[int, ...]]


class Followed:
    """What following a capture of the demonstration found: `connections`, `bytes`, and `differences` from its plans.

    Both of the proxy's sides are in it, as two interfaces. A connection has the same tags, MACs, addresses and ports on
    both, and other sequence numbers: each side is followed alone.
    """

    def __init__(self, demo: Demo, path: Path) -> None:
        self.demo = demo
        self.connections = 0
        self.bytes = 0
        self.differences: list[str] = []
        for name, capture in zip(("clients'", "servers'"), sides(path), strict=True):
            self._follow(name, capture)

    def _follow(self, name: str, capture: bytes) -> None:
        self._name = name
        self._plans = {key_of(plan): plan for plan in self.demo.plans}
        self._sink = Coalescer(self, digests=True)
        run = Run(Sources(capture), self._sink, options())
        while run.step():
            pass
        for plan in self._plans.values():
            self.differences.append(f"client {plan.number} ({plan.identity}) is not in the {name} capture")

    def closed(self, connection: Connection) -> None:
        """Compares a connection with its plan."""
        self.connections += 1
        self.bytes += connection.client.length + connection.server.length
        client, server = Endpoint(*connection.client_address), Endpoint(*connection.server_address)
        plan = self._plans.pop((client, server, tuple(tag.vid for tag in connection.vlans)), None)
        if plan is None:
            self.differences.append(f"the {self._name} capture has a connection of nobody: {client} > {server}")
            return
        ways = (("up", plan.sends, connection.client), ("down", plan.receives, connection.server))
        for way, size, half in ways:
            expected = b"" if plan.refused else stream(self.demo.seed, plan.number, way, size)
            if self._sink.digest(connection, half) != sha256(expected).hexdigest():
                self.differences.append(
                    f"client {plan.number} ({plan.identity}): of {len(expected)} bytes {way} the {self._name} capture "
                    f"has {half.length}, {half.hole_bytes} of them missing, or others"
                )


def sides(path: Path) -> list[bytes]:
    """The capture, taken apart: a pcap file for each of its two interfaces."""
    writer = PcapWriter()
    found = [[writer.header()], [writer.header()]]
    for record in read(path.read_bytes()):
        found[record.interface].append(writer.packet(record.data, record.time))
    return [b"".join(pieces) for pieces in found]


def key_of(plan: Plan) -> Key:
    """Who a plan's connection is, as a capture shows it."""
    identity = plan.identity
    return identity.source, identity.destination, tuple(tag.vid for tag in identity.l2.vlans)
