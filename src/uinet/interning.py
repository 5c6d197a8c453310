"""Equal bytes, one object: link headers and VLAN stacks repeat, and a million connections keep one of each."""

from __future__ import annotations

MOST = 4096  # different ones that are remembered


class Interned:
    """The last few thousand different bytes objects."""

    def __init__(self) -> None:
        self._known: dict[bytes, bytes] = {}

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._known)

    def one(self, value: bytes) -> bytes:
        """The object to keep for `value`: an equal one that others keep already, if it is remembered."""
        known = self._known
        found = known.get(value)
        if found is not None:
            return found
        if len(known) >= MOST:
            known.clear()  # so many that sharing is worth little
        known[value] = value
        return value
