"""Codecs between two proxies: what they save, and how fast they are.

``python -m bench codec [--size MB] [--only chunker,dedup,zstd,wire]``. Rates are bytes of the stream for each second of
this process's CPU, which has both ends, except where one is named.

chunker  cutting alone
dedup    a transfer of --size MB of noise through a pair with stores on disk, and the same again: bytes that pass; then
         with bytes inserted, and after both ends were closed and opened again
zstd     text and noise through a pair, at level 3
wire     the pair over loopback, as ``uinet proxy --mode tcp --codec dedup`` twice: a download, and the same again
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import random
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any

from bench.harness import line, save
from uinet.codecs.chunker import Chunker
from uinet.codecs.constants import PIECE
from uinet.codecs.disk import DiskStore
from uinet.codecs.session import Session
from uinet.codecs.store import Store
from uinet.proxy.coding import make_coding
from uinet.proxy.tcp_mode import TcpOptions, TcpProxy

MB = 1 << 20
BLOCK = 16 * MB


def noise(size: int, seed: int = 1) -> Iterator[bytes]:
    """The same noise each time, in pieces as a proxy reads them."""
    rng = random.Random(seed)
    for _ in range(size // BLOCK):
        block = rng.randbytes(BLOCK)
        for at in range(0, BLOCK, PIECE):
            yield block[at : at + PIECE]


def inserted(pieces: Iterable[bytes], every: int) -> Iterator[bytes]:
    """The pieces, with some bytes more now and then."""
    for number, piece in enumerate(pieces):
        yield piece + b"inserted" if number % every == every - 1 else piece


def text(size: int) -> Iterator[bytes]:
    """Lines of a log."""
    rng = random.Random(3)
    made = 0
    while made < size:
        lines = "".join(
            f"10.{rng.randrange(256)}.0.{rng.randrange(256)} GET /p/{rng.randrange(5000)} 200 {rng.randrange(90000)}\n"
            for _ in range(1500)
        ).encode()[:PIECE]
        made += len(lines)
        yield lines


def transfer(codec: str, stores: tuple[Store, Store] | None, pieces: Iterable[bytes]) -> dict[str, float]:
    """A stream through a pair; every byte is compared. CPU seconds of each end."""
    a, b = Session(codec, stores[0] if stores else None), Session(codec, stores[1] if stores else None)
    sent, got = hashlib.sha256(), hashlib.sha256()
    size = wire = 0
    cpu = {"send": 0.0, "receive": 0.0}

    def move() -> int:
        began = process_time()
        data = a.take()
        between = process_time()
        b.receive(data)
        out = []
        while b.readable:
            out.append(b.read())
        back = b.take()
        after = process_time()
        a.receive(back)
        cpu["send"] += between - began + process_time() - after
        cpu["receive"] += after - between
        for one in out:
            got.update(one)
        return len(data)

    for piece in pieces:
        sent.update(piece)
        size += len(piece)
        while piece:
            began = process_time()
            taken = a.send(piece)
            cpu["send"] += process_time() - began
            piece = piece[taken:]
            wire += move()
    a.end()
    b.end()
    wire += move()
    move()
    assert a.finished and b.finished and sent.digest() == got.digest()
    return {
        "size": size, "wire": wire, "share": wire / size, "send": size / cpu["send"] / 1e6,
        "receive": size / cpu["receive"] / 1e6, "both": size / sum(cpu.values()) / 1e6,
        "needed": b.tally.needed,
    }


def show(name: str, found: dict[str, float]) -> None:
    """Prints one transfer."""
    line(f"{name}: bytes that pass", [100 * found["share"]], "%")
    speeds = f"sending {found['send']:.0f} MB/s, receiving {found['receive']:.0f} MB/s"
    print(f"    {found['size'] / MB:.0f} MB as {found['wire'] / MB:.2f} MB; {speeds}, each of a core's time")


def chunker(found: dict[str, Any], runs: int) -> None:
    """Cutting noise."""
    pieces = list(noise(64 * MB))
    rates = []
    for _ in range(max(3, runs)):
        cutter = Chunker()
        chunks = 0
        began = process_time()
        for piece in pieces:
            at = 0
            while (at := cutter.cut(piece, at)) >= 0:
                chunks += 1
        rates.append(64 * MB / (process_time() - began) / 1e6)
    found["chunker"] = rates
    line("cutting", rates, "MB/s")
    print(f"    chunks of {64 * MB / chunks:.0f} bytes (wanted: above 300 MB/s)")


def dedup(found: dict[str, Any], size: int) -> None:
    """The same again."""
    with TemporaryDirectory() as folder:

        def stores() -> tuple[Store, Store]:
            return DiskStore(f"{folder}/a", 2 * size), DiskStore(f"{folder}/b", 2 * size)

        both = stores()
        found["dedup"] = {"first": transfer("dedup", both, noise(size))}
        found["dedup"]["again"] = transfer("dedup", both, noise(size))
        found["dedup"]["inserted"] = transfer("dedup", both, inserted(noise(size), 64))
        for store in both:
            store.close()
        began = time.perf_counter()
        both = stores()
        found["dedup"]["open_s"] = (time.perf_counter() - began) / 2
        found["dedup"]["restarted"] = transfer("dedup", both, noise(size))
        for store in both:
            store.close()
    for name in ("first", "again", "inserted", "restarted"):
        show(f"dedup, {name}", found["dedup"][name])
    print("    (wanted: again below 2 %)")
    line("opening a store", [found["dedup"]["open_s"] * 1e3], "ms")


def zstd(found: dict[str, Any], size: int) -> None:
    """Text and noise."""
    found["zstd"] = {"text": transfer("zstd", None, text(size)), "noise": transfer("zstd", None, noise(size))}
    for name, one in found["zstd"].items():
        show(f"zstd, {name}", one)


async def download(size: int, folder: str) -> dict[str, Any]:
    """A server, both proxies and a client, all in this process."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in noise(size, 7):
            writer.write(piece)
            await writer.drain()
        writer.close()

    here = "127.0.0.1"
    server = await asyncio.start_server(serve, here, 0)
    port = server.sockets[0].getsockname()[1]
    near, far = (
        TcpOptions(make_coding("dedup", peer, str(Path(folder) / peer), 2 * size)) for peer in ("server", "client")
    )
    found = {}
    async with TcpProxy((here, 0), (here, port), far) as last, TcpProxy((here, 0), (here, last.port), near) as first:
        for name in ("first", "again"):
            assert near.coding is not None
            before = near.coding.total().wire_in
            began, cpu = time.perf_counter(), process_time()
            reader, writer = await asyncio.open_connection(here, first.port)
            digest = hashlib.sha256()
            while data := await reader.read(1 << 20):
                digest.update(data)
            writer.close()
            took, cpu = time.perf_counter() - began, process_time() - cpu
            wanted = hashlib.sha256()
            for piece in noise(size, 7):
                wanted.update(piece)
            assert digest.digest() == wanted.digest()
            found[name] = {
                "share": (near.coding.total().wire_in - before) / size, "MB/s": size / took / 1e6,
                "MB/s of CPU, both proxies, client and server": size / cpu / 1e6,
            }
    server.close()
    return found


def main(runs: int, words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench codec")
    parser.add_argument("--size", type=int, default=1024, help="MB")
    parser.add_argument("--only", default="chunker,dedup,zstd,wire")
    arguments = parser.parse_args(words or [])
    size = max(BLOCK, arguments.size * MB // BLOCK * BLOCK)
    parts = arguments.only.split(",")
    print("codec")
    found: dict[str, Any] = {"size": size}
    if "chunker" in parts:
        chunker(found, runs)
    if "dedup" in parts:
        dedup(found, size)
    if "zstd" in parts:
        zstd(found, min(size, 256 * MB))
    if "wire" in parts:
        with TemporaryDirectory() as folder:
            found["wire"] = asyncio.run(download(min(size, 256 * MB), folder))
        for name, one in found["wire"].items():
            line(f"over loopback, {name}: bytes that pass", [100 * one["share"]], "%")
            cpu = one["MB/s of CPU, both proxies, client and server"]
            print(f"    {one['MB/s']:.0f} MB/s, {cpu:.0f} MB/s of CPU, client, server and both proxies in one process")
    save("codec", found)
