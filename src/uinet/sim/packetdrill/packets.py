"""The grammar of packets: ``< S 0:0(0) win 1000 <mss 1460>``, ``> (ect0) P. 1:11(10) ack 1``, UDP and ICMP."""

from __future__ import annotations

import re
from dataclasses import replace

from uinet.sim.packetdrill.errors import Unsupported
from uinet.sim.packetdrill.option_specs import parse_options
from uinet.sim.packetdrill.script import IcmpSpec, IpInfo, OptionSpec, PacketSpec, TcpSpec, UdpSpec
from uinet.sim.packetdrill.tokens import Tokens
from uinet.units import MASK32

FLAGS = "FSRP.UEWA"  # A is the AE bit, the third of AccECN
_WORD_FLAGS = re.compile(r"[FSRPUEWA]+")
_SIGNS = re.compile(r"[FSRPUEWA]*\.?[FSRPUEWA]*")

ECN: dict[str, int | str] = {"noecn": 0, "ect1": 1, "ect0": 2, "ce": 3, "ect01": "ect01"}
DSCP = {
    "cs0": 0, "cs1": 8, "cs2": 16, "cs3": 24, "cs4": 32, "cs5": 40, "cs6": 48, "cs7": 56, "af11": 10, "af12": 12,
    "af13": 14, "af21": 18, "af22": 20, "af23": 22, "af31": 26, "af32": 28, "af33": 30, "af41": 34, "af42": 36,
    "af43": 38, "ef": 46, "voice-admit": 44, "le": 1,
}
TUNNELS = ("ipv4", "ipv6", "gre", "GREv0", "mpls")


def parse_packet(tokens: Tokens) -> PacketSpec:
    """A packet, from its ``<`` or ``>`` on. ScriptError; Unsupported for tunnels and protocols that are not here."""
    inbound = tokens.take().text == "<"
    token = tokens.peek()
    if token.text in TUNNELS and token.kind == "word":
        raise Unsupported(f"packets in a tunnel ({token.text})")
    if tokens.at("[") and tokens.peek(1).kind == "int":  # as old scripts have it: what an ICMP error is about, first
        return _icmp(tokens, inbound, IpInfo())
    ip = _ip_info(tokens)
    if tokens.at("sctp", "udplite") and tokens.peek().kind == "word":
        raise Unsupported(f"the protocol {tokens.peek().text}")
    if tokens.accept("icmp"):
        return _icmp(tokens, inbound, ip)
    if tokens.accept("udp"):
        ports = _ports(tokens)
        tokens.expect("(")
        length = tokens.integer("a payload's length", 0, 65535)
        tokens.expect(")")
        if tokens.accept("/"):
            raise Unsupported("UDP encapsulation")
        return UdpSpec(inbound, length, ip, ports)
    return _tcp(tokens, inbound, ip)


def _ip_info(tokens: Tokens) -> IpInfo:
    """``(ect0)``, ``[ce, ttl 5]``, ``(tos 0x10)``; nothing where there is none."""
    info = IpInfo()
    if not tokens.at("(", "["):
        return info
    closing = ")" if tokens.take().text == "(" else "]"
    while True:
        name = tokens.take()
        if name.text in ECN:
            info = replace(info, ecn=ECN[name.text])
        elif name.text in ("tos", "class"):
            info = replace(info, tos=tokens.integer("a type of service", 0, 255))
        elif name.text in ("ttl", "hlim"):
            info = replace(info, ttl=tokens.integer("a TTL", 0, 255))
        elif name.text == "flowlabel":
            info = replace(info, flow_label=tokens.integer("a flow label", 0, 0xFFFFF))
        elif name.text == "dscp":
            info = replace(info, dscp=_dscp(tokens))
        elif name.text == "ecn" and tokens.peek().text in ECN:
            info = replace(info, ecn=ECN[tokens.take().text])
        else:
            raise tokens.error(f"{name} is nothing that an IP header has", name)
        if tokens.accept(closing):
            return info
        tokens.expect(",")


def _dscp(tokens: Tokens) -> int:
    if tokens.peek().text in DSCP:
        return DSCP[tokens.take().text]
    return tokens.integer("a DSCP", 0, 63)


def _ports(tokens: Tokens) -> tuple[int, int] | None:
    if tokens.peek().kind == "int" and tokens.peek(1).text == ">":
        source = tokens.integer("a port", 0, 65535)
        tokens.expect(">")
        return source, tokens.integer("a port", 0, 65535)
    return None


def _tcp(tokens: Tokens, inbound: bool, ip: IpInfo) -> TcpSpec:
    ports = _ports(tokens)
    if tokens.at("encap"):
        raise Unsupported("PSP encryption")
    flags, ace = _flags(tokens)
    seq, length, absolute, any_seq = _sequence(tokens)
    ack = tokens.integer("an ACK number") if tokens.accept("ack") else 0
    window = tokens.integer("a window", 0, 65535) if tokens.accept("win") else None
    urgent = tokens.integer("an urgent pointer", 0, 65535) if tokens.accept("urg") else 0
    options: tuple[OptionSpec, ...] | None = ()
    raw: bytes | None = None
    if tokens.at("<") and tokens.peek().kind == "punct":
        options, raw = parse_options(tokens)
        if options is None and inbound:
            raise tokens.error("<...> is only for packets that are sent")
    if tokens.at("[") and tokens.peek(1).text == "code":
        raise Unsupported("RST with a diagnostic payload")
    if tokens.accept("/"):
        raise Unsupported("UDP encapsulation of TCP")
    return TcpSpec(
        inbound, flags, seq, length, ack, window, urgent, options, raw, ip, ports, ace, absolute, any_seq
    )


def _flags(tokens: Tokens) -> tuple[str, int | None]:
    """The flags in letters, and the AccECN field (``.5``) if they are written with one."""
    token = tokens.take()
    if token.kind == "punct" and token.text == "-":
        return "", None
    letters = ""
    if token.kind == "word":
        letters = token.text
        if not _WORD_FLAGS.fullmatch(letters):
            raise tokens.error(f"{token} is no set of TCP flags", token)
        if tokens.peek().kind not in ("float",) and not tokens.at("."):
            return letters, None
        token = tokens.take()
    if token.kind == "float" and token.text.startswith("."):
        number = int(token.text[1:])
        if number > 7 or len(token.text) > 2:
            raise tokens.error(f"{token} is no ACK flag with an AccECN field", token)
        return letters + ".", number
    if token.kind != "punct" or token.text != ".":
        raise tokens.error(f"TCP flags are wanted, not {token}", token)
    letters += "."
    if tokens.peek().kind == "word" and tokens.peek().glued and _WORD_FLAGS.fullmatch(tokens.peek().text):
        letters += tokens.take().text
    if not _SIGNS.fullmatch(letters) or len(set(letters)) != len(letters):
        raise tokens.error(f"{letters!r} is no set of TCP flags", token)
    return letters, None


def _sequence(tokens: Tokens) -> tuple[int, int, bool, bool]:
    """``1:11(10)``: first number, length, whether it is absolute (``!``), whether any will do (``...(10)``)."""
    if tokens.accept_kind("ellipsis"):
        return 0, _length(tokens), False, True
    first = tokens.peek()
    seq = tokens.integer("a sequence number")
    tokens.expect(":")
    end = tokens.integer("a sequence number")
    length = _length(tokens)
    if (seq + length) & MASK32 != end & MASK32:
        raise tokens.error(f"{seq}:{end} are not {length} bytes", first)
    return seq, length, tokens.accept("!"), False


def _length(tokens: Tokens) -> int:
    tokens.expect("(")
    length = tokens.integer("a payload's length", 0, 65535)
    tokens.expect(")")
    return length


def _icmp(tokens: Tokens, inbound: bool, ip: IpInfo) -> IcmpSpec:
    about = None
    if tokens.accept("["):
        about = _about(tokens)
        tokens.expect("]")
        tokens.expect("icmp")
    kind = tokens.take()
    if kind.kind not in ("word", "int"):
        raise tokens.error(f"a type of ICMP message is wanted, not {kind}", kind)
    code = None
    if tokens.peek().kind in ("word",) and not tokens.at("mtu", "id"):
        code = tokens.take().text
    mtu = tokens.integer("an MTU", 0) if tokens.accept("mtu") else 0
    echo_id = tokens.integer("an identifier", 0, 65535) if tokens.accept("id") else 0
    if about is None and tokens.accept("["):
        about = _about(tokens)
        tokens.expect("]")
    return IcmpSpec(inbound, kind.text, code, mtu, echo_id, about, ip)


def _about(tokens: Tokens) -> tuple[str, int, int]:
    """The packet that an ICMP error quotes."""
    for protocol in ("udp", "raw"):
        if tokens.accept(protocol):
            return protocol, 0, _length(tokens)
    if tokens.at("sctp", "udplite"):
        raise Unsupported(f"the protocol {tokens.peek().text}")
    seq, length, _, _ = _sequence(tokens)
    if tokens.accept("/"):
        raise Unsupported("UDP encapsulation of TCP")
    return "tcp", seq, length
