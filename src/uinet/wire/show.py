"""One line a frame, much as ``tcpdump -n`` prints it; whatever the bytes are, there is a line.

Sequence numbers are absolute. Lengths are what the headers say; a capture may have kept less. ``[|tcp]`` is a
header that is cut off or impossible, as with tcpdump.
"""

from __future__ import annotations

from uinet.wire import arp, ethernet, icmp, icmpv6, ipv4, ipv6, ipv6_extensions, nd, tcp, tcp_options, udp
from uinet.wire.addresses import Mac, VlanTag, unpack_address
from uinet.wire.kernels import load_u16

_PROTOCOLS = {
    1: "ICMP", 2: "IGMP", 4: "IPIP", 6: "TCP", 17: "UDP", 41: "IPv6", 47: "GRE", 50: "ESP", 51: "AH",
    58: "ICMP6", 59: "no next header", 89: "OSPF", 112: "VRRP", 132: "SCTP",
}
_ETHERTYPES = {
    0x8035: "RARP", 0x8847: "MPLS", 0x8863: "PPPoE discovery", 0x8864: "PPPoE session", 0x888E: "EAPOL",
    0x88CC: "LLDP", 0x88F7: "PTP",
}
_ICMP_NAMES = {
    0: "echo reply", 3: "unreachable", 4: "source quench", 5: "redirect", 8: "echo request",
    9: "router advertisement", 10: "router solicitation", 11: "time exceeded", 12: "parameter problem",
    13: "time stamp query", 14: "time stamp reply", 15: "information request", 16: "information reply",
    17: "address mask request", 18: "address mask reply",
}
_UNREACHABLE = {
    0: "net", 1: "host", 2: "protocol", 3: "port", 4: "need to frag", 5: "source route failed",
    9: "net prohibited", 10: "host prohibited", 13: "admin prohibited",
}
_ICMPV6_NAMES = {
    1: "destination unreachable", 2: "packet too big", 3: "time exceeded", 4: "parameter problem",
    128: "echo request", 129: "echo reply", 130: "multicast listener query", 131: "multicast listener report",
    132: "multicast listener done", 133: "router solicitation", 134: "router advertisement",
    135: "neighbor solicitation", 136: "neighbor advertisement", 137: "redirect",
    143: "multicast listener report v2",
}
_UNREACHABLE6 = {
    0: "no route", 1: "prohibited", 2: "beyond scope", 3: "address", 4: "port", 5: "policy", 6: "reject",
}
_EXTENSIONS = {
    ipv6_extensions.HOP_BY_HOP: "HBH", ipv6_extensions.ROUTING: "RT",
    ipv6_extensions.DESTINATION_OPTIONS: "DSTOPT",
}
_PROBLEMS = {
    ipv6_extensions.MALFORMED: "malformed", ipv6_extensions.LIMIT: "too many",
    ipv6_extensions.DISCARD: "unknown option", ipv6_extensions.BAD_FIELD: "source route",
    ipv6_extensions.BAD_NEXT_HEADER: "hop-by-hop not first", ipv6_extensions.UNKNOWN_OPTION: "unknown option",
    ipv6_extensions.UNKNOWN_OPTION_UNICAST: "unknown option",
    ipv6_extensions.INCOMPLETE_CHAIN: "incomplete in the first fragment",
}


def show(
    data: bytes, layer: int = 2, time: int | None = None, relative: int | None = None, *, macs: bool = False
) -> str:
    """The line of a frame, or of a bare IP packet if `layer` is 3; never raises.

    `time`, in nanoseconds since 1970, puts the time of day (UTC) in front, or the seconds since `relative`.
    `macs` shows the link header's MACs.
    """
    stamp = "" if time is None else _time(time, relative) + " "
    if layer == 3:
        return stamp + _ip(data)
    length = ethernet.header_length(data)
    if length == ethernet.SHORT:
        return f"{stamp}[|ether] {len(data)} bytes: {data[:32].hex()}"
    if length == ethernet.TOO_DEEP:
        return f"{stamp}more than 16 VLAN tags, length {len(data)}"
    front = f"{ethernet.source(data)} > {ethernet.destination(data)}, " if macs else ""
    front += "".join(_vlan(tag) for tag in ethernet.vlans(data))
    return stamp + front + _network(ethernet.ethertype(data), data[length:])


def _time(time: int, relative: int | None) -> str:
    if relative is not None:
        sign = "-" if time < relative else ""
        seconds, rest = divmod(abs(time - relative), 1_000_000_000)
        return f"{sign}{seconds}.{rest // 1000:06}"
    seconds, rest = divmod(time, 1_000_000_000)
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours % 24:02}:{minute:02}:{second:02}.{rest // 1000:06}"


def _vlan(tag: VlanTag) -> str:
    kind = "" if tag.tpid == 0x8100 else f"0x{tag.tpid:04x} "
    priority = f"p {tag.pcp}, " if tag.pcp else ""
    return f"{kind}vlan {tag.vid}, {priority}{'DEI, ' if tag.dei else ''}"


def _network(ethertype: int, data: bytes) -> str:
    if ethertype == ethernet.ARP:
        return _arp(data)
    if ethertype in (ethernet.IPV4, ethernet.IPV6):
        version = data[0] >> 4 if data else 0
        if version == (4 if ethertype == ethernet.IPV4 else 6):
            return _ip(data)
        return f"{'IP' if ethertype == ethernet.IPV4 else 'IP6'} [bad version {version}] length {len(data)}"
    if ethertype < ethernet.MIN_ETHERTYPE:
        return f"802.3, length {ethertype}"
    return f"{_ETHERTYPES.get(ethertype, f'ethertype 0x{ethertype:04x}')}, length {len(data)}"


def _arp(data: bytes) -> str:
    if not arp.check(data):
        return "[|arp]"
    packet = arp.parse(data)
    if not packet.is_ethernet_ipv4:
        return f"ARP, operation {packet.op} for hardware {packet.hrd} and protocol 0x{packet.pro:04x}"
    sender, target = _address(packet.spa), _address(packet.tpa)
    if packet.op == arp.REQUEST:
        return f"ARP, Request who-has {target} tell {sender}, length {len(data)}"
    if packet.op == arp.REPLY:
        return f"ARP, Reply {sender} is-at {Mac(packet.sha)}, length {len(data)}"
    return f"ARP, operation {packet.op}, {sender} to {target}, length {len(data)}"


def _ip(data: bytes) -> str:
    if not data:
        return "[|ip]"
    if data[0] >> 4 == 4:
        return _ipv4(data)
    if data[0] >> 4 == 6:
        return _ipv6(data)
    return f"IP [bad version {data[0] >> 4}] length {len(data)}"


def _ipv4(data: bytes) -> str:
    if not ipv4.check_header(data):
        return "IP [|ip]"
    header = ipv4.parse(data)
    start = ipv4.header_length(data)
    source, destination = _address(header.source), _address(header.destination)
    length = (header.total_length or len(data)) - start  # 0: a segmented frame, before the device wrote it
    if length < 0:
        return f"IP {source} > {destination}: [bad total length {header.total_length}]"
    if ipv4.is_fragment(data):
        return f"IP {source} > {destination}: " + _fragment(
            header.protocol, header.identification, header.fragment_offset, header.more_fragments, length
        )
    options = f"options [{header.options.hex()}], " if header.options else ""
    body = data[start : start + length]
    return _transport("IP", source, destination, header.protocol, body, length, options)


def _ipv6(data: bytes) -> str:
    if not ipv6.check_header(data):
        return "IP6 [|ip6]"
    header = ipv6.parse(data)
    source, destination = _address(header.source), _address(header.destination)
    end = ipv6.HEADER_LENGTH + (header.payload_length or len(data) - ipv6.HEADER_LENGTH)
    chain = ipv6_extensions.walk(data, 0, end)
    names = _extension_names(data, min(end, len(data)))
    if chain.problem:
        return f"IP6 {source} > {destination}: {names}[extension headers: {_PROBLEMS[chain.problem]}]"
    length = max(end - chain.offset, 0)
    at = chain.fragment
    if at >= 0 and not ipv6_extensions.is_atomic(data, at):
        return f"IP6 {source} > {destination}: {names}" + _fragment(
            chain.next_header, ipv6_extensions.identification(data, at),
            ipv6_extensions.fragment_offset(data, at), ipv6_extensions.more_fragments(data, at), length,
        )
    body = data[chain.offset : end]
    return _transport("IP6", source, destination, chain.next_header, body, length, names)


def _extension_names(data: bytes, end: int) -> str:
    names = ""
    at, kind = ipv6.HEADER_LENGTH, ipv6.next_header(data)
    for _ in range(ipv6_extensions.MAX_EXTENSIONS):
        if not ipv6_extensions.check(data, at, end, kind) or kind == ipv6_extensions.FRAGMENT:
            break
        names += _EXTENSIONS[kind] + " "
        length = ipv6_extensions.header_length(data, at, end, kind)
        at, kind = at + length, data[at]
    return names


def _fragment(protocol: int, identification: int, offset: int, more: bool, length: int) -> str:
    where = f"{offset}+" if more else str(offset)
    return f"{_protocol(protocol)} fragment, id {identification}, offset {where}, length {length}"


def _transport(
    family: str, source: str, destination: str, protocol: int, data: bytes, length: int, front: str
) -> str:
    """`length` is what the IP header says that the transport has; `data` what there is of it."""
    if protocol in (ipv4.TCP, ipv4.UDP) and len(data) >= 4:
        line = f"{family} {source}.{load_u16(data, 0)} > {destination}.{load_u16(data, 2)}: {front}"
        return line + (_tcp(data, length) if protocol == ipv4.TCP else _udp(data, length))
    line = f"{family} {source} > {destination}: {front}"
    if protocol == ipv4.TCP:
        return line + "[|tcp]"
    if protocol == ipv4.UDP:
        return line + "[|udp]"
    if protocol == ipv4.ICMP:
        return line + _icmp(data, length)
    if protocol == ipv4.ICMPV6:
        return line + _icmpv6(data, length)
    return f"{line}{_protocol(protocol)}, length {length}"


def _tcp(data: bytes, length: int) -> str:
    if not tcp.check(data):
        return "[|tcp]"
    header = tcp.parse(data)
    payload = length - tcp.header_length(data)
    text = f"Flags [{tcp.format_flags(header.flags)}], seq {header.seq}"
    if payload > 0:
        text += f":{(header.seq + payload) & 0xFFFFFFFF}"
    if header.flags & tcp.ACK:
        text += f", ack {header.ack}"
    text += f", win {header.window}"
    if header.flags & tcp.URG:
        text += f", urg {header.urgent_pointer}"
    if header.options:
        text += f", options [{','.join(_tcp_option(option) for option in header.options)}]"
    return f"{text}, length {payload}" if payload >= 0 else f"{text}, [bad header length]"


def _tcp_option(option: tcp_options.Option) -> str:
    if isinstance(option, tcp_options.Mss):
        return f"mss {option.value}"
    if isinstance(option, tcp_options.WindowScale):
        return f"wscale {option.shift}"
    if isinstance(option, tcp_options.SackPermitted):
        return "sackOK"
    if isinstance(option, tcp_options.Timestamps):
        return f"TS val {option.value} ecr {option.echo}"
    if isinstance(option, tcp_options.Sack):
        blocks = "".join(f"{{{left}:{right}}}" for left, right in option.blocks)
        return f"sack {len(option.blocks)} {blocks}"
    if isinstance(option, tcp_options.FastOpen):
        return f"tfo cookie {option.cookie.hex()}" if option.cookie else "tfo cookiereq"
    if isinstance(option, tcp_options.Nop):
        return "nop"
    if isinstance(option, tcp_options.End):
        return "eol"
    if isinstance(option, tcp_options.Malformed):
        return f"[bad opt {option.rest.hex()}]"
    name = {tcp_options.KIND_MD5: "md5", tcp_options.KIND_AO: "ao"}.get(option.kind, f"unknown-{option.kind}")
    return f"{name} 0x{option.data.hex()}" if option.data else name


def _udp(data: bytes, length: int) -> str:
    if len(data) < udp.HEADER_LENGTH:
        return "[|udp]"
    said = udp.length(data)
    if said < udp.HEADER_LENGTH or said > length:
        return f"UDP, [bad length {said} of {length}]"
    return f"UDP, length {said - udp.HEADER_LENGTH}"


def _icmp(data: bytes, length: int) -> str:
    if not icmp.check(data):
        return "[|icmp]"
    message = icmp.parse(data)
    name = _ICMP_NAMES.get(message.type, f"type {message.type}")
    if message.type in (icmp.ECHO_REQUEST, icmp.ECHO_REPLY):
        return f"ICMP {name}, id {message.identifier}, seq {message.sequence}, length {length}"
    quote = _quote(icmp.parse_quote(message.payload)) if icmp.is_error(message.type) else ""
    if message.type == icmp.DESTINATION_UNREACHABLE:
        what = _UNREACHABLE.get(message.code, f"code {message.code}")
        mtu = f" (mtu {message.mtu})" if message.code == icmp.FRAGMENTATION_NEEDED else ""
        return f"ICMP unreachable - {what}{mtu}{quote}, length {length}"
    if message.type == icmp.REDIRECT:
        return f"ICMP redirect to {_address(message.gateway)}{quote}, length {length}"
    code = f" code {message.code}" if message.code else ""
    return f"ICMP {name}{code}{quote}, length {length}"


def _icmpv6(data: bytes, length: int) -> str:
    if not icmpv6.check(data):
        return "[|icmp6]"
    message = icmpv6.parse(data)
    name = _ICMPV6_NAMES.get(message.type, f"type {message.type}")
    if message.type in (icmpv6.ECHO_REQUEST, icmpv6.ECHO_REPLY):
        return f"ICMP6, {name}, id {message.identifier}, seq {message.sequence}, length {length}"
    if nd.check(data):
        return f"ICMP6, {name}{_nd(nd.parse(data))}, length {length}"
    quote = _quote(icmpv6.parse_quote(message.payload)) if icmpv6.is_error(message.type) else ""
    if message.type == icmpv6.DESTINATION_UNREACHABLE:
        what = _UNREACHABLE6.get(message.code, f"code {message.code}")
        return f"ICMP6, unreachable - {what}{quote}, length {length}"
    if message.type == icmpv6.PACKET_TOO_BIG:
        return f"ICMP6, {name}, mtu {message.mtu}{quote}, length {length}"
    code = f" code {message.code}" if message.code else ""
    return f"ICMP6, {name}{code}{quote}, length {length}"


def _quote(quote: icmp.Quote | None) -> str:
    if quote is None:
        return ""
    ports = quote.protocol in (ipv4.TCP, ipv4.UDP) and len(quote.transport) >= 4
    source = f".{load_u16(quote.transport, 0)}" if ports else ""
    destination = f".{load_u16(quote.transport, 2)}" if ports else ""
    return (
        f" for {_protocol(quote.protocol)} {_address(quote.source)}{source}"
        f" > {_address(quote.destination)}{destination}"
    )


def _nd(message: nd.Message) -> str:
    own = nd.link_layer(message.options, nd.SOURCE_LINK_LAYER)
    from_mac = f" (from {own})" if own else ""
    if isinstance(message, nd.RouterSolicitation):
        return from_mac
    if isinstance(message, nd.RouterAdvertisement):
        prefixes = "".join(
            f", prefix {_address(prefix.prefix)}/{prefix.prefix_length}"
            for prefix in nd.prefixes(message.options)
        )
        return f", lifetime {message.router_lifetime}s{prefixes}{from_mac}"
    if isinstance(message, nd.NeighborSolicitation):
        return f", who has {_address(message.target)}{from_mac}"
    target = nd.link_layer(message.options, nd.TARGET_LINK_LAYER)
    at_mac = f" at {target}" if target else ""
    if isinstance(message, nd.Redirect):
        return f", {_address(message.destination)} to {_address(message.target)}{at_mac}"
    set_flags = [
        name for name, on in (
            ("router", message.router), ("solicited", message.solicited), ("override", message.override)
        ) if on
    ]
    flags = f", Flags [{', '.join(set_flags)}]" if set_flags else ""
    return f", tgt is {_address(message.target)}{at_mac}{flags}"


def _address(packed: bytes) -> str:
    return str(unpack_address(packed))


def _protocol(protocol: int) -> str:
    return _PROTOCOLS.get(protocol, f"ip-proto-{protocol}")
