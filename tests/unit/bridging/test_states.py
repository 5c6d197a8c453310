"""The states of a flow, between real stacks on virtual time."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

import uinet
from tests.unit.bridging.worlds import World
from uinet.errors import InvalidArgument, Unsafe
from uinet.proxy import Policy, parse_match
from uinet.units import MASK32
from uinet.wire import build
from uinet.wire.addresses import L2Info
from uinet.wire.frame import Frame

UP, DOWN = Random(1).randbytes(1_000_000), Random(2).randbytes(1_000_000)
SLOW = {"delay": 0.005, "rate": 2e7}


def states(world: World) -> list[str]:
    """What the only record tells of the states of its connection."""
    (record,) = world.records
    return [change["state"] for change in record["states"]]


def finish(world: World) -> None:
    world.net.run(until=world.finished, timeout=100)
    world.check()


def test_a_passed_flow_is_known_and_leaves_no_record() -> None:
    world = World(way="pass", link=SLOW)
    world.start(UP, DOWN)
    world.run(0.1)
    assert world.connection.state == "pass"
    assert world.proxy.statistics()["passing"] == 1
    finish(world)
    assert world.records == []


def test_a_tracked_flow_is_counted_in_stream_bytes() -> None:
    world = World(way="track", link=SLOW)
    world.start(UP, DOWN)
    world.run(0.1)
    assert 0 < world.connection.client_bytes < len(UP)
    finish(world)
    (record,) = world.records
    assert (record["client"]["bytes"], record["server"]["bytes"]) == (len(UP), len(DOWN))
    assert record["outcome"] == "closed"


@pytest.mark.parametrize("way", ["track", "pass"])
def test_taken_over_in_its_middle_and_let_go_again(way: str) -> None:
    world = World(way=way, link=SLOW)
    world.start(UP, DOWN)
    world.run(0.1)
    world.change("intercept")
    world.run(0.1)
    assert world.connection.state == "intercept"
    assert len(world.proxy.active) == 1
    world.change("track")
    world.run(0.5)
    assert world.connection.state == "track"
    assert (world.proxy.counts["taken_over"], world.proxy.counts["let_go"]) == (1, 1)
    finish(world)
    assert states(world)[-2:] == ["intercept", "track"]


def test_proxied_from_its_syn_and_let_go_with_translated_numbers() -> None:
    world = World(way="intercept", link=SLOW)
    world.start(UP, DOWN)
    world.run(0.1)
    world.change("pass")
    world.run(0.5)
    flow = world.connection.bridged
    assert flow is not None and flow.translation is not None
    assert flow.translation.client_seq != 0
    assert world.stack.stats["bridge_translated"] > 0
    finish(world)
    assert states(world) == ["intercept", "pass"]


def test_what_was_let_go_with_translated_numbers_can_be_taken_over_again() -> None:
    world = World(way="intercept", link=SLOW)
    world.start(UP * 4, DOWN * 4)
    for state in ("track", "intercept") * 3:
        world.run(0.2)
        world.change(state)
        world.net.run(until=lambda: not world.connection.wanted, timeout=10)
        assert world.connection.state == state, (state, world.connection.refusal)
    finish(world)


def test_an_idle_connection_is_let_go_at_once() -> None:
    world = World(way="intercept")
    world.start(b"", b"", client_last=True, server_last=True)
    world.run(1.0)
    assert world.change("pass", 0) == ""
    assert world.connection.state == "pass"
    assert world.client is not None and world.server is not None
    world.up, world.client.data = b"up", memoryview(b"up")
    world.client.send()
    world.run(1.0)
    assert bytes(world.server.received) == b"up"
    for end in (world.client, world.server):
        end.last = False
        end.send()
    finish(world)


def test_held_until_somebody_decides() -> None:
    world = World(way="hold")
    world.start(UP, DOWN)
    world.run(1.0)
    assert world.server is None
    assert world.connection.state == "hold"
    assert world.connection.change("track") == ""
    world.run(1.0)
    assert world.connection.state == "track" and world.server is not None
    finish(world)
    assert states(world) == ["hold", "track"]


def test_held_and_intercepted() -> None:
    world = World(way="hold")
    world.start(UP, DOWN)
    world.run(0.5)
    world.connection.change("intercept")
    finish(world)
    assert states(world) == ["hold", "intercept"]


def test_half_closed_and_taken_over() -> None:
    world = World(way="track", link=SLOW)
    world.start(b"x", DOWN)
    world.run(0.1)
    assert world.change("intercept") == ""
    world.run(0.1)
    assert world.change("track") != ""  # it has to drain
    finish(world)
    assert world.proxy.counts["let_go"] == 1


def test_what_passed_behind_a_gap_counts_when_the_gap_is_closed() -> None:
    world = World(seed=4, way="track", link={"delay": 0.005, "rate": 2e7, "loss": 0.01})
    world.start(UP, DOWN)
    world.net.run(until=lambda: world.proxy.connections() and gap(world), timeout=5)
    assert world.change("intercept") == ""
    finish(world)


def gap(world: World) -> bool:
    """Whether something has passed out of order."""
    flow = world.connection.bridged
    return flow is not None and flow.track is not None and flow.track.client.islands is not None


def test_old_segments_are_not_taken_for_where_a_flow_stands_when_it_is_tracked_again() -> None:
    """Overtaken, or sent twice, they are the first that is seen of it. Bytes between them and what is new were taken by
    the other side, and nobody sends them again."""
    world = World(way="track", link=SLOW)
    proxy = world.hosts[1]
    seen: list[list[Frame]] = [[], []]
    for side, interface in enumerate(proxy.interfaces):
        interface.first_look = lambda batch, side=side: seen[side].extend(Frame(one.data) for one in batch.frames)
    world.start(b"", DOWN, client_last=True)
    world.run(0.1)
    assert world.change("intercept") == ""
    world.run(0.1)
    world.change("track")
    world.net.run(until=lambda: world.connection.state == "track", timeout=20)
    for side, place in ((1, 5), (0, 8)):  # data of the server, and the client's ACK of it or of what is close to it
        proxy.stack.input(proxy.interfaces[side], [seen[side][place]], world.net.now)
    world.change("intercept")
    finish(world)
    assert world.proxy.counts["taken_over"] == 2


def test_a_flow_that_the_match_excludes_can_be_taken_over_nonetheless() -> None:
    world = World(way="intercept", link=SLOW, match=parse_match("port 81"))
    world.start(UP, DOWN)
    world.run(0.1)
    assert world.connection.state == "pass"
    assert world.proxy.counts["excluded"] == 1
    world.change("intercept")
    world.run(0.2)
    assert world.connection.state == "intercept"
    finish(world)


# what is refused, and why


def test_a_flow_whose_syns_were_not_seen_is_not_taken_over() -> None:
    world = World(way="pass", link=SLOW)
    world.start(UP, DOWN)
    world.run(0.1)
    table = world.proxy.flows
    assert table is not None
    table.remove(table.table.nodes()[0], "evicted")
    world.run(0.05)
    (connection,) = world.proxy.connections()
    with pytest.raises(Unsafe, match="SYNs were not seen"):
        connection.change("intercept", 5.0)
    assert connection.state == "pass"
    assert str(connection.flow.source) == "10.0.0.1"
    finish(world)


def test_a_change_that_stays_unsafe_is_given_up_and_told() -> None:
    world = World(way="intercept", link=SLOW)
    world.start(UP, DOWN)
    world.run(0.1)
    assert "drain" in world.change("pass", 0.002)
    world.run(0.05)
    assert world.connection.state == "intercept"
    assert "refused" in world.events
    finish(world)


@pytest.mark.parametrize(
    ("client", "server", "why"),
    [
        ({"timestamps": False}, {}, "timestamps"),
        ({}, {"ecn": 0}, ""),
        ({"ecn": 1}, {"ecn": 0}, "ECN"),
    ],
)
def test_halves_that_agree_on_different_things_are_not_let_go(
    client: dict[str, Any], server: dict[str, Any], why: str
) -> None:
    world = World(way="intercept", link=SLOW, client=client, server=server)
    world.start(UP, DOWN)
    world.run(0.1)
    if why:
        with pytest.raises(Unsafe, match=why):
            world.connection.change("pass", 5.0)
    finish(world)


def test_accurate_ecn_is_not_taken_over() -> None:
    world = World(way="track", link=SLOW, client={"ecn": 3}, server={"ecn": 3})
    world.start(UP, DOWN)
    world.run(0.1)
    with pytest.raises(Unsafe, match="accurate ECN"):
        world.connection.change("intercept", 5.0)
    finish(world)


def test_rewritten_streams_are_not_let_go() -> None:
    async def copy(reader: Any, writer: Any, connection: Any) -> None:
        raise AssertionError("never run")

    class Joined:
        bytes_ab = bytes_ba = 0
        done = False
        error = None
        on_done = None

        def abort(self) -> None:
            pass

    world = World(
        policy=Policy(decide=lambda syn: "intercept", client_to_server=copy), join=lambda *_: Joined(),
        run=lambda *_: None,
    )
    world.start(b"", b"")
    world.run(0.5)
    with pytest.raises(Unsafe, match="policy"):
        world.connection.change("pass", 5.0)
    assert world.connection.state == "intercept"


def test_words_that_are_no_state() -> None:
    world = World(way="track")
    world.start(UP, DOWN)
    world.run(0.01)
    with pytest.raises(InvalidArgument, match="pass, track, hold, intercept"):
        world.connection.change("proxy")
    with pytest.raises(Unsafe, match="only a SYN"):
        world.connection.change("hold")


# the table


def test_the_table_is_bounded_and_the_longest_idle_give_way() -> None:
    world = World(way="pass", flow_limit=8)
    world.start(UP, b"", client_last=True, server_last=True)
    stack = world.hosts[0].stack
    for port in range(5000, 5030):
        stack.connect(("10.0.0.2", 80), source=("10.0.0.1", port), l2=world.l2, cdom=1)
        world.run(0.005)
    table = world.proxy.flows
    assert table is not None
    assert len(table) <= 8
    assert table.evicted > 20
    assert len(world.proxy.passing) <= 8


def test_tracked_flows_never_give_way() -> None:
    world = World(way="track", flow_limit=4)
    world.start(UP, DOWN)
    stack = world.hosts[0].stack
    for port in range(5000, 5020):
        stack.connect(("10.0.0.2", 80), source=("10.0.0.1", port), l2=world.l2, cdom=1)
    world.run(0.01)
    table = world.proxy.flows
    assert table is not None
    assert (len(table), table.tracked, table.evicted) == (4, 4, 0)
    assert table.refused >= 17
    assert len(world.proxy.passing) == 4


def test_bytes_that_tracking_keeps_are_bounded() -> None:
    world = World(way="track", link={"delay": 0.05, "rate": 1e8})
    table = world.proxy.flows
    assert table is not None
    table.budget.limit = 20_000
    world.start(UP * 3, DOWN)
    most = 0
    for _ in range(300):
        world.run(0.002)
        most = max(most, table.budget.held)
    assert most <= 20_000 + 2048
    assert "not seen" in world.change("intercept", 0) or world.connection.state == "track"
    finish(world)


class Kept:
    """A target of copies: what it was given, by the number of the connection."""

    def __init__(self) -> None:
        self.packets: dict[int, int] = {}
        self.ended: list[int] = []

    def packet(self, flow: Any, frame: Any, outbound: bool) -> None:
        self.packets[flow.serial] = self.packets.get(flow.serial, 0) + 1

    def end(self, flow: Any) -> None:
        self.ended.append(flow.serial)


def test_what_is_taken_over_is_copied_while_it_is() -> None:
    world = World(way="track", link=SLOW)
    kept = Kept()
    world.stack.copy_flows(kept)
    world.start(UP, DOWN)
    world.run(0.1)
    assert kept.packets == {}
    world.change("intercept")
    world.run(0.1)
    serials = sorted(kept.packets)
    assert len(serials) == 2 and 0 not in serials
    assert world.connection.serials == tuple(serials) or world.connection.serials[::-1] == tuple(serials)
    assert kept.ended == []
    world.change("track")
    world.run(0.5)
    assert sorted(kept.ended) == serials
    before = dict(kept.packets)
    finish(world)
    assert kept.packets == before


def test_an_ack_half_the_circle_away_counts_nothing() -> None:
    stack = uinet.Stack(b"x", 10**9)
    left, right = (stack.add_interface(name, cdom=cdom, promiscuous=True) for cdom, name in enumerate("ab", 1))
    bridged = uinet.bridge(left, right)
    l2 = L2Info.make("02:00:00:00:00:01", "02:00:00:00:00:02")

    def put(seq: int, ack: int, payload: bytes = b"") -> None:
        frame = build.tcp("10.0.0.1", "10.0.0.2", 1000, 80, ".", seq, ack & MASK32, payload=payload, l2=l2)
        stack.input(left, [frame], 2 * 10**9)

    put(1, 5000)  # its SYNs were not seen: nobody knows a window
    (connection,) = bridged.connections()
    connection.change("track")
    put(1, 5000, b"abc")
    put(4, 5000 + (1 << 31))
    assert (connection.client_bytes, connection.server_bytes) == (3, 0)
    connection.change("pass")
    assert (connection.client_bytes, connection.server_bytes) == (3, 0)
