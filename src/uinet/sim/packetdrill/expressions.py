"""The grammar of system calls: ``name(arguments) = result ERRNO (note)``."""

from __future__ import annotations

import re

from uinet.sim.packetdrill.script import Anything, Apply, Either, Expression, Fields, Items, Name, Number, Text
from uinet.sim.packetdrill.tokens import Tokens

MAX_DEPTH = 16  # of braces in braces

_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{1,2}|[0-7]{1,3}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v", "a": "\a", "b": "\b"}


def parse_call(tokens: Tokens) -> tuple[str, tuple[Expression, ...], Expression, str | None]:
    """A call: its name, arguments, result and the errno's name. ScriptError."""
    name = tokens.take().text
    tokens.expect("(")
    arguments = _list(tokens, ")", 0)
    tokens.expect("=")
    result = expression(tokens)
    error: str | None = None
    if tokens.peek().kind == "word":
        error = tokens.take().text
    while tokens.at("("):
        _note(tokens)
    return name, arguments, result, error


def _note(tokens: Tokens) -> None:
    """Skips a remark in parentheses."""
    opening = tokens.take()
    while not tokens.accept(")"):
        if tokens.take().kind == "end":
            raise tokens.error("the parenthesis is never closed", opening)


def expression(tokens: Tokens, depth: int = 0) -> Expression:
    """One expression, with ``|`` between constants."""
    first = _single(tokens, depth)
    if not tokens.at("|"):
        return first
    parts = [first]
    while tokens.accept("|"):
        parts.append(_single(tokens, depth))
    return Either(tuple(parts))


def _single(tokens: Tokens, depth: int) -> Expression:
    token = tokens.take()
    if depth > MAX_DEPTH:
        raise tokens.error("braces are nested too deep", token)
    if token.kind == "ellipsis":
        return Anything()
    if token.kind in ("int", "hex"):
        return Number(token.number)
    if token.kind == "string":
        text = _unescape(token.text)
        while tokens.peek().kind == "string":
            text += _unescape(tokens.take().text)
        return Text(text, tokens.accept_kind("ellipsis"))
    if token.kind == "word":
        if tokens.accept("("):
            return Apply(token.text, _list(tokens, ")", depth + 1))
        return Name(token.text)
    if token.text == "[":
        return Items(_list(tokens, "]", depth + 1))
    if token.text == "{":
        return _struct(tokens, depth + 1)
    raise tokens.error(f"a value is wanted, not {token}", token)


def _list(tokens: Tokens, closing: str, depth: int) -> tuple[Expression, ...]:
    """What is between parentheses or brackets, whose opening one has been taken."""
    items: list[Expression] = []
    if tokens.accept(closing):
        return ()
    while True:
        items.append(expression(tokens, depth))
        if tokens.accept(closing):
            return tuple(items)
        tokens.expect(",")


def _struct(tokens: Tokens, depth: int) -> Expression:
    """``{name=value, name(n)=value, ...}`` or ``{value, ...}``; the brace has been taken."""
    fields: dict[str, Expression] = {}
    items: list[Expression] = []
    while not tokens.accept("}"):
        if fields or items:
            tokens.expect(",")
        if tokens.peek().kind == "word" and tokens.peek(1).text in ("=", "("):
            name = tokens.peek().text
            before = _single(tokens, depth)  # a name, or one with a count behind it
            if tokens.accept("="):
                fields[name] = expression(tokens, depth)
            else:
                items.append(before)
        else:
            items.append(expression(tokens, depth))
    if fields and items:
        raise tokens.error("either all or none of a struct's fields are named")
    return Fields(fields) if fields else Items(tuple(items))


def _unescape(text: str) -> str:
    def replace(found: re.Match[str]) -> str:
        what = found.group(1)
        if what[0] == "x" and len(what) > 1:
            return chr(int(what[1:], 16))
        if what[0] in "01234567":
            return chr(int(what, 8) & 0xFF)
        return _ESCAPES.get(what, what)

    return _ESCAPE.sub(replace, text)
