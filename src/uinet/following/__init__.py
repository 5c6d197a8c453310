"""Passive receive, what a user of captures meets: sources of packets, the filter, streams, records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uinet.following.api import Follow, Followed, Stream, deliver, follow
    from uinet.following.drawing import plot
    from uinet.following.spool import Chunk
    from uinet.following.streams import Handler

__all__ = ["Chunk", "Follow", "Followed", "Handler", "Stream", "deliver", "follow", "plot"]

_PLACES = {
    "Chunk": "uinet.following.spool", "Handler": "uinet.following.streams", "plot": "uinet.following.drawing",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'uinet.following' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_PLACES.get(name, "uinet.following.api")), name)
    globals()[name] = value
    return value
