"""Time-sequence graphs: what is read from a connection's segments, and the pictures."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import uinet
from tests.unit.following.talk import EPOCH, MILLISECOND, Talk, capture, whole
from uinet.cli import main
from uinet.errors import InvalidArgument
from uinet.following.api import options
from uinet.following.drawing import Thinning, amount, draw, duration
from uinet.following.timesequence import (
    DATA,
    KEEPALIVE,
    KINDS,
    OUT_OF_ORDER,
    PROBE,
    RETRANSMISSION,
    NoConnection,
    Points,
    TimeSequence,
    time_sequence,
    wanted,
)
from uinet.link.memory import MemoryDevice
from uinet.wire import build
from uinet.wire.pcap import PcapWriter

pytest.importorskip("matplotlib")


def read(talk: Talk | bytes, connection: str | int = 0, **chosen: object) -> TimeSequence:
    data = talk if isinstance(talk, bytes) else capture(talk)
    return time_sequence(data, connection, options(**chosen))  # type: ignore[arg-type]


def kinds(found: TimeSequence) -> list[tuple[int, int, str]]:
    """(start, end, kind) of what the client sent."""
    return [(start, end, KINDS[kind]) for _, start, end, kind in found.client.marks]


def raw(*segments: tuple[int, str, int, int, dict[str, object]]) -> bytes:
    """A capture of (sender, flags, seq, ack, further arguments), a millisecond each, sequence numbers from 1000."""
    writer = PcapWriter(nanoseconds=True)
    out = writer.header()
    ends = (("10.0.0.1", 1234), ("10.0.0.2", 80))
    time = EPOCH
    for who, flags, seq, ack, more in segments:
        (src, sport), (dst, dport) = ends[who], ends[1 - who]
        time += int(more.pop("after", 1)) * MILLISECOND  # type: ignore[call-overload]
        frame = build.tcp(src, dst, sport, dport, flags, 1000 + seq, 1000 + ack if "A" in flags else 0, **more)  # type: ignore[arg-type]
        out += writer.packet(frame, time)
    return out


def opened(**window: object) -> list[tuple[int, str, int, int, dict[str, object]]]:
    return [(0, "S", -1, 0, {}), (1, "SA", -1, 0, dict(window)), (0, "A", 0, 0, {})]


# what a connection is called


@pytest.mark.parametrize(("text", "ports"), [
    ("10.0.0.1:1234-10.0.0.2:80", (1234, 80)), ("10.0.0.1:1234 > 10.0.0.2:80", (1234, 80)),
    ("[fd00::1]:9-[fd00::2]:10", (9, 10)),
])
def test_a_connection_is_named_by_its_endpoints(text: str, ports: tuple[int, int]) -> None:
    ends = wanted(text).endpoints
    assert ends is not None
    assert (ends[1], ends[3]) == ports


@pytest.mark.parametrize("text", ["", "x", "-1", "10.0.0.1:80", "10.0.0.1-10.0.0.2", "10.0.0.300:1-10.0.0.1:1", "²"])
def test_what_names_no_connection_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="no connection"):
        wanted(text)


# what is read


def test_marks_signs_and_acks_of_a_plain_connection() -> None:
    found = read(whole(b"ask" * 10, b"answer" * 500))
    assert [sign for _, _, sign in found.client.signs] == ["SYN", "FIN"]
    assert found.client.signs[0][:2] == (EPOCH, -1)
    assert kinds(found) == [(0, 30, "data")]
    assert [(start, end) for _, start, end, _ in found.server.marks] == [(0, 1448), (1448, 2896), (2896, 3000)]
    assert [ack for _, ack in found.server.acks][-1] == 3001
    assert set(found.server.round_trips) == {MILLISECOND}
    assert (found.round_trip, found.close, found.serial) == (2 * MILLISECOND, "fin", 0)


def test_a_segment_sent_again_is_a_retransmission_and_one_overtaken_is_out_of_order() -> None:
    found = read(raw(
        *opened(), (0, "A", 0, 0, {"payload": b"a" * 10}), (1, "A", 0, 10, {"after": 20}),
        (0, "A", 20, 0, {"payload": b"c" * 10}), (0, "A", 10, 0, {"payload": b"b" * 10}),   # 1 ms late, RTT 20 ms
        (0, "A", 20, 0, {"payload": b"c" * 10, "after": 50}),
        (0, "A", 40, 0, {"payload": b"e" * 10}), (0, "A", 30, 0, {"payload": b"d" * 10, "after": 50}),
    ))
    assert kinds(found) == [
        (0, 10, "data"), (20, 30, "data"), (10, 20, "out of order"), (20, 30, "retransmission"), (40, 50, "data"),
        (30, 40, "retransmission"),
    ]
    assert (found.client.count(RETRANSMISSION), found.client.count(OUT_OF_ORDER), found.client.count(DATA)) == (2, 1, 3)


def test_closed_windows_probes_and_keepalives() -> None:
    found = read(raw(
        *opened(), (0, "A", 0, 0, {"payload": b"a" * 10}), (1, "A", 0, 10, {"window": 0}),
        (0, "A", 10, 0, {"payload": b"b"}), (1, "A", 0, 10, {"window": 0}), (0, "A", 10, 0, {}),
        (1, "A", 0, 11, {"window": 500}), (0, "A", 10, 0, {}), (1, "A", 0, 11, {"window": 500}),
    ))
    assert kinds(found) == [(0, 10, "data"), (10, 11, "probe"), (10, 10, "keepalive")]
    assert [offset for _, offset in found.client.zeros] == [10, 10]
    assert found.client.count(PROBE) == found.client.count(KEEPALIVE) == 1


def test_duplicate_acks_and_sack_blocks() -> None:
    found = read(raw(
        *opened(), (0, "A", 0, 0, {"payload": b"a" * 10}), (0, "A", 20, 0, {"payload": b"c" * 10}),
        (1, "A", 0, 10, {"window": 500}),
        (1, "A", 0, 10, {"window": 500, "options": b"\x01\x01\x05\x0a" + (1020).to_bytes(4) + (1030).to_bytes(4)}),
    ))
    assert [offset for _, offset in found.client.duplicates] == [10]
    assert [(left, right) for _, left, right in found.client.sacks] == [(20, 30)]


def test_windows_are_scaled_if_both_syns_say_so_and_unknown_without_syns() -> None:
    scale = {"options": b"\x03\x03\x07\x00"}
    segments = [(0, "S", -1, 0, scale), (1, "SA", -1, 0, {**scale, "window": 1000}), (0, "A", 0, 0, {"window": 10})]
    found = read(raw(*segments, (1, "A", 0, 0, {"window": 3})))  # type: ignore[arg-type]
    assert [offset for _, offset in found.client.edges] == [1000, 3 << 7]
    assert [offset for _, offset in found.server.edges] == [10 << 7]
    middle = read(raw((0, "A", 0, 0, {"payload": b"x" * 9}), (1, "A", 0, 9, {})), midstream=True)
    assert (middle.scaled, len(middle.client.edges), middle.notes) == (False, 0, ["midstream"])


def test_holes_have_when_they_were_noticed_and_declared() -> None:
    talk = Talk().opened().says(0, b"0123456789" * 300, 1000, lost=[1])
    talk.time += 100 * MILLISECOND
    hole = read(talk.closed()).client.holes[0]
    assert (hole.offset, hole.length, hole.reason) == (1000, 1000, "lost")
    assert hole.since == EPOCH + 7 * MILLISECOND
    assert 50 * MILLISECOND <= hole.time - hole.since < 52 * MILLISECOND


def test_of_addresses_used_again_only_the_connection_asked_for_is_drawn() -> None:
    first = whole(b"one", b"", isn=(100, 200))
    second = whole(b"second", b"", isn=(70_000_000, 80_000_000), start=EPOCH + 10**9)
    data = capture(first, second)
    assert [read(data, number).client.length for number in (0, 1)] == [3, 6]
    assert [read(data, number).segments for number in (0, 1)] == [len(first.packets), len(second.packets)]
    assert read(data, "10.0.0.2:80-10.0.0.1:1234").client.length == 3


def test_vlans_are_apart() -> None:
    data = capture(whole(b"one", b"", vlans=(1,)), whole(b"second", b"", vlans=(2,), start=EPOCH + 500))
    found = read(data, 1)
    assert (found.vlans, found.client.length, found.segments) == ((2,), 6, 8)


def test_sequence_numbers_wrap() -> None:
    found = read(Talk(isn=(2**32 - 1500, 5)).opened().says(0, b"x" * 4000).closed())
    assert [(start, end) for _, start, end, _ in found.client.marks] == [(0, 1448), (1448, 2896), (2896, 4000)]


def test_a_capture_that_is_cut_off_gives_what_there_is() -> None:
    data = capture(Talk().opened().says(0, b"x" * 4000))
    found = read(data[:-5])
    assert "damaged" in found.notes[-1]
    assert found.client.length == 4000


def test_one_that_is_not_there_says_what_there_is() -> None:
    with pytest.raises(NoConnection, match=r"no connection 3: the capture has 1 connections"):
        read(whole(b"", b""), 3)
    with pytest.raises(NoConnection, match=r"10\.9\.9\.9 port 1 "):
        read(whole(b"", b""), "10.9.9.9:1-10.0.0.2:80")


def test_what_can_be_read_once_only_is_searched_by_endpoints(tmp_path: Path) -> None:
    path = tmp_path / "x.pcap"
    path.write_bytes(capture(whole(b"ask", b"answer")))
    with path.open("rb") as file, pytest.raises(InvalidArgument, match="client:port-server:port"):
        time_sequence(file, 0, options())
    with pytest.raises(InvalidArgument, match="client:port-server:port"):
        time_sequence(MemoryDevice("x"), 0, options())
    with path.open("rb") as file:
        assert time_sequence(file, "10.0.0.1:1234-10.0.0.2:80", options()).client.length == 3


# the pictures


def busy() -> Talk:
    talk = Talk(vlans=(100, 200)).opened().says(0, b"q" * 500).says(1, b"0123456789" * 3000, 1448, lost=[7, 8])
    talk.time += 100 * MILLISECOND
    return talk.says(1, b"0123456789" * 3000).send(0, "RA")


def test_the_same_connection_is_the_same_svg_with_all_that_matters(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        uinet.following.plot(capture(busy()), 0, tmp_path / name)
    text = (tmp_path / "a.svg").read_text()
    assert text == (tmp_path / "b.svg").read_text()
    for expected in (
        "10.0.0.1:1234", "VLAN 100:200", "reset", "60,000 bytes", "2,896 bytes lost", "hole, declared", "RTT 2 ms",
        "ACK of the other side", "window", "seconds since 2014-05-13 16:53:20.000000 UTC", ">SYN<", ">RST<",
    ):
        assert expected in text, expected
    assert ">FIN<" not in text
    assert "thinned out" not in text


def test_png_is_drawn_by_the_suffix(tmp_path: Path) -> None:
    found = uinet.following.plot(capture(busy()), "10.0.0.1:1234-10.0.0.2:80", tmp_path / "x.PNG", deadline=1)
    assert (tmp_path / "x.PNG").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert found.client.length == 500


def test_nothing_but_a_syn_can_be_drawn(tmp_path: Path) -> None:
    uinet.following.plot(capture(Talk().send(0, "S")), 0, tmp_path / "x.svg")
    assert "0 bytes" in (tmp_path / "x.svg").read_text()


def test_many_marks_are_thinned_out_and_the_picture_says_so(tmp_path: Path) -> None:
    found = read(Talk().opened().says(0, b"x" * 10))
    for number in range(200_000):
        found.client.marks.add(EPOCH + number * 10_000, number * 1448, number * 1448 + 1448, DATA)
        found.client.acks.add(EPOCH + number * 10_000 + 5, number * 1448)
        found.client.edges.add(EPOCH + number * 10_000 + 5, number * 1448 + 65_535 * (number % 3))
    found.end = EPOCH + 2 * 10**9
    draw(found, tmp_path / "x.svg")
    assert (tmp_path / "x.svg").stat().st_size < 3_000_000
    assert "thinned out: 600,0" in (tmp_path / "x.svg").read_text()


def test_thinning_keeps_every_byte_and_every_extreme() -> None:
    bars, steps = Points("qqqB"), Points("qq")
    for number in range(50_000):
        bars.add(number, number, number + 1, DATA)
        steps.add(number, 10**9 if number == 31_111 else number)
    thin = Thinning(0, 50_000 / 1e9, 0, 50_000)
    found = thin.bars(bars, DATA)
    assert len(found) <= 7000
    assert sum(end - start for _, start, end in found) == 50_000
    line = thin.steps(steps)
    assert len(line) <= 6001
    assert (31_111, 10**9) in line
    assert (line[0], line[-1]) == ((0, 0), (49_999, 49_999))
    assert line == sorted(line)


@pytest.mark.parametrize(("value", "text"), [(0, "0 "), (999, "999 "), (1500, "1.5 k"), (25e8, "2.5 G")])
def test_amounts(value: float, text: str) -> None:
    assert amount(value) == text


def test_durations() -> None:
    assert [duration(value) for value in (5, 2500, 1_240_000, 3e9)] == ["5 ns", "2.5 µs", "1.24 ms", "3 s"]


# the command


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    status = main(["follow", *map(str, arguments)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "x.pcap"
    path.write_bytes(capture(busy()))
    return path


def test_command_draws_into_a_file(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    status, out, err = run(capsys, "--plot", 0, path)
    assert (status, err) == (0, "")
    assert out.startswith("connection-0.svg: connection 0, ")
    assert b"<svg" in Path("connection-0.svg").read_bytes()
    target = path.parent / "y.png"
    assert run(capsys, "--plot", "10.0.0.1:1234-10.0.0.2:80", "--plot-file", target, path)[0] == 0
    assert target.exists()


@pytest.mark.parametrize(("arguments", "status", "told"), [
    (["--plot", "7"], 1, "no connection 7"),
    (["--plot", "seven"], 2, "want its number"),
    (["--plot", "0", "--plot-file", "x.jpeg"], 2, ".svg or .png"),
    (["--plot", "0", "--json"], 2, "does nothing else"),
    (["--plot-file", "x.svg"], 2, "needs --plot"),
])
def test_wrong_uses_are_one_line(
    arguments: list[str], status: int, told: str, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, out, err = run(capsys, *arguments, path)
    assert (found, out, err.count("\n")) == (status, "", 1)
    assert told in err


def test_without_matplotlib_one_line_says_what_to_install(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    status, out, err = run(capsys, "--plot", 0, path)
    assert (status, out) == (2, "")
    assert err == "uinet: a picture needs the package matplotlib: pip install 'uinet[plot]'\n"
