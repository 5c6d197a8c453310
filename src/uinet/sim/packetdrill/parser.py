"""From tokens to a script. Recursive descent; the grammar is packetdrill's, with the FreeBSD dialect's additions.

`packets` has the grammar of packets, `expressions` that of system calls.
"""

from __future__ import annotations

from collections.abc import Mapping

from uinet.sim.packetdrill.errors import ScriptError
from uinet.sim.packetdrill.expressions import parse_call
from uinet.sim.packetdrill.packets import parse_packet
from uinet.sim.packetdrill.script import Action, Call, Code, Command, Event, IcmpSpec, Script, TcpSpec, UdpSpec, When
from uinet.sim.packetdrill.tokens import Tokens
from uinet.units import SECOND

MAX_SCRIPT = 4 << 20  # characters


def parse(text: str, defines: Mapping[str, str] | None = None) -> Script:
    """The script in `text`. `defines`: symbols, and what stands for each (quotes included). ScriptError, with its line;
    Unsupported for what no machine here could do (tunnels, SCTP)."""
    if len(text) > MAX_SCRIPT:
        raise ScriptError(f"the script is longer than {MAX_SCRIPT} characters")
    symbols = dict(defines or {})
    tokens = Tokens(text, symbols)
    script = Script()
    _options(tokens, script, symbols)
    while tokens.peek().kind == "command":
        token = tokens.take()
        script.init.append((token.line, Command(token.text)))
    while tokens.peek().kind not in ("end", "command"):
        script.events.append(_event(tokens, script))
    while tokens.peek().kind == "command":
        token = tokens.take()
        script.cleanup.append((token.line, Command(token.text)))
    if tokens.peek().kind != "end":
        raise tokens.error("a command without a time comes first or last in a script")
    if not script.events:
        raise ScriptError("there is no event in this script")
    return script


def _options(tokens: Tokens, script: Script, symbols: dict[str, str]) -> None:
    """Options are read one at a time: a symbol that one defines counts from the next token on."""
    while tokens.at("option"):
        token = tokens.take()
        name, _, value = token.text[2:].partition("=")
        if name in ("define", "D"):
            symbol, equals, replacement = value.partition("=")
            symbols[symbol] = replacement if equals else "1"
        else:
            if value[:1] == '"':
                value = value[1:-1]
            script.options.append((name, value, token.line))


def _event(tokens: Tokens, script: Script) -> Event:
    line = tokens.peek().line
    when = _when(tokens)
    action = _action(tokens)
    outbound = isinstance(action, (TcpSpec, UdpSpec, IcmpSpec)) and not action.inbound
    if (when.anytime or when.end is not None) and not outbound:
        raise ScriptError("only a packet that is sent may be at any time, or within a range", line)
    if when.end is not None and when.end < when.start:
        raise ScriptError("the range of times is backwards", line)
    return Event(line, when, action)


def _when(tokens: Tokens) -> When:
    if tokens.accept("*"):
        return When(0, anytime=True)
    relative = tokens.accept("+")
    start = time_of(tokens)
    if not tokens.accept("~"):
        return When(start, relative=relative)
    if relative != tokens.accept("+"):
        raise tokens.error("a range is either +from~+to or from~to")
    return When(start, time_of(tokens), relative)


def time_of(tokens: Tokens) -> int:
    """A time in seconds, as ns."""
    token = tokens.take()
    if token.kind not in ("int", "float"):
        raise tokens.error(f"a time is wanted, not {token}", token)
    if token.text.startswith("-"):
        raise tokens.error("a time is not negative", token)
    whole, _, fraction = token.text.partition(".")
    return int(whole or "0") * SECOND + int((fraction + "0" * 9)[:9])


def _action(tokens: Tokens) -> Action:
    token = tokens.peek()
    if token.kind == "command":
        return Command(tokens.take().text)
    if token.kind == "code":
        return Code(tokens.take().text.strip(" \t"))
    if token.text in ("<", ">") and token.kind == "punct":
        return parse_packet(tokens)
    end = time_of(tokens) if tokens.accept_kind("ellipsis") else None
    if tokens.peek().kind != "word":
        raise tokens.error(f"a packet, a system call, a command or code is wanted, not {tokens.peek()}")
    name, arguments, result, error = parse_call(tokens)
    return Call(name, arguments, result, error, end)
