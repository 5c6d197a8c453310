"""One client of a control socket: bytes in, bytes out, and the work in between in small steps. No I/O here."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

from uinet.control.protocol import OUTPUT_LIMIT
from uinet.control.requests import Requests
from uinet.errors import Error

Rows = list[dict[str, Any]]
Answer = Iterator[Rows]
"""The rows of an answer, a few at a time. Each step takes well under a millisecond, and may have no rows at all:
whoever looks for a needle stops between handfuls of hay."""
Start = Callable[[dict[str, Any]], Answer]

PATIENCE = 1000  # steps without a row after which the client is told that there is work

log = logging.getLogger("uinet")


class Session(Requests):
    """What a client has asked for, and what it has not read yet.

    `start`: begins the answer to a request; what it raises, or the answer does later, is told the client.
    """

    def __init__(self, start: Start) -> None:
        super().__init__()
        self.start = start
        self.requests = 0
        self._answer: Answer | None = None
        self._silent = 0  # steps since the last row

    @property
    def busy(self) -> bool:
        """Whether a request is being answered."""
        return self._answer is not None

    @property
    def working(self) -> bool:
        """Whether `step` has something to do: it has not while the client does not read."""
        if self.over or len(self.output) >= OUTPUT_LIMIT:
            return False
        return self._answer is not None or b"\n" in self.input

    def step(self) -> None:
        """Does a little: begins the next request, or goes on with the one that is under way."""
        if not self.working:
            return
        if self._answer is None:
            self._begin()
            return
        try:
            rows = next(self._answer, None)
        except Exception as error:
            self._fail(error)
            return
        if rows is None:
            self._answer = None
            self._say({"end": {"rows": self._rows}})
            return
        self._rows += len(rows)
        self._silent = 0 if rows else self._silent + 1
        if self._silent == PATIENCE:
            self._silent = 0
            self._say({"wait": self._rows})
        for row in rows:
            self._say({"row": row})

    def _begin(self) -> None:
        request = self._next()
        if request is None:
            return
        self.requests += 1
        try:
            self._answer = self.start(request)
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """Tells why a request comes to nothing; the next one may do better."""
        self._answer = None
        if isinstance(error, Error):
            self._say({"error": " ".join(str(error).split())})
        else:
            log.error("control socket: a request failed", exc_info=error)
            self._say({"error": f"internal error: {type(error).__name__}: {' '.join(str(error).split())}"})

    def _abandon(self) -> None:
        self._answer = None
