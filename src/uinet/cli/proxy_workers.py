"""``uinet proxy --workers N``: several proxies, each with its share of the connections, and one table of them all."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.live import Live

from uinet.cli.common import print_json
from uinet.cli.inside import CLOSED, Inside
from uinet.cli.proxy_stats import Stats, snapshot, summed_up
from uinet.crew import Crew, Worker
from uinet.proxy.connection import Connection
from uinet.proxy.policy import Policy
from uinet.proxy.runner import Options, Runner
from uinet.proxy.tables import serve

REFRESH = 0.5


def run(
    count: int, client_side: str, server_side: str, options: Options, policy: Path | None, screen: Console, stats: bool,
    as_json: bool, inside: Inside = CLOSED,
) -> None:
    """Runs the workers until they are told to stop; a second signal ends their draining."""
    work = partial(_work, options=options, policy=policy, as_json=as_json)
    make = partial(Crew, work, count, [client_side, server_side])
    with inside.joined(lambda path: make(control=path)) as crew, _stopping(crew):
        if not as_json:
            said = f"proxying between {client_side} and {server_side} with {count} workers"
            screen.print(said, markup=False, soft_wrap=True)
        _show(crew, screen, stats)
    crew.check()
    if not as_json:
        screen.print(summed_up(crew.total()))


def _show(crew: Crew, screen: Console, stats: bool) -> None:
    if not stats:
        while not crew.wait(REFRESH):
            pass
        return
    view = Stats(crew.total)
    with Live(view.table(), console=screen, auto_refresh=False, transient=False) as display:
        while not crew.wait(REFRESH):
            display.update(view.table(), refresh=True)
        display.update(view.table(), refresh=True)
    if not screen.is_terminal:
        screen.print()  # the table's last line has no end there


@contextlib.contextmanager
def _stopping(crew: Crew) -> Iterator[None]:
    """SIGINT and SIGTERM stop the workers meanwhile."""

    def stop(number: int, frame: FrameType | None) -> None:
        crew.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _work(worker: Worker, options: Options, policy: Path | None, as_json: bool) -> None:
    """One worker: a proxy of its own. Each loads the policy for itself, and captures into a folder of its own."""
    own = replace(
        options,
        policy=Policy.load(policy) if policy is not None else None,
        capture=options.capture / f"worker-{worker.index}" if options.capture is not None else None,
    )
    asyncio.run(_proxy(worker, own, as_json))


async def _proxy(worker: Worker, options: Options, as_json: bool) -> None:
    client_side, server_side = worker.devices

    def report(what: str, connection: Connection) -> None:
        if what != "finished":
            return
        try:
            print_json(connection.as_dict(runner.epoch))
        except BrokenPipeError:
            runner.stop()  # whoever read our output has gone

    async def tell() -> None:
        while True:
            worker.report(snapshot(runner))
            await asyncio.sleep(REFRESH)

    async def obey() -> None:
        while True:
            await worker.told_to_stop()
            runner.stop()

    if as_json:
        options.on_event = report
    runner = Runner(client_side, server_side, options)
    async with runner:
        if worker.control is not None:
            server = runner.host.control(worker.control)
            serve(server, runner.proxy, runner.files)
        beside = [asyncio.create_task(tell()), asyncio.create_task(obey())]
        try:
            await runner.run()
        finally:
            for task in beside:
                task.cancel()
            worker.report(snapshot(runner))
