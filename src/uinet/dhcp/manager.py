"""All DHCP clients of a stack: the UDP port that they share, and who gets what comes in there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uinet.dhcp.client import DhcpClient
from uinet.errors import Error, InvalidArgument
from uinet.ip import output
from uinet.ip.address import LIMITED_BROADCAST
from uinet.udp.endpoint import Datagram, UdpEndpoint
from uinet.udp.protocol import UDP, Udp, datagram_bytes
from uinet.wire import dhcp
from uinet.wire.addresses import BROADCAST_MAC
from uinet.wire.frame import CHECKSUM_UNKNOWN, Frame

if TYPE_CHECKING:
    from uinet.ip.interface import Interface
    from uinet.ip.network import Network

ETHERTYPE = b"\x08\x00"
UNSPECIFIED = bytes(4)


class Dhcp:
    """The DHCP clients of one stack, by the index of their interface."""

    def __init__(self, network: Network, udp: Udp) -> None:
        self.network = network
        self.udp = udp
        self.clients: dict[int, DhcpClient] = {}
        self.endpoint: UdpEndpoint | None = None

    def start(
        self, interface: Interface, *, host_name: str = "", client_id: bytes = b"", requested: bytes = b"",
        probe: bool = True,
    ) -> DhcpClient:
        """Starts a client. InvalidArgument on an interface that has one, or that is no ordinary Ethernet interface;
        AddressInUse if UDP port 68 is taken.
        """
        if interface.promiscuous or interface.layer != 2:
            raise InvalidArgument(f"{interface.name} can't use DHCP: that takes an ordinary Ethernet interface")
        if interface.index in self.clients:
            raise InvalidArgument(f"{interface.name} has a DHCP client already")
        client = DhcpClient(
            self, interface, host_name=host_name, client_id=client_id, requested=requested, probe=probe
        )
        if self.endpoint is None:
            endpoint = self.udp.endpoint(family=4)
            self.udp.bind(endpoint, b"", dhcp.CLIENT_PORT)
            endpoint.notify = self._readable
            self.endpoint = endpoint
        self.clients[interface.index] = client
        interface.asks = True
        client.start()
        self.network.kick()
        return client

    def client_of(self, interface: Interface) -> DhcpClient | None:
        """The client of an interface."""
        return self.clients.get(interface.index)

    def stopped(self, client: DhcpClient) -> None:
        """A client has stopped; without any the port is free."""
        self.clients.pop(client.interface.index, None)
        client.interface.asks = False
        if not self.clients and self.endpoint is not None:
            self.udp.close(self.endpoint)
            self.endpoint = None

    def stop(self, interface: Interface) -> None:
        """Stops the client of an interface that goes, if there is one."""
        client = self.clients.get(interface.index)
        if client is not None:
            client.stop()

    def _readable(self, endpoint: UdpEndpoint) -> None:
        if endpoint.error is not None:
            endpoint.error = None  # an ICMP error: the timer tries again
        while endpoint.queue:
            self._input(endpoint.receive())

    def _input(self, datagram: Datagram) -> None:
        stats = self.network.stats
        stats.count("dhcp_rx")
        client = self.clients.get(datagram.interface.index)
        if client is None or datagram.source_port != dhcp.SERVER_PORT:
            stats.count("dhcp_ignored")
            return
        try:
            message = dhcp.parse(datagram.data)
        except InvalidArgument:
            stats.count("dhcp_malformed")
            return
        client.input(message)

    def send(self, interface: Interface, message: bytes, source: bytes, destination: bytes) -> None:
        """Sends a message of a client: by broadcast on its link, or routed to a server."""
        self.network.stats.count("dhcp_tx")
        source = source if self.network.is_local(source) else UNSPECIFIED
        segment = datagram_bytes(
            source, destination, dhcp.CLIENT_PORT, dhcp.SERVER_PORT, message, interface.checksums
        )
        if destination != LIMITED_BROADCAST:
            try:
                self.network.send_ip(source, destination, UDP, segment, interface=interface)
            except Error:
                self.network.stats.count("dhcp_unsent")
            return
        for packet in output.packets(self.network, source, destination, UDP, segment, mtu=interface.mtu):
            interface.transmit(Frame(bytes(BROADCAST_MAC) + interface.mac + ETHERTYPE + packet, CHECKSUM_UNKNOWN, 0))
