"""The peer's packets: from what a script says to bytes on the wire."""

from __future__ import annotations

from collections.abc import Callable

from uinet.errors import InvalidArgument
from uinet.sim.packetdrill import icmp_names
from uinet.sim.packetdrill.config import Config
from uinet.sim.packetdrill.errors import ScriptError
from uinet.sim.packetdrill.flow import Flow, pattern
from uinet.sim.packetdrill.script import IcmpSpec, IpInfo, OptionSpec, TcpSpec, UdpSpec
from uinet.wire import build, ipv4, tcp_options
from uinet.wire import tcp as tcp_wire
from uinet.wire.tcp_options import Option, Sack, Timestamps

AE = 0x100
Signer = Callable[[bytes, bytes, bytes], bytes]  # (source, destination, segment) -> the segment with its MD5 filled in


def flag_bits(spec: TcpSpec) -> int:
    """The flags of a segment; bit 8 is AE."""
    bits = AE if "A" in spec.flags else 0
    bits |= tcp_wire.parse_flags(spec.flags.replace("A", ""))
    if spec.ace is not None:
        bits |= (AE if spec.ace & 4 else 0) | (tcp_wire.CWR if spec.ace & 2 else 0) | (
            tcp_wire.ECE if spec.ace & 1 else 0
        )
    return bits


def tos_of(ip: IpInfo) -> int:
    """The type of service byte."""
    if ip.tos is not None:
        return ip.tos
    ecn = ip.ecn if isinstance(ip.ecn, int) else 0
    return (ip.dscp or 0) << 2 | ecn


def tcp_packets(spec: TcpSpec, flow: Flow, signer: Signer | None = None) -> list[bytes]:
    """The segment as an IP packet; larger than the link's MTU if the script has it so. ScriptError."""
    syn = "S" in spec.flags
    seq = spec.seq if spec.absolute else flow.seq_in(spec.seq, syn)
    ack = flow.ack_in(spec.ack, syn) if "." in spec.flags else spec.ack
    options = spec.raw_options if spec.raw_options is not None else emit_options(spec, flow, syn)
    options += bytes(-len(options) % 4)
    if len(options) > tcp_options.MAX_LENGTH:
        raise ScriptError(f"the options have {len(options)} bytes, more than {tcp_options.MAX_LENGTH}")
    payload = pattern(flow.payload_offset(spec.seq, syn), spec.length)
    flow.watch.from_peer(spec.flags, seq, ack, _window(spec), spec.length, tcp_options.parse(options))
    return [_segment(spec, flow, seq, ack, flag_bits(spec), options, payload, signer)]


def _window(spec: TcpSpec) -> int:
    return spec.window if spec.window is not None else 0


def _segment(
    spec: TcpSpec, flow: Flow, seq: int, ack: int, flags: int, options: bytes, payload: bytes, signer: Signer | None
) -> bytes:
    source, destination = flow.remote, flow.local
    ports = spec.ports if spec.ports is not None else (source[1], destination[1])
    header = tcp_wire.TcpHeader(
        ports[0] or source[1], ports[1] or destination[1], seq, ack, flags & 0xFF, _window(spec), spec.urgent,
        tcp_options.parse(options), reserved=1 if flags & AE else 0,
    )
    segment = tcp_wire.emit(header, payload, source[0], destination[0])
    if signer is not None and any(option.signed for option in spec.options or ()):
        segment = signer(source[0], destination[0], segment)
    return ip_packet(spec.ip, source[0], destination[0], ipv4.TCP, segment)


def ip_packet(info: IpInfo, source: bytes, destination: bytes, protocol: int, payload: bytes) -> bytes:
    """An IP packet with what a script says of its header."""
    return build.ip(
        source, destination, protocol, payload, ttl=info.ttl if info.ttl is not None else 255, tos=tos_of(info),
        flow_label=info.flow_label or 0,
    )


def emit_options(spec: TcpSpec, flow: Flow, syn: bool) -> bytes:
    """The options of a segment of the peer, as they are on the wire."""
    area = b""
    for option in spec.options or ():
        try:
            mapped = _mapped(option, flow, syn, "." in spec.flags)
            area += b"\0" if _is_end(option) else tcp_options.emit_one(mapped)
        except InvalidArgument as error:
            raise ScriptError(f"a TCP option can't be built: {error}") from None
    return area


def _is_end(option: OptionSpec) -> bool:
    return isinstance(option.option, tcp_options.Unknown) and option.option.kind == 0


def _mapped(spec: OptionSpec, flow: Flow, syn: bool, ack: bool) -> Option:
    option = spec.option
    if isinstance(option, Sack):
        return Sack(tuple((flow.ack_in(a, syn), flow.ack_in(b, syn)) for a, b in option.blocks))
    if isinstance(option, Timestamps) and ack and not spec.absolute_echo:
        return Timestamps(option.value, flow.echo_in(option.echo))
    return flow.cookie_in(option)


def udp_packets(spec: UdpSpec, flow: Flow) -> list[bytes]:
    """A datagram of the peer."""
    ports = spec.ports if spec.ports is not None else (flow.remote[1], flow.local[1])
    packet = build.udp(
        flow.remote[0], flow.local[0], ports[0], ports[1], pattern(0, spec.length), tos=tos_of(spec.ip),
        ttl=spec.ip.ttl or 255, layer=3,
    )
    return [packet]


def icmp_packets(spec: IcmpSpec, flow: Flow, config: Config) -> list[bytes]:
    """An ICMP message: an error about a packet of ours, or an echo. ScriptError."""
    kind, code = icmp_names.numbers(spec.kind, spec.code, config.v6)
    info = spec.mtu if spec.mtu else spec.echo_id << 16
    payload = _quote(spec, flow, config) if spec.about is not None else b""
    return [build.icmp_message(config.remote, config.local, kind, code, info, payload, ttl=255, layer=3)]


def _quote(spec: IcmpSpec, flow: Flow, config: Config) -> bytes:
    """The IP header of a packet of ours and its first eight bytes, as a router sends them back."""
    assert spec.about is not None
    protocol, seq, length = spec.about
    ports = flow.local[1].to_bytes(2, "big") + flow.remote[1].to_bytes(2, "big")
    if protocol == "tcp":
        number, header = ipv4.TCP, 20
        start = ports + flow.ack_in(seq, False).to_bytes(4, "big")
    else:
        number, header = ipv4.UDP, 8
        start = ports + (length + 8).to_bytes(2, "big") + bytes(2)
    whole = start + bytes(header + length - 8)
    local = flow.local[0] or config.local
    remote = flow.remote[0] or config.remote
    quoted = build.ip(local, remote, number, whole)
    return quoted[: len(quoted) - len(whole) + 8]
