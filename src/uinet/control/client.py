"""The other side of a control socket, for programs that look into a running one. It blocks: not for an event loop."""

from __future__ import annotations

import errno
import itertools
import socket
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from uinet.control.protocol import decode, encode
from uinet.errors import ControlError

TIMEOUT = 10.0  # seconds without a byte
CHUNK = 64 * 1024


class Client:
    """A connection to the control socket at `path`, or over a connected `connection`. Use as a context manager.

    ControlError if nobody listens there, if a request is refused, or if no byte comes for `timeout` seconds.
    """

    def __init__(
        self, path: str = "", *, connection: socket.socket | None = None, timeout: float = TIMEOUT
    ) -> None:
        self.path = path
        self.connection = connection if connection is not None else _connect(path)
        self.connection.settimeout(timeout)
        self._input = bytearray()
        self._numbers = itertools.count(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hangs up."""
        self.connection.close()

    def rows(self, command: str, **arguments: Any) -> Iterator[dict[str, Any]]:
        """Asks, and gives the rows of the answer as they come. To ask for something else meanwhile, or after having
        stopped half-way, takes another connection."""
        number = next(self._numbers)
        try:
            self.connection.sendall(encode({"id": number, "command": command, **arguments}))
        except OSError as error:
            raise self._lost(error) from None
        while True:
            line = decode(self._line())
            if "error" in line:
                raise ControlError(str(line["error"]))
            if line.get("id") != number:
                raise ControlError("an answer to something that was not asked")
            if "end" in line:
                return
            if "row" in line:  # else it says that the program is still at it
                yield line["row"]

    def one(self, command: str, **arguments: Any) -> dict[str, Any]:
        """The first row of an answer; ControlError if it has none."""
        found = list(self.rows(command, **arguments))
        if not found:
            raise ControlError(f"{command}: nothing found")
        return found[0]

    def _line(self) -> bytearray:
        start = 0
        while (end := self._input.find(b"\n", start)) < 0:
            start = len(self._input)
            try:
                data = self.connection.recv(CHUNK)
            except TimeoutError:
                raise ControlError(f"control socket {self.path}: no answer in time") from None
            except OSError as error:
                raise self._lost(error) from None
            if not data:
                raise ControlError(f"control socket {self.path}: the program hung up")
            self._input += data
        line = self._input[:end]
        del self._input[: end + 1]
        return line

    def _lost(self, error: OSError) -> ControlError:
        return ControlError(f"control socket {self.path}: {error.strerror or error}")


def _connect(path: str) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.connect(path)
    except OSError as error:
        made.close()
        why = error.strerror or str(error)
        if error.errno in (errno.ENOENT, errno.ECONNREFUSED):
            why = "no program has it open"
        raise ControlError(f"control socket {path}: {why}") from None
    return made
