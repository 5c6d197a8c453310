"""Writes docs/settings.md from the registry of settings: ``python docs/list_settings.py``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from uinet.settings import ip, tcp
from uinet.settings.interfaces import INTERFACE
from uinet.settings.registry import Setting
from uinet.settings.sysctl import default

HEAD = """\
# Settings

Made from the code by `docs/list_settings.py`; a test sees to it that this page is up to date.

Every setting of a stack has a dotted name, FreeBSD's where it has the same thing. In a program
`stack.sysctl["net.inet.tcp.msl"]` reads one and `stack.sysctl["net.inet.tcp.msl"] = 5` sets it; from outside
`uinet sysctl net.inet.tcp.msl=5s` does ([guide](control.md)). Durations are seconds, or text with a unit (`200ms`,
`2h`); sizes are bytes, or text (`256k`, `16M`). A value out of range is refused, and the range told. Each stack has its
own.

"Applies" says what a change reaches: everything at once, or only what begins afterwards. A setting that is bounded by
another one (a least by a largest, say) may not pass it.
"""
GROUPS = (
    ("Buffers", tcp.BUFFERS), ("Options of TCP", tcp.OPTIONS), ("Times", tcp.TIMES),
    ("Listening and ports", tcp.LISTENING),
    ("Congestion control and recovery", tcp.CONGESTION), ("Protection", tcp.PROTECTION),
    ("Copies of flows", tcp.COPYING), ("Passive sockets", tcp.PASSIVE),
    ("Address conflicts (IPv4)", ip.CONFLICTS), ("Autoconfiguration and duplicates (IPv6)", ip.AUTOCONF),
    ("Blackholes", ip.BLACKHOLES), ("Tables", ip.TABLES), ("Each interface", INTERFACE),
)


def value(setting: Setting) -> str:
    """The default as text."""
    held = default(setting)
    if held is None:
        return ""
    return setting.kind.show(setting.kind.load(held)) if setting.kind.name != "secret" else "not set"


def rows(settings: Iterable[Setting]) -> list[str]:
    """One table."""
    found = ["| setting | default | range | RFC | applies | meaning |", "|---|---|---|---|---|---|"]
    for setting in settings:
        cells = (f"`{setting.name}`", value(setting), setting.kind.range, setting.rfc, setting.applies, setting.help)
        found.append(f"| {' | '.join(cells)} |".replace("|  |", "| |").replace("|  |", "| |"))
    return found


def page() -> str:
    """The page's text."""
    parts = [HEAD]
    for title, settings in GROUPS:
        parts += [f"## {title}\n", *rows(settings), ""]
    return "\n".join(parts)


if __name__ == "__main__":
    Path(__file__).with_name("settings.md").write_text(page())
