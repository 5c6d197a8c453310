"""Our packets: what was seen on the wire, and whether it is what a script wants."""

from __future__ import annotations

from dataclasses import dataclass

from uinet.sim.invariants import letters
from uinet.sim.packetdrill import icmp_names, signatures
from uinet.sim.packetdrill.config import Config, Rules
from uinet.sim.packetdrill.flow import Flow
from uinet.sim.packetdrill.script import IcmpSpec, IpInfo, OptionSpec, TcpSpec, UdpSpec
from uinet.sim.packetdrill.show import ECN_NAMES, show_option, show_options, show_tcp
from uinet.units import MASK32
from uinet.wire import ipv4
from uinet.wire.dissection import Dissected, dissect
from uinet.wire.icmp import IcmpMessage
from uinet.wire.icmpv6 import Icmpv6Message
from uinet.wire.ipv4 import Ipv4Header
from uinet.wire.tcp import TcpHeader
from uinet.wire.tcp_options import (
    End,
    FastOpen,
    Nop,
    Option,
    Sack,
    Timestamps,
    Unknown,
    WindowScale,
)
from uinet.wire.udp import UdpHeader


@dataclass(frozen=True)
class Sniffed:
    """A packet that was sent. `time`: ns since the script began. `packet`: its bytes, from the IP header on."""

    time: int
    frame: Dissected
    packet: bytes = b""

    @staticmethod
    def of(time: int, packet: bytes) -> Sniffed:
        """An IP packet."""
        return Sniffed(time, dissect(packet, 3), packet)

    @property
    def protocol(self) -> str:
        """"tcp", "udp", "icmp", or "" for all that is none of them."""
        for kind, name in ((TcpHeader, "tcp"), (UdpHeader, "udp"), (IcmpMessage, "icmp"), (Icmpv6Message, "icmp")):
            if kind in self.frame:
                return name
        return ""

    @property
    def source(self) -> tuple[bytes, int]:
        """Address and port that it is sent from; port 0 where there is none."""
        return self.frame.source, self._port("source_port")

    @property
    def destination(self) -> tuple[bytes, int]:
        """Address and port that it is sent to; port 0 where there is none."""
        return self.frame.destination, self._port("destination_port")

    def _port(self, name: str) -> int:
        for kind in (TcpHeader, UdpHeader):
            header = self.frame.get(kind)
            if header is not None:
                port: int = getattr(header, name)
                return port
        return 0

    @property
    def tos(self) -> int:
        """The type of service or traffic class."""
        header = self.frame.ip
        return header.tos if isinstance(header, Ipv4Header) else header.traffic_class

    @property
    def ttl(self) -> int:
        """The TTL or hop limit."""
        header = self.frame.ip
        return header.ttl if isinstance(header, Ipv4Header) else header.hop_limit


@dataclass
class Seen:
    """A TCP segment of ours, or several that together are one of the script, in the script's numbers."""

    time: int
    flags: str
    reserved: int
    seq: int
    ack: int
    window: int
    urgent: int
    options: tuple[Option, ...]
    payload: bytes
    last: Sniffed

    def __str__(self) -> str:
        ack = self.ack if "." in self.flags else None
        ecn = self.last.tos & 3
        return show_tcp(
            ">", f"[{ECN_NAMES[ecn]}]" if ecn else "", self.flags or "-", str(self.seq), len(self.payload), ack,
            self.window, self.urgent, show_options(self.options),
        )


def seen_tcp(pieces: list[Sniffed], flow: Flow) -> Seen:
    """The segments in `pieces`, each of which goes on where the one before ends, as one."""
    first, last = pieces[0].frame.tcp, pieces[-1]
    flags = letters(first.flags)
    syn = "S" in flags
    payload = b"".join(piece.frame.payload for piece in pieces)
    final = letters(last.frame.tcp.flags)
    flags = "".join(letter for letter in "FSRP.UEW" if letter in (final if letter in "FP" else flags + final))
    header = last.frame.tcp
    return Seen(
        last.time, flags, header.reserved, flow.seq_out(first.seq, syn),
        flow.ack_out(header.ack, syn) if "." in flags else header.ack, header.window, header.urgent_pointer,
        flow.options_out(header.options, syn), payload, last,
    )


def describe(packet: Sniffed, flow: Flow | None) -> str:
    """A packet as a line of a script."""
    if packet.protocol == "tcp":
        return str(seen_tcp([packet], flow if flow is not None else Flow("tcp", 0)))
    if packet.protocol == "udp":
        return f"> udp ({len(packet.frame.payload)})"
    message = packet.frame.get(IcmpMessage) or packet.frame.get(Icmpv6Message)
    return f"> icmp {message.type} {message.code}" if message is not None else "> (no TCP, UDP or ICMP)"


# comparing


def check_tcp(spec: TcpSpec, seen: Seen, flow: Flow, config: Config) -> list[str]:
    """What is not as `spec` wants it, a line each; the time is not looked at."""
    wrong = _check_flags(spec, seen, config.rules)
    if not spec.any_seq:
        wanted = spec.seq if not spec.absolute else flow.seq_out(spec.seq, "S" in spec.flags)
        if seen.seq != wanted:
            wrong.append(f"sequence number is {seen.seq}, not {wanted}")
    if len(seen.payload) != spec.length:
        wrong.append(f"length is {len(seen.payload)}, not {spec.length}")
    if "." in spec.flags and "." in seen.flags and seen.ack != spec.ack:
        wrong.append(f"ACK number is {seen.ack}, not {spec.ack}")
    wrong += _check_window(spec, seen, config.rules)
    if seen.urgent != spec.urgent:
        wrong.append(f"urgent pointer is {seen.urgent}, not {spec.urgent}")
    wrong += check_ip(spec.ip, seen.last)
    if spec.options is not None:
        wrong += check_options(spec.options, seen.options, flow, config)
        if any(option.signed for option in spec.options):
            wrong += _check_signature(seen.last, config)
    wrong += _check_payload(seen, flow, config.rules)
    return wrong


def _check_flags(spec: TcpSpec, seen: Seen, rules: Rules) -> list[str]:
    wanted, found = set(spec.flags), set(seen.flags)
    if spec.ace is not None:
        ace = (4 if seen.reserved & 1 else 0) | (2 if "W" in found else 0) | (1 if "E" in found else 0)
        if ace != spec.ace:
            return [f"the AccECN field is {ace}, not {spec.ace}"]
        found -= {"E", "W"}
    elif seen.reserved & 1:
        found.add("A")
    if not rules.push:
        wanted -= {"P"}
        found -= {"P"}
    wrong = [] if wanted == found else [f"flags are {seen.flags or 'none'}, not {spec.flags or 'none'}"]
    if seen.reserved & ~1:
        wrong.append(f"reserved bits are {seen.reserved}")
    return wrong


def _check_window(spec: TcpSpec, seen: Seen, rules: Rules) -> list[str]:
    if spec.window is None or "R" in spec.flags:
        return []
    if rules.window:
        return [] if seen.window == spec.window else [f"window is {seen.window}, not {spec.window}"]
    if (seen.window == 0) != (spec.window == 0):
        return [f"window is {seen.window}, not {spec.window}: only one of them is closed"]
    return []


def _check_payload(seen: Seen, flow: Flow, rules: Rules) -> list[str]:
    if not seen.payload:
        return []
    syn = "S" in seen.flags
    wanted = flow.expected_payload(seen.seq, len(seen.payload), syn)
    if wanted is None:
        return ["there are bytes in it that nobody has written"]
    last = rules.last_push and not syn and flow.is_last(seen.seq + len(seen.payload))
    if wanted == seen.payload and last and "P" not in seen.flags:
        return ["PSH is missing on the last bytes that were written (RFC 9293 3.9.1, MUST-61)"]
    if wanted != seen.payload:
        at = next(index for index, pair in enumerate(zip(wanted, seen.payload, strict=True)) if pair[0] != pair[1])
        return [f"byte {at} of the payload is {seen.payload[at]:#04x}, {wanted[at]:#04x} was written"]
    return []


def check_ip(ip: IpInfo, packet: Sniffed) -> list[str]:
    """What of the IP header is not as a script wants it."""
    wrong = []
    ecn = packet.tos & 3
    if ip.ecn == "ect01":
        if ecn not in (1, 2):
            wrong.append(f"ECN is {ECN_NAMES[ecn]}, not ect0 or ect1")
    elif ip.ecn is not None and ecn != ip.ecn:
        wrong.append(f"ECN is {ECN_NAMES[ecn]}, not {ECN_NAMES[int(ip.ecn)]}")
    if ip.tos is not None and packet.tos != ip.tos:
        wrong.append(f"type of service is {packet.tos:#x}, not {ip.tos:#x}")
    if ip.dscp is not None and packet.tos >> 2 != ip.dscp:
        wrong.append(f"DSCP is {packet.tos >> 2:#x}, not {ip.dscp:#x}")
    if ip.ttl is not None and packet.ttl != ip.ttl:
        wrong.append(f"TTL is {packet.ttl}, not {ip.ttl}")
    return wrong


# options


def check_options(
    wanted: tuple[OptionSpec, ...], found: tuple[Option, ...], flow: Flow, config: Config
) -> list[str]:
    """What of the options is not as a script wants it. Unless order counts, they are compared as a
    set; padding counts where that is asked for."""
    flat = [option for option in flatten(found) if config.rules.padding or not _padding(option)]
    specs = [spec for spec in wanted if config.rules.padding or not _padding(spec.option)]
    if not config.rules.order:
        specs.sort(key=lambda spec: kind_of(spec.option))
        flat.sort(key=kind_of)
    if [kind_of(spec.option) for spec in specs] != [kind_of(option) for option in flat]:
        return [f"options are {show_options(found) or 'none'}, not {show_options(s.option for s in wanted) or 'none'}"]
    wrong: list[str] = []
    for spec, option in zip(specs, flat, strict=True):
        wrong += _check_option(spec, option, flow, config)
    return wrong


def flatten(options: tuple[Option, ...]) -> list[Option]:
    """Options with the end of the list as single octets, as scripts have it."""
    flat: list[Option] = []
    for option in options:
        if isinstance(option, End):
            flat += [Unknown(0)] * (1 + len(option.padding))
        else:
            flat.append(option)
    return flat


def _padding(option: Option) -> bool:
    return isinstance(option, (Nop, End)) or (isinstance(option, Unknown) and option.kind == 0)


def kind_of(option: Option) -> tuple[int, int]:
    """The kind, and the identifier of an experiment (RFC 6994)."""
    if isinstance(option, Unknown):
        return option.kind, int.from_bytes(option.data[:2], "big") if option.kind in (253, 254) else 0
    kinds = {"Nop": 1, "Mss": 2, "WindowScale": 3, "SackPermitted": 4, "Sack": 5, "Timestamps": 8, "FastOpen": 34}
    return kinds.get(type(option).__name__, 255), 0


def _check_option(spec: OptionSpec, found: Option, flow: Flow, config: Config) -> list[str]:
    wanted = spec.option
    if isinstance(wanted, Timestamps) and isinstance(found, Timestamps):
        return _check_timestamps(spec, wanted, found, config)
    if isinstance(wanted, WindowScale) and not config.rules.scale:
        return []
    if spec.signed and isinstance(found, Unknown):
        return [] if len(found.data) == 16 else ["the MD5 option is torn"]  # the digest: _check_signature
    if isinstance(wanted, FastOpen) and isinstance(found, FastOpen) and bool(wanted.cookie) == bool(found.cookie):
        if not wanted.cookie or flow.cookies.get(wanted.cookie, wanted.cookie) == found.cookie:
            return []
    if wanted == found:
        return []
    if isinstance(wanted, Sack) and isinstance(found, Sack) and set(wanted.blocks) == set(found.blocks):
        return [f"SACK blocks are in the order {show_option(found)}, not {show_option(wanted)}"]
    return [f"option is {show_option(found)}, not {show_option(wanted)}"]


def _check_signature(packet: Sniffed, config: Config) -> list[str]:
    """`md5 valid`: the digest of the segment is that of the script's secret."""
    if config.md5_secret is None:
        return []  # there is nothing to hold it against
    segment = packet.packet[40 if len(packet.source[0]) == 16 else ipv4.header_length(packet.packet) :]
    if signatures.is_valid(config.md5_secret, packet.source[0], packet.destination[0], segment):
        return []
    return ["the MD5 signature is not valid"]


def _check_timestamps(spec: OptionSpec, wanted: Timestamps, found: Timestamps, config: Config) -> list[str]:
    wrong = []
    if config.tick and not spec.any_value:
        late = (found.value - wanted.value) & MASK32
        late = min(late, MASK32 + 1 - late) * config.tick
        if late > config.tolerance:
            wrong.append(f"TS val is {found.value}, not {wanted.value}")
    if found.echo != wanted.echo:
        wrong.append(f"TS ecr is {found.echo}, not {wanted.echo}")
    return wrong


# other protocols


def check_udp(spec: UdpSpec, packet: Sniffed, flow: Flow) -> list[str]:
    """What of a datagram is not as a script wants it."""
    payload = packet.frame.payload
    wrong = check_ip(spec.ip, packet)
    if len(payload) != spec.length:
        wrong.append(f"length is {len(payload)}, not {spec.length}")
    wanted = flow.datagrams.pop(0) if flow.datagrams else None
    if wanted != payload:
        wrong.append("the payload is not what was written")
    return wrong


def check_icmp(spec: IcmpSpec, packet: Sniffed, v6: bool) -> list[str]:
    """What of an ICMP message is not as a script wants it."""
    kind, code = icmp_names.numbers(spec.kind, spec.code, v6)
    message = packet.frame.get(IcmpMessage) or packet.frame.get(Icmpv6Message)
    if message is None:
        return ["it is no ICMP message"]
    wrong = check_ip(spec.ip, packet)
    if message.type != kind:
        wrong.append(f"type is {message.type}, not {kind}")
    if message.code != code:
        wrong.append(f"code is {message.code}, not {code}")
    return wrong
