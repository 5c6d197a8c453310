"""What a congestion control may be given as: the name of one of those that are here, or something that makes one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from uinet.errors import InvalidArgument

NAMES = ("bbr", "cubic", "newreno", "reno")


def check_congestion(what: Any) -> str | Callable[[], Any]:
    """`what` if it is a name (bytes will do, as the kernel's sockets take them) or can be called; InvalidArgument."""
    if isinstance(what, bytes):
        what = what.rstrip(b"\0").decode("ascii", "replace")
    if isinstance(what, str):
        if what not in NAMES:
            raise InvalidArgument(f"no congestion control is called {what!r}: there are {', '.join(NAMES)}")
        return what
    if not callable(what):
        raise InvalidArgument(f"congestion control is {what!r}: want a name or a class")
    found: Callable[[], Any] = what
    return found
