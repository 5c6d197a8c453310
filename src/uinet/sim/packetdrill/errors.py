"""Why a script does not pass: its text is wrong, it asks for what is not there, or what it says does not happen."""

from __future__ import annotations


class ScriptError(Exception):
    """The text of a script is wrong. `line`: where, counted from 1; 0: nowhere in particular."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.line = line

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}" if self.line else self.message


class Unsupported(Exception):
    """A script needs what the machine under test has not: it is skipped. The text says what."""


class Mismatch(Exception):
    """What a script says did not happen. `expected`, `found`: both as lines to show, or ""."""

    def __init__(self, message: str, expected: str = "", found: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.expected = expected
        self.found = found
