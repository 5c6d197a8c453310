"""``uinet nc``: standard input and output joined to a connection."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable

import click

from uinet.aio.host import Host
from uinet.cli.common import HostOptions, Seconds, host_options, until_interrupted
from uinet.cli.group import DONE, Failure
from uinet.cli.stdio import CHUNK, Standard, Stdio
from uinet.errors import TimedOut
from uinet.wire.addresses import pack_address


@click.command()
@click.argument("where", nargs=-1, required=True, metavar="[IP] PORT")
@click.option("-l", "--listen", is_flag=True, help="Wait for a connection instead of making one.")
@click.option(
    "-w", "--timeout", type=Seconds(0.001), metavar="SECONDS", help="How long connecting may take.",
)
@click.option("-v", "--verbose", is_flag=True, help="Say who is connected.")
@host_options
def command(
    options: HostOptions, where: tuple[str, ...], listen: bool, timeout: float | None, verbose: bool
) -> int:
    """Connect to IP and PORT, or wait with -l for one connection; join it to standard input and output.

    The end of standard input ends our stream, not theirs: the program ends when the peer's does.
    """
    ip, port = parse_where(where, listen)
    until_interrupted(run(options, ip, port, listen, timeout, verbose, Standard))
    return DONE


def parse_where(where: tuple[str, ...], listen: bool) -> tuple[str | None, int]:
    """(IP, port) of the arguments; the IP may be left out only to listen. click.UsageError otherwise."""
    *ips, text = where
    if len(ips) > 1 or (not ips and not listen):
        raise click.UsageError("want [IP] PORT with -l" if listen else "want IP PORT")
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) <= 65535):
        raise click.UsageError(f"a port is 1 to 65535, not {text!r}")
    if ips:
        pack_address(ips[0])
    return (ips[0] if ips else None), int(text)


async def run(
    options: HostOptions,
    ip: str | None,
    port: int,
    listen: bool,
    timeout: float | None,
    verbose: bool,
    terminal: Callable[[], Stdio],
) -> None:
    """Makes or awaits the connection, and joins it to `terminal`."""
    async with options.open() as host:
        try:
            async with asyncio.timeout(timeout):
                if listen:
                    if verbose:
                        print(f"waiting for a connection to port {port}", file=sys.stderr)
                    reader, writer = await accept_one(host, ip, port)
                else:
                    assert ip is not None
                    reader, writer = await host.open_connection(ip, port)
        except TimeoutError as error:
            raise TimedOut(f"nobody answered in {timeout:g} s" if timeout else str(error)) from None
        if verbose:
            peer = writer.get_extra_info("peername")
            print(f"connected: {peer[0]} port {peer[1]}", file=sys.stderr)
        await join(reader, writer, terminal())


async def accept_one(
    host: Host, ip: str | None, port: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """The first connection to `port`; there is no second one."""
    first: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]]
    first = asyncio.get_running_loop().create_future()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if first.done():
            writer.transport.abort()
        else:
            first.set_result((reader, writer))

    server = await host.start_server(accepted, ip, port)
    try:
        return await first
    finally:
        server.close()


async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, stdio: Stdio) -> None:
    """Copies both ways until the peer's stream ends; Failure if the connection breaks."""
    sending = asyncio.create_task(send_input(stdio, writer))
    try:
        while data := await reader.read(CHUNK):
            await stdio.write(data)
        if not sending.done():
            sending.cancel()  # nobody reads it any more
        with contextlib.suppress(asyncio.CancelledError):
            await sending
        writer.close()
        await writer.wait_closed()
    except ConnectionError as error:
        raise Failure(str(error) or "the connection broke") from None
    finally:
        sending.cancel()


async def send_input(stdio: Stdio, writer: asyncio.StreamWriter) -> None:
    """Copies the input to the connection, and its end."""
    while data := await stdio.read():
        writer.write(data)
        await writer.drain()
    writer.write_eof()
