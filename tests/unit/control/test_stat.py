"""What a control socket tells of a stack: tables, filters, order, totals."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import uinet
from tests.unit.control.helpers import Pair, answer, take
from uinet import ANY, L2Info
from uinet.control.fields import ADDRESS, FLAG, NUMBER, SECONDS, TEXT, Best, Field
from uinet.control.protocol import MOST_SORTED
from uinet.control.server import Server
from uinet.control.tables import TABLES
from uinet.stats import COUNTERS
from uinet.wire.build import tcp as segment


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = Pair()
    yield pair
    pair.close()


def test_totals_count_what_there_is(pair: Pair) -> None:
    pair.connect(5)
    (found,) = pair.ask("totals")
    assert found["connections"] == 5 and found["states"] == {"ESTABLISHED": 5}
    assert (found["listeners"], found["interfaces"], found["addresses"], found["routes"]) == (1, 1, 1, 3)
    assert set(found["counters"]) == set(COUNTERS) and found["counters"]["tcp_accepted"] == 5
    assert found["traffic"]["eth0"]["rx_frames"] == pair.stack.interfaces[0].rx_frames > 0
    assert found["memory"]["half_open"] == 0 and found["uptime"] > 0


def test_states_are_counted_through_a_connections_life(pair: Pair) -> None:
    def states() -> dict[str, int]:
        found: dict[str, int] = pair.ask("totals")[0]["states"]
        return found

    pair.connect(2)
    accepted = [pair.listener.accept() for _ in range(2)]
    pair.sockets[0].close()
    pair.network.run(until=lambda: accepted[0].readable)
    assert states() == {"ESTABLISHED": 1, "CLOSE-WAIT": 1}
    accepted[0].close()
    pair.network.run(until=lambda: pair.stack.tcp.connections == 1)
    accepted[1].close()
    pair.network.run(until=lambda: accepted[1].state == "FIN-WAIT-2")
    assert states() == {"FIN-WAIT-2": 1}
    pair.sockets[1].close()
    pair.network.run(until=lambda: len(pair.stack.tcp.time_wait) == 1)
    assert states() == {"TIME-WAIT": 1}
    assert pair.stack.tcp.states == [0] * 11
    assert sum(pair.near.stack.tcp.states) == pair.near.stack.tcp.connections


def test_a_connections_row_says_what_the_socket_says(pair: Pair) -> None:
    pair.connect(1)
    sock = pair.listener.accept()
    sock.send(b"x" * 1000)
    pair.network.run(until=lambda: sock.unacknowledged == 0 and pair.sockets[0].readable)
    (row,) = pair.ask("stat", what="connections", fields="all")
    info = sock.info()
    assert (row["local"], row["lport"]) == ("10.0.0.2", 80)
    assert (row["remote"], row["rport"]) == (str(sock.getpeername()[0]), sock.getpeername()[1])
    assert row["state"] == sock.state == "ESTABLISHED" and row["serial"] == sock.serialno
    assert row["bytes_out"] == 1000 == info.bytes_sent and row["rtt"] == pytest.approx(info.rtt)
    assert (row["cwnd"], row["mss"], row["pmtu"]) == (info.snd_cwnd, info.snd_mss, info.pmtu)
    assert row["congestion"] == "cubic" and row["recovery"] == "open" and row["passive_open"] is True
    assert "remote_mac" not in row and "timer_rexmt" not in row


def test_half_open_connections_and_those_in_time_wait_have_rows(pair: Pair) -> None:
    pair.near.stack.connect(("10.0.0.2", 80))
    pair.network.run(until=lambda: pair.stack.tcp.syn_count == 1)
    (row,) = pair.ask("stat", what="connections")
    assert row["state"] == "SYN-RECEIVED" and "serial" not in row and row["local"] == "10.0.0.2"
    assert pair.ask("totals")[0]["states"] == {"SYN-RECEIVED": 1}


def test_promiscuous_connections_show_vlans_and_macs() -> None:
    stacks = [uinet.Stack(b"a"), uinet.Stack(b"b")]
    links = [stack.add_interface("e0", cdom=1) for stack in stacks]
    listener = stacks[1].listen((ANY, ANY), cdom=1, vlans=ANY)
    l2 = L2Info.make("02:00:00:00:00:01", "02:00:00:00:00:02", (100, 200))
    stacks[0].connect(("10.1.0.2", 443), source=("10.1.0.1", 1234), l2=l2, cdom=1)
    for now in range(1, 5):
        stacks[1].input(links[1], stacks[0].output(links[0]), now)
        stacks[0].input(links[0], stacks[1].output(links[1]), now)
    pair = Pair(server=Server(stacks[1]))
    (row,) = pair.ask("stat", what="connections", fields="all")
    assert (row["vlans"], row["cdom"], row["local"], row["lport"]) == ("100:200", 1, "10.1.0.2", 443)
    assert (row["local_mac"], row["remote_mac"]) == ("02:00:00:00:00:02", "02:00:00:00:00:01")
    key = {name: row[name] for name in ("local", "lport", "remote", "rport", "cdom", "vlans")}
    assert pair.ask("connection", **key) == [row]
    assert pair.ask("connection", **{**key, "vlans": "100"}) == []
    (row,) = pair.ask("stat", what="listeners")
    assert (row["vlans"], row["local"], row["lport"], row["waiting"]) == ("*", "*", 0, 1)
    assert listener.accept().l2info is not None
    pair.close()


def test_watched_connections_have_one_row_each() -> None:
    watcher = uinet.Stack(b"watcher")
    link = watcher.add_interface("tap", cdom=1)
    watched = watcher.listen((ANY, ANY), cdom=1, vlans=ANY, passive=True)
    frames = [
        segment("10.0.0.1", "10.0.0.2", 1000, 80, seq=100, flags="S"),
        segment("10.0.0.2", "10.0.0.1", 80, 1000, seq=500, ack=101, flags="SA"),
        segment("10.0.0.1", "10.0.0.2", 1000, 80, seq=101, ack=501, flags="A", payload=b"hello"),
    ]
    watcher.input(link, frames, 1_000_000)
    pair = Pair(server=Server(watcher))
    (row,) = pair.ask("stat", what="connections")
    assert (row["state"], row["local"], row["rport"], row["bytes_in"]) == ("WATCHED", "10.0.0.2", 1000, 5)
    assert row["serial"] == 1
    assert pair.ask("totals")[0]["states"] == {"WATCHED": 1}
    assert watched.readable
    pair.close()


@pytest.mark.parametrize(("condition", "count"), [
    ("state=ESTABLISHED", 9), ("state!=ESTABLISHED", 0), ("state=CLOSED|ESTABLISHED", 9), ("lport=80", 9),
    ("lport=81", 0), ("rport>0", 9), ("rport<=1k", 0), ("remote=10.0.0.0/24", 9), ("remote!=10.0.0.0/24", 0),
    ("remote=10.0.1.0/24|10.0.0.1", 9), ("remote=10.0.0.1", 9), ("rtt>19ms", 9), ("rtt>=1s", 0), ("rtt<0.5", 9),
    ("vlans=", 9), ("vlans!=100", 9), ("interface~ETH", 9), ("interface~xyz", 0), ("passive_open=yes", 9),
    ("passive_open=0", 0), ("serial=3|5|7", 3), ("serial!=3|5|7", 6), ("serial>2", 7), ("congestion=bbr", 0),
    ("timer_rexmt>0", 0), (" serial  =  4 ", 1), ("remote=fd00::/8", 0), ("signed=md5", 0), ("serial<-1", 0),
])
def test_a_filter_is_about_any_field(pair: Pair, condition: str, count: int) -> None:
    if not pair.stack.tcp.connections:
        pair.connect(9)
    assert len(pair.ask("stat", what="connections", filter=[condition])) == count


def test_all_conditions_hold_and_a_limit_ends_the_walk(pair: Pair) -> None:
    pair.connect(9)
    found = pair.ask("stat", what="connections", filter=["serial>2", "serial<6"], fields=["serial"])
    assert sorted(row["serial"] for row in found) == [3, 4, 5] and list(found[0]) == ["serial"]
    assert len(pair.ask("stat", what="connections", limit=4)) == 4


@pytest.mark.parametrize(("arguments", "why"), [
    ({"what": "nothing"}, "there is no table nothing: there are connections"),
    ({"what": ["connections"]}, "there is no table"),
    ({"what": "connections", "filter": ["colour=red"]}, "there is no field colour: there are serial"),
    ({"what": "connections", "filter": ["rport"]}, "rport is no condition: want FIELD=VALUE"),
    ({"what": "connections", "filter": "rport=1"}, '"filter" is a list'),
    ({"what": "connections", "filter": ["rport=1"] * 17}, '"filter" is a list of at most 16'),
    ({"what": "connections", "filter": [5]}, "5 is no condition"),
    ({"what": "connections", "filter": ["rport=http"]}, "rport: http is no number"),
    ({"what": "connections", "filter": ["rtt>fast"]}, "rtt: fast is no time"),
    ({"what": "connections", "filter": ["remote=nobody"]}, "remote: nobody is no IP address"),
    ({"what": "connections", "filter": ["remote=10.0.0.0/99"]}, "remote: 10.0.0.0/99 is no prefix"),
    ({"what": "connections", "filter": ["remote>10.0.0.1"]}, "remote has no order"),
    ({"what": "connections", "filter": ["sack=perhaps"]}, "sack: perhaps is neither true nor false"),
    ({"what": "connections", "fields": ["colour"]}, "there is no field colour"),
    ({"what": "connections", "fields": "some"}, '"fields" is a list'),
    ({"what": "connections", "fields": [["serial"]]}, "there is no field a list"),
    ({"what": "connections", "limit": 0}, '"limit" is a number'),
    ({"what": "connections", "limit": True}, '"limit" is a number'),
    ({"what": "connections", "sort": "rport"}, '"sort" is the name of a field, and wants a "limit"'),
    ({"what": "connections", "sort": "rport", "limit": MOST_SORTED + 1}, 'wants a "limit" of at most'),
    ({"what": "connections", "sort": "colour", "limit": 1}, "there is no field colour"),
    ({"what": "connections", "sort": 3, "limit": 1}, '"sort" is the name of a field'),
])
def test_what_makes_no_sense_is_refused_with_what_is_wanted(pair: Pair, arguments: dict[str, object], why: str) -> None:
    assert why in pair.refused("stat", **arguments)


@pytest.mark.parametrize("limit", [1, 3, 30, 200])
def test_sorted_rows_are_the_first_of_all(pair: Pair, limit: int) -> None:
    accepted = []
    for _ in range(3):
        pair.connect(60)
        while pair.listener.readable:
            accepted.append(pair.listener.accept())
    serials = list(range(1, 181))
    found = pair.ask("stat", what="connections", sort="serial", limit=limit, fields=["serial"])
    assert [row["serial"] for row in found] == serials[:limit]
    found = pair.ask("stat", what="connections", sort="-serial", limit=limit, fields=["serial"])
    assert [row["serial"] for row in found] == serials[::-1][:limit]


def test_sorting_keeps_few_rows_of_many() -> None:
    best = Best(Field("n", NUMBER, lambda number: number, ""), True, 10)
    for number in [*range(5000), None, *range(9000, 5000, -1)]:
        value = best.wants(number)
        if value is not None:
            best.add(value, {"n": number})
        assert len(best.kept) <= 2 * 10 + 64
    assert [row["n"] for row in best.rows()] == list(range(9000, 8990, -1))


@pytest.mark.parametrize("what", list(TABLES))
def test_every_table_has_rows_of_its_fields_and_tells_their_meaning(pair: Pair, what: str) -> None:
    pair.connect(3)
    udp = pair.stack.socket(kind=uinet.SOCK_DGRAM)
    udp.bind(("10.0.0.2", 53))
    pair.server.served.devices = lambda: {"eth0": {"rx_frames": 3}}
    pair.sockets[0].send(b"something for a timer to wait for")
    known = {row["name"]: row for row in pair.ask("fields", what=what)}
    rows = pair.ask("stat", what=what, fields="all")
    assert rows, what
    kinds = {NUMBER: (int, float), SECONDS: (float, int), TEXT: (str,), FLAG: (bool,), ADDRESS: (str,)}
    for row in rows:
        for name, value in row.items():
            assert isinstance(value, kinds[known[name]["type"]]), (name, value)
    assert all(row["help"] for row in known.values())
    shown = pair.ask("stat", what=what, limit=1)[0]
    assert set(shown) <= {name for name, row in known.items() if row["shown"]}


def test_routes_addresses_and_neighbours_as_the_stack_has_them(pair: Pair) -> None:
    pair.connect(1)
    pair.stack.routes.add("192.168.0.0/16", via="10.0.0.1", metric=5)
    assert {"prefix": "192.168.0.0/16", "via": "10.0.0.1", "interface": "eth0", "metric": 5, "origin": "static",
            "answers": True} in pair.ask("stat", what="routes")
    assert len(pair.ask("stat", what="routes")) == len(pair.stack.routes) == len(list(pair.stack.routes)) == 4
    pair.stack.routes.remove("192.168.0.0/16")
    assert len(pair.stack.routes) == len(list(pair.stack.routes)) == 3
    (row,) = pair.ask("stat", what="addresses")
    assert (row["address"], row["prefix_length"], row["state"]) == ("10.0.0.2", 24, "preferred")
    (row,) = pair.ask("stat", what="neighbors")
    assert row["address"] == "10.0.0.1" and row["mac"] == str(pair.near.stack.interfaces[0].mac.hex(":"))


def test_hidden_listeners_are_listed_too(pair: Pair) -> None:
    first = pair.stack.listen(("10.0.0.2", 81), reuse_port=True)
    pair.stack.listen(("10.0.0.2", 81), reuse_port=True)
    rows = pair.ask("stat", what="listeners", filter=["lport=81"], fields=["hidden", "shared"])
    assert sorted(row["hidden"] for row in rows) == [False, True] and all(row["shared"] for row in rows)
    first.close()
    assert len(pair.ask("stat", what="listeners", filter=["lport=81"])) == 1


def test_wildcards_of_listeners(pair: Pair) -> None:
    pair.stack.listen(("0.0.0.0", 1))
    pair.stack.listen(("::", 2))
    pair.stack.listen((None, 3))
    rows = pair.ask("stat", what="listeners", fields=["local", "lport"])
    assert {(row["local"], row["lport"]) for row in rows} == {("0.0.0.0", 1), ("::", 2), ("*", 3), ("10.0.0.2", 80)}
    assert len(pair.ask("stat", what="listeners", filter=["local=10.0.0.0/8"])) == 1


def test_connections_that_come_and_go_during_a_walk_do_no_harm(pair: Pair) -> None:
    pair.connect(100)
    session = pair.session()
    session.receive(b'{"id":1,"command":"stat","what":"connections"}\n')
    for _ in range(3):
        session.step()
    pair.connect(100)
    for sock in pair.sockets[:50]:
        sock.abort()
    pair.network.run(until=lambda: pair.stack.tcp.connections == 150)
    while session.working:
        session.step()
    lines = take(session).splitlines()
    assert lines[-1].startswith(b'{"id":1,"end"') and 50 <= len(lines) - 1 <= 200


def test_settings_over_the_socket(pair: Pair) -> None:
    (row,) = pair.ask("sysctl", name="net.inet.tcp.sack.enable")
    assert row["value"] is True and row["text"] == "1" and row["rfc"] == "2018"
    (row,) = pair.ask("sysctl-set", name="net.inet.tcp.sack.enable", value="0")
    assert row == {"name": "net.inet.tcp.sack.enable", "before": True, "value": False, "before_text": "1", "text": "0"}
    assert pair.stack.tcp.settings.sack is False and pair.near.stack.tcp.settings.sack
    assert len(pair.ask("sysctl")) == len(pair.stack.sysctl)
    assert "want 0 or 1" in pair.refused("sysctl-set", name="net.inet.tcp.sack.enable", value="maybe")
    assert "there is no setting net.inet.tcp.sock" in pair.refused("sysctl", name="net.inet.tcp.sock")
    assert 'wants a "name"' in pair.refused("sysctl-set", name="net.inet.tcp.msl")
    assert '"name" is the name' in pair.refused("sysctl", name=7)


def test_a_connection_is_found_by_its_key(pair: Pair) -> None:
    pair.connect(3)
    rows = pair.ask("stat", what="connections")
    for row in rows:
        key = {name: row[name] for name in ("local", "lport", "remote", "rport")}
        assert pair.ask("connection", **key)[0]["serial"] == row["serial"]
    assert pair.ask("connection", local="10.0.0.2", lport=1, remote="10.0.0.1", rport=1) == []
    wrong = ({}, {"local": "x"}, {"lport": "x"}, {"lport": 70000}, {"vlans": "a:b"}, {"vlans": "9999"}, {"cdom": -1})
    for bad in wrong:
        key = {"local": "10.0.0.2", "lport": 80, "remote": "10.0.0.1", "rport": 1, **bad}
        if not bad:
            del key["local"]
        assert "a connection's key is" in pair.refused("connection", **key)


def test_hello_tells_who_is_there(pair: Pair) -> None:
    (row,) = pair.ask("hello")
    assert row["uinet"] == uinet.__version__ and row["compiled"] == uinet.compiled()
    assert "stat" in row["commands"] and row["tables"]["timers"]


def test_a_program_adds_commands_of_its_own(pair: Pair) -> None:
    def double(served: object, request: dict[str, object]) -> object:
        if not isinstance(request.get("n"), int):
            raise uinet.InvalidArgument("n is a number")
        yield [{"n": 2 * request["n"]}]  # type: ignore[operator]

    pair.server.add_command("double", double)  # type: ignore[arg-type]
    assert pair.ask("double", n=4) == [{"n": 8}]
    assert pair.refused("double") == "n is a number"
    with pytest.raises(uinet.InvalidArgument):
        pair.server.add_command("stat", double)  # type: ignore[arg-type]


def test_a_command_that_fails_tells_so_and_the_next_is_answered(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    def broken(served: object, request: dict[str, object]) -> object:
        yield []
        raise ZeroDivisionError("a bug")

    pair.server.add_command("broken", broken)  # type: ignore[arg-type]
    session = pair.session()
    assert answer(session, "broken") == [{"id": 1, "error": "internal error: ZeroDivisionError: a bug"}]
    assert "a request failed" in caplog.text
    assert len(answer(session, "hello")) == 2


def test_while_nothing_is_found_the_client_hears_that_somebody_is_looking(pair: Pair) -> None:
    def looking(served: object, request: dict[str, object]) -> object:
        for _ in range(2500):
            yield []
        yield [{"found": 1}]

    pair.server.add_command("look", looking)  # type: ignore[arg-type]
    session = pair.session()
    session.receive(b'{"id":4,"command":"look"}\n')
    while session.working:
        session.step()
    assert take(session).splitlines() == [
        b'{"id":4,"wait":0}', b'{"id":4,"wait":0}', b'{"id":4,"row":{"found":1}}', b'{"id":4,"end":{"rows":1}}',
    ]


def test_a_step_makes_few_rows(pair: Pair) -> None:
    pair.connect(200)
    session = pair.session()
    session.receive(b'{"command":"stat","what":"connections","fields":"all"}\n')
    most = 0
    while session.working:
        session.step()
        most = max(most, take(session).count(b'"row"'))
    assert 1 <= most <= 8


def test_a_program_adds_tables_of_its_own(pair: Pair) -> None:
    table = TABLES["counters"]._replace(source=lambda served: iter([[]]), help="nothing")
    pair.server.add_table("mine", table)
    assert pair.ask("stat", what="mine") == [] and pair.ask("hello")[0]["tables"]["mine"] == "nothing"
    with pytest.raises(uinet.InvalidArgument):
        pair.server.add_table("routes", table)
    assert "mine" not in TABLES
