from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from uinet.ip import pmtu
from uinet.ip.pmtu import plateau_below
from uinet.wire.addresses import pack_address

if TYPE_CHECKING:
    from tests.unit.ip.conftest import Bench

FAR = pack_address("8.8.8.8")
FAR6 = pack_address("2001:db8:9::1")


def test_pmtu_nobody_has_told_is_0(bench: Bench) -> None:
    assert bench.network.pmtu.get(FAR) == 0


@pytest.mark.parametrize(
    ("destination", "told", "known"),
    [(FAR, 1400, 1400), (FAR, 100, 552), (FAR6, 1400, 1400), (FAR6, 100, 1280), (FAR, 1500, 0), (FAR, 9000, 0)],
)
def test_pmtu_is_lowered_to_the_floor_and_never_raised(
    bench: Bench, destination: bytes, told: int, known: int
) -> None:
    assert bench.network.pmtu.update(destination, told) is (known > 0)
    assert bench.network.pmtu.get(destination) == known


def test_pmtu_once_lowered_does_not_rise_by_a_message(bench: Bench) -> None:
    table = bench.network.pmtu
    assert table.update(FAR, 1400) and not table.update(FAR, 1450) and not table.update(FAR, 1400)
    assert table.get(FAR) == 1400 and table.update(FAR, 1300) and table.get(FAR) == 1300


def test_pmtu_update_makes_routes_stale(bench: Bench) -> None:
    route = bench.network.route(FAR)
    bench.network.pmtu.update(FAR, 1400)
    assert route.generation != bench.network.generation and bench.network.route(FAR).mtu == 1400


@pytest.mark.rfc("8201", "5.3", "a path MTU is forgotten after about ten minutes")
@pytest.mark.rfc("1191", "6.3", "a path MTU is forgotten after about ten minutes")
def test_pmtu_is_forgotten_after_ten_minutes_each_at_its_time(bench: Bench) -> None:
    table = bench.network.pmtu
    table.update(FAR, 1400)
    bench.advance(100)
    table.update(FAR6, 1400)
    bench.advance(499)
    route = bench.network.route(FAR)
    assert route.mtu == 1400
    bench.advance(2)
    assert route.generation != bench.network.generation and bench.network.route(FAR).mtu == 1500
    assert bench.network.route(FAR6).mtu == 1400
    bench.advance(100)
    assert bench.network.route(FAR6).mtu == 1500
    assert table.table == {} and bench.network.wheel.count == 0


@pytest.mark.threat(14)
def test_threat_14_pmtu_table_is_bounded_and_forgets_the_oldest(bench: Bench) -> None:
    table = bench.network.pmtu
    for number in range(pmtu.LIMIT + 10):
        table.update((0x08000000 + number).to_bytes(4, "big"), 1400)
    assert len(table.table) == pmtu.LIMIT
    assert table.get(bytes([8, 0, 0, 0])) == 0 and table.get((0x08000000 + pmtu.LIMIT).to_bytes(4, "big")) == 1400


def test_pmtu_larger_than_the_link_does_not_count(bench: Bench) -> None:
    jumbo = bench.network.add_interface("jumbo", mtu=9000)
    jumbo.add_address("172.16.0.1/16")
    assert bench.network.pmtu.update(pack_address("172.16.0.9"), 4000)
    assert bench.network.route(pack_address("172.16.0.9")).mtu == 4000
    jumbo.mtu = 1500
    bench.network.changed()
    assert bench.network.route(pack_address("172.16.0.9")).mtu == 1500


@pytest.mark.parametrize(
    ("size", "plateau"), [(65535, 32000), (1500, 1492), (1492, 1006), (576, 508), (69, 68), (20, 68)]
)
def test_plateau_below_a_size(size: int, plateau: int) -> None:
    assert plateau_below(size) == plateau
