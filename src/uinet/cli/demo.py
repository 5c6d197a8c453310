"""``uinet demo``: the proxy at work, in memory and on virtual time."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from uinet.cli import version
from uinet.cli.common import console, json_option, print_json, si
from uinet.cli.group import DONE, FAILED
from uinet.proxy.demo import MAX_CLIENTS, SMALL, Demo, Plan
from uinet.proxy.following import Followed
from uinet.proxy.ladder import draw
from uinet.version import compiled
from uinet.wire.pcap import PcapngWriter

NAME = "uinet-demo.pcapng"
EPOCH = 1_400_000_000_000_000_000  # virtual time begins on a day in May 2014
SHOWN = 12
SHOWN_DIFFERENCES = 20


@click.command()
@click.option(
    "--clients", type=click.IntRange(1, MAX_CLIENTS), default=120, show_default=True, metavar="N", help="How many.",
)
@click.option(
    "--bytes", "size", type=click.IntRange(1, 100_000_000), default=20_000, show_default=True, metavar="N",
    help="About how many bytes each client sends, and receives.",
)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=Path(), metavar="DIR",
    help=f"Where to put {NAME} (default: here).",
)
@click.option(
    "--seed", type=int, default=1, show_default=True, metavar="N", help="Another seed, other traffic.",
)
@json_option
def command(clients: int, size: int, out: Path, seed: int, as_json: bool) -> int:
    """Clients on many VLANs reach servers through the proxy: in memory, no root.

    Each client has a VLAN stack of 0 to 3 tags, a MAC, an address and a port of its own; the servers must see
    each of them, and the clients their servers, as if the proxy weren't there, and every byte. All of it goes to a
    capture, which is then followed: its streams must have every byte, too. Exit status 1 if not.
    """
    out.mkdir(parents=True, exist_ok=True)
    path = out / NAME
    screen = console()
    began = time.perf_counter()
    with whole_file(path) as file:
        near, far = recorders(file)
        demo = Demo(clients, size, seed, captures=([near], [far]))
        run_with_bar(demo, screen, quiet=as_json)
    took = time.perf_counter() - began
    followed = Followed(demo, path)
    differences = demo.differences() + followed.differences
    if as_json:
        print_json(summary(demo, took, path, differences) | {"followed": followed.connections})
    else:
        show(demo, screen, took, path)
        told = f"followed: {followed.connections} connections, {followed.bytes:,} bytes, all digests compared"
        screen.print(told, markup=False)
        tell(screen, path, differences)
    return FAILED if differences else DONE


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to be written at `path`, which is there when it is whole and not before."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


class Recorder:
    """Writes the frames of one of the proxy's sides into the capture."""

    def __init__(self, file: BinaryIO, writer: PcapngWriter, interface: int) -> None:
        self.file = file
        self.writer = writer
        self.interface = interface

    def write(self, data: bytes, time: int, outbound: bool | None = None) -> None:
        """Takes one frame."""
        self.file.write(self.writer.packet(data, EPOCH + time, self.interface))


def recorders(file: BinaryIO) -> list[Recorder]:
    """Those of the client side and of the server side, in one capture."""
    writer = PcapngWriter()
    file.write(writer.header(comment="uinet demo: both sides of the proxy"))
    sides = ("client-side", "server-side")
    for side in sides:
        file.write(writer.interface(side))
    return [Recorder(file, writer, number) for number in range(len(sides))]


def run_with_bar(demo: Demo, screen: Console, *, quiet: bool) -> None:
    """Runs the demo behind a progress bar; only a terminal gets one."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    disable = quiet or not screen.is_terminal
    with Progress(*columns, console=screen, transient=True, disable=disable) as progress:
        task = progress.add_task("clients", total=len(demo.plans))
        demo.on_progress = lambda ended: progress.update(task, completed=ended)
        demo.run()


def summary(demo: Demo, took: float, path: Path, differences: list[str]) -> dict[str, object]:
    """The run as one JSON object."""
    return {
        "clients": len(demo.plans),
        "refused": sum(plan.refused for plan in demo.plans),
        "bytes": total_bytes(demo),
        "bridged": demo.bridged,
        "seconds": round(took, 3),
        "compiled": compiled(),
        "capture": str(path),
        "outcomes": dict(demo.proxy.outcomes),
        "differences": differences,
    }


def total_bytes(demo: Demo) -> int:
    """Bytes that arrived, in both directions."""
    return sum(side.received for sides in (demo.client_sides, demo.server_sides) for side in sides.values())


def show(demo: Demo, screen: Console, took: float, path: Path) -> None:
    """The tables and the picture."""
    screen.print(clients_table(demo))
    if len(demo.plans) > SHOWN:
        screen.print(f"... and {len(demo.plans) - SHOWN} more\n")
    screen.print(totals_table(demo, took))
    if demo.steps:
        plan = demo.plans[SMALL]
        screen.print(f"\n[bold]Client {SMALL} at the proxy, packet by packet[/]")
        screen.print(str(plan.identity), markup=False)
        ascii_only = not (screen.encoding or "").startswith("utf")
        for line in draw(demo.steps, ascii_only=ascii_only):
            screen.print(line, markup=False)
    screen.print(f"\ncapture: {path}", markup=False)


def clients_table(demo: Demo) -> Table:
    """Who was there, and whom the servers saw."""
    title = "Clients as planned, and whether both ends saw each other so"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("#", "VLANs", "MAC", "from", "to", "sent", "got", "seen"):
        table.add_column(heading, justify="right" if heading in ("#", "sent", "got") else "left")
    for plan in demo.plans[:SHOWN]:
        vlans = ":".join(str(tag.vid) for tag in plan.identity.l2.vlans) or "none"
        table.add_row(
            str(plan.number), vlans, str(plan.identity.l2.source), escape(str(plan.identity.source)),
            escape(str(plan.identity.destination)), str(plan.sends), str(plan.receives), seen(demo, plan),
        )
    return table


def seen(demo: Demo, plan: Plan) -> str:
    """What became of one client, in a few words."""
    if demo.differences_of(plan):
        return "[red]not so[/]"
    return "refused" if plan.refused else "[green]all[/]"


def totals_table(demo: Demo, took: float) -> Table:
    """The run in numbers."""
    depths = Counter(len(plan.identity.l2.vlans) for plan in demo.plans)
    versions = Counter(plan.identity.source.ip.version for plan in demo.plans)
    received = total_bytes(demo)
    frames = sum(demo.near.identities.values()) + sum(demo.far.identities.values())
    refused = sum(plan.refused for plan in demo.plans)
    table = Table(title="In all", title_justify="left", show_header=False, box=box.SIMPLE, pad_edge=False)
    table.add_row("clients", f"{len(demo.plans)}, {refused} of them at a closed port")
    table.add_row("VLAN tags", ", ".join(f"{n} clients with {depth}" for depth, n in sorted(depths.items())))
    table.add_row("IP", ", ".join(f"{n} with IPv{version}" for version, n in sorted(versions.items())))
    table.add_row("bytes", f"{received:,} received at both ends, all digests compared")
    table.add_row("frames", f"{frames:,} TCP frames on both links, {demo.bridged} others bridged untouched")
    table.add_row("time", f"{took:.1f} s with {version()}: {si(received / took, 'B/s')}")
    return table


def tell(screen: Console, path: Path, differences: list[str]) -> None:
    """The verdict, and what to try next."""
    if differences:
        screen.print(f"[bold red]{len(differences)} things are not as planned:[/]")
        for line in differences[:SHOWN_DIFFERENCES]:
            screen.print(f"  {line}", markup=False)
        return
    screen.print(
        "[bold green]Both ends saw each other's VLANs, MACs, addresses and ports, and every byte.[/]\n"
        "[bold green]Following the capture found every connection, and every byte of both its streams.[/]\n"
    )
    uinet, python, file = command_name(), shown(Path(sys.executable)), shlex.quote(str(path))
    next_steps = [
        (f"{uinet} show {file} | head", "every frame on a line, both sides"),
        # side by side the two halves of a connection have the same ports: tshark has to see one side alone
        (f"tshark -r {file} -Y 'frame.interface_id == 0' -w - | tshark -r - -q -z conv,tcp", "the clients' side"),
        (f"tshark -r {file} -Y 'frame.interface_id == 0' -w - | {uinet} follow -o streams -", "and their streams"),
        (f"{uinet} proxy --stats packet:eth0 packet:eth1", "between real hosts (root)"),
    ]
    if Path("examples/transparent_proxy.py").exists():
        next_steps.append((f"{python} examples/transparent_proxy.py", "the same in about 30 lines"))
    screen.print("Next:")
    for step, what in next_steps:
        screen.print(f"  {step}    # {what}", markup=False, highlight=False, soft_wrap=True)


def command_name() -> str:
    """How this command is called from here: ``uinet``, unless that is another one or none."""
    called = Path(sys.argv[0])
    found = shutil.which("uinet")
    if called.name != "uinet" or (found is not None and Path(found).samefile(called)):
        return "uinet"
    return shown(called)


def shown(path: Path) -> str:
    """A program's path as one types it, from the working directory if it lies below."""
    with contextlib.suppress(ValueError):
        path = path.absolute().relative_to(Path.cwd())
        if len(path.parts) == 1:
            return shlex.quote(f"./{path}")
    return shlex.quote(str(path))
