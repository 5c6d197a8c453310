"""Multicast groups against the kernel: a bridge that snoops IGMP and MLD learns what is joined here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import uinet
from tests.interop.netns import PATIENCE, Namespace, namespace, require
from uinet.link import open_device

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

GROUP4, GROUP6 = "239.1.2.3", "ff15::1234"


async def until(condition: Callable[[], object], what: str, timeout: float = PATIENCE) -> None:
    end = asyncio.get_running_loop().time() + timeout
    while not condition():
        assert asyncio.get_running_loop().time() < end, f"waited {timeout} s for {what}"
        await asyncio.sleep(0.1)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 100))


@pytest.mark.parametrize(("igmp", "mld"), [(3, 2), (2, 1)])
def test_snooping_bridge_learns_and_forgets_our_groups(igmp: int, mld: int) -> None:
    async def work(space: Namespace) -> None:
        with space.entered():
            device = open_device("tap:u0")
        space.run(
            "ip link add br0 type bridge mcast_snooping 1 mcast_querier 1 mcast_query_interval 200 "
            f"mcast_query_response_interval 100 mcast_igmp_version {igmp} mcast_mld_version {mld} "
            "mcast_last_member_interval 20 mcast_startup_query_interval 100"
        )
        space.run("ip link set u0 master br0")
        space.run("ip link set br0 up")
        space.run("ip addr add 10.52.0.1/24 dev br0")
        space.run("ip addr add fd52::1/64 dev br0 nodad")

        def groups() -> str:
            return space.run("bridge mdb show dev br0")

        async with uinet.Host(linger=0.2) as host:
            await host.add_device(device, addresses=["10.52.0.2/24", "fd52::2/64"])
            sock = host.stack.socket(kind=uinet.SOCK_DGRAM)
            sock.bind((uinet.ANY, 5353))
            sock.setsockopt(uinet.IPPROTO_IP, uinet.IP_ADD_MEMBERSHIP, GROUP4)
            sock.setsockopt(uinet.IPPROTO_IPV6, uinet.IPV6_JOIN_GROUP, GROUP6)
            await until(lambda: GROUP4 in groups() and GROUP6 in groups(), "the bridge to learn the groups")
            # solicited-node groups are of link-local scope: the bridge floods those, and need not list them
            space.run("ip route add 239.0.0.0/8 dev br0")
            program = (
                "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); "
                f"s.setsockopt(0, 33, 4); s.sendto(b'hello', ('{GROUP4}', 5353))"
            )
            space.run(f'python3 -c "{program}"')
            await until(lambda: sock.readable, "the datagram to the group")
            data, address = sock.recvfrom(100)
            assert data == b"hello" and str(address[0]) == "10.52.0.1"
            for _ in range(30):  # queries are answered: the groups outlive the bridge's membership interval
                await asyncio.sleep(0.1)
            assert GROUP4 in groups() and GROUP6 in groups()
            sock.close()
            await until(
                lambda: GROUP4 not in groups() and GROUP6 not in groups(), "the bridge to forget the groups", timeout=60
            )

    require("bridge", "python3")
    with namespace("bridge") as space:
        run(work(space))
