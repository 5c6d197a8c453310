"""Where in a TOML file a key is: tomllib does not tell, and an error without its line helps nobody."""

from __future__ import annotations

import re

Path = tuple[str | int, ...]

_HEADER = re.compile(r"\s*\[(\[?)\s*([^\[\]]+?)\s*\]")
_KEY = re.compile(r"""\s*((?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+)(?:\s*\.\s*(?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+))*)\s*=""")
_PART = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*(?:\.|$)""")


def parts(text: str) -> list[str]:
    """A dotted key's parts."""
    return [a or b or c for a, b, c in _PART.findall(text)]


def places(text: str) -> list[tuple[Path, int]]:
    """Every table and key that begins a line, with the line's number."""
    found: list[tuple[Path, int]] = []
    counts: dict[tuple[str, ...], int] = {}
    here: Path = ()
    for number, line in enumerate(text.splitlines(), 1):
        header = _HEADER.match(line)
        if header:
            names = tuple(parts(header[2]))
            if header[1]:
                counts[names] = counts.get(names, -1) + 1
                here = (*names, counts[names])
            elif names[:-1] and names[:1] in counts:
                here = (names[0], counts[names[:1]], *names[1:])
            else:
                here = names
            found.append((here, number))
            continue
        key = _KEY.match(line)
        if key:
            found.append(((*here, *parts(key[1])), number))
    return found


def line_of(text: str, path: Path) -> int:
    """The line of what `path` names: (table, key), a list's item by number; that of the nearest around it if it has
    none of its own; 1 if there is nothing."""
    best, line = 0, 1
    for candidate, number in places(text):
        common = 0
        for ours, theirs in zip(path, candidate, strict=False):
            if str(ours) != str(theirs):
                break
            common += 1
        if common > best and common == len(candidate):
            best, line = common, number
    return line
