"""Packets as lines of a script: what was wanted beside what came."""

from __future__ import annotations

from collections.abc import Iterable

from uinet.sim.packetdrill.option_specs import ACC_ECN_0, ACC_ECN_1, FAST_OPEN_MAGIC, KIND_EXPERIMENT
from uinet.sim.packetdrill.script import Event, IcmpSpec, IpInfo, OptionSpec, PacketSpec, TcpSpec, UdpSpec, When
from uinet.units import SECOND
from uinet.wire.tcp_options import (
    KIND_MD5,
    End,
    FastOpen,
    Malformed,
    Mss,
    Nop,
    Option,
    Sack,
    SackPermitted,
    Timestamps,
    Unknown,
    WindowScale,
)

ECN_NAMES = {0: "noecn", 1: "ect1", 2: "ect0", 3: "ce"}


def show_option(option: Option) -> str:
    """One TCP option as a script writes it."""
    if isinstance(option, Mss):
        return f"mss {option.value}"
    if isinstance(option, WindowScale):
        return f"wscale {option.shift}"
    if isinstance(option, SackPermitted):
        return "sackOK"
    if isinstance(option, Timestamps):
        return f"TS val {option.value} ecr {option.echo}"
    if isinstance(option, Sack):
        return "sack " + " ".join(f"{left}:{right}" for left, right in option.blocks)
    if isinstance(option, FastOpen):
        return f"FO {option.cookie.hex()}".rstrip()
    if isinstance(option, Nop):
        return "nop"
    if isinstance(option, End):
        return ",".join(["eol"] * (1 + len(option.padding)))
    if isinstance(option, Malformed):
        return f"malformed {option.rest.hex()}"
    return _show_unknown(option)


def _show_unknown(option: Unknown) -> str:
    if option.kind == 0:
        return "eol"
    if option.kind == KIND_MD5:
        return f"md5 {option.data.hex()}"
    if option.kind in (ACC_ECN_0, ACC_ECN_1):
        return f"AccECN{int(option.kind == ACC_ECN_1)} {option.data.hex()}".rstrip()
    if option.kind == KIND_EXPERIMENT and option.data[:2] == FAST_OPEN_MAGIC.to_bytes(2, "big"):
        return f"FOEXP {option.data[2:].hex()}".rstrip()
    return f"gen-{option.kind} {option.data.hex()}".rstrip()


def show_options(options: Iterable[Option]) -> str:
    """Options between angle brackets; "" if there are none."""
    text = ",".join(show_option(option) for option in options)
    return f"<{text}>" if text else ""


def _show_specs(options: tuple[OptionSpec, ...] | None) -> str:
    if options is None:
        return "<...>"
    return show_options(spec.option for spec in options)


def show_tcp(
    sign: str, ip: str, flags: str, seq: str, length: int, ack: int | None, window: int | None, urgent: int,
    options: str,
) -> str:
    """The line of a TCP segment. `seq`: the first number, in decimal."""
    parts = [sign, ip, flags, f"{seq}:{(int(seq) + length) & 0xFFFFFFFF}({length})"]
    if ack is not None:
        parts.append(f"ack {ack}")
    if window is not None:
        parts.append(f"win {window}")
    if urgent:
        parts.append(f"urg {urgent}")
    parts.append(options)
    return " ".join(part for part in parts if part)


def show_ip(ip: IpInfo) -> str:
    """What a script says of the IP header."""
    parts = []
    if ip.ecn is not None:
        parts.append(ECN_NAMES[ip.ecn] if isinstance(ip.ecn, int) else ip.ecn)
    if ip.tos is not None:
        parts.append(f"tos {ip.tos:#x}")
    if ip.dscp is not None:
        parts.append(f"dscp {ip.dscp:#x}")
    if ip.ttl is not None:
        parts.append(f"ttl {ip.ttl}")
    return f"[{','.join(parts)}]" if parts else ""


def show_spec(spec: PacketSpec) -> str:
    """A packet as its script has it."""
    sign = "<" if spec.inbound else ">"
    if isinstance(spec, UdpSpec):
        return f"{sign} udp ({spec.length})"
    if isinstance(spec, IcmpSpec):
        about = f" [{spec.about[1]}:{spec.about[1] + spec.about[2]}({spec.about[2]})]" if spec.about else ""
        mtu = f" mtu {spec.mtu}" if spec.mtu else ""
        return f"{sign} icmp {spec.kind} {spec.code or ''}{mtu}{about}"
    assert isinstance(spec, TcpSpec)
    flags = spec.flags or "-"
    if spec.ace is not None:
        flags += str(spec.ace)
    options = f"<{spec.raw_options.hex()}>" if spec.raw_options is not None else _show_specs(spec.options)
    ack = spec.ack if "." in spec.flags else None
    return show_tcp(sign, show_ip(spec.ip), flags, str(spec.seq), spec.length, ack, spec.window, spec.urgent, options)


def seconds(time: int) -> str:
    """A time of a script, ns, in seconds."""
    return f"{time / SECOND:.6f}"


def show_when(when: When) -> str:
    """A time as its script has it."""
    if when.anytime:
        return "*"
    sign = "+" if when.relative else ""
    text = f"{sign}{when.start / SECOND:g}"
    return text if when.end is None else f"{text}~{sign}{when.end / SECOND:g}"


def show_event(event: Event) -> str:
    """An event as its script has it, on one line."""
    action = event.action
    when = show_when(event.when)
    if isinstance(action, (TcpSpec, UdpSpec, IcmpSpec)):
        return f"{when} {show_spec(action)}"
    if hasattr(action, "text"):
        text = " ".join(action.text.split())
        return f"{when} {text[:100]}"
    return f"{when} {action}"
