"""The proxy between hand-made peers, on virtual time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from uinet import Verdict
from uinet.errors import InvalidArgument
from uinet.proxy import Policy, PolicyError, Proxy, parse_match
from uinet.units import SECOND
from uinet.wire import build
from uinet.wire.addresses import L2Info
from uinet.wire.build import dissect
from uinet.wire.frame import CHECKSUM_NEEDED, Frame

Make = Callable[..., Any]


# The handshake.


def test_syn_is_held_until_the_server_answers(world: Any) -> None:
    world.client.send("S")
    got = world.server.expect("S")
    assert got.l2info == world.client.l2  # priorities, DEI and TPIDs too
    assert (got.source, got.destination) == (bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2]))
    assert (got.tcp.source_port, got.tcp.destination_port) == (40000, 80)
    world.client.quiet(0.5)
    world.server.send("S.")
    got = world.client.expect("S.")
    assert got.tcp.ack == world.client.snd_nxt
    world.client.send(".")
    world.server.expect(".")
    world.client.quiet(0.5)
    assert world.proxy.statistics()["open"] == 1


def test_syn_retransmitted_while_held_is_absorbed(world: Any) -> None:
    world.client.send("S", advance=False)
    world.server.expect("S")
    for _ in range(3):
        world.client.send("S", advance=False)
    world.server.quiet(0.5)
    assert world.proxy.counts["syns"] == 1


def test_server_that_refuses_gives_the_client_a_rst(world: Any) -> None:
    world.client.send("S")
    world.server.expect("S")
    world.server.send("R.")
    got = world.client.expect("R.")
    assert got.tcp.ack == world.client.snd_nxt
    assert world.outcome == "refused"
    assert world.is_clean()


def test_server_that_is_silent_leaves_the_client_with_silence(make_world: Make) -> None:
    world = make_world(connect_timeout=10 * SECOND)
    world.client.send("S", advance=False)
    world.client.quiet(11.0)
    assert world.outcome == "silent"
    assert {dissect(frame.data).flags for frame in world.server_tap.take()} == {"S"}
    world.server.quiet(60.0)  # nobody goes on asking it
    world.client.send("S")  # and the client may try again
    world.server.expect("S")
    world.server.send("S.")
    world.client.expect("S.")


def test_client_that_resets_during_the_hold_takes_the_servers_side_down(world: Any) -> None:
    world.client.send("S")
    world.server.expect("S")
    world.client.send("R")
    world.run(0.1)
    assert world.outcome == "client-gone"
    world.server_tap.take()
    world.server.quiet(60.0)  # nobody goes on asking it
    assert world.is_clean()


def test_answer_that_comes_after_the_client_has_gone_meets_the_clients_own_rst(world: Any) -> None:
    world.client.send("S")
    world.server.expect("S")
    world.client.send("R")
    world.run(0.1)
    late = world.server.send("S.")  # nobody here wants it: it passes
    world.run(0.1)
    assert late in [got.data for got in world.client_tap.take()]
    reset = world.client.send("R")  # so the client says that it wants no more
    world.run(0.1)
    assert reset in [got.data for got in world.server_tap.take()]
    assert world.is_clean()


def test_client_that_never_completes_its_handshake_resets_the_servers_side(world: Any) -> None:
    world.client.send("S")
    world.server.expect("S")
    world.server.send("S.")
    world.client.expect("S.")
    world.server.expect(".")
    world.run(100.0)
    assert world.outcome == "handshake"
    assert "R" in dissect(world.server_tap.frames[-1].data).flags
    assert world.is_clean()


def test_client_that_resets_its_half_open_connection_resets_the_servers_side(world: Any) -> None:
    world.client.send("S")
    world.server.expect("S")
    world.server.send("S.")
    world.client.expect("S.")
    world.server.expect(".")
    world.client.send("R")
    world.run(100.0)
    assert world.outcome == "handshake"
    assert "R" in dissect(world.server_tap.frames[-1].data).flags


def test_server_that_resets_before_the_clients_ack_resets_the_client(world: Any) -> None:
    world.client.send("S")
    world.server.expect("S")
    world.server.send("S.")
    world.client.expect("S.")
    world.server.expect(".")
    world.server.send("R.")
    world.run(0.1)
    world.client.send(".")
    assert "R" in dissect_flags(world.client)
    assert world.outcome == "reset"
    assert world.is_clean()


def dissect_flags(peer: Any) -> str:
    peer.net.run(until=lambda: peer.tap.frames, timeout=5.0)
    return dissect(peer.tap.frames.pop(0).data).flags


# Streams.


@pytest.mark.parametrize("version", [4, 6])
def test_bytes_half_close_and_close_pass_both_ways(world: Any, version: int) -> None:
    world.establish() if version == 4 else world.establish6()
    client, server = world.client, world.server
    client.send("P.", b"question")
    server.expect(".", b"question")
    server.send(".")
    client.send("F.")
    server.expect("F.", b"")
    server.send("P.", b"an answer after the client's FIN")
    received = [got for got in collect(world, client) if got.payload]
    assert b"".join(got.payload for got in received) == b"an answer after the client's FIN"
    client.rcv_nxt = (client.rcv_nxt + 32) % 2**32
    client.send(".")
    server.send("F.")
    world.run(0.1)
    assert any("F" in got.flags for got in map(dissect_frame, client.tap.take()))
    client.rcv_nxt = (client.rcv_nxt + 1) % 2**32
    client.send(".")
    world.run(0.5)
    assert world.outcome == "closed"
    record = world.finished[0]
    assert (record["client"]["bytes"], record["server"]["bytes"]) == (8, 32)
    assert world.is_clean()


def collect(world: Any, peer: Any, seconds: float = 0.1) -> list[Any]:
    world.run(seconds)
    return [dissect_frame(frame) for frame in peer.tap.take()]


def dissect_frame(frame: Any) -> Any:
    return dissect(frame.data)


def test_data_that_the_server_sends_before_the_clients_ack_is_kept(world: Any) -> None:
    world.client.send("S")
    world.server.expect("S")
    world.server.send("S.")
    world.server.expect(".")
    world.server.send("P.", b"220 welcome")
    world.client.expect("S.")
    world.run(0.1)
    world.client.send(".")
    assert b"220 welcome" in [got.payload for got in collect(world, world.client)]


@pytest.mark.parametrize("resetter", ["client", "server"])
def test_rst_of_one_side_is_mirrored_to_the_other(world: Any, resetter: str) -> None:
    world.establish()
    near, far = (world.client, world.server) if resetter == "client" else (world.server, world.client)
    near.send("R.")
    assert "R" in dissect_flags(far)
    assert world.outcome == "reset"
    assert world.is_clean()


def test_server_whose_window_is_shut_shuts_the_clients(world: Any) -> None:
    world.establish()
    client, server = world.client, world.server
    server.window = 0
    server.send(".")
    world.run(0.1)
    sent = 0
    while sent < 32_000_000:
        answers = [got for got in collect(world, client, 0.01) if got.payload == b""]
        if answers and answers[-1].tcp.window == 0:
            break
        client.send(".", bytes(1400))
        sent += 1400
    assert sent < 8_000_000, "the proxy takes in without bound what it can't pass on"
    passed = sum(len(got.payload) for got in collect(world, server))
    assert passed <= 65535 + 1  # the window that the server had at first, and a probe


def test_connection_opened_on_the_server_side_is_proxied_too(world: Any) -> None:
    world.client, world.server = world.server, world.client
    world.establish()
    assert world.proxy.statistics()["open"] == 1
    world.client.send("R.")
    assert "R" in dissect_flags(world.server)
    assert world.finished[0]["from"] == "server"


# What is not proxied.

L2 = L2Info.make("02:00:00:00:00:01", "02:00:00:00:00:02")
L2_GROUP = L2Info.make("02:00:00:00:00:01", "01:00:5e:00:00:fb", 7)
OTHERS = [
    build.arp_request("10.0.0.1", "10.0.0.2", vlans=5),
    build.icmp_echo("10.0.0.1", "10.0.0.2", payload=b"ping"),
    build.icmp_echo("fd00::1", "fd00::2", payload=b"ping", vlans=(1, 2, 3)),
    build.udp("10.0.0.1", "10.0.0.2", 53, 53, b"query"),
    build.udp("10.0.0.1", "224.0.0.251", 5353, 5353, b"mdns", l2=L2_GROUP),
    build.tcp("10.0.0.1", "10.0.0.2", 1000, 80, ".", 100, 200, payload=b"of an older connection"),
    build.tcp("10.0.0.1", "10.0.0.2", 1000, 80, "R", 100),
    bytes.fromhex("0180c2000000020000000001") + b"\x88\xcc" + b"lldp",
    bytes.fromhex("0180c2000000020000000001") + b"\x00\x08" + b"\x42\x42\x03stp..",
]


@pytest.mark.parametrize("frame", OTHERS)
def test_frame_that_is_not_proxied_passes_untouched_both_ways(world: Any, frame: bytes) -> None:
    world.client_tap.send(frame)
    world.run(0.1)
    assert [got.data for got in world.server_tap.take()] == [frame]
    assert not world.client_tap.frames
    world.server_tap.send(frame)
    world.run(0.1)
    assert [got.data for got in world.client_tap.take()] == [frame]
    assert not world.server_tap.frames


@pytest.mark.parametrize("frame", OTHERS)
def test_frame_that_is_not_proxied_is_dropped_without_bridge(make_world: Make, frame: bytes) -> None:
    world = make_world(bridge=False)
    world.client_tap.send(frame)
    world.run(0.1)
    assert not world.server_tap.frames


def test_tcp_that_match_excludes_passes_untouched_in_both_directions(make_world: Make) -> None:
    world = make_world(match=parse_match("not port 80"))
    sent = world.client.send("S")
    world.run(0.1)
    assert [got.data for got in world.server_tap.take()] == [sent]
    world.server.rcv_nxt = world.client.snd_nxt
    sent = world.server.send("S.")
    world.run(0.1)
    assert [got.data for got in world.client_tap.take()] == [sent]
    sent = world.client.send("P.", b"data")
    world.run(0.1)
    assert [got.data for got in world.server_tap.take()] == [sent]
    assert world.proxy.counts["excluded"] == 1
    assert world.finished == []
    assert world.stack.connections() == []


def test_tcp_that_match_excludes_is_dropped_without_bridge(make_world: Make) -> None:
    world = make_world(match=parse_match("port 81"), bridge=False)
    world.client.send("S")
    world.server.quiet()
    world.client.quiet()


def test_one_way_leaves_connections_from_the_server_side_alone(make_world: Make) -> None:
    world = make_world(one_way=True)
    sent = world.server.send("S")
    world.run(0.1)
    assert [got.data for got in world.client_tap.take()] == [sent]
    world.client.send("S")
    world.server.expect("S")
    world.server.send("S.")
    world.client.expect("S.")


# Policies.


@pytest.mark.parametrize("answer", [None, "proxy", "accept", Verdict.ACCEPT])
def test_policy_that_accepts_proxies(make_world: Make, answer: Any) -> None:
    asked: list[Any] = []

    def decide(syn: Any) -> Any:
        asked.append((str(syn.source[0]), syn.destination[1], syn.l2info))
        return answer

    world = make_world(policy=Policy(decide=decide))
    world.establish()
    assert asked == [("10.0.0.1", 80, world.client.l2)]


@pytest.mark.parametrize("answer", ["bridge", Verdict.BRIDGE, Verdict.ACCEPT_PASSIVE])
def test_policy_that_bridges_lets_the_flow_pass_untouched(make_world: Make, answer: Any) -> None:
    world = make_world(policy=Policy(decide=lambda syn: answer))
    sent = world.client.send("S")
    world.run(0.1)
    assert [got.data for got in world.server_tap.take()] == [sent]
    assert world.finished == []
    assert world.proxy.counts["bridged"] == 1


@pytest.mark.parametrize("answer", ["reset", "refuse", Verdict.REJECT_RST])
def test_policy_that_resets_gives_the_client_a_rst(make_world: Make, answer: Any) -> None:
    world = make_world(policy=Policy(decide=lambda syn: answer))
    world.client.send("S")
    world.client.expect("R.")
    world.server.quiet()
    assert world.outcome == "policy"


@pytest.mark.parametrize("answer", ["drop", "silent", Verdict.REJECT_SILENT])
def test_policy_that_drops_leaves_silence(make_world: Make, answer: Any) -> None:
    world = make_world(policy=Policy(decide=lambda syn: answer))
    world.client.send("S")
    world.client.quiet()
    world.server.quiet()
    assert world.outcome == "policy"


@pytest.mark.parametrize("answer", ["bogus", 7, Verdict.DEFER, RuntimeError("went\nwrong")])
def test_policy_that_errs_drops_the_syn_and_says_why_on_one_line(make_world: Make, answer: Any) -> None:
    def decide(syn: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    world = make_world(policy=Policy(decide=decide, path=__file__))
    world.client.send("S")
    world.client.quiet()
    world.server.quiet()
    assert world.outcome == "policy-error"
    assert len(world.errors) == 1
    assert world.errors[0].startswith(__file__)
    assert "\n" not in world.errors[0]
    assert world.finished[0]["error"] == world.errors[0]


def test_async_policy_holds_the_syn_until_it_has_decided(make_world: Make) -> None:
    waiting: list[Any] = []

    async def decide(syn: Any) -> str:
        return "unused"

    def run(coroutine: Any, later: Callable[[object], None]) -> None:
        coroutine.close()
        waiting.append(later)

    world = make_world(policy=Policy(decide=decide), run=run)
    world.client.send("S", advance=False)
    world.client.send("S")
    world.server.quiet()
    assert len(waiting) == 1
    waiting[0]("proxy")
    world.server.expect("S")
    world.server.send("S.")
    world.client.expect("S.")


@pytest.mark.parametrize(
    ("result", "outcome"), [("reset", "policy"), ("drop", "policy"), (ValueError("no"), "policy-error")]
)
def test_async_policy_that_rejects(make_world: Make, result: Any, outcome: str) -> None:
    waiting: list[Any] = []

    async def decide(syn: Any) -> str:
        return "unused"

    def run(coroutine: Any, later: Callable[[object], None]) -> None:
        coroutine.close()
        waiting.append(later)

    world = make_world(policy=Policy(decide=decide), run=run)
    world.client.send("S")
    world.run(0.1)
    waiting[0](result)
    if result == "reset":
        world.client.expect("R.")
    world.client.quiet()
    world.server.quiet()
    assert world.outcome == outcome


def test_async_policy_that_bridges_sends_the_held_syn_on(make_world: Make) -> None:
    waiting: list[Any] = []

    async def decide(syn: Any) -> str:
        return "unused"

    def run(coroutine: Any, later: Callable[[object], None]) -> None:
        coroutine.close()
        waiting.append(later)

    world = make_world(policy=Policy(decide=decide), run=run)
    sent = world.client.send("S")
    world.run(0.1)
    waiting[0]("bridge")
    world.run(0.1)
    assert [got.data for got in world.server_tap.take()] == [sent]
    assert not world.proxy.active


def test_held_syn_is_bridged_with_the_state_of_its_checksum(make_world: Make) -> None:
    waiting: list[Any] = []

    async def decide(syn: Any) -> str:
        return "unused"

    def run(coroutine: Any, later: Callable[[object], None]) -> None:
        coroutine.close()
        waiting.append(later)

    world = make_world(policy=Policy(decide=decide), run=run)
    near, far = world.interfaces
    world.run(1.0)
    syn = build.tcp("10.0.0.1", "10.0.0.2", 4000, 80, "S", l2=L2)
    world.stack.input(near, [Frame(syn, CHECKSUM_NEEDED)], world.net.now)  # as a kernel with offloads sends it
    waiting[0]("bridge")
    (frame,) = world.stack.output(far)
    assert (frame.data, frame.checksum) == (syn, CHECKSUM_NEEDED)


def test_async_policy_without_an_event_loop_is_an_error(make_world: Make) -> None:
    async def decide(syn: Any) -> None: ...

    with pytest.raises(PolicyError):
        make_world(policy=Policy(decide=decide))


def test_policy_that_rewrites_is_an_error_with_a_splice(make_world: Make) -> None:
    async def client_to_server(reader: Any, writer: Any, connection: Any) -> None: ...

    with pytest.raises(PolicyError, match="rewrites"):
        make_world(policy=Policy(client_to_server=client_to_server), run=lambda work, later: None)


def test_policy_that_gets_no_verdict_through_because_the_client_went_is_not_asked_again(make_world: Make) -> None:
    waiting: list[Any] = []

    async def decide(syn: Any) -> str:
        return "unused"

    def run(coroutine: Any, later: Callable[[object], None]) -> None:
        coroutine.close()
        waiting.append(later)

    world = make_world(policy=Policy(decide=decide), run=run)
    world.client.send("S")
    world.run(0.1)
    world.client.send("R")
    world.run(0.1)
    assert world.outcome == "client-gone"
    waiting[0]("proxy")
    world.server.quiet()


# What may go wrong around it.


def test_on_event_that_raises_does_not_stop_the_proxy(world: Any, caplog: pytest.LogCaptureFixture) -> None:
    def broken(what: str, connection: Any) -> None:
        raise ZeroDivisionError

    world.proxy.on_event = broken
    world.establish()
    assert world.proxy.statistics()["open"] == 1
    assert "on_event of the proxy raised" in caplog.text


def test_the_servers_handshake_is_over_when_the_clients_is(world: Any) -> None:
    world.begin()
    world.run(0.02)
    assert not world.server_tap.frames
    world.client.send(".")
    world.server.expect(".", timeout=0.005)


def test_the_clients_first_bytes_end_the_servers_handshake(world: Any) -> None:
    world.begin()
    world.client.send(".", b"GET")
    world.server.expect(".", b"GET", timeout=0.005)


def test_a_server_does_not_wait_long_for_the_end_of_its_handshake(world: Any) -> None:
    world.begin()
    world.server.expect(".", timeout=0.045)  # the client is far away
    world.client.send(".", b"GET")
    world.server.expect(".", b"GET", timeout=0.005)


def test_joining_that_fails_resets_both_sides_and_the_proxy_goes_on(
    world: Any, caplog: pytest.LogCaptureFixture
) -> None:
    plain = world.proxy.join

    def broken(*arguments: Any) -> Any:
        raise ZeroDivisionError

    world.proxy.join = broken
    world.begin()
    world.client.send(".")
    world.run(0.01)
    assert "R" in dissect_flags(world.client)
    assert "R" in dissect_flags(world.server)
    assert world.outcome == "reset"
    world.proxy.join = plain
    world.client.snd_nxt = world.server.snd_nxt = 1000
    world.establish()
    assert world.proxy.statistics()["open"] == 1


def test_reused_ports_while_the_server_side_waits_in_time_wait(world: Any) -> None:
    world.establish()
    client, server = world.client, world.server
    client.send("F.")
    server.expect("F.")
    server.send("F.")
    world.run(0.1)
    client.rcv_nxt = (client.rcv_nxt + 1) % 2**32
    client.send(".")
    world.run(0.5)
    assert world.outcome == "closed"
    world.client_tap.take()
    world.server_tap.take()
    client.snd_nxt = (client.snd_nxt + 100_000) % 2**32
    world.establish()
    assert world.proxy.statistics()["open"] == 1


# The end.


def test_drain_bridges_new_connections_and_keeps_the_old_ones(world: Any) -> None:
    world.establish()
    world.proxy.drain()
    world.client.me = (world.client.me[0], 40001)
    world.client.snd_nxt = 0
    sent = world.client.send("S")
    world.run(0.1)
    assert sent in [got.data for got in world.server_tap.take()]
    assert len(world.proxy.active) == 1


@pytest.mark.parametrize("phase", ["connecting", "accepting", "open"])
def test_abort_resets_both_sides_in_every_phase(world: Any, phase: str) -> None:
    client, server = world.client, world.server
    client.send("S")
    server.expect("S")
    if phase != "connecting":
        server.send("S.")
        client.expect("S.")
        server.expect(".")
    if phase == "open":
        client.send(".")
        world.run(0.1)
    assert world.proxy.statistics()[phase] == 1
    world.proxy.abort()
    world.run(0.1)
    assert world.outcome == "shutdown"
    assert not world.proxy.active
    if phase != "connecting":
        assert any("R" in dissect_frame(frame).flags for frame in server.tap.take())
    if phase != "accepting":
        assert any("R" in dissect_frame(frame).flags for frame in client.tap.take())
    assert world.is_clean()


def test_record_of_a_connection_is_json(world: Any) -> None:
    world.client.send("S")
    world.server.expect("S")
    world.server.send("R.")
    world.client.expect("R.")
    record = world.finished[0]
    assert record["vlans"] == [100, 200]
    client, server = record["client"], record["server"]
    assert client == {"ip": "10.0.0.1", "port": 40000, "mac": "02:00:00:00:00:01", "bytes": 0, "serialno": 0}
    assert server == {"ip": "10.0.0.2", "port": 80, "mac": "02:00:00:00:00:02", "bytes": 0, "serialno": 1}
    assert record["end"] > record["start"] >= 1.0
    assert record["outcome"] == "refused"
    assert "\n" not in record["error"]


def test_proxy_on_ordinary_interfaces_is_an_error(world: Any) -> None:
    stack = world.stack
    plain = stack.add_interface("plain", mac="02:00:00:00:00:09")
    with pytest.raises(InvalidArgument):
        Proxy(stack, plain, world.interfaces[1])
