"""Where records go: a file or standard output, a line each, at a bounded rate."""

from __future__ import annotations

import json
import sys
from typing import Any, TextIO

from uinet.errors import InvalidArgument

SECOND = 10**9


class Journal:
    """Writes JSON lines to `path`, or standard output without one; at most `rate` a second, twice that in a burst, so
    that nobody can fill the disk at will: `suppressed` counts what was not written, and one line tells.

    `lines`: written so far. `failed`: why writing has failed, or ""; the service goes on, and tries again.
    """

    def __init__(self, path: str | None, rate: float, now: int) -> None:
        self.path = path
        self.rate = rate
        self.tokens = 2 * rate
        self.filled = now
        self.lines = 0
        self.suppressed = 0
        self.failed = ""
        self.told = 0
        self.file: TextIO = sys.stdout
        if path is not None:
            self.file = self._open(path)

    @staticmethod
    def _open(path: str) -> TextIO:
        try:
            return open(path, "a", encoding="utf-8")
        except OSError as error:
            raise InvalidArgument(f"--log {path}: {error.strerror}: name a file that can be written") from None

    def write(self, record: dict[str, Any], now: int) -> bool:
        """Writes a record, if the rate allows it; whether it was written."""
        self.tokens = min(2 * self.rate, self.tokens + (now - self.filled) * self.rate / SECOND)
        self.filled = max(self.filled, now)
        if self.tokens < 1:
            self.suppressed += 1
            return False
        self.tokens -= 1
        return self._put(record)

    def _put(self, record: dict[str, Any]) -> bool:
        try:
            self.file.write(json.dumps(record, separators=(",", ":")) + "\n")
        except BrokenPipeError:
            raise
        except OSError as error:
            self.failed = error.strerror or str(error)
            self.suppressed += 1
            return False
        self.failed = ""
        self.lines += 1
        return True

    def flush(self) -> None:
        """Brings what was written to whoever reads; tells of lines that were left out since the last time."""
        if self.suppressed > self.told:
            left_out, self.told = self.suppressed - self.told, self.suppressed
            self._put({"event": "suppressed", "lines": left_out})
        try:
            self.file.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            self.failed = error.strerror or str(error)

    def reopen(self) -> None:
        """Opens the file anew, after it was renamed (logrotate). It goes on with the old one where that fails."""
        if self.path is None:
            return
        try:
            renewed = self._open(self.path)
        except InvalidArgument as error:
            self.failed = str(error)
            return
        self.close()
        self.file = renewed

    def close(self) -> None:
        """Writes what is left and closes the file."""
        self.flush()
        if self.path is not None:
            try:
                self.file.close()
            except OSError as error:
                self.failed = error.strerror or str(error)

