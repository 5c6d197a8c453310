"""``uinet emulate``: a link with a rate, a delay and faults between two devices."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from typing import Any

import click

from uinet.cli.common import Seconds, console, json_option, print_json, si
from uinet.cli.group import DONE
from uinet.errors import Error
from uinet.link.device import Device
from uinet.link.url import open_device, parse_duration, parse_probability, parse_rate
from uinet.sim.emulator import SPIN, Emulator
from uinet.sim.link import COUNTERS
from uinet.units import SECOND

REALTIME_PRIORITY = 10


class Both(click.ParamType[Any]):
    """One value for both directions, or two with a comma between them: A to B, B to A."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self.parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        parts = value.split(",")
        if len(parts) > 2:
            self.fail(f"{value}: want one value, or two with a comma between them", param, ctx)
        try:
            found = [self.parse(part) for part in parts]
        except ValueError as error:
            self.fail(f"{value}: want {error}", param, ctx)
        return found[0] if len(found) == 1 else tuple(found)


def rate(text: str) -> float:
    """``100mbit``, ``1gbit``, ``64k``: bit/s."""
    short = re.sub(r"(?i)(bit(/s)?|bps)$", "", text)
    return parse_rate(short[:-1] + short[-1:].replace("m", "M").replace("g", "G"))


def time(text: str) -> float:
    """``10ms``: seconds."""
    return parse_duration(text) / SECOND


def whole(text: str) -> int:
    """An integer of 1 or more."""
    if not re.fullmatch(r"\d{1,12}", text) or int(text) < 1:
        raise ValueError("an integer of 1 or more")
    return int(text)


def number(text: str) -> float:
    """A number of 1 or more."""
    if not re.fullmatch(r"\d{1,6}(\.\d{1,6})?", text) or float(text) < 1:
        raise ValueError("a number of 1 or more")
    return float(text)


CHANCE, TIME, WHOLE = Both("CHANCE", parse_probability), Both("TIME", time), Both("N", whole)


@click.command()
@click.argument("a")
@click.argument("b")
@click.option("--rate", type=Both("RATE", rate), help="Of the wire: 100mbit, 1gbit, 64k. Default: no limit.")
@click.option("--delay", type=TIME, help="Each way: 10ms, 1.5s, 200us.")
@click.option("--jitter", type=TIME, help="Up to so much more delay, without reordering.")
@click.option("--queue", type=WHOLE, help="Frames that wait for the wire at most. Default: 1000.")
@click.option("--queue-bytes", type=WHOLE, help="Their bytes at most.")
@click.option("--loss", type=CHANCE, help="Of each frame: 1% or 0.01.")
@click.option("--burst", type=Both("FRAMES", number), help="Frames are lost in bursts, of so many on average.")
@click.option("--lose-every", type=WHOLE, help="Lose each N-th frame.")
@click.option("--reorder", type=CHANCE, help="Frames held back, so that later ones overtake them.")
@click.option("--reorder-delay", type=TIME, help="How long at most. Default: the delay, at least 1ms.")
@click.option("--duplicate", type=CHANCE, help="Frames that arrive twice.")
@click.option("--corrupt", type=CHANCE, help="Frames with one bit flipped.")
@click.option("--mtu", type=click.IntRange(68, 65535), metavar="BYTES", help="Longer packets are dropped.")
@click.option("--seed", type=int, default=0, metavar="N", help="Of all chance; the same seed gives the same faults.")
@click.option("--spin", type=TIME, help="Watch the clock for so long before a frame is due. Default: 30us; 0: never.")
@click.option("--realtime", is_flag=True, help="Run before all ordinary programs (SCHED_FIFO, root).")
@click.option("--time", "duration", type=Seconds(0.001), metavar="SECONDS", help="Stop after so long.")
@json_option
def command(
    a: str, b: str, seed: int, spin: float | None, realtime: bool, duration: float | None, as_json: bool,
    **settings: Any,
) -> int:
    """Join devices A and B by a link with a rate, a delay and faults, until interrupted; then say what happened.

    A and B are device URLs: tap:NAME, packet:IFNAME, unix:PATH. A value holds for both directions; "1%,0" is 1% from
    A to B and 0 from B to A. A TAP's kernel cuts large frames into packets unless its URL says offload=1.
    """
    conditions = {name: value for name, value in settings.items() if value is not None}
    if realtime:
        become_realtime()
    with open_end(a) as left, open_end(b) as right:
        link = Emulator(left, right, seed=seed, spin=SPIN / SECOND if spin is None else spin, **conditions)
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, lambda *_: link.stop())
        try:
            link.run(timeout=duration)
        finally:
            report(link.statistics(), as_json)
    return DONE


def open_end(url: str) -> Device:
    """The device that `url` names; a TAP or TUN without offloads unless the URL speaks of them."""
    if url.startswith(("tap:", "tun:")) and "offload=" not in url:
        url += ("&" if "?" in url else "?") + "offload=0"
    return open_device(url)


def become_realtime() -> None:
    """Lets this process run whenever it has something to do."""
    if not hasattr(os, "sched_setscheduler"):
        raise Error("--realtime: this system has no SCHED_FIFO")
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(REALTIME_PRIORITY))
    except PermissionError:
        raise Error("--realtime: needs root (CAP_SYS_NICE)") from None


def report(statistics: dict[str, Any], as_json: bool) -> None:
    """What became of the frames of both directions, and how late they were."""
    if as_json:
        print_json(statistics)
        return
    for name, title in (("ab", "A to B"), ("ba", "B to A")):
        found = statistics[name]
        counters = [counter for counter in (*COUNTERS[2:], "overrun") if found[counter]]
        words = ", ".join(f"{found[counter]} {counter.replace('_', ' ')}" for counter in counters)
        console().print(f"{title}: {found['sent']} frames, {si(found['bytes'], 'B')}: {words or 'none arrived'}")
    late = statistics["lateness_us"]
    marks = ("half of the frames", late["p50"]), ("1 in 100", late["p99"])
    words = ", ".join(f"{who} by {time:.0f} us" for who, time in marks)
    console().print(f"late: {words}, none by more than {late['max']:.0f} us")
