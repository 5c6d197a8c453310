"""``--control`` and ``--metrics``: what every command that runs for long has, so that others can look inside."""

from __future__ import annotations

import contextlib
import functools
import socket
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from uinet.control.client import Client
from uinet.control.server import Server
from uinet.control.tables import Table
from uinet.metrics import Exporter
from uinet.stack import Stack

T = TypeVar("T")


class Endpoint(click.ParamType[tuple[str, int]]):
    """``9100`` or ``0.0.0.0:9100``: an address, ours alone unless it is said, and a port."""

    name = "[ip:]port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        if isinstance(value, tuple):
            return value
        address, _, port = str(value).rpartition(":")
        if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535):
            self.fail(f"{value!r}: want a port, or IP:PORT", param, ctx)
        return address.strip("[]") or "127.0.0.1", int(port)


@dataclass(frozen=True)
class Inside:
    """What a command line says about it. `announce`: is told where metrics are."""

    control: str | None = None
    metrics: tuple[str, int] | None = None

    @contextlib.contextmanager
    def open(
        self, stack: Stack, serve: Callable[[Server], None] | dict[str, Table] | None = None
    ) -> Iterator[None]:
        """Opens both for a stack that a Driver or Host drives; `serve` adds tables and commands to the control socket,
        or is the tables. That is closed with those."""
        if self.control is None and self.metrics is None:
            yield
            return
        server = stack.control(self.control)
        if callable(serve):
            serve(server)
        else:
            for name, table in (serve or {}).items():
                server.add_table(name, table)
        if self.metrics is None:
            yield
            return
        ours, theirs = socket.socketpair()
        server.adopt(theirs)
        with Client(connection=ours) as client, Exporter(client, *self.metrics):
            yield

    @contextlib.contextmanager
    def joined(self, start: Callable[[str | None], contextlib.AbstractContextManager[T]]) -> Iterator[T]:
        """Opens both for workers, which `start` starts with the path of the control socket that joins theirs up: in a
        folder of its own if only metrics are asked for."""
        if self.metrics is None:
            with start(self.control) as crew:
                yield crew
            return
        with contextlib.ExitStack() as opened:
            path = self.control
            if path is None:
                path = f"{opened.enter_context(tempfile.TemporaryDirectory(prefix='uinet-'))}/control"
            crew = opened.enter_context(start(path))
            client = opened.enter_context(Client(path))
            opened.enter_context(Exporter(client, *self.metrics))
            yield crew


CLOSED = Inside()
"""Neither."""


def inside_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--control PATH`` and ``--metrics PORT``; the command gets them as `inside`."""

    @click.option(
        "--control", metavar="PATH",
        help="Open a control socket there, for uinet stat, sysctl and top (Unix, for this user alone).",
    )
    @click.option(
        "--metrics", type=Endpoint(), metavar="[IP:]PORT",
        help="Serve metrics for Prometheus there (needs uinet[metrics]).  [default IP: 127.0.0.1]",
    )
    @functools.wraps(function)
    def wrapper(control: str | None, metrics: tuple[str, int] | None, **rest: Any) -> Any:
        return function(inside=Inside(control, metrics), **rest)

    return wrapper
