"""Which connections: each number is one, and no two are the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from uinet.errors import InvalidArgument
from uinet.scale.ranges import Addresses, Macs, Stacks, parse_span
from uinet.wire.addresses import L2Info, VlanTag

Endpoint = tuple[bytes, int]  # packed address, port


@dataclass(frozen=True)
class Ranges:
    """What the command line says, as it says it."""

    vlans: Sequence[str] = ()
    server_ips: str = "10.128.0.0/9"
    server_ports: str = "80"
    client_ips: str = "10.0.0.0/9"
    client_ports: str = "1024-65535"
    server_macs: str = "02:00:00:00:00:02"
    client_macs: str = "02:00:00:00:00:01"


class Plan:
    """Connections 0 to `capacity` - 1: number n goes from client n // services + n to service n, both modulo how many
    there are. A service is a VLAN stack, an address and a port of the servers; a client an address and a port.
    """

    def __init__(self, ranges: Ranges) -> None:
        self.stacks = Stacks(ranges.vlans)
        self.server_ips = Addresses(ranges.server_ips)
        self.client_ips = Addresses(ranges.client_ips)
        self.server_ports = parse_span(ranges.server_ports, 1, 65535, "port")
        self.client_ports = parse_span(ranges.client_ports, 1, 65535, "port")
        self.server_macs = Macs(ranges.server_macs)
        self.client_macs = Macs(ranges.client_macs)
        if self.server_ips.size != self.client_ips.size:
            raise InvalidArgument("clients and servers have addresses of different IP versions")
        self.services = len(self.stacks) * len(self.server_ips) * len(self.server_ports)
        self.clients = len(self.client_ips) * len(self.client_ports)

    @property
    def capacity(self) -> int:
        """How many connections there are."""
        return self.services * self.clients

    def service(self, number: int) -> tuple[tuple[VlanTag, ...], Endpoint]:
        """VLAN stack and endpoint of service `number`."""
        number, stack = divmod(number, len(self.stacks))
        port, ip = divmod(number, len(self.server_ips))
        return self.stacks[stack], (self.server_ips[ip], self.server_ports[port])

    def connection(self, number: int) -> tuple[L2Info, Endpoint, Endpoint]:
        """What the client's frames have, source and destination of connection `number`."""
        turn, service = divmod(number, self.services)
        client = (turn + service) % self.clients
        stack, destination = self.service(service)
        port, ip = divmod(client, len(self.client_ips))
        l2 = L2Info(
            self.client_macs[client % len(self.client_macs)], self.server_macs[service % len(self.server_macs)], stack
        )
        return l2, (self.client_ips[ip], self.client_ports[port]), destination
