"""``uinet show``: the frames of a capture, a line each."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import click

from uinet.cli.common import json_option, print_json
from uinet.cli.group import DONE, Failure
from uinet.errors import CaptureError
from uinet.wire.capture import Record, decapsulate
from uinet.wire.pcap import Reader
from uinet.wire.show import show

CHUNK = 1 << 20


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("-c", "--count", type=click.IntRange(1), metavar="N", help="Stop after N frames.")
@click.option("-e", "--macs", is_flag=True, help="Show MAC addresses.")
@click.option("-r", "--relative", is_flag=True, help="Seconds since the first frame, not time of day.")
@json_option
def command(path: Path, count: int | None, macs: bool, relative: bool, as_json: bool) -> int:
    """Show the frames of PATH, a pcap or pcapng file ("-": standard input), a line each."""
    first: int | None = None
    with sys.stdin.buffer if str(path) == "-" else path.open("rb") as file:
        reader = Reader()
        try:
            for number, record in enumerate(islice(records(reader, file), count), 1):
                if first is None and relative:
                    first = record.time
                line = describe(record, first, macs)
                if as_json:
                    print_json(as_dict(reader, record, number, line))
                else:
                    print(with_interface(reader, record, line))
        except CaptureError as error:
            raise Failure(f"{path}: {error}") from None
    return DONE


def records(reader: Reader, file: BinaryIO) -> Iterator[Record]:
    """The records of `file` as they are read; CaptureError behind the last good one if it is damaged."""
    while data := file.read(CHUNK):
        reader.feed(data)
        yield from reader
        if reader.damaged:
            break
    reader.finish()


def describe(record: Record, first: int | None, macs: bool) -> str:
    """The line of one frame."""
    inner = decapsulate(record.link_type, record.data)
    if inner is None:
        return f"link type {record.link_type}, {record.original_length} bytes"
    layer, data = inner
    return show(data, layer, record.time, first, macs=macs)


def with_interface(reader: Reader, record: Record, line: str) -> str:
    """`line` with the name of the interface behind its time, as tcpdump has it, if the capture has several."""
    if len(reader.interfaces) < 2:
        return line
    time, _, rest = line.partition(" ")
    return f"{time} {interface_name(reader, record)} {rest}"


def interface_name(reader: Reader, record: Record) -> str | int:
    """The name of the interface of one frame; its number if it has none."""
    return reader.interfaces[record.interface].name or record.interface


def as_dict(reader: Reader, record: Record, number: int, line: str) -> dict[str, object]:
    """One frame for machines; the line is the one for people, with its time in front."""
    return {
        "number": number,
        "time": record.time / 1e9,
        "interface": interface_name(reader, record),
        "length": record.original_length,
        "frame": line.partition(" ")[2],
    }
