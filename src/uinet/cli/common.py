"""What the commands share: options, tables, and hosts made from a command line."""

from __future__ import annotations

import asyncio
import functools
import logging
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from uinet.addressing import WORDS
from uinet.aio.host import Host
from uinet.cli.basics import Number, Seconds, console, json_option, print_json, seed_option, si
from uinet.cli.inside import CLOSED, Inside, inside_options
from uinet.errors import DeviceGone
from uinet.ip.interface import LINK_LOCAL
from uinet.wire.addresses import parse_prefix, unpack_address

__all__ = [
    "HostOptions", "Number", "Seconds", "console", "host_options", "json_option", "print_json", "seed_bytes",
    "seed_option", "si", "until_interrupted",
]

T = TypeVar("T")


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
        help="tap:NAME, tun:NAME, packet:IFNAME, xdp:IFNAME, netmap:PORT, unix:PATH, vde:PATH, pcap:PATH, ...",
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
