"""Congestion control by name: what there is, one file each."""

from __future__ import annotations

from collections.abc import Callable

from uinet.errors import InvalidArgument
from uinet.tcp.congestion.base import CongestionControl
from uinet.tcp.congestion.cubic import Cubic
from uinet.tcp.congestion.newreno import NewReno

Factory = Callable[[], CongestionControl]

ALGORITHMS: dict[str, Factory] = {"cubic": Cubic, "newreno": NewReno, "reno": NewReno}


def choose(what: str | Factory) -> Factory:
    """The class (or any callable that makes an object of one) that `what` names or is; InvalidArgument."""
    if isinstance(what, str):
        if what not in ALGORITHMS:
            names = ", ".join(sorted(ALGORITHMS))
            raise InvalidArgument(f"no congestion control is called {what!r}: there are {names}")
        return ALGORITHMS[what]
    if not callable(what):
        raise InvalidArgument(f"congestion control is {what!r}: want a name or a class")
    return what
