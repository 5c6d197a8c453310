"""``uinet serve``: a folder on the web, from a stack of our own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import click

from uinet.cli.common import HostOptions, host_options, until_interrupted
from uinet.cli.group import DONE
from uinet.cli.web import StaticSite


@click.command()
@click.argument("folder", default=".", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("-p", "--port", type=click.IntRange(1, 65535), default=80, show_default=True, metavar="PORT")
@click.option("-q", "--quiet", is_flag=True, help="No line for each request.")
@host_options
def command(options: HostOptions, folder: Path, port: int, quiet: bool) -> int:
    """Serve the files of FOLDER (default: the current one) over HTTP until interrupted."""
    site = StaticSite(folder, None if quiet else print_line)
    try:
        until_interrupted(serve(options, site, port, print_line))
    except KeyboardInterrupt:
        pass  # the way to end it
    return DONE


def print_line(line: str) -> None:
    """A line of the log, at once."""
    print(line, flush=True)


async def serve(options: HostOptions, site: StaticSite, port: int, announce: Callable[[str], None]) -> None:
    """Serves `site` until cancelled."""
    async with options.open() as host:
        await host.start_server(site.handle, None, port)
        addresses = ", ".join(options.assigned(host))
        announce(f"serving {site.root} on {addresses}, port {port}")
        await asyncio.Event().wait()
