"""``uinet proxy --mode tcp``: over the kernel's sockets, without devices."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import Any

from rich.console import Console

from uinet.aio.host import Host
from uinet.cli.common import print_json
from uinet.cli.inside import Inside
from uinet.cli.proxy_stats import coded, live, summed_up
from uinet.proxy.coding import Coding
from uinet.proxy.tables import coding_tables
from uinet.proxy.tcp_mode import TcpConnection, TcpOptions, TcpProxy, parse_endpoint


def run(
    client_side: str, server_side: str, coding: Coding | None, connect_timeout: float, drain: float, screen: Console,
    stats: bool, as_json: bool, inside: Inside,
) -> None:
    """Runs it until it is told to stop."""
    options = TcpOptions(coding, connect_timeout, drain)
    ends = parse_endpoint(client_side), parse_endpoint(server_side)
    asyncio.run(work(TcpProxy(*ends, options), screen, stats, as_json, inside))


def look(proxy: TcpProxy) -> dict[str, Any]:
    """How it is doing, as `proxy_stats.Stats` shows it."""
    seen: dict[str, Any] = {"counts": proxy.statistics(), "outcomes": dict(proxy.outcomes)}
    if proxy.options.coding is not None:
        seen["codec"] = coded(proxy.options.coding)
    return seen


async def work(proxy: TcpProxy, screen: Console, stats: bool, as_json: bool, inside: Inside) -> None:
    """Proxies until it is told to stop."""
    def report(what: str, connection: TcpConnection) -> None:
        try:
            print_json(connection.as_dict())
        except BrokenPipeError:
            proxy.stop()  # whoever read our output has gone

    if as_json:
        proxy.options.on_event = report
    async with proxy, Host(linger=0.0) as host:  # a stack without devices, for the control socket
        proxy.stop_on_signals()
        where = f"{proxy.listen[0] or '*'}:{proxy.port}", f"{proxy.remote[0]}:{proxy.remote[1]}"
        if not as_json:
            screen.print(f"proxying from {where[0]} to {where[1]}", markup=False, soft_wrap=True)
        async with live(partial(look, proxy), screen) if stats else contextlib.nullcontext():
            with inside.open(host.stack, coding_tables(proxy.options.coding)):
                await proxy.run()
    if not as_json:
        screen.print(summed_up(look(proxy)))
