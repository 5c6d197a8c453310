"""What a setting is: its dotted name, where its value lies, what it may be, and what it means.

The tables are in `tcp`, `ip` and `interfaces`; `sysctl` reads and writes them for one stack.
"""

from __future__ import annotations

from dataclasses import dataclass

from uinet.settings.kinds import Kind

AT_ONCE = "at once"
SOCKETS = "new sockets"
CONNECTIONS = "new connections"
NEXT = "when it is next begun"
UNTIL_WATCHED = "until a connection is watched"
NEVER = "never"


@dataclass(frozen=True)
class Setting:
    """One setting. `holder`: which object of a stack has its `attribute`, a key of `sysctl.HOLDERS`.

    `rfc`: number and section, "" if no RFC is about it. `applies`: what a change reaches, one of the words above.
    `at_most`, `at_least`: attributes of the same object whose value it may not be above, or below.
    """

    name: str
    holder: str
    attribute: str
    kind: Kind
    rfc: str
    help: str
    applies: str = AT_ONCE
    at_most: str = ""
    at_least: str = ""
