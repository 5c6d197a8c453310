"""The live table of ``uinet proxy --stats``: connections, rates, bytes, drops."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from uinet.cli.common import si
from uinet.codecs.tally import REFUSALS
from uinet.link.device import COUNTERS as DEVICE_COUNTERS
from uinet.proxy.coding import Coding
from uinet.proxy.connection import ACCEPTING, CONNECTING, HELD, OPEN
from uinet.proxy.runner import Runner
from uinet.stats import COUNTERS

DROP_WORDS = ("dropped", "not sent")
SHOWN_DROPS = 4
REFRESH = 0.5


def snapshot(runner: Runner) -> dict[str, Any]:
    """How a proxy is doing, as what several workers' can be added up from."""
    seen: dict[str, Any] = {
        "counts": runner.proxy.statistics(),
        "outcomes": dict(runner.proxy.outcomes),
        "bridged": runner.host.stack.stats["link_bridged"],
        "drops": drops_of(runner),
        "captures": runner.files.statistics() if runner.files is not None else {},
    }
    if runner.options.coding is not None:
        seen["codec"] = coded(runner.options.coding)
    return seen


def coded(coding: Coding) -> dict[str, Any]:
    """What codecs have done so far, as a snapshot has it."""
    store = coding.store.statistics() if coding.store is not None else {}
    return {**coding.total().as_dict(), "name": coding.codec, "store": store}


class Stats:
    """What the table shows; rates are over the time since the last look. `look`: makes a snapshot."""

    def __init__(self, look: Callable[[], dict[str, Any]], clock: Callable[[], float] = time.monotonic) -> None:
        self.look = look
        self.clock = clock
        self.began = self.looked = clock()
        self.before: dict[str, int] = look().get("counts", {})
        self.coded: dict[str, Any] = {}

    def table(self) -> Table:
        """The table as of now."""
        now = self.clock()
        span = max(now - self.looked, 1e-9)
        seen = self.look()
        current, before = Counter(seen.get("counts", {})), Counter(self.before)
        self.before, self.looked = current, now
        table = Table(title=f"uinet proxy, {now - self.began:.0f} s", title_justify="left", show_header=False)
        opening = current[HELD] + current[CONNECTING] + current[ACCEPTING]
        rate = (current["opened"] - before["opened"]) / span
        table.add_row("connections", f"{current[OPEN]} open, {opening} opening, {rate:.0f}/s new")
        for name, way in (("client_bytes", "client to server"), ("server_bytes", "server to client")):
            bits = 8 * (current[name] - before[name]) / span
            table.add_row(way, f"{si(current[name], 'B')}, {si(bits, 'bit/s')}")
        ended = ", ".join(f"{count} {outcome}" for outcome, count in sorted(seen.get("outcomes", {}).items()))
        for name, text in codec_rows(seen.get("codec"), self.coded, span):
            table.add_row(name, text)
        self.coded = seen.get("codec", {})
        table.add_row("ended", ended or "none")
        kinds = ("excluded", "bridged", "rejected")
        passed = ", ".join(f"{current[name]} {name}" for name in kinds if current[name])
        if "bridged" in seen:  # else it has no devices
            table.add_row("SYNs", f"{current['syns']}" + (f": {passed}" if passed else ""))
            table.add_row("frames", f"{seen['bridged']} bridged")
            if seen.get("captures"):
                table.add_row("captures", captured(seen["captures"]))
            table.add_row("drops", largest(seen.get("drops", {})) or "none")
        return table


def captured(counts: dict[str, int]) -> str:
    """How the captures of single connections are doing."""
    lost = f", {counts['lost']} packets lost" if counts["lost"] else ""
    return f"{counts['files']} files, {counts['open']} open, {si(counts['bytes'], 'B')}{lost}"


def codec_rows(seen: dict[str, Any] | None, before: dict[str, Any], span: float) -> Iterator[tuple[str, str]]:
    """What a codec has saved, and how fast it is: rows of the table. `before`: what was seen `span` seconds ago."""
    if seen is None:
        return
    plain, wire = seen["plain_out"] + seen["plain_in"], seen["wire_out"] + seen["wire_in"]
    moved = plain - before.get("plain_out", plain) - before.get("plain_in", 0) if before else 0
    saved = f", {100 * (1 - wire / plain):.1f} % saved" if plain else ""
    yield f"codec {seen['name']}", f"{si(plain, 'B')} as {si(wire, 'B')}{saved}, {si(moved / span, 'B/s')}"
    if seen["store"]:
        store = seen["store"]
        yield "store", (
            f"{store['chunks']} chunks, {si(store['bytes'], 'B')}; {seen['references']} referred to, "
            f"{seen['repaired']} repaired"
        )
    refused = ", ".join(f"{seen[name]} {name}" for name in REFUSALS if seen[name])
    if refused:
        yield "pair", refused


def largest(drops: dict[str, int]) -> str:
    """The largest counters of decisions to drop, of the stack and of the devices."""
    found = sorted(drops.items(), key=lambda item: -item[1])[:SHOWN_DROPS]
    return ", ".join(f"{count} {name}" for name, count in found)


def drops_of(runner: Runner) -> dict[str, int]:
    """Every counter that counts drops and is not zero, by name; devices' with their side in front."""
    found = {
        name: count
        for name, count in runner.host.stack.stats.as_dict().items()
        if COUNTERS[name].startswith(DROP_WORDS)
    }
    for side, device in zip(("client", "server"), runner.devices, strict=True):
        for name, count in device.statistics().items():
            if DEVICE_COUNTERS.get(name, "").startswith(DROP_WORDS):
                found[f"{side} {name}"] = count
    return found


def summed_up(seen: dict[str, Any]) -> str:
    """The line at the end."""
    counts = Counter(seen.get("counts", {}))
    total = si(counts["client_bytes"] + counts["server_bytes"], "B")
    ended = ", ".join(f"{number} {how}" for how, number in sorted(seen.get("outcomes", {}).items()))
    line = f"{counts['opened']} connections, {total}" + (f" ({ended})" if ended else "")
    codec = seen.get("codec")
    if codec is None:
        return line
    plain, wire = codec["plain_out"] + codec["plain_in"], codec["wire_out"] + codec["wire_in"]
    saved = f", {100 * (1 - wire / plain):.1f} % saved" if plain else ""
    return f"{line}; codec {codec['name']}: {si(plain, 'B')} as {si(wire, 'B')}{saved}"


@contextlib.asynccontextmanager
async def live(look: Callable[[], dict[str, Any]], screen: Console) -> AsyncIterator[None]:
    """Shows the live table of what `look` sees meanwhile."""
    view = Stats(look)
    with Live(view.table(), console=screen, auto_refresh=False, transient=False) as display:

        async def refresh() -> None:
            while True:
                await asyncio.sleep(REFRESH)
                display.update(view.table(), refresh=True)

        task = asyncio.create_task(refresh())
        try:
            yield
        finally:
            task.cancel()
            display.update(view.table(), refresh=True)
