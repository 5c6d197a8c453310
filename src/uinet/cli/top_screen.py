"""The screens of ``uinet top`` (textual): the whole stack, and one connection."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import Screen
from textual.widgets import DataTable, Footer, Input, Sparkline, Static

from uinet.cli.looking import text_of
from uinet.cli.top_model import MANY, ORDERS, SELDOM, Rates, Trace
from uinet.control.client import Client
from uinet.errors import Error

ROWS = 100
COLUMNS = ("serial", "vlans", "local", "lport", "remote", "rport", "state", "bytes_in", "bytes_out", "rtt", "cwnd",
           "retransmits", "queued", "unread")
SECONDS = ("rtt", "rttvar", "rto", "idle", "timer_rexmt", "timer_loss", "timer_delack", "timer_keep", "timer_close")
WORDS = ("vlans", "local", "remote", "state")
KEY = ("local", "lport", "remote", "rport", "cdom", "vlans")
DETAIL = 0.1  # seconds between samples of one connection

Connect = Callable[[], Client]


class Asker:
    """A client that is asked from the event loop, in a thread, one question at a time."""

    def __init__(self, connect: Connect) -> None:
        self.client = connect()
        self.lock = asyncio.Lock()

    async def rows(self, command: str, **arguments: Any) -> list[dict[str, Any]]:
        """The rows of an answer."""
        async with self.lock:
            return await asyncio.to_thread(lambda: list(self.client.rows(command, **arguments)))


class Top(App[None]):
    """The whole stack. `failed`: why it ended, if it did not end by itself."""

    CSS = """
    #summary { height: 2; padding: 0 1; }
    #sparks { height: 5; }
    .spark { width: 1fr; padding: 0 1; }
    Sparkline { height: 3; }
    #connections { height: 2fr; }
    #drops { height: 1fr; }
    #filter { display: none; }
    """
    TITLE = "uinet top"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"), Binding("s", "sort", "Sort by the next"), Binding("f", "filter", "Filter"),
    ]

    def __init__(
        self, connect: Connect, conditions: list[str], order: str, interval: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self.connect = connect
        self.conditions = conditions
        self.order = order
        self.interval = interval
        self.clock = clock
        self.failed = ""
        self.rates = Rates()
        self.looks = 0
        self.listed: list[dict[str, Any]] = []  # connections, as they were last told
        self.shown: list[dict[str, Any]] = []  # as the table has them
        self.asker: Asker | None = None

    def compose(self) -> ComposeResult:
        yield Static("...", id="summary")
        with Horizontal(id="sparks"):
            for name, title in (("in", "received"), ("out", "sent")):
                with Vertical(classes="spark"):
                    yield Static(title, id=f"{name}-title")
                    yield Sparkline([0.0], id=name)
        yield Input(placeholder="conditions, with spaces between: state=ESTABLISHED rtt>20ms", id="filter")
        yield DataTable(id="connections", cursor_type="row", zebra_stripes=True)
        yield DataTable(id="drops", cursor_type="none")
        yield Footer()

    def on_mount(self) -> None:
        """The columns, and the first look."""
        table = self.query_one("#connections", DataTable)
        for name in COLUMNS:
            table.add_column(name, key=name)
        drops = self.query_one("#drops", DataTable)
        drops.add_columns("dropped", "count", "a second", "meaning")
        table.focus()
        self.set_interval(self.interval, self.look)
        self.look()

    def on_unmount(self) -> None:
        """Nobody looks any more."""
        if self.asker is not None:
            self.asker.client.close()

    def look(self) -> None:
        """Asks, unless the last question is not answered yet."""
        if not any(worker.group == "look" and not worker.is_finished for worker in self.workers):
            self.run_worker(self.ask(), group="look", exit_on_error=False)

    async def ask(self) -> None:
        """One look: totals, and the list of connections where it is time for it."""
        try:
            if self.asker is None:
                self.asker = Asker(self.connect)
            (totals,) = await self.asker.rows("totals")
            self.rates.take(totals, self.clock())
            self.show_totals()
            if totals["connections"] < MANY or self.looks % SELDOM == 0:
                await self.list_connections(self.asker)
            self.looks += 1
        except Error as error:
            self.give_up(str(error))

    async def list_connections(self, asker: Asker) -> None:
        """The first connections in the order that was chosen."""
        try:
            self.listed = await asker.rows(
                "stat", what="connections", filter=self.conditions, sort=self.order, limit=ROWS,
                fields=[*COLUMNS, "cdom"],
            )
        except Error as error:
            if not self.conditions:
                raise
            self.conditions = []
            self.notify(str(error), severity="error")
            return
        self.show_connections()

    def give_up(self, why: str) -> None:
        """The program is gone."""
        self.failed = why
        self.exit()

    # showing

    def show_totals(self) -> None:
        """Everything but the list of connections."""
        rates = self.rates
        self.query_one("#summary", Static).update(Text(rates.summary()))
        self.query_one("#in", Sparkline).data = list(rates.received)
        self.query_one("#out", Sparkline).data = list(rates.sent)
        drops = self.query_one("#drops", DataTable)
        drops.clear()
        for name, count, rate, meaning in rates.drops():
            drops.add_row(name, f"{count:,}", f"{rate:,.0f}", meaning)

    def show_connections(self) -> None:
        """The list; the cursor stays on its connection, if that is still listed."""
        table = self.query_one("#connections", DataTable)
        before = self.chosen()
        row = table.cursor_row
        table.clear()
        self.shown = self.listed
        for number, connection in enumerate(self.listed):
            table.add_row(*(cell(connection, name) for name in COLUMNS), key=str(number))
            if before is not None and key_of(connection) == key_of(before):
                row = number
        if self.listed:
            table.move_cursor(row=min(row, len(self.listed) - 1))
        where = f" of those with {' '.join(self.conditions)}" if self.conditions else ""
        table.border_title = f"{len(self.listed)} connections{where}, by {self.order}"

    def chosen(self) -> dict[str, Any] | None:
        """The connection that the cursor is on."""
        table = self.query_one("#connections", DataTable)
        if not table.row_count:
            return None
        number = int(table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value or 0)
        return self.shown[number] if number < len(self.shown) else None

    # keys

    def action_sort(self) -> None:
        """Another order."""
        place = ORDERS.index(self.order) if self.order in ORDERS else -1
        self.order = ORDERS[(place + 1) % len(ORDERS)]
        self.looks = 0
        self.look()

    def action_filter(self) -> None:
        """Asks for conditions."""
        box = self.query_one("#filter", Input)
        box.value = " ".join(self.conditions)
        box.styles.display = "block"
        box.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """The conditions."""
        self.conditions = event.value.split()
        event.input.styles.display = "none"
        self.query_one("#connections", DataTable).focus()
        self.looks = 0
        self.look()

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """One connection is to be shown."""
        chosen = self.chosen()
        if event.data_table.id == "connections" and chosen is not None:
            self.push_screen(OneConnection(self.connect, chosen, self.clock))


class OneConnection(Screen[None]):
    """One connection: every field, and a time-sequence plot."""

    CSS = """
    #fields { width: 46; padding: 0 1; }
    #caption { height: 2; padding: 0 1; }
    #plot { height: 1fr; padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "back", "Back"), Binding("d", "direction", "The other direction"),
    ]

    def __init__(self, connect: Connect, connection: dict[str, Any], clock: Callable[[], float]) -> None:
        super().__init__()
        self.asker = Asker(connect)
        self.connection = connection
        self.clock = clock
        self.trace = Trace()
        self.incoming = connection.get("bytes_in", 0) > connection.get("bytes_out", 0)
        self.over = False

    def compose(self) -> ComposeResult:
        with Horizontal():
            with VerticalScroll(id="fields"):
                yield Static("...", id="values")
            with Vertical():
                yield Static("", id="caption")
                yield Static("", id="plot")
        yield Footer()

    def on_mount(self) -> None:
        """The first sample."""
        self.set_interval(DETAIL, self.look)
        self.look()

    def on_unmount(self) -> None:
        """Nobody looks any more."""
        self.asker.client.close()

    def look(self) -> None:
        """Takes a sample, unless the last one is not there yet."""
        if not self.over and not any(
            worker.group == "sample" and not worker.is_finished for worker in self.workers
        ):
            self.run_worker(self.ask(), group="sample", exit_on_error=False)

    async def ask(self) -> None:
        """One sample."""
        key = {name: self.connection[name] for name in KEY if name in self.connection}
        try:
            found = await self.asker.rows("connection", **key)
        except Error as error:
            if isinstance(self.app, Top) and self.is_current:
                self.app.give_up(str(error))
            return
        worker = self.connection.get("worker")
        rows = [row for row in found if row.get("worker") == worker]
        if not rows:
            self.over = True
            self.query_one("#caption", Static).update("the connection is gone")
            return
        self.trace.take(rows[0], self.clock())
        self.show(rows[0])

    def show(self, row: dict[str, Any]) -> None:
        """Fields and plot."""
        width = max(len(name) for name in row)
        lines = [f"{name:<{width}}  {cell(row, name)}" for name in row]
        self.query_one("#values", Static).update(Text("\n".join(lines)))
        self.query_one("#caption", Static).update(Text(self.trace.caption(self.incoming)))
        plot = self.query_one("#plot", Static)
        size = plot.content_size
        if size.width and size.height:
            canvas = self.trace.draw(size.width, size.height, self.incoming)
            plot.update(Text("\n").join(canvas.rows()))

    def action_back(self) -> None:
        """To the whole stack."""
        self.dismiss()

    def action_direction(self) -> None:
        """What is received, or what is sent."""
        self.incoming = not self.incoming


def cell(row: dict[str, Any], name: str) -> str:
    """One value as people read it."""
    kind = "seconds" if name in SECONDS else "text" if name in WORDS else "number"
    value = row.get(name)
    return text_of(value, kind if isinstance(value, int | float) else "text", name)


def key_of(connection: dict[str, Any]) -> tuple[Any, ...]:
    """What makes a connection the same one."""
    return tuple(connection.get(name) for name in ("worker", *KEY))
