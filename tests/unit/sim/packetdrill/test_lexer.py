"""Tokens of scripts."""

from __future__ import annotations

import pytest

from uinet.sim.packetdrill.errors import ScriptError
from uinet.sim.packetdrill.lexer import Lexer, Token


def tokens(text: str, **defines: str) -> list[Token]:
    lexer = Lexer(text, defines)
    found = []
    while (token := lexer.next()).kind != "end":
        found.append(token)
    return found


def kinds(text: str, **defines: str) -> list[tuple[str, str]]:
    return [(token.kind, token.text) for token in tokens(text, **defines)]


@pytest.mark.parametrize(("text", "expected"), [
    ("0", [("int", "0")]),
    ("-1", [("int", "-1")]),
    ("0x1F", [("hex", "0x1F")]),
    (".5", [("float", ".5")]),
    ("+.1~+.2", [("punct", "+"), ("float", ".1"), ("punct", "~"), ("punct", "+"), ("float", ".2")]),
    ("0...0.2", [("int", "0"), ("ellipsis", "..."), ("float", "0.2")]),
    ("1:1001(1000)", [("int", "1"), ("punct", ":"), ("int", "1001"), ("punct", "("), ("int", "1000"), ("punct", ")")]),
    ("1.2.3.4", [("ipv4", "1.2.3.4")]),
    ("2001:db8::1", [("ipv6", "2001:db8::1")]),
    ("::ffff:1.2.3.4", [("ipv6", "::ffff:1.2.3.4")]),
    ("0123abcd", [("word", "0123abcd")]),
    ("01234567", [("int", "01234567")]),
    ("exp-AccECN0", [("word", "exp-AccECN0")]),
    ('"a\\"b"', [("string", 'a\\"b')]),
    ("`echo a\nb`", [("command", "echo a\nb")]),
    ("%{ assert a == {} }%", [("code", " assert a == {} ")]),
    ("--mtu=1500 --strict_segments", [("option", "--mtu=1500"), ("option", "--strict_segments")]),
    ('--define=CC="reno cubic" 1', [("option", '--define=CC="reno cubic"'), ("int", "1")]),
])
def test_tokens_of(text: str, expected: list[tuple[str, str]]) -> None:
    assert kinds(text) == expected


def test_comments_are_spaces_and_lines_are_counted() -> None:
    found = tokens("a // b\n/* c\nd **/ e\n'f")
    assert [(token.text, token.line) for token in found] == [("a", 1), ("e", 3), ("'", 4), ("f", 4)]


def test_defined_words_are_replaced() -> None:
    found = kinds("A B C D E", A="1", B="0x10", C='"text"', D="`run`", E="word")
    assert found == [("int", "1"), ("hex", "0x10"), ("string", "text"), ("command", "run"), ("word", "word")]


def test_ifdef_takes_or_skips_its_branch() -> None:
    text = "a\n#ifdef X\nb\n#endif\nc"
    assert kinds(text) == [("word", "a"), ("word", "c")]
    assert kinds(text, X="1") == [("word", "a"), ("word", "b"), ("word", "c")]
    assert tokens(text)[-1].line == 5


@pytest.mark.parametrize(("text", "line"), [
    ("#ifdef X\na", 1), ("a\n#endif", 2), ("#ifdef 1\n#endif", 1), ("a\n#else", 2), ('\n"abc', 2), ("`abc", 1),
    ("#ifdef X\n#ifdef Y\n#endif\n#endif", 2),
])
def test_wrong_text_is_named_with_its_line(text: str, line: int) -> None:
    with pytest.raises(ScriptError) as caught:
        tokens(text, X="1")
    assert caught.value.line == line
