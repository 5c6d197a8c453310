"""Whoever decides, by a look at a frame in a device's buffer, that it goes to another device as it is."""

from __future__ import annotations

from typing import Any


class Judge:
    """Looks at frames that are about to be passed on from one device to another."""

    def passes(self, side: Any, data: bytes, size: int, layer: int, now: int) -> bool:
        """Whether the frame of the first `size` bytes of `data`, which has come by `side` at `now`, is passed on; it is
        counted then. `data` is a buffer that the next frame will be in: nothing may be kept of it."""
        return False
