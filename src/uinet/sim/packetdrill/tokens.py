"""Tokens with one of lookahead, and the ways in which a parser asks for them."""

from __future__ import annotations

from collections.abc import Mapping

from uinet.sim.packetdrill.errors import ScriptError
from uinet.sim.packetdrill.lexer import Lexer, Token


class Tokens:
    """The tokens of a script. `defines`: symbols that are replaced; it may grow while tokens are taken."""

    def __init__(self, text: str, defines: Mapping[str, str]) -> None:
        self._lexer = Lexer(text, defines)
        self._next: list[Token] = []

    def peek(self, ahead: int = 0) -> Token:
        """The token that comes `ahead` tokens after the next one."""
        while len(self._next) <= ahead:
            self._next.append(self._lexer.next())
        return self._next[ahead]

    def take(self) -> Token:
        """The next token."""
        return self._next.pop(0) if self._next else self._lexer.next()

    def at(self, *what: str) -> bool:
        """Whether the next token is of this kind, or is this word or sign."""
        token = self.peek()
        return token.kind in what or (token.kind in ("word", "punct") and token.text in what)

    def accept(self, text: str) -> bool:
        """Takes the next token if it is this word or sign; whether it was."""
        token = self.peek()
        if token.kind in ("word", "punct") and token.text == text:
            self.take()
            return True
        return False

    def accept_kind(self, kind: str) -> bool:
        """Takes the next token if it is of this kind; whether it was."""
        if self.peek().kind == kind:
            self.take()
            return True
        return False

    def expect(self, text: str) -> Token:
        """Takes this word or sign; ScriptError."""
        token = self.take()
        if token.text != text or token.kind not in ("word", "punct"):
            raise self.error(f"{text!r} is wanted, not {token}", token)
        return token

    def integer(self, what: str, low: int = 0, high: int = 0xFFFFFFFF) -> int:
        """Takes an integer within bounds; ScriptError that names it as `what`."""
        token = self.take()
        if token.kind not in ("int", "hex"):
            raise self.error(f"{what} is wanted, not {token}", token)
        if not low <= token.number <= high:
            raise self.error(f"{what} {token.text} is not from {low} to {high}", token)
        return token.number

    def error(self, message: str, token: Token | None = None) -> ScriptError:
        """What to raise about `token` (the next one)."""
        return ScriptError(message, (token or self.peek()).line)
