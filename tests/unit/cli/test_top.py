"""``uinet top``: what is computed, and the screens, driven by textual's own pilot."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import uinet
from tests.unit.cli.test_inside import served
from tests.unit.control.helpers import Pair
from uinet.cli import main
from uinet.cli.canvas import Canvas
from uinet.cli.top_model import SAMPLES, Rates, Trace
from uinet.control.client import Client
from uinet.control.server import Server


class Program:
    """A program whose control socket is at `path`, until it ends."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.pair = Pair()
        self.pair.connect(30)
        self.busy = self.pair.listener.accept()
        self.busy.send(b"x" * 20_000)
        self.pair.network.run(until=lambda: self.busy.unacknowledged == 0)
        self.open = contextlib.ExitStack()
        server = self.open.enter_context(contextlib.closing(Server(self.pair.stack, path, clock=lambda: 0)))
        self.open.enter_context(served(server))

    def end(self) -> None:
        self.open.close()


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    program = Program(str(tmp_path / "control"))
    yield program
    program.end()


# the model


def totals(**counters: int) -> dict[str, Any]:
    return {
        "connections": 3, "states": {"ESTABLISHED": 3}, "listeners": 1, "timers": 2,
        "memory": {"process": 10_000_000, "receive_buffers": 5, "send_buffers": 6},
        "traffic": {
            name: {"rx_bytes": counters.get("rx", 0), "tx_bytes": counters.get("tx", 0)} for name in ("e0", "e1")
        },
        "counters": {"tcp_accepted": counters.get("accepted", 0), "tcp_paws": counters.get("paws", 0)},
    }


def test_rates_are_differences_over_time() -> None:
    rates = Rates()
    assert rates.summary() == "..." and rates.drops() == []
    rates.take(totals(rx=1000, tx=0, accepted=10, paws=7), 5.0)
    assert rates.received[-1] == 0.0
    rates.take(totals(rx=2000, tx=500, accepted=30, paws=8), 7.0)
    assert rates.received[-1] == 2 * 1000 * 8 / 2 and rates.sent[-1] == 2 * 500 * 8 / 2
    assert "3 connections (3 ESTABLISHED), 10/s new" in rates.summary() and "in 8000 bit/s" in rates.summary()
    assert rates.drops() == [("tcp_paws", 8, 0.5, "dropped: timestamp too old (RFC 7323 PAWS)")]
    rates.take(totals(rx=0, accepted=0), 8.0)  # another program: nothing runs backwards
    assert rates.received[-1] == 0.0


def row(una: int, nxt: int, rcv: int) -> dict[str, Any]:
    return {"snd_una": una, "snd_nxt": nxt, "snd_wnd": 1000, "rcv_nxt": rcv, "rcv_wnd": 500}


def test_sequence_numbers_are_unwrapped() -> None:
    trace = Trace()
    trace.take(row(0xFFFFFF00, 0xFFFFFFF0, 0xFFFFFFFF), 1.0)
    trace.take(row(0x100, 0x180, 0x1), 2.0)
    trace.take({"state": "TIME-WAIT"}, 3.0)
    first, last = trace.samples
    assert (first.acked, first.sent, first.window, first.received) == (0, 0xF0, 1000, 0)
    assert (last.acked, last.sent, last.window, last.received, last.offered) == (0x200, 0x280, 0x200 + 1000, 2, 502)
    assert "acknowledged (green) 512 B" in trace.caption(False) and "received (cyan) 2 B" in trace.caption(True)


def test_samples_are_bounded() -> None:
    trace = Trace()
    for number in range(2 * SAMPLES):
        trace.take(row(number, number, 0), float(number))
    assert len(trace.samples) == SAMPLES


def test_a_plot_rises_from_left_to_right() -> None:
    trace = Trace()
    assert not any(text.plain.strip() for text in trace.draw(20, 5, False).rows())
    for number in range(50):
        trace.take(row(number * 1000, number * 1000 + 500, 0), number / 10)
    lines = [text.plain for text in trace.draw(40, 10, False).rows()]
    assert len(lines) == 10 and all(len(line) == 40 for line in lines)
    assert lines[-1][0] != " " and lines[0][0] == " "
    assert lines[0][-1] != " " or lines[1][-1] != " "
    assert lines[-1][-1] == " "


def test_dots_of_a_canvas_lie_where_they_should() -> None:
    canvas = Canvas(2, 1)
    canvas.dot(0.0, 0.0)
    canvas.dot(1.0, 1.0, "red")
    canvas.dot(1.5, 0.0)
    canvas.dot(0.0, float("nan"))
    (line,) = canvas.rows()
    assert line.plain == chr(0x2840) + chr(0x2808)


# the screens


def screens(program: Program, test: Callable[[Any, Any], Any], order: str = "-bytes_out") -> Any:
    """Runs `test(app, pilot)` on the app."""
    pytest.importorskip("textual")
    from uinet.cli.top_screen import Top

    app = Top(lambda: Client(program.path), [], order, 3600.0)

    async def run() -> None:
        async with app.run_test(size=(160, 50)) as pilot:
            await settled(app, pilot)
            await test(app, pilot)

    asyncio.run(run())
    return app


async def settled(app: Any, pilot: Any) -> None:
    """Waits for what was asked to be answered and shown."""
    await app.workers.wait_for_complete()
    await pilot.pause()


def text_of(app: Any, selector: str) -> str:
    return str(app.screen.query_one(selector).render())


def test_the_first_screen_shows_totals_connections_and_drops(program: Program) -> None:
    program.pair.stack.stats.count("tcp_paws", 5)

    async def test(app: Any, pilot: Any) -> None:
        assert "30 connections (30 ESTABLISHED)" in text_of(app, "#summary")
        table = app.query_one("#connections")
        assert table.row_count == 30 and app.shown[0]["bytes_out"] == 20_000
        assert table.get_row_at(0)[:2] == [str(program.busy.serialno), "-"]
        drops = app.query_one("#drops")
        assert drops.get_row_at(0)[:2] == ["tcp_paws", "5"]

    assert screens(program, test).failed == ""


def test_another_order_and_a_filter(program: Program) -> None:
    async def test(app: Any, pilot: Any) -> None:
        await pilot.press("s")
        await settled(app, pilot)
        assert app.order == "-retransmits"
        await pilot.press("f", *"serial<=3")
        await pilot.press("enter")
        await settled(app, pilot)
        assert app.query_one("#connections").row_count == 3 and app.conditions == ["serial<=3"]
        await pilot.press("f", *" colour=1")
        await pilot.press("enter")
        await settled(app, pilot)
        assert app.conditions == []  # refused, and said so

    screens(program, test)


def test_the_cursor_stays_on_its_connection(program: Program) -> None:
    async def test(app: Any, pilot: Any) -> None:
        await pilot.press("down", "down")
        chosen = app.chosen()
        app.order = "-serial" if app.shown[2]["serial"] < 15 else "serial"
        app.looks = 0
        app.look()
        await settled(app, pilot)
        assert app.chosen()["serial"] == chosen["serial"]

    screens(program, test, "serial")


def test_one_connection_is_shown_with_its_plot_and_back(program: Program) -> None:
    async def test(app: Any, pilot: Any) -> None:
        await pilot.press("enter")
        await settled(app, pilot)
        screen = app.screen
        assert type(screen).__name__ == "OneConnection"
        for _ in range(3):
            screen.look()
            await settled(app, pilot)
        values = text_of(app, "#values")
        assert "snd_una" in values and "congestion" in values and "cubic" in values
        assert "acknowledged (green)" in text_of(app, "#caption")
        assert len(screen.trace.samples) >= 3
        await pilot.press("d")
        screen.look()
        await settled(app, pilot)
        assert "received (cyan)" in text_of(app, "#caption")
        await pilot.press("escape")
        await pilot.pause()
        assert app.screen is not screen

    screens(program, test)


def test_a_connection_that_goes_is_said_to_be_gone(program: Program) -> None:
    async def test(app: Any, pilot: Any) -> None:
        await pilot.press("enter")
        await settled(app, pilot)
        app.screen.connection["rport"] = 1
        app.screen.look()
        await settled(app, pilot)
        assert text_of(app, "#caption") == "the connection is gone"

    screens(program, test)


def test_when_the_program_ends_so_does_top_and_says_why(program: Program) -> None:
    async def test(app: Any, pilot: Any) -> None:
        program.end()
        app.look()
        await settled(app, pilot)

    assert "control socket" in screens(program, test).failed


def test_without_textual_it_says_what_is_missing(
    program: Program, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "textual.app", None)
    monkeypatch.delitem(sys.modules, "uinet.cli.top_screen", raising=False)
    assert main(["top", "--control", program.path]) == 1
    assert capsys.readouterr().err == "uinet: uinet top needs textual: pip install uinet[top]\n"


def test_what_is_wrong_is_said_before_there_is_a_screen(program: Program, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "--control", program.path, "-f", "colour=1"]) == 1
    assert "there is no field colour" in capsys.readouterr().err
    assert uinet.ControlError.code
