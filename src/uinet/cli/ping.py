"""``uinet ping``: echo requests from a stack of our own."""

from __future__ import annotations

import asyncio
import statistics

import click

from uinet.cli.common import HostOptions, Seconds, host_options, json_option, print_json, until_interrupted
from uinet.cli.group import DONE, FAILED
from uinet.errors import Error
from uinet.wire.addresses import pack_address, unpack_address

SECONDS = Seconds(0.001)


@click.command()
@click.argument("target")
@click.option("-c", "--count", type=click.IntRange(1), metavar="N", help="Stop after N requests.")
@click.option("-i", "--interval", type=SECONDS, default=1.0, show_default=True, metavar="SECONDS")
@click.option("-W", "--timeout", type=SECONDS, default=2.0, show_default=True, metavar="SECONDS")
@click.option("-s", "--size", type=click.IntRange(0, 65000), default=56, show_default=True, metavar="BYTES")
@json_option
@host_options
def command(
    options: HostOptions,
    target: str,
    count: int | None,
    interval: float,
    timeout: float,
    size: int,
    as_json: bool,
) -> int:
    """Send echo requests to TARGET, an IP address. Exit status 1 if nothing answers."""
    address = str(unpack_address(pack_address(target)))
    tally = Tally(address, as_json)
    try:
        until_interrupted(ping(options, tally, count, interval, timeout, size))
    except KeyboardInterrupt:
        pass  # the usual end of a ping
    tally.print()
    return DONE if tally.times else FAILED


class Tally:
    """What has been sent and what came back; times in seconds."""

    def __init__(self, address: str, as_json: bool) -> None:
        self.address = address
        self.as_json = as_json
        self.sent = 0
        self.times: list[float] = []

    def answered(self, seconds: float, size: int) -> None:
        """Notes and prints one answer."""
        self.times.append(seconds)
        if self.as_json:
            print_json({"seq": self.sent, "from": self.address, "bytes": size, "seconds": seconds})
        else:
            ms = f"{seconds * 1e3:.3f} ms"
            print(f"{size} bytes from {self.address}: seq={self.sent} time={ms}", flush=True)

    def failed(self, error: str) -> None:
        """Notes and prints that there was none."""
        if self.as_json:
            print_json({"seq": self.sent, "from": self.address, "error": error})
        else:
            print(f"seq={self.sent}: {error}", flush=True)

    def print(self) -> None:
        """The last lines."""
        if self.as_json:
            return
        lost = self.sent - len(self.times)
        percent = 100 * lost / self.sent if self.sent else 0
        print(f"--- {self.address}: {self.sent} sent, {len(self.times)} answered, {percent:.0f}% lost")
        if self.times:
            ms = [1e3 * seconds for seconds in self.times]
            print(f"--- ms: min {min(ms):.3f}, median {statistics.median(ms):.3f}, max {max(ms):.3f}")


async def ping(
    options: HostOptions, tally: Tally, count: int | None, interval: float, timeout: float, size: int
) -> None:
    """Sends requests, one at a time, each `interval` seconds after the one before."""
    loop = asyncio.get_running_loop()
    async with options.open() as host:
        following = loop.time()
        while count is None or tally.sent < count:
            await asyncio.sleep(following - loop.time())
            following = max(following + interval, loop.time())
            tally.sent += 1
            try:
                (seconds,) = await host.ping(tally.address, 1, timeout, payload=bytes(size))
            except Error as error:
                tally.failed(str(error))
            else:
                if seconds is None:
                    tally.failed("no answer")
                else:
                    tally.answered(seconds, size)
