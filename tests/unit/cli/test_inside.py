"""``uinet stat``, ``sysctl``: a stack on virtual time, looked into from a command line."""

from __future__ import annotations

import contextlib
import json
import re
import select
import socket
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

import uinet
from tests.unit.control.helpers import Pair
from uinet.cli import main
from uinet.cli.inside import Endpoint, Inside
from uinet.cli.looking import text_of, time_of
from uinet.control.client import Client
from uinet.control.door import Door
from uinet.control.server import Server
from uinet.metrics import Exporter, families
from uinet.scale.running import Link
from uinet.stats import COUNTERS


@contextlib.contextmanager
def served(door: Door) -> Iterator[None]:
    """Serves it meanwhile, in a thread: nothing else touches the stack."""
    over = threading.Event()
    ours, theirs = socket.socketpair()

    def serve() -> None:
        while not over.is_set():
            select.select([door, theirs], [], [], 0.0 if door.deadline() is not None else None)
            door.serve(0)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        over.set()
        ours.send(b"x")
        thread.join()
        ours.close()
        theirs.close()


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of the control socket, which commands find in the environment."""
    found = str(tmp_path / "control")
    monkeypatch.setenv("UINET_CONTROL", found)
    return found


@pytest.fixture
def pair(path: str) -> Iterator[Pair]:
    """Forty connections, served."""
    pair = Pair()
    pair.connect(40)
    with contextlib.closing(Server(pair.stack, path, clock=lambda: 0)) as server, served(server):
        yield pair


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit status, output and error output."""
    status = main(list(arguments))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_totals_are_shown(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "stat")
    assert status == 0
    assert "40: 40 ESTABLISHED" in out and "tcp_accepted" in out and COUNTERS["tcp_accepted"] in out and "eth0" in out
    assert "tcp_rst_out" not in out
    assert "tcp_rst_out" in run(capsys, "stat", "--all")[1]


def test_totals_as_json_are_one_object(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(run(capsys, "stat", "--json")[1])
    assert found["connections"] == 40 and found["counters"]["tcp_accepted"] == 40


def test_a_table_is_shown_with_its_fields_and_filtered(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "stat", "connections", "-f", "serial>5", "-f", "serial<=8")
    assert status == 0 and "3 rows" in err
    assert "remote" in out and out.count("10.0.0.1") == 3 and out.count("ESTABLISHED") == 3
    lines = run(capsys, "stat", "connections", "--json", "--fields", "serial,rport", "-s", "-serial", "-n", "3")[1]
    assert [json.loads(line)["serial"] for line in lines.splitlines()] == [40, 39, 38]


@pytest.mark.parametrize("fields", [(), ("--fields", "rport"), ("--fields", "serial"), ("--all",)])
def test_more_than_the_program_sorts_is_sorted_here(
    pair: Pair, capsys: pytest.CaptureFixture[str], fields: tuple[str, ...]
) -> None:
    lines = run(capsys, "stat", "connections", "--json", "--sort", "serial", *fields)[1].splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == 40
    if fields == ("--fields", "rport"):
        assert all(list(row) == ["rport"] for row in rows)
    else:
        assert [row["serial"] for row in rows] == list(range(1, 41))


def test_everything_about_one_connection_is_a_line_for_each_field(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    out = run(capsys, "stat", "connections", "-f", "serial=7", "--all")[1]
    assert "smoothed round trip" in out and "snd_una" in out and len(out.splitlines()) > 30


def test_counters_leave_out_those_at_zero_unless_all_are_wanted(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(run(capsys, "stat", "counters", "--json")[1].splitlines()) < 20
    assert len(run(capsys, "stat", "counters", "--json", "--all")[1].splitlines()) == len(COUNTERS)


def test_fields_are_listed(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    out = run(capsys, "stat", "connections", "--help-fields")[1]
    assert "congestion window, bytes" in out
    assert json.loads(run(capsys, "stat", "routes", "--help-fields", "--json")[1].splitlines()[0])["name"] == "prefix"


def test_watching_shows_again_until_the_program_ends(
    pair: Pair, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("uinet.cli.looking.time.sleep", sleep)
    status, out, _ = run(capsys, "stat", "memory", "--json", "--watch", "0.5")
    assert status == 130 and waits == [0.5] * 3 and out.count('"process"') == 3


@pytest.mark.parametrize(("arguments", "status", "said"), [
    (("stat", "-f", "rport=1"), 2, "of a TABLE"),
    (("stat", "nothing"), 1, "there is no table nothing: there are connections"),
    (("stat", "connections", "-f", "colour=red"), 1, "there is no field colour: there are serial"),
    (("stat", "connections", "-a", "--fields", "rport"), 2, "choose one"),
    (("stat", "connections", "-s", "colour", "-n", "1"), 1, "there is no field colour"),
    (("sysctl", "net.inet.tcp.sock"), 1, "there is no setting net.inet.tcp.sock"),
    (("sysctl", "net.inet.tcp.msl=500h"), 1, "net.inet.tcp.msl: 500h is out of range: want 1ms to 10min"),
    (("sysctl", "-d", "-n"), 2, "choose one"),
])
def test_what_is_wrong_is_told_on_one_line(
    pair: Pair, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], status: int, said: str
) -> None:
    found, out, err = run(capsys, *arguments)
    assert found == status and out == "" and said in err and err.count("\n") == 1


def test_a_socket_that_nobody_has_open_is_told(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("stat", "sysctl", "top"):
        status, _, err = run(capsys, command)
        assert status == 1 and err == f"uinet: control socket {path}: no program has it open\n", command


def test_where_the_socket_is_has_to_be_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UINET_CONTROL", raising=False)
    status, _, err = run(capsys, "stat")
    assert status == 2 and "--control" in err


def test_settings_are_listed_read_set_and_described(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "sysctl", "net.inet.tcp.sack")[1] == "net.inet.tcp.sack.dsack: 1\nnet.inet.tcp.sack.enable: 1\n"
    assert len(run(capsys, "sysctl")[1].splitlines()) == len(pair.stack.sysctl)
    status, out, _ = run(capsys, "sysctl", "net.inet.tcp.rexmit_min=50ms", "net.inet.tcp.sack.enable=off")
    assert status == 0
    assert out == "net.inet.tcp.rexmit_min: 200ms -> 50ms\nnet.inet.tcp.sack.enable: 1 -> 0\n"
    assert pair.stack.tcp.settings.rto_min == 50_000_000 and not pair.stack.tcp.settings.sack
    assert run(capsys, "sysctl", "-n", "net.inet.tcp.rexmit_min")[1] == "50ms\n"
    assert run(capsys, "sysctl", "-c")[1] == "net.inet.tcp.rexmit_min: 50ms\nnet.inet.tcp.sack.enable: 0\n"
    out = run(capsys, "sysctl", "-d", "net.inet.tcp.rexmit_min")[1]
    assert "least retransmission timeout" in out and "1ms to 1min" in out and "default 0.2" in out and "RFC 6298" in out
    row = json.loads(run(capsys, "sysctl", "--json", "net.inet.tcp.msl")[1])
    assert row["value"] == 30.0 and row["type"] == "duration"


def test_values_as_people_read_them() -> None:
    times = {0: "0", 2e-6: "2 us", 0.0015: "1.5 ms", 0.2: "200 ms", 1.5: "1.5 s", 5000: "5000 s"}
    assert {value: time_of(value) for value in times} == times
    assert text_of(None, "number") == "-" and text_of(True, "flag") == "yes" and text_of("", "text") == "-"
    assert text_of(2_000_000, "number", "rx_bytes") == "2000.0 kB" and text_of(80, "number", "lport") == "80"


# metrics


def test_metrics_are_what_prometheus_parses_under_the_same_names(pair: Pair, path: str) -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    with Client(path) as client, Exporter(client, "127.0.0.1", 0) as exporter:
        url = f"http://127.0.0.1:{exporter.port}/metrics"
        text = urllib.request.urlopen(url, timeout=10).read().decode()
    found = {sample.name: sample for family in parser.text_string_to_metric_families(text) for sample in family.samples}
    assert found["uinet_tcp_accepted_total"].value == 40
    assert found["uinet_connections"].labels == {"state": "ESTABLISHED"} and found["uinet_connections"].value == 40
    rx = found["uinet_interface_rx_frames_total"]
    assert rx.labels == {"interface": "eth0"} and rx.value == pair.stack.interfaces[0].rx_frames
    assert {f"uinet_{name}_total" for name in COUNTERS} <= set(found)
    assert "# HELP uinet_tcp_accepted_total connections accepted" in text


def test_a_port_for_metrics_that_is_taken_is_told(pair: Pair, path: str) -> None:
    pytest.importorskip("prometheus_client")
    with (
        Client(path) as client, Exporter(client, "127.0.0.1", 0) as exporter,
        pytest.raises(uinet.ControlError, match="in use"),
    ):
        Exporter(client, "127.0.0.1", exporter.port)


def test_metrics_without_prometheus_client_are_refused_on_one_line(
    pair: Pair, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with Client(path) as client, pytest.raises(uinet.Error, match=r"pip install uinet\[metrics\]"):
        Exporter(client, "127.0.0.1", 0)


def test_the_dashboard_asks_for_metrics_that_there_are(pair: Pair) -> None:
    pytest.importorskip("prometheus_client")
    dashboard = json.loads((Path(__file__).parents[3] / "docs" / "grafana.json").read_text())
    names = {sample.name for family in families(pair.ask("totals")[0]) for sample in family.samples}
    asked = {name for panel in panels(dashboard) for target in panel.get("targets", ())
             for name in re.findall(r"(?<![\"\w])uinet_\w+", target["expr"])}
    assert len(asked) > 15 and asked <= names


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [*dashboard["panels"], *(inner for panel in dashboard["panels"] for inner in panel.get("panels", ()))]


# what running commands open


@pytest.mark.parametrize(("text", "endpoint"), [
    ("9100", ("127.0.0.1", 9100)), ("0.0.0.0:9100", ("0.0.0.0", 9100)), ("[::1]:0", ("::1", 0)),
])
def test_where_metrics_are_served(text: str, endpoint: tuple[str, int]) -> None:
    assert Endpoint().convert(text, None, None) == endpoint


@pytest.mark.parametrize("text", ["", "http", "70000", "1:2:x", "-1", "²"])
def test_what_is_no_place_for_metrics_is_told(text: str) -> None:
    with pytest.raises(click.BadParameter):
        Endpoint().convert(text, None, None)


def test_without_options_nothing_is_opened() -> None:
    with Inside().open(uinet.Stack(b"closed")):
        pass


def test_a_scale_run_in_memory_serves_a_control_socket_for_each_end(tmp_path: Path) -> None:
    link = Link(b"seed")
    paths = [str(tmp_path / "clients"), str(tmp_path / "servers")]
    with contextlib.closing(link):
        for stack, path in zip(link.stacks, paths, strict=True):
            stack.control(path)
        for path, name in zip(paths, ("clients", "servers"), strict=True):
            with Client(path) as client:
                client.connection.sendall(b'{"id":1,"command":"totals"}\n')
                for _ in range(5):
                    link.turn(0.0)
                assert json.loads(client.connection.recv(1 << 20).splitlines()[0])["row"]["traffic"].keys() == {name}
    assert not any(Path(path).exists() for path in paths)
