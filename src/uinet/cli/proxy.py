"""``uinet proxy``: the transparent proxy between two devices."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import click
from rich.console import Console

from uinet.cli import proxy_tcp, proxy_workers
from uinet.cli.basics import Size
from uinet.cli.common import Seconds, console, json_option, print_json, seed_bytes, seed_option
from uinet.cli.group import DONE
from uinet.cli.inside import CLOSED, Inside, inside_options
from uinet.cli.proxy_stats import live, snapshot, summed_up
from uinet.crew import MAX_WORKERS
from uinet.errors import DeviceGone, InvalidArgument
from uinet.proxy.coding import SIDES, STORE_SIZE, make_coding
from uinet.proxy.connection import Connection
from uinet.proxy.match import EVERYTHING, Match, MatchError, parse_match
from uinet.proxy.policy import Policy, summary
from uinet.proxy.runner import Options, Runner
from uinet.proxy.tables import serve
from uinet.units import seconds


class MatchType(click.ParamType[Match]):
    """A match expression on the command line."""

    name = "expression"

    def convert(self, value: object, param: click.Parameter | None, context: click.Context | None) -> Match:
        try:
            return parse_match(str(value))
        except MatchError as error:
            raise click.UsageError(f"--match: {error}", context) from None


@click.command()
@click.argument("client_side")
@click.argument("server_side")
@click.option(
    "--policy", type=click.Path(path_type=Path), metavar="FILE.py",
    help="Decides about connections, reads and rewrites their streams.",
)
@click.option(
    "--match", type=MatchType(), metavar="EXPRESSION",
    help="Which connections to proxy (default: all).",
)
@click.option(
    "--bridge/--no-bridge", default=True,
    help="Whether what is not proxied passes untouched (default) or is dropped.",
)
@click.option("--one-way", is_flag=True, help="Only proxy connections from the client side.")
@click.option(
    "--connect-timeout", type=Seconds(0.001), default=30.0, show_default=True, metavar="SECONDS",
    help="How long a silent server's client is kept waiting.",
)
@click.option("--stats", is_flag=True, help="A live table.")
@click.option(
    "--capture", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
    help="Write client-side.pcapng and server-side.pcapng there.",
)
@click.option(
    "--per-flow", is_flag=True,
    help="With --capture: a file for each side of each connection instead, called after its serial number.",
)
@click.option(
    "--maybe", is_flag=True,
    help="With --per-flow: keep a connection's packets in memory until the policy calls connection.capture().",
)
@click.option(
    "--flow-limit", type=Size(), default=0, metavar="SIZE",
    help="With --per-flow: bytes of packets after which a file ends.",
)
@click.option(
    "--drain", type=Seconds(0), default=0.0, metavar="SECONDS",
    help="At the end, let open connections finish for so long; then, or without it at once, reset them.",
)
@click.option(
    "--workers", type=click.IntRange(1, MAX_WORKERS), default=1, metavar="N",
    help="So many processes (threads, where Python has no GIL) share the connections.",
)
@click.option(
    "--mode", type=click.Choice(["transparent", "tcp"]), default="transparent", show_default=True,
    help="tcp: over the kernel's sockets, listening at CLIENT_SIDE and connecting to SERVER_SIDE, HOST:PORT each.",
)
@click.option(
    "--codec", type=click.Choice(["zstd", "dedup", "plain"]),
    help="Two such proxies are a pair: what is sent to the other one is compressed, or what passed before left out.",
)
@click.option(
    "--codec-peer", type=click.Choice(SIDES), default="server", show_default=True,
    help="The side on which the other proxy of the pair is.",
)
@click.option(
    "--codec-store", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
    help="Where dedup keeps what has passed, over restarts too; default: in memory.",
)
@click.option(
    "--codec-size", type=click.IntRange(1, 1 << 20), default=STORE_SIZE >> 20, show_default=True, metavar="MB",
    help="How much dedup keeps.",
)
@click.option(
    "--codec-level", type=click.IntRange(1, 19), default=3, show_default=True, metavar="N", help="Of zstd.",
)
@inside_options
@seed_option
@json_option
def command(
    client_side: str,
    server_side: str,
    policy: Path | None,
    match: Match | None,
    bridge: bool,
    one_way: bool,
    connect_timeout: float,
    stats: bool,
    capture: Path | None,
    per_flow: bool,
    maybe: bool,
    flow_limit: int,
    drain: float,
    workers: int,
    mode: str,
    codec: str | None,
    codec_peer: str,
    codec_store: Path | None,
    codec_size: int,
    codec_level: int,
    seed: int | None,
    as_json: bool,
    inside: Inside,
) -> int:
    """Proxy TCP between two devices, transparently: each end sees the other's VLANs, MACs, IPs and ports.

    CLIENT_SIDE and SERVER_SIDE are device URLs, such as packet:eth0 or tap:left. Everything else (ARP, ND,
    ICMP, UDP, what --match excludes) is bridged untouched. SIGINT and SIGTERM end it.

    \b
    --match examples:  tcp port 80,443
                       dst net 10.0.0.0/8 and not vlan any
                       vlan 100:200 or (src host fd00::1 and from client)
    a pair:            near the clients   uinet proxy --codec dedup packet:eth0 packet:eth1
                       near the servers   uinet proxy --codec dedup --codec-peer client packet:eth0 packet:eth1
    """
    if stats and as_json:
        raise click.UsageError("--stats and --json are for different readers: choose one")
    if per_flow and capture is None:
        raise click.UsageError("--per-flow needs --capture DIR")
    if (maybe or flow_limit) and not per_flow:
        raise click.UsageError("--maybe and --flow-limit are of --per-flow")
    if client_side == server_side:
        raise InvalidArgument("both sides are the same device")
    loaded = Policy.load(policy) if policy is not None else None
    if codec is not None and workers > 1:
        raise InvalidArgument("--codec and --workers: the workers would have a store each; want one of both")
    if mode == "tcp" and (match is not None or not bridge or one_way or capture is not None or workers > 1):
        raise InvalidArgument("--match, --no-bridge, --one-way, --capture and --workers are of devices, not --mode tcp")
    if mode == "tcp" and loaded is not None and (loaded.decide is not None or loaded.rewrites):
        raise InvalidArgument(f"{policy}: with --mode tcp a policy defines codec, and nothing else")
    coding = make_coding(
        codec, codec_peer, None if codec_store is None else str(codec_store), codec_size << 20, codec_level,
        loaded.choose_codec if loaded is not None and loaded.codec is not None else None,
    )
    screen = console(stderr=True)
    if mode == "tcp":
        with logging_to(screen):
            proxy_tcp.run(client_side, server_side, coding, connect_timeout, drain, screen, stats, as_json, inside)
        return DONE
    options = Options(
        policy=loaded,
        match=match or EVERYTHING,
        bridge=bridge,
        one_way=one_way,
        connect_timeout=seconds(connect_timeout),
        capture=capture,
        per_flow=per_flow,
        maybe=maybe,
        flow_limit=flow_limit,
        drain=drain,
        seed=seed_bytes(seed),
        coding=coding,
    )
    with logging_to(screen):
        if workers > 1:
            proxy_workers.run(workers, client_side, server_side, options, policy, screen, stats, as_json, inside)
        else:
            asyncio.run(work(client_side, server_side, options, screen, stats, as_json, inside))
    return DONE


class LineHandler(logging.Handler):
    """Prints each record on a line of its own, above the live table if there is one."""

    def __init__(self, screen: Console) -> None:
        super().__init__()
        self.screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        """Prints `record`; without its traceback, and not a vanished device, with which the command ends."""
        arguments = record.args if isinstance(record.args, tuple) else ()
        if any(isinstance(argument, DeviceGone) for argument in arguments):
            return
        text = record.getMessage()
        if record.exc_info is not None and record.exc_info[1] is not None:
            text += f": {summary(record.exc_info[1])}"
        self.screen.print(f"uinet: {' '.join(text.split())}", markup=False, soft_wrap=True)


@contextlib.contextmanager
def logging_to(screen: Console) -> Iterator[None]:
    """Shows what the package logs there meanwhile."""
    handler = LineHandler(screen)
    logger = logging.getLogger("uinet")
    propagate, level = logger.propagate, logger.level
    logger.propagate = False
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate
        logger.setLevel(level)


async def work(
    client_side: str, server_side: str, options: Options, screen: Console, stats: bool, as_json: bool,
    inside: Inside = CLOSED,
) -> None:
    """Runs the proxy until it is told to stop."""

    def report(what: str, connection: Connection) -> None:
        if what != "finished":
            return
        try:
            print_json(connection.as_dict(runner.epoch))
        except BrokenPipeError:
            runner.stop()  # whoever read our output has gone

    if as_json:
        options.on_event = report
    runner = Runner(client_side, server_side, options)
    async with runner:
        runner.stop_on_signals()
        if not as_json:
            screen.print(f"proxying between {client_side} and {server_side}", markup=False, soft_wrap=True)
        shown = partial(serve, proxy=runner.proxy, files=runner.files, coding=options.coding)
        async with live(partial(snapshot, runner), screen) if stats else contextlib.nullcontext():
            with inside.open(runner.host.stack, shown):
                await runner.run()
    if not as_json:
        if stats and not screen.is_terminal:
            screen.print()  # the table's last line has no end there
        screen.print(summed_up(snapshot(runner)))

