"""Segments and ICMP errors of a flow whose numbers are translated."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from tests.unit.bridging.worlds import ADDRESSES, World
from uinet.bridging.moves import parsed
from uinet.bridging.translate import Translation
from uinet.wire import build
from uinet.wire.build import dissect
from uinet.wire.frame import CHECKSUM_NEEDED, Frame
from uinet.wire.tcp_options import Nop, Sack, Timestamps


def translation(**fields: Any) -> Translation:
    made = Translation()
    for name, value in {
        "client_seq": 1000, "server_seq": 0xFFFFFF00, "client_ts": 7, "server_ts": 0xFFFFFFFE, "client_scale": 7,
        "client_told": 3, "server_scale": 2, "server_told": 9, **fields,
    }.items():
        setattr(made, name, value)
    return made


def world(version: int = 4) -> World:
    return World(version=version, vlans=True)


def segment(version: int, **options: Any) -> bytes:
    here, there = ADDRESSES[version]
    l2 = world(version).l2
    return build.tcp(here, there, 4000, 80, options.pop("flags", "."), l2=l2, **options)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("seed", range(20))
def test_checksums_stay_right(version: int, seed: int) -> None:
    random = Random(seed)
    place = world(version)
    data = segment(
        version, seq=random.getrandbits(32), ack=random.getrandbits(32), window=random.getrandbits(16),
        payload=random.randbytes(random.choice([0, 1, 100, 1399])),
        options=(Nop(), Nop(), Timestamps(random.getrandbits(32), random.getrandbits(32)), Nop(), Nop(),
                 Sack(((random.getrandbits(32), random.getrandbits(32)),))),
    )
    found = parsed(place.proxy.sides[0], Frame(data))
    assert found is not None
    packet, seg = found
    before = dissect(data)
    for from_client in (True, False):
        by = translation()
        after = dissect(by.frame(packet, seg, from_client).data)
        assert after.checksums_ok
        assert after.payload == before.payload
        seq, ack = (by.client_seq, by.server_seq) if from_client else (by.server_seq, by.client_seq)
        assert (after.tcp.seq - before.tcp.seq) & 0xFFFFFFFF == seq
        assert (before.tcp.ack - after.tcp.ack) & 0xFFFFFFFF == ack
        (stamps,) = [option for option in after.tcp.options if isinstance(option, Timestamps)]
        (old,) = [option for option in before.tcp.options if isinstance(option, Timestamps)]
        clock, echo = (by.client_ts, by.server_ts) if from_client else (by.server_ts, by.client_ts)
        assert ((stamps.value - old.value) & 0xFFFFFFFF, (old.echo - stamps.echo) & 0xFFFFFFFF) == (clock, echo)
        (sack,) = [option for option in after.tcp.options if isinstance(option, Sack)]
        (was,) = [option for option in before.tcp.options if isinstance(option, Sack)]
        assert all(
            (a - b) & 0xFFFFFFFF == ack for a, b in zip(was.blocks[0], sack.blocks[0], strict=True)
        )


def test_windows_of_different_scales() -> None:
    by = translation()
    assert by.window(True, 100) == 100 << 7 >> 3
    assert by.window(True, 0xFFFF) == 0xFFFF  # as much as the field can tell
    assert by.window(False, 0xFFFF) == 0xFFFF << 2 >> 9
    assert by.window(False, 0) == 0


def test_an_unfinished_checksum_stays_unfinished_and_sack_that_was_not_agreed_goes() -> None:
    place = world()
    data = segment(4, seq=1, ack=2, options=(Nop(), Nop(), Sack(((5, 9),))))
    found = parsed(place.proxy.sides[0], Frame(data, CHECKSUM_NEEDED, 1448))
    assert found is not None
    by = translation(sack=False)
    frame = by.frame(*found, True)
    assert (frame.checksum, frame.gso_size) == (CHECKSUM_NEEDED, 1448)
    field = slice(found[0].l4 + 16, found[0].l4 + 18)
    assert frame.data[field] == data[field]
    assert all(isinstance(option, Nop) for option in dissect(frame.data).tcp.options)


def test_the_path_mtu_of_a_flow_that_was_let_go_is_found() -> None:
    """A router beyond the proxy says that packets are too large; what it quotes has the far numbers."""
    up = Random(3).randbytes(600_000)
    place = World(way="intercept", link={"delay": 0.005, "rate": 2e7})
    place.start(up, b"", client_last=True)
    place.run(0.05)
    place.change("pass")
    place.net.run(until=lambda: place.connection.state == "pass", timeout=10)
    place.run(0.05)
    flow = place.connection.bridged
    assert flow is not None and flow.translation is not None and flow.translation.client_seq
    ab = place.links[1].ab
    place.links[1].set(path_mtu=(1200, 1200), icmp=(True, True))
    assert ab is place.links[1].ab
    assert place.client is not None
    place.client.last = False
    place.client.send()
    place.net.run(until=place.finished, timeout=60)
    place.check()
    tcb = place.hosts[0].stack
    assert tcb.stats["icmp_bad_quote"] == 0
