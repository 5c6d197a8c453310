"""From the text of a script to its tokens.

The rules are those of packetdrill's own scanner: the longest match counts, newlines are spaces, comments are C's. The
`#ifdef NAME` ... `#endif` of the FreeBSD dialect is decided here; a symbol that a script has defined is replaced here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from uinet.sim.packetdrill.errors import ScriptError

_SEGMENT = r"[0-9a-fA-F]{1,4}"
_IPV4 = r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+"
_IPV6 = (
    rf"(?:(?:{_SEGMENT}:){{7}}{_SEGMENT}"
    rf"|(?:{_SEGMENT}(?::{_SEGMENT})*)?::(?:[fF]{{4}}:(?:0{{1,4}}:)?{_IPV4}|{_SEGMENT}(?::{_SEGMENT})*)?"
    rf"|(?:{_SEGMENT}:){{1,4}}:{_IPV4})"
)

# (kind, pattern); among matches of the same length the first counts
_RULES = [
    (kind, re.compile(pattern, re.DOTALL))
    for kind, pattern in (
        ("space", r"[ \t\r\n]+"),
        ("space", r"//[^\n]*"),
        ("space", r"/\*.*?\*/"),
        ("code", r"%\{.*?\}%"),
        ("ellipsis", r"\.\.\."),
        ("option", r"--[a-zA-Z0-9_]+(?:=(?:[a-zA-Z0-9_]+=)?(?:\"[^\"]*\"|`[^`]*`|[^\s\"`]*))?"),
        ("float", r"-?[0-9]*\.[0-9]+"),
        ("int", r"-?[0-9]+"),
        ("hex", r"0x[0-9a-fA-F]+"),
        ("ipv4", _IPV4),
        ("ipv6", _IPV6),
        ("word", r"[a-zA-Z0-9_]+"),
        ("word", r"(?:exp|gen|EXP)-[a-zA-Z0-9]+|voice-admit|sequence#"),
        ("string", r'"(?:\\.|[^"\\])*"'),
        ("command", r"`(?:\\.|[^`\\])*`"),
        ("directive", r"#[a-zA-Z]+"),
        ("punct", r"."),
    )
]
_NAME = re.compile(r"[ \t\n]*([a-zA-Z][a-zA-Z0-9_]*)")
_ENDIF = re.compile(r"#endif")


class Token(NamedTuple):
    """One token. `text`: as written, without quotes where there are any. `glued`: nothing is before it on its line
    but the token before."""

    kind: str
    text: str
    line: int
    glued: bool = False

    @property
    def number(self) -> int:
        """The value of an integer."""
        return int(self.text, 16 if self.kind == "hex" else 10)

    def __str__(self) -> str:
        return "the end of the script" if self.kind == "end" else repr(self.text)


class Lexer:
    """Gives the tokens of `text` one by one. `defines`: symbols and what stands for each; it may grow while a script
    is read, as its options are the first thing in it."""

    def __init__(self, text: str, defines: Mapping[str, str]) -> None:
        self.text = text
        self.defines = defines
        self.at = 0
        self.line = 1
        self.condition = 0  # line of the #ifdef that we are in

    def next(self) -> Token:
        """The next token; one of kind "end" behind the last. ScriptError."""
        glued = True
        while self.at < len(self.text):
            kind, text = self._longest()
            line = self.line
            self.at += len(text)
            self.line += text.count("\n")
            if kind == "space":
                glued = False
            elif kind == "directive":
                self._directive(text, line)
                glued = False
            else:
                return self._token(kind, text, line, glued)
        if self.condition:
            raise ScriptError("#ifdef without #endif", self.condition)
        return Token("end", "", self.line)

    def _longest(self) -> tuple[str, str]:
        best_kind, best = "", ""
        for kind, pattern in _RULES:
            found = pattern.match(self.text, self.at)
            if found is not None and len(found.group()) > len(best):
                best_kind, best = kind, found.group()
        return best_kind, best

    def _token(self, kind: str, text: str, line: int, glued: bool) -> Token:
        if kind == "word" and text in self.defines:
            return _replaced(self.defines[text], line)
        if kind == "punct" and text in "\"`":
            raise ScriptError(f"{text} is never closed", line)
        if kind in ("string", "command"):
            text = text[1:-1]
        elif kind == "code":
            text = text[2:-2]
        return Token(kind, text, line, glued)

    def _directive(self, text: str, line: int) -> None:
        if text == "#ifdef":
            found = _NAME.match(self.text, self.at)
            if found is None:
                raise ScriptError("#ifdef wants a name", line)
            if self.condition:
                raise ScriptError(f"#ifdef inside the #ifdef of line {self.condition}", line)
            self._skip_to(found.end())
            self.condition = line
            if found.group(1) not in self.defines:
                self._skip_branch(line)
        elif text == "#endif":
            if not self.condition:
                raise ScriptError("#endif without #ifdef", line)
            self.condition = 0
        else:
            raise ScriptError(f"{text} is no directive", line)

    def _skip_branch(self, line: int) -> None:
        end = _ENDIF.search(self.text, self.at)
        if end is None:
            raise ScriptError("#ifdef without #endif", line)
        self._skip_to(end.end())
        self.condition = 0

    def _skip_to(self, at: int) -> None:
        self.line += self.text.count("\n", self.at, at)
        self.at = at


def _replaced(value: str, line: int) -> Token:
    """The token that stands for a defined symbol."""
    if value[:1] in ("'", '"'):
        return Token("string", value[1:-1], line)
    if value[:1] == "`":
        return Token("command", value[1:-1], line)
    if re.fullmatch(r"0x[0-9a-fA-F]+", value):
        return Token("hex", value, line)
    if re.fullmatch(r"-?[0-9]+", value):
        return Token("int", value, line)
    return Token("word", value, line)
