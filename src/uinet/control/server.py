"""The control socket of one stack."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from uinet.control.commands import COMMANDS, Command, Rows, start
from uinet.control.door import Door
from uinet.control.served import Devices, Served
from uinet.control.session import Session
from uinet.errors import InvalidArgument

if TYPE_CHECKING:
    from uinet.control.tables import Table
    from uinet.stack import Stack


class Server(Door):
    """Serves `stack` at `path`, in the thread that drives the stack: ``stack.control(path)`` opens one where a Driver
    or a Host does, which look after it. In a loop of your own watch `fileno`, and call `serve` when it is readable or
    the time of `deadline` has come; see `Door`.

    `devices`: tells the counters of devices by the names of their interfaces. `commands`: what can be asked for;
    `add_command` adds to it, `add_table` to what ``stat`` shows.
    """

    def __init__(
        self, stack: Stack, path: str | None = None, *, devices: Devices = dict,
        clock: Callable[[], int] = perf_counter_ns,
    ) -> None:
        self.served = Served(stack, devices)
        self.commands: dict[str, Command] = dict(COMMANDS)
        super().__init__(path, self._session, clock)

    def add_command(self, name: str, command: Command) -> None:
        """Has requests for `name` answered by ``command(served, request)``: a generator of lists of rows (dictionaries
        for JSON), which it yields a few at a time, as each step keeps the stack waiting. A `uinet.Error` that it raises
        is told the client. InvalidArgument if the name is taken."""
        if name in self.commands:
            raise InvalidArgument(f"there is a command {name} already")
        self.commands[name] = command

    def add_table(self, name: str, table: Table) -> None:
        """Shows `table` under `name` too. InvalidArgument if there is one of that name."""
        if name in self.served.tables:
            raise InvalidArgument(f"there is a table {name} already")
        self.served.tables[name] = table

    def _session(self) -> Session:
        return Session(self._start)

    def _start(self, request: dict[str, Any]) -> Iterator[Rows]:
        return start(self.served, self.commands, request)
