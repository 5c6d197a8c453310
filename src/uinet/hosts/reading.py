"""Takes values of a hosts file; what is wrong with one is told with file, line and key, and what is wanted."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path as FilePath
from typing import Any, NoReturn

from uinet.errors import Error, InvalidArgument
from uinet.hosts.places import Path, line_of

Values = Mapping[str, Any]


class FileError(InvalidArgument):
    """A hosts file is not as it should be: one line with file, line and key."""


class File:
    """A TOML file and where its keys are. FileError if it can't be read."""

    def __init__(self, path: str, text: str | None = None) -> None:
        self.path = path
        try:
            self.text = FilePath(path).read_bytes().decode() if text is None else text
            self.values: dict[str, Any] = tomllib.loads(self.text)
        except OSError as error:
            raise FileError(f"{path}: {error.strerror}: name a file that can be read") from None
        except UnicodeDecodeError:
            raise FileError(f"{path}: is no UTF-8 text: want a TOML file") from None
        except tomllib.TOMLDecodeError as error:
            raise FileError(f"{path}: {error}: see https://toml.io for how it is written") from None
        except RecursionError:
            raise FileError(f"{path}: is nested too deeply: want a TOML file of tables and lists") from None

    def fail(self, path: Path, what: str) -> NoReturn:
        """FileError about the value at `path`."""
        name = ".".join(str(part) for part in path if not isinstance(part, int))
        raise FileError(f"{self.path}:{line_of(self.text, path)}: {name}: {what}")


class Section:
    """One table of the file, with those that it is based on: `layers`, what comes first counts first, each with its
    place in the file. Every key that `take` was not asked for is an error at `finish`."""

    def __init__(self, file: File, layers: list[tuple[Path, Values]]) -> None:
        self.file = file
        self.layers = layers
        self.taken: set[str] = set()

    def where(self, key: str) -> Path:
        """The place of `key`."""
        for path, values in self.layers:
            if key in values:
                return (*path, key)
        return (*self.layers[0][0], key)

    def fail(self, key: str, what: str) -> NoReturn:
        """FileError about a key."""
        self.file.fail(self.where(key), what)

    def raw(self, key: str, default: Any = None) -> Any:
        """A value as it is."""
        self.taken.add(key)
        for _, values in self.layers:
            if key in values:
                return values[key]
        return default

    def text(self, key: str, default: str = "") -> str:
        """A text."""
        value = self.raw(key, default)
        if not isinstance(value, str):
            self.fail(key, f"{value!r} is no text: want it in quotes")
        return value

    def flag(self, key: str, default: bool) -> bool:
        """true or false."""
        value = self.raw(key, default)
        if not isinstance(value, bool):
            self.fail(key, f"{value!r}: want true or false")
        return value

    def number(self, key: str, default: int, low: int, high: int) -> int:
        """A whole number from `low` to `high`."""
        value = self.raw(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.fail(key, f"{value!r}: want a whole number from {low} to {high}")
        return value

    def texts(self, key: str) -> list[str]:
        """A text, a number, or a list of them, as texts."""
        value = self.raw(key, [])
        found = value if isinstance(value, list) else [value]
        for one in found:
            if isinstance(one, bool) or not isinstance(one, (str, int)):
                self.fail(key, f"{one!r}: want a text, or a list of texts")
        return [str(one) for one in found]

    def choice(self, key: str, choices: tuple[str, ...]) -> str:
        """One of `choices`, the first if it is not said."""
        value = self.text(key, choices[0])
        if value not in choices:
            self.fail(key, f"{value!r}: want {' or '.join(choices)}")
        return value

    def parsed(self, key: str, parse: Callable[[], Any]) -> Any:
        """What `parse` makes of a value; its errors are told as this key's."""
        try:
            return parse()
        except FileError:
            raise
        except (Error, ValueError) as error:
            self.fail(key, str(error))

    def table(self, key: str) -> list[tuple[Path, Values]]:
        """The tables of that name in all layers."""
        self.taken.add(key)
        found: list[tuple[Path, Values]] = []
        for path, values in self.layers:
            value = values.get(key)
            if value is None:
                continue
            if not isinstance(value, dict):
                self.file.fail((*path, key), f"{value!r}: want a table")
            found.append(((*path, key), value))
        return found

    def finish(self) -> None:
        """FileError if there are keys that nobody knows."""
        for path, values in self.layers:
            for key in values:
                if key not in self.taken:
                    known = ", ".join(sorted(self.taken))
                    self.file.fail((*path, key), f"nobody knows this key; there are {known}")
