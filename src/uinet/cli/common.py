"""What the commands share: options, tables, and hosts made from a command line."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import click
from rich.console import Console

from uinet.addressing import WORDS
from uinet.aio.host import Host
from uinet.cli.inside import CLOSED, Inside, inside_options
from uinet.errors import DeviceGone
from uinet.ip.interface import LINK_LOCAL
from uinet.wire.addresses import parse_prefix, unpack_address

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

PREFIXES = ("", "k", "M", "G", "T")


def console(stderr: bool = False) -> Console:
    """Where tables go; as wide as they need where nobody's terminal sets a width."""
    file = sys.stderr if stderr else sys.stdout
    return Console(file=file, width=None if file.isatty() else 120, highlight=False)


def print_json(record: dict[str, Any]) -> None:
    """One object on a line of its own, at once: somebody may be reading along."""
    sys.stdout.write(json.dumps(record) + "\n")  # in one: workers write to the same file
    sys.stdout.flush()


def si(value: float, unit: str = "") -> str:
    """``1.5 MB``: a number with three digits or four and an SI prefix."""
    power = 0
    while abs(value) >= 9999.5 and power < len(PREFIXES) - 1:
        value /= 1000
        power += 1
    text = f"{value:.0f}" if power == 0 else f"{value:.1f}"
    return f"{text} {PREFIXES[power]}{unit}".rstrip()


class Seconds(click.FloatRange):
    """Seconds on a command line: a number from `min` up to ten years; "nan", which no range keeps out, is none."""

    def __init__(self, min: float) -> None:
        super().__init__(min, 10 * 365 * 86400)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        seconds = super().convert(value, param, ctx)
        if seconds != seconds:
            self.fail(f"{value!r} is not a number", param, ctx)
        return seconds


def seed_option(function: F) -> F:
    """``--seed N``."""
    return click.option("--seed", type=int, metavar="N", help="Makes what is random repeatable.")(function)


def json_option(function: F) -> F:
    """``--json``."""
    option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for machines.")
    return option(function)


@dataclass(frozen=True)
class HostOptions:
    """What a command line says about the host that it wants to be."""

    device: str
    addresses: tuple[str, ...]
    gateways: tuple[str, ...]
    mtu: int | None
    seed: int | None
    inside: Inside = CLOSED

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Host]:
        """The host, with its device. DeviceGone, in whatever is done with it, when that vanishes."""
        task = asyncio.current_task()
        assert task is not None
        gone: list[Exception] = []

        def vanished(interface: object, error: Exception) -> None:
            gone.append(error)
            task.cancel()

        log = logging.getLogger("uinet")
        log.addFilter(is_other_news)
        try:
            async with Host(seed=seed_bytes(self.seed)) as host:
                host.on_device_gone = vanished
                await host.add_device(
                    self.device, addresses=self.addresses, gateway=self.gateways or None, mtu=self.mtu
                )
                with self.inside.open(host.stack):
                    yield host
        except asyncio.CancelledError:
            if not gone:
                raise
            task.uncancel()
            raise gone[0] from None
        finally:
            log.removeFilter(is_other_news)

    def assigned(self, host: Host) -> list[str]:
        """The addresses that `host` has, with prefix lengths; link-local ones if there are no others."""
        entries = host.stack.interfaces[0].addresses
        better = [entry for entry in entries if entry.origin != LINK_LOCAL] or entries
        return [f"{unpack_address(entry.address)}/{entry.prefix_length}" for entry in better]

    def address(self, version: int) -> str | None:
        """Our first given address of that IP version, without its prefix length; None if there is none."""
        for prefix in self.addresses:
            if prefix in WORDS:
                continue
            packed, _ = parse_prefix(prefix)
            if len(packed) == (4 if version == 4 else 16):
                return str(unpack_address(packed))
        return None


def is_other_news(record: logging.LogRecord) -> bool:
    """Whether a log record is about anything but a vanished device: of that the last line tells."""
    return not (isinstance(record.args, tuple) and any(isinstance(value, DeviceGone) for value in record.args))


def seed_bytes(seed: int | None) -> bytes | None:
    """``--seed`` as a stack takes it; None leaves it to chance."""
    return None if seed is None else str(seed).encode()


def host_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a command that is a host on a device; it gets them as `options`."""

    @seed_option
    @inside_options
    @click.option("--mtu", type=click.IntRange(68, 65535), metavar="BYTES", help="Default: the device's own.")
    @click.option(
        "-g", "--gateway", "gateways", multiple=True, metavar="IP", help="Where the rest of the world is.",
    )
    @click.option(
        "-a", "--address", "addresses", multiple=True, required=True, metavar="IP/LEN",
        help="Our own address, with the length of its prefix; or dhcp, slaac, link-local, auto. May be repeated.",
    )
    @click.option(
        "-d", "--device", required=True, metavar="URL",
        help="tap:NAME, tun:NAME, packet:IFNAME, memory:NAME, pcap:PATH.",
    )
    @functools.wraps(function)
    def wrapper(
        device: str, addresses: tuple[str, ...], gateways: tuple[str, ...], mtu: int | None, seed: int | None,
        inside: Inside, **rest: Any,
    ) -> Any:
        for address in addresses:
            if address in WORDS:
                continue
            packed, _ = parse_prefix(address)  # a bad one is said before a device is opened
            if "/" not in address:
                example = f"{address}/{24 if len(packed) == 4 else 64}"
                raise click.UsageError(f"--address {address} has no prefix length: want {example} or the like")
        return function(options=HostOptions(device, addresses, gateways, mtu, seed, inside), **rest)

    return wrapper


def until_interrupted(work: Coroutine[Any, Any, T]) -> T:
    """Runs `work` on a new event loop; SIGTERM cancels it as SIGINT does: KeyboardInterrupt."""

    async def run() -> T:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await work

    try:
        return asyncio.run(run())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
