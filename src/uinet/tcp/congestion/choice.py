"""Congestion control by name: what there is, one file each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from uinet.errors import InvalidArgument
from uinet.tcp.congestion.base import CongestionControl
from uinet.tcp.congestion.bbr import Bbr
from uinet.tcp.congestion.cubic import Cubic
from uinet.tcp.congestion.names import check_congestion
from uinet.tcp.congestion.newreno import NewReno

Factory = Callable[[], CongestionControl]

ALGORITHMS: dict[str, Factory] = {"bbr": Bbr, "cubic": Cubic, "newreno": NewReno, "reno": NewReno}


def choose(what: str | Factory) -> Factory:
    """The class (or any callable that makes an object of one) that `what` names or is; InvalidArgument."""
    found = check_congestion(what)
    return ALGORITHMS[found] if isinstance(found, str) else found


def make(what: str | Factory) -> CongestionControl:
    """One for a connection; InvalidArgument if what is made is none."""
    factory = ALGORITHMS.get(what) if type(what) is str else None
    made: Any = factory() if factory is not None else choose(what)()
    if not isinstance(made, CongestionControl):
        raise InvalidArgument(f"{made!r} is no CongestionControl")
    return made
