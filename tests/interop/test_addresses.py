"""Addresses from others: dnsmasq as DHCP server, radvd as router, the kernel as a host that has an address already."""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

import uinet
from tests.interop.netns import PATIENCE, Namespace, namespace, require, wait_for
from uinet.aio.resolver import Resolver
from uinet.link import open_device
from uinet.units import SECOND

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

KERNEL = "10.51.0.1"
PREFIX = ipaddress.IPv6Network("fd51:1::/64")


@contextmanager
def kernel() -> Iterator[Namespace]:
    """A namespace whose kernel will see our TAP as u0."""
    require("dnsmasq", "radvd", "ping")
    with namespace("server") as made:
        yield made


@asynccontextmanager
async def bare_host(space: Namespace) -> AsyncIterator[tuple[uinet.Host, Any]]:
    """A host without a device, and the TAP to add; the kernel's end has an address and is up."""
    with space.entered():
        device = open_device("tap:u0")
    space.run("sysctl -qw net.ipv6.conf.u0.accept_dad=0 net.ipv6.conf.all.forwarding=1")
    space.run(f"ip addr add {KERNEL}/24 dev u0")
    async with uinet.Host(linger=0.5) as made:
        yield made, device


@contextmanager
def running(space: Namespace, command: str, ready: Callable[[], bool], log: Path) -> Iterator[Path]:
    """A server beside the test; its log is shown if the test fails."""
    with space.popen(command):
        wait_for(ready, f"{command.split()[0]} to start")
        yield log


@contextmanager
def dnsmasq(space: Namespace, folder: Path, *options: str) -> Iterator[Path]:
    log, pid = folder / "dnsmasq.log", folder / "dnsmasq.pid"
    command = (
        f"dnsmasq -k -C /dev/null --user=root --interface=u0 --bind-interfaces --no-resolv --no-hosts --no-ping "
        f"--log-dhcp --log-facility={log} --pid-file={pid} --dhcp-leasefile={folder}/leases "
        f"--dhcp-authoritative --domain=example.test {' '.join(options)}"
    )
    with running(space, command, pid.exists, log):
        yield log


@contextmanager
def radvd(space: Namespace, folder: Path, body: str) -> Iterator[Path]:
    config, log, pid = folder / "radvd.conf", folder / "radvd.log", folder / "radvd.pid"
    config.write_text(f"interface u0 {{ AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; {body} }};\n")
    config.chmod(0o644)
    command = f"radvd -n -m logfile -d 3 -l {log} -C {config} -p {pid}"
    with running(space, command, pid.exists, log):
        yield log


async def pinged(space: Namespace, address: str) -> str:
    """What the kernel's ping says."""
    process = await asyncio.create_subprocess_exec(
        "ip", "netns", "exec", space.name, "ping", "-c", "2", "-i", "0.2", "-W", "10", address,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    return output.decode()


async def until(condition: Callable[[], object], what: str, timeout: float = PATIENCE) -> None:
    """Lets the host run until the condition holds; fails the test if it does not."""
    end = asyncio.get_running_loop().time() + timeout
    while not condition():
        assert asyncio.get_running_loop().time() < end, f"waited {timeout} s for {what}"
        await asyncio.sleep(0.05)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 100))


def test_dnsmasq_gives_a_lease_and_its_names_resolve(tmp_path: Path) -> None:
    async def work(space: Namespace) -> None:
        async with bare_host(space) as (host, device):
            options = ("--dhcp-range=10.51.0.100,10.51.0.150,255.255.255.0,1h", "--address=/www.example.test/10.51.0.9")
            with dnsmasq(space, tmp_path, *options) as log:
                eth0 = await host.add_device(device, addresses="dhcp", host_name="printer")
                client = host.stack.dhcp.client_of(eth0)
                assert client is not None and client.lease is not None and client.state == "BOUND"
                assert 100 <= int(str(client.lease.ip).rpartition(".")[2]) <= 150
                assert [str(gateway) for gateway in client.lease.gateways] == [KERNEL] and client.lease.seconds == 3600
                assert [str(server) for server in host.stack.name_servers] == [KERNEL]
                assert host.stack.search_domains == ["example.test"]
                assert "printer" in log.read_text()
                assert " 0% packet loss" in await pinged(space, str(client.lease.ip))
                assert None not in await host.ping(KERNEL, timeout=PATIENCE)
                resolved = await Resolver(host).resolve("www.example.test", (4,))
                assert [str(address) for address in resolved] == ["10.51.0.9"]
                client.release()
                await until(lambda: "DHCPRELEASE" in log.read_text(), "the server to hear of it")
                assert eth0.addresses == []

    with kernel() as space:
        run(work(space))


def test_dnsmasq_renews_and_refuses(tmp_path: Path) -> None:
    async def work(space: Namespace) -> None:
        async with bare_host(space) as (host, device):
            options = (
                "--dhcp-range=10.51.0.100,10.51.0.150,255.255.255.0,2m", "--dhcp-option=option:T1,3",
                "--dhcp-option=option:T2,100", "--dhcp-option=option:classless-static-route,192.168.7.0/24,10.51.0.7",
                "--dhcp-option=option:mtu,1400",
            )
            with dnsmasq(space, tmp_path, *options) as log:
                host.stack.network.settings.probe_num = 0
                eth0 = await host.add_device(device, addresses="dhcp")
                client = host.stack.dhcp.client_of(eth0)
                assert client is not None and client.lease is not None
                routes = [str(route) for route in host.stack.routes]
                assert "192.168.7.0/24 via 10.51.0.7 dev tap:u0 metric 100" in routes
                assert eth0.mtu_v4 == 1400
                first = client.leased
                address = client.lease.address
                await until(lambda: client.leased != first and client.state == "BOUND", "a renewal")
                assert client.leased - first >= 2 * SECOND and client.lease.address == address
                assert len(re.findall(r"DHCPACK", log.read_text())) >= 2
                client.stop()
                other = host.stack.start_dhcp(eth0, requested="10.99.0.5")
                await until(lambda: other.state == "BOUND", "another lease")
                assert other.lease is not None and other.lease.address.startswith(bytes((10, 51, 0)))
                assert host.stack.stats["dhcp_nak"] == 1

    with kernel() as space:
        run(work(space))


def test_address_that_the_kernel_has_is_declined_and_another_taken(tmp_path: Path) -> None:
    async def work(space: Namespace) -> None:
        async with bare_host(space) as (host, device):
            mac = device.mac
            text = bytes(mac).hex(":") if mac is not None else "02:00:00:00:51:02"
            space.run("ip addr add 10.51.0.66/24 dev u0")
            options = ("--dhcp-range=10.51.0.100,10.51.0.150,255.255.255.0,1h", f"--dhcp-host={text},10.51.0.66")
            with dnsmasq(space, tmp_path, *options) as log:
                eth0 = await host.add_device(device, mac=text, addresses="dhcp", address_timeout=60)
                assert host.stack.stats["dhcp_declined"] == 1 and "DHCPDECLINE" in log.read_text()
                assert not eth0.owns(bytes((10, 51, 0, 66)))

    with kernel() as space:
        run(work(space))


def test_no_dhcp_server_is_a_clear_error() -> None:
    async def work(space: Namespace) -> None:
        async with bare_host(space) as (host, device):
            with pytest.raises(uinet.TimedOut, match="tap:u0: no DHCP server has answered within 1 s"):
                await host.add_device(device, addresses="dhcp", address_timeout=1)
            assert host.stack.interfaces == [] and host.stack.dhcp.clients == {}
            device.close()

    with kernel() as space:
        run(work(space))


BODY = """
    AdvLinkMTU 1400; AdvCurHopLimit 77; AdvDefaultPreference high; AdvReachableTime 20000;
    prefix fd51:1::/64 { AdvOnLink on; AdvAutonomous on; AdvValidLifetime 3600; AdvPreferredLifetime 1800; };
    route fd51:7::/48 { AdvRouteLifetime 600; };
    RDNSS fd51::53 fd51::54 { AdvRDNSSLifetime 600; };
    DNSSL example.test { AdvDNSSLLifetime 600; };
"""


def test_radvd_configures_the_host(tmp_path: Path) -> None:
    async def work(space: Namespace) -> None:
        async with bare_host(space) as (host, device):
            space.run("ip addr add fd51:1::1/64 dev u0 nodad")
            with radvd(space, tmp_path, BODY):
                eth0 = await host.add_device(device, addresses=["slaac", "10.51.0.2/24"])
                (entry,) = [entry for entry in eth0.addresses if entry.origin == "slaac"]
                address = ipaddress.IPv6Address(entry.address)
                assert address in PREFIX and eth0.hop_limit == 77 and eth0.mtu_v6 == 1400
                assert eth0.base_reachable_time == 20 * SECOND
                assert [str(server) for server in host.stack.name_servers] == ["fd51::53", "fd51::54"]
                assert host.stack.search_domains == ["example.test"]
                routes = [str(route) for route in host.stack.routes]
                assert any(route.startswith("::/0 via fe80:") and "metric 1000" in route for route in routes)
                assert any(route.startswith("fd51:7::/48 via fe80:") for route in routes)
                assert None not in await host.ping("fd51:1::1", 2, timeout=PATIENCE)
                assert " 0% packet loss" in await pinged(space, str(address))
                assert None not in await host.ping(KERNEL, timeout=PATIENCE)

    with kernel() as space:
        run(work(space))


def test_auto_takes_what_there_is_and_the_kernel_finds_our_duplicate(tmp_path: Path) -> None:
    async def work(space: Namespace) -> None:
        async with bare_host(space) as (host, device):
            with radvd(space, tmp_path, BODY):
                eth0 = await host.add_device(device, addresses="auto")
                (entry,) = [entry for entry in eth0.addresses if entry.origin == "slaac"]
                address = ipaddress.IPv6Address(entry.address)
                assert host.stack.dhcp.client_of(eth0) is not None
                space.run("sysctl -qw net.ipv6.conf.u0.accept_dad=1 net.ipv6.conf.u0.dad_transmits=20")  # a second each
                space.run(f"ip addr add {address}/64 dev u0")
                await until(lambda: "dadfailed" in space.run("ip -6 addr show dev u0"), "the kernel to see a duplicate")
                assert eth0.owns(entry.address)

    with kernel() as space:
        run(work(space))


@pytest.mark.parametrize("address", ["10.51.0.1/24", "fd51:1::1/64"])
def test_address_of_the_kernel_is_a_conflict(address: str) -> None:
    async def work(space: Namespace) -> None:
        async with bare_host(space) as (host, device):
            space.run("ip addr add fd51:1::1/64 dev u0 nodad")
            events: list[Any] = []
            host.on_link_event = events.append
            with pytest.raises(uinet.AddressConflict, match=f"tap:u0: another host has {address.partition('/')[0]}"):
                await host.add_device(device, addresses=address, probe=True)
            await asyncio.sleep(0)
            assert "address-duplicate" in [event.kind for event in events] and host.stack.interfaces == []
            device.close()

    with kernel() as space:
        run(work(space))


def test_free_addresses_are_probed_and_then_work() -> None:
    async def work(space: Namespace) -> None:
        async with bare_host(space) as (host, device):
            space.run("ip addr add fd51:1::1/64 dev u0 nodad")
            await host.add_device(device, addresses=["10.51.0.2/24", "fd51:1::2/64"], probe=True)
            for address in (KERNEL, "fd51:1::1"):
                assert None not in await host.ping(address, timeout=PATIENCE)

    with kernel() as space:
        run(work(space))
