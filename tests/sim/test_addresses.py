"""Hosts that get their addresses from the link, in simulation: a router and a DHCP server made of our wire code."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

import pytest

import uinet
from tests.unit.dhcp.lab import lease_options
from uinet.aio import Host
from uinet.aio.resolver import Resolver
from uinet.sim.network import Network
from uinet.sim.nodes import Tap
from uinet.units import SECOND
from uinet.wire import arp, build, dhcp, nd, udp
from uinet.wire.addresses import BROADCAST_MAC, L2Info, Mac, multicast_mac, pack_address
from uinet.wire.frame import Frame

T = TypeVar("T")

ROUTER_MAC = Mac("02:aa:00:00:00:01")
ROUTER, SERVER = "fe80::1", "10.0.0.1"


def p(address: str) -> bytes:
    return pack_address(address)


class Gateway:
    """Both: advertises 2001:db8:1::/64 and leases 10.0.0.50 onwards. `silent`: neither; `taken`: IPv4 addresses that
    another host has.
    """

    def __init__(self, tap: Tap) -> None:
        self.tap = tap
        tap.handler = self.answer
        self.dhcp = self.routes = True
        self.taken: set[bytes] = set()
        self.leases: dict[bytes, bytes] = {}
        self.kinds: list[int] = []
        self.options = lease_options(DNS_SERVERS=p("10.0.0.53"))

    def answer(self, frame: Frame, port: int) -> Iterable[bytes]:
        seen = build.dissect(frame.data)
        if arp.ArpPacket in seen:
            return self._arp(seen.arp)
        if udp.UdpHeader in seen and seen.udp.destination_port == 67 and self.dhcp:
            return self._dhcp(dhcp.parse(seen.payload))
        if nd.RouterSolicitation in seen and self.routes:
            return [self.advertisement()]
        return []

    def _arp(self, message: arp.ArpPacket) -> list[bytes]:
        if message.op != arp.REQUEST or message.tpa not in {p(SERVER), *self.taken}:
            return []
        reply = arp.reply(ROUTER_MAC, message.tpa, message.sha, message.spa)
        return [bytes(message.sha) + ROUTER_MAC + b"\x08\x06" + arp.emit(reply)]

    def _dhcp(self, message: dhcp.DhcpMessage) -> list[bytes]:
        self.kinds.append(message.type)
        if message.type == dhcp.DECLINE:
            self.leases.pop(message.chaddr, None)
        kinds = {dhcp.DISCOVER: dhcp.OFFER, dhcp.REQUEST: dhcp.ACK}
        if message.type not in kinds:
            return []
        declined = self.kinds.count(dhcp.DECLINE)
        yours = self.leases.setdefault(message.chaddr, p(f"10.0.0.{50 + len(self.leases) + declined}"))
        answer = dhcp.DhcpMessage(
            dhcp.BOOTREPLY, message.xid, {dhcp.MESSAGE_TYPE: bytes([kinds[message.type]]), **self.options},
            yiaddr=yours, chaddr=message.chaddr,
        )
        link = L2Info(ROUTER_MAC, BROADCAST_MAC)
        return [build.udp(SERVER, "255.255.255.255", 67, 68, dhcp.emit(answer), l2=link)]

    def advertisement(self, lifetime: int = 1800, source: str = ROUTER) -> bytes:
        options = (
            nd.link_layer_option(nd.SOURCE_LINK_LAYER, ROUTER_MAC),
            nd.PrefixInformation(p("2001:db8:1::"), 64).option(),
            nd.recursive_dns_server_option([p("2001:db8:1::53")], 600),
        )
        message = nd.RouterAdvertisement(64, router_lifetime=lifetime, options=options)
        return build.nd_message(source, "ff02::1", message, L2Info(ROUTER_MAC, multicast_mac(p("ff02::1"))))


class World:
    """Two hosts without addresses, and the gateway, on one Ethernet segment."""

    def __init__(self, net: Network) -> None:
        self.net = net
        self.tap = net.tap("gateway")
        self.gateway = Gateway(self.tap)
        self.one, self.two = net.aio_host(), net.aio_host()
        net.switch(self.tap, self.one, self.two, delay=0.001)

    @property
    def interface(self) -> Any:
        return self.one.stack.interfaces[0]


def run(program: Callable[[World], Awaitable[T]], seed: int = 7) -> T:
    """Runs ``program(world)`` on virtual time."""
    with Network(seed=seed) as net, asyncio.Runner(loop_factory=net.asyncio) as runner:
        world = World(net)

        async def main() -> T:
            async with world.one, world.two:
                return await program(world)

        return runner.run(main())


def test_two_hosts_get_leases_and_talk() -> None:
    async def program(world: World) -> None:
        await asyncio.gather(*(
            host.configure(host.stack.interfaces[0], "dhcp") for host in (world.one, world.two)
        ))
        addresses = [str(host.stack.interfaces[0].ip_addresses[0]) for host in (world.one, world.two)]
        assert sorted(addresses) == ["10.0.0.50", "10.0.0.51"]
        assert None not in await world.one.ping(addresses[1], 3)

    run(program)


def test_two_hosts_get_prefixes_and_talk() -> None:
    async def program(world: World) -> None:
        for host in (world.one, world.two):
            await host.configure(host.stack.interfaces[0], "slaac")
        (address,) = [entry.address for entry in world.two.stack.interfaces[0].addresses if entry.origin == "slaac"]
        assert None not in await world.one.ping(address, 3)
        assert [str(server) for server in world.one.stack.name_servers] == ["2001:db8:1::53"]

    run(program)


def test_auto_takes_whichever_is_first_and_the_other_follows() -> None:
    async def program(world: World) -> None:
        await world.one.configure(world.interface, "auto")
        await asyncio.sleep(15)
        assert {entry.origin for entry in world.interface.addresses} == {"link-local", "slaac", "dhcp"}

    run(program)


def test_auto_is_content_with_one_of_them() -> None:
    async def program(world: World) -> None:
        world.gateway.routes = False
        await world.one.configure(world.interface, "auto")
        assert "dhcp" in {entry.origin for entry in world.interface.addresses}
        world.gateway.routes, world.gateway.dhcp = True, False
        await world.two.configure(world.two.stack.interfaces[0], "auto")
        assert "slaac" in {entry.origin for entry in world.two.stack.interfaces[0].addresses}

    run(program)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("dhcp", "eth0: no DHCP server has answered within 8 s"),
        ("slaac", "eth0: no router has advertised itself within 8 s"),
        ("auto", "eth0: no DHCP server has answered, and no router has advertised itself within 8 s"),
        (["10.0.0.9/24", "dhcp"], "eth0: no DHCP server has answered within 8 s"),
    ],
)
def test_silence_is_a_clear_error(words: Any, message: str) -> None:
    async def program(world: World) -> None:
        world.gateway.routes = world.gateway.dhcp = False
        start = asyncio.get_running_loop().time()
        with pytest.raises(uinet.TimedOut) as caught:
            await world.one.configure(world.interface, words, timeout=8)
        assert str(caught.value) == message and isinstance(caught.value, TimeoutError)
        assert asyncio.get_running_loop().time() - start == pytest.approx(8)
        assert len(world.one.stack.link_watchers) == 1
        world.one.close()
        await world.one.wait_closed()
        assert world.one.stack.link_watchers == []

    run(program)


def test_server_that_appears_later_is_found() -> None:
    async def program(world: World) -> None:
        world.gateway.dhcp = False
        waiting = asyncio.create_task(world.one.configure(world.interface, "dhcp", timeout=60))
        await asyncio.sleep(20)
        world.gateway.dhcp = True
        await waiting
        assert world.interface.owns(p("10.0.0.50"))

    run(program)


def test_address_that_another_host_has_is_declined_for_the_next() -> None:
    async def program(world: World) -> None:
        world.gateway.taken = {p("10.0.0.50")}
        await world.one.configure(world.interface, "dhcp", timeout=60)
        assert world.gateway.kinds.count(dhcp.DECLINE) == 1 and world.interface.owns(p("10.0.0.51"))

    run(program)


@pytest.mark.rfc("5227", "2.1.1", "after MAX_CONFLICTS conflicts new addresses are tried once in RATE_LIMIT_INTERVAL")
def test_conflicts_without_end_slow_down() -> None:
    async def program(world: World) -> None:
        world.gateway.taken = {p(f"10.0.0.{number}") for number in range(50, 250)}
        with pytest.raises(uinet.TimedOut, match=r"eth0: another host has the address 10\.0\.0\.\d+ that the DHCP"):
            await world.one.configure(world.interface, "dhcp", timeout=1000)
        assert 10 + 10 <= world.gateway.kinds.count(dhcp.DECLINE) <= 10 + 15

    run(program)


@pytest.mark.parametrize("address", ["10.0.0.1/24", "10.0.0.99/24"])
def test_probed_address_is_a_conflict_or_ours(address: str) -> None:
    async def program(world: World) -> None:
        events: list[str] = []
        world.one.on_link_event = lambda event: events.append(str(event))
        if address == "10.0.0.1/24":
            with pytest.raises(uinet.AddressConflict, match=r"eth0: another host has 10\.0\.0\.1"):
                await world.one.configure(world.interface, address, probe=True)
            assert events == ["eth0: address-duplicate 10.0.0.1"] and world.interface.addresses == []
        else:
            await world.one.configure(world.interface, address, probe=True)
            assert events == ["eth0: address-added 10.0.0.99"]

    run(program)


def test_two_hosts_that_test_the_same_address_at_once_both_find_out() -> None:
    async def program(world: World) -> None:
        results = await asyncio.gather(
            *(
                host.configure(host.stack.interfaces[0], "2001:db8:1::7/64", probe=True)
                for host in (world.one, world.two)
            ),
            return_exceptions=True,
        )
        assert any(isinstance(result, uinet.AddressConflict) for result in results)
        owners = [host.stack.interfaces[0].owns(p("2001:db8:1::7")) for host in (world.one, world.two)]
        assert sum(owners) <= 1

    for seed in range(5):
        run(program, seed)


def test_lease_is_kept_for_half_a_day() -> None:
    async def program(world: World) -> None:
        await world.one.configure(world.interface, "dhcp")
        for _ in range(12 * 6):
            await asyncio.sleep(600)
            assert world.interface.owns(p("10.0.0.50"))
        assert 20 <= world.gateway.kinds.count(dhcp.REQUEST) <= 30 and world.gateway.kinds.count(dhcp.DISCOVER) == 1

    run(program)


def test_router_failover_in_the_middle_of_a_connection() -> None:
    """The first router falls silent; the second, which has advertised itself too, takes over."""

    async def program(world: World) -> None:
        await world.one.configure(world.interface, "slaac")
        second = Mac("02:aa:00:00:00:02")
        slla = nd.link_layer_option(nd.SOURCE_LINK_LAYER, second)
        message = nd.RouterAdvertisement(64, nd.preference_flags(nd.LOW), 1800, options=(slla,))
        link = L2Info(second, multicast_mac(p("ff02::1")))
        world.tap.send(build.nd_message("fe80::2", "ff02::1", message, link))
        await asyncio.sleep(0.1)
        stack = world.one.stack
        route = stack.network.route(p("2001:db8:99::1"))
        assert route.next_hop.address == p(ROUTER)
        sock = stack.socket(kind=uinet.SOCK_DGRAM)
        for _ in range(12):
            sock.sendto(b"x", ("2001:db8:99::1", 9))
            await asyncio.sleep(1)
        assert stack.network.route(p("2001:db8:99::1")).next_hop.address == p("fe80::2")
        assert stack.stats["router_unreachable"] == 1
        seen = [build.dissect(frame.data) for frame in world.tap.frames]
        assert [frame for frame in seen if frame.payload == b"x"][-1].ethernet.destination == second

    run(program)


class Nameserver(asyncio.DatagramProtocol):
    """Answers every question with 192.0.2.7."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        answer = data[:2] + struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0) + data[12:]
        answer += b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + p("192.0.2.7")
        self.transport.sendto(answer, addr)  # type: ignore[attr-defined]


def test_resolver_asks_the_server_that_dhcp_told() -> None:
    async def program(world: World) -> None:
        two: Host = world.two
        await two.configure(two.stack.interfaces[0], "10.0.0.53/24")
        await two.create_datagram_endpoint(Nameserver, local_addr=("10.0.0.53", 53))
        resolver = Resolver(world.one)
        with pytest.raises(uinet.Error, match="no nameserver"):
            await resolver.resolve("www.example.org", (4,))
        await world.one.configure(world.interface, "dhcp")
        assert [str(found) for found in await resolver.resolve("www.example.org", (4,))] == ["192.0.2.7"]

    run(program)


def test_same_seed_same_addresses_at_the_same_time() -> None:
    async def program(world: World) -> list[Any]:
        events: list[Any] = []
        world.one.on_link_event = lambda event: events.append((world.net.now, str(event)))
        await world.one.configure(world.interface, ["slaac", "dhcp"])
        return events

    first = run(program)
    assert first == run(program) != run(program, seed=8) and len(first) >= 4
    assert first[-1][0] < 20 * SECOND
