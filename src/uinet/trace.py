"""An event log that costs nothing while nobody listens.

A stack's `trace` is None or a callable ``f(now, what, subject, **details)``; :class:`Trace` is a bounded list of such
records for tests and debugging.
"""

from __future__ import annotations

from collections import deque
from typing import Any


class Trace:
    """The last `limit` events, oldest first."""

    def __init__(self, limit: int = 10_000) -> None:
        self.records: deque[tuple[int, str, object, dict[str, Any]]] = deque(maxlen=limit)

    def __call__(self, now: int, what: str, subject: object, **details: Any) -> None:
        self.records.append((now, what, subject, details))

    def named(self, what: str) -> list[tuple[int, str, object, dict[str, Any]]]:
        """The records whose name is `what`."""
        return [record for record in self.records if record[1] == what]
