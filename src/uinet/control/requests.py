"""Requests of one client, a line each, and lines of answers: what every conversation of a `door.Door` begins with."""

from __future__ import annotations

from typing import Any

from uinet.control.protocol import REQUEST_LIMIT, encode, request_of
from uinet.errors import ControlError


class Requests:
    """Bytes of a client in, lines for it out. `output`: take what is there and delete it. `over`: nothing more will be
    done; what is in `output` is the last."""

    def __init__(self) -> None:
        self.input = bytearray()
        self.output = bytearray()
        self._over = False
        self._id: Any = None  # of the request that is being answered
        self._rows = 0

    @property
    def over(self) -> bool:
        """Whether nothing more will be done."""
        return self._over

    @over.setter
    def over(self, value: bool) -> None:
        self._over = value
        if value:
            self._abandon()

    @property
    def busy(self) -> bool:
        """Whether a request is being answered."""
        raise NotImplementedError

    def receive(self, data: bytes) -> None:
        """Bytes have come."""
        if self._over:
            return
        self.input += data
        if len(self.input) > REQUEST_LIMIT:
            self._refuse(f"more than {REQUEST_LIMIT} bytes of requests that wait")

    def end(self) -> None:
        """No more bytes will come: what was asked for is still answered."""
        if not self.busy and b"\n" not in self.input:
            self.over = True

    def _next(self) -> dict[str, Any] | None:
        """The next request; None if the next line is empty, or none."""
        line, _, self.input = self.input.partition(b"\n")
        if not line.strip():
            return None
        self._id = None
        try:
            request = request_of(line)
        except ControlError as error:
            self._refuse(str(error))
            return None
        self._id = request.get("id")
        self._rows = 0
        return request

    def _abandon(self) -> None:
        """Lets go of the answer that is under way, if there is one."""

    def _refuse(self, why: str) -> None:
        """What has come is no request: says so, and listens no longer."""
        self._id = None
        self._say({"error": why})
        self.input.clear()
        self.over = True

    def _say(self, what: dict[str, Any]) -> None:
        self.output += encode(what if self._id is None else {"id": self._id, **what})
