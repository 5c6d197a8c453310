"""The grammar of TCP options: ``<mss 1460,nop,nop,sackOK,TS val 100 ecr 0,wscale 7>``."""

from __future__ import annotations

from uinet.sim.packetdrill.script import OptionSpec
from uinet.sim.packetdrill.tokens import Tokens
from uinet.wire.tcp_options import (
    KIND_MD5,
    FastOpen,
    Mss,
    Nop,
    Sack,
    SackPermitted,
    Timestamps,
    Unknown,
    WindowScale,
)

KIND_EXPERIMENT = 254
FAST_OPEN_MAGIC = 0xF989
ACC_ECN_0, ACC_ECN_1 = 172, 174
ACC_ECN_EXPERIMENT = {"0": 0xACC0, "1": 0xACC1}
EOL = Unknown(0)  # the end-of-list octet, one of them: `wire.tcp_options.End` would take the rest of the list along


def parse_options(tokens: Tokens) -> tuple[tuple[OptionSpec, ...] | None, bytes | None]:
    """Options between ``<`` and ``>``: (list, None); (None, None) for ``<...>``; ((), bytes) for ``<0204...>``."""
    tokens.expect("<")
    if tokens.peek().kind == "ellipsis":
        tokens.take()
        tokens.expect(">")
        return None, None
    if tokens.peek(1).text == ">" and tokens.peek().kind in ("int", "word") and _is_hex(tokens.peek().text):
        raw = bytes.fromhex(tokens.take().text)
        tokens.expect(">")
        return (), raw
    options = [_option(tokens)]
    while tokens.accept(","):
        options.append(_option(tokens))
    tokens.expect(">")
    return tuple(options), None


def _is_hex(text: str) -> bool:
    return len(text) >= 4 and len(text) % 2 == 0 and all(letter in "0123456789abcdefABCDEF" for letter in text)


def _option(tokens: Tokens) -> OptionSpec:
    token = tokens.take()
    name = token.text
    if name == "nop":
        return OptionSpec(Nop())
    if name == "eol":
        return OptionSpec(EOL)
    if name == "mss":
        return OptionSpec(Mss(tokens.integer("an MSS", 0, 65535)))
    if name == "wscale":
        return OptionSpec(WindowScale(tokens.integer("a window scale", 0, 255)))
    if name == "sackOK":
        return OptionSpec(SackPermitted())
    if name == "sack":
        return _sack(tokens)
    if name == "TS":
        return _timestamps(tokens)
    if name == "md5":
        if tokens.accept("valid"):
            return OptionSpec(Unknown(KIND_MD5, bytes(16)), signed=True)
        return OptionSpec(Unknown(KIND_MD5, _hex(tokens)))
    if name == "FO":
        return OptionSpec(_fast_open(_hex(tokens)))
    if name in ("FOEXP", "EXP-FO", "exp-FO"):
        return _experiment(FAST_OPEN_MAGIC, _hex(tokens))
    if name in ("ECN", "AccECN0", "AccECN1", "exp-AccECN0", "exp-AccECN1"):
        return _acc_ecn(tokens, name)
    if name == "exp-tarr":
        rate = bytes([tokens.integer("a rate", 0, 127) << 1]) if tokens.peek().kind == "int" else b""
        return _experiment(0x00AC, rate)
    if name.startswith("gen-") and name[4:].isdigit() and int(name[4:]) < 256:
        return OptionSpec(Unknown(int(name[4:]), _hex(tokens)))
    if name.startswith("exp-") and 0 < len(name) - 4 <= 4 and _is_word_hex(name[4:]):
        return _experiment(int(name[4:], 16), _hex(tokens))
    raise tokens.error(f"{token} is no TCP option", token)


def _is_word_hex(text: str) -> bool:
    return all(letter in "0123456789abcdefABCDEF" for letter in text)


def _hex(tokens: Tokens) -> bytes:
    """Bytes in hex; nothing where there is none."""
    token = tokens.peek()
    if token.kind not in ("int", "word"):
        return b""
    tokens.take()
    try:
        return bytes.fromhex(token.text)
    except ValueError:
        raise tokens.error(f"{token} is not an even number of hex digits", token) from None


def _fast_open(cookie: bytes) -> FastOpen | Unknown:
    if not cookie or (4 <= len(cookie) <= 16 and len(cookie) % 2 == 0):
        return FastOpen(cookie)
    return Unknown(34, cookie)


def _experiment(identifier: int, data: bytes) -> OptionSpec:
    return OptionSpec(Unknown(KIND_EXPERIMENT, identifier.to_bytes(2, "big") + data))


def _sack(tokens: Tokens) -> OptionSpec:
    blocks: list[tuple[int, int]] = []
    while tokens.peek().kind == "int":
        left = tokens.integer("a sequence number")
        tokens.expect(":")
        blocks.append((left, tokens.integer("a sequence number")))
    if not 1 <= len(blocks) <= 4:
        raise tokens.error(f"a SACK option has one to four blocks, not {len(blocks)}")
    return OptionSpec(Sack(tuple(blocks)))


def _timestamps(tokens: Tokens) -> OptionSpec:
    tokens.expect("val")
    any_value = tokens.accept_kind("ellipsis")
    value = 0 if any_value else tokens.integer("a timestamp")
    tokens.expect("ecr")
    echo = tokens.integer("a timestamp")
    return OptionSpec(Timestamps(value, echo), any_value, tokens.accept("!"))


def _acc_ecn(tokens: Tokens, name: str) -> OptionSpec:
    """``ECN e0b 1 ceb 2 e1b 3`` (Linux) or ``AccECN0 ee0b 1 eceb 2 ee1b 3`` (FreeBSD)."""
    counters: list[tuple[str, int]] = []
    while tokens.at("e0b", "e1b", "ceb", "ee0b", "ee1b", "eceb"):
        counter = tokens.take().text[-3:]
        counters.append((counter, tokens.integer("an AccECN counter", 0, 0xFFFFFF)))
    names = [counter for counter, _ in counters]
    first = "1" if name.endswith("1") or names[:1] == ["e1b"] else "0"
    order = ["e0b", "ceb", "e1b"] if first == "0" else ["e1b", "ceb", "e0b"]
    if names != order[: len(names)]:
        raise tokens.error(f"AccECN counters come in this order: {' '.join(order)}")
    data = b"".join(value.to_bytes(3, "big") for _, value in counters)
    if name.startswith("exp-"):
        return _experiment(ACC_ECN_EXPERIMENT[first], data)
    return OptionSpec(Unknown(ACC_ECN_0 if first == "0" else ACC_ECN_1, data))
