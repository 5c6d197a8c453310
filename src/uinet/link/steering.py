"""Which worker owns a packet: one rule, as a program that the kernel runs, and as a function.

The workers that share an interface are numbered, and a packet belongs to number ``owner(packet) % workers``. The rule
gives a flow the same owner in both directions, on both sides of a proxy, with any stack of VLAN tags (which it does not
look at), and an ICMP error the owner of the flow that it is about. What has no flow (ARP, neighbour discovery, unknown
ethertypes, damaged packets) is worker 0's. A fragment has no ports, so all fragments between two hosts have one owner,
and it may be another than that of their unfragmented packets.

The kernel runs it as classic BPF (PACKET_FANOUT_CBPF) or as eBPF (TUNSETSTEERINGEBPF), which is a translation of the
same instructions. Read first: Linux, Documentation/networking/filter.rst; :mod:`uinet.passive.bpf`.
"""

from __future__ import annotations

from uinet.link.bpf import Instruction as Extended
from uinet.link.constants import ETHERTYPE_IPV4, ETHERTYPE_IPV6, TCP, UDP
from uinet.link.device import MAX_TAGS
from uinet.link.sockets import Instruction
from uinet.units import MASK32
from uinet.wire.addresses import TPIDS

ICMP, FRAGMENT, ICMPV6 = 1, 44, 58
ICMP_ERRORS = (3, 4, 5, 11, 12)
ICMPV6_ERRORS = (1, 2, 3, 4)
EXTENSIONS = (0, 43, 60)  # hop-by-hop, routing, destination options
MAX_EXTENSIONS = 4
SUM, DIFFERENCE, FINAL = 0x9E3779B1, 0x85EBCA6B, 0xC2B2AE35  # odd, and well mixed

PROTOCOL = 0xFFFFF000  # SKF_AD_OFF + SKF_AD_PROTOCOL: the ethertype behind the tag that Linux has taken out

# classic BPF
LD_W_IND, LD_H_IND, LD_B_IND, LD_H_ABS = 0x40, 0x48, 0x50, 0x28
LD_IMM, LD_MEM, LDX_IMM, LDX_MEM, ST = 0x00, 0x60, 0x01, 0x61, 0x02
ADD_K, ADD_X, MUL_K, AND_K, LSH_K, RSH_K, XOR_X = 0x04, 0x0C, 0x24, 0x54, 0x64, 0x74, 0xAC
JA, JEQ_K, JSET_K, RET_K, RET_A, TAX, TXA = 0x05, 0x15, 0x45, 0x06, 0x16, 0x07, 0x87

# words of the program's memory
NETWORK, HASH, TYPE, FIRST, SECOND, TRANSPORT, INNER = range(7)


class Assembler:
    """Instructions with labels. Jumps to labels are unconditional and far; a condition jumps over one of them."""

    def __init__(self) -> None:
        self.code: list[Instruction] = []
        self.labels: dict[str, int] = {}
        self.wanted: list[tuple[int, str]] = []

    def add(self, code: int, k: int = 0) -> None:
        self.code.append((code, 0, 0, k))

    def label(self, name: str) -> None:
        self.labels[name] = len(self.code)

    def go(self, name: str) -> None:
        self.wanted.append((len(self.code), name))
        self.add(JA)

    def go_if(self, name: str, *values: int) -> None:
        """To `name` if A is one of the values."""
        for value in values:
            self.code.append((JEQ_K, 0, 1, value))
            self.go(name)

    def go_if_set(self, name: str, bits: int) -> None:
        self.code.append((JSET_K, 0, 1, bits))
        self.go(name)

    def mix(self, load: int, first: int, second: int) -> None:
        """Takes two fields of the packet, relative to X, into the hash, alike in either order."""
        self.add(load, first)
        self.add(ST, FIRST)
        self.add(load, second)
        self.add(ST, SECOND)
        for operation, factor in ((ADD_X, SUM), (XOR_X, DIFFERENCE)):
            self.add(LDX_MEM, SECOND)
            self.add(LD_MEM, FIRST)
            self.add(operation)
            self.add(LDX_MEM, HASH)
            self.add(XOR_X)
            self.add(MUL_K, factor)
            self.add(ST, HASH)

    def finished(self) -> list[Instruction]:
        code = list(self.code)
        for at, name in self.wanted:
            code[at] = (JA, 0, 0, self.labels[name] - at - 1)
        return code


def program(ethernet: bool) -> list[Instruction]:
    """The rule in classic BPF. `ethernet`: the packet begins with its Ethernet header (a TAP's queue); otherwise with
    what is behind the header and the tag that Linux has taken out (packet sockets), or with the IP header (TUN).
    """
    a = Assembler()
    for word in range(INNER + 1):  # the eBPF verifier wants every word written before it is read
        a.add(LD_IMM)
        a.add(ST, word)
    a.add(LDX_IMM, 14 if ethernet else 0)
    a.add(LD_H_ABS, 12 if ethernet else PROTOCOL)
    for _ in range(MAX_TAGS):
        mark = f"tag {len(a.code)}"
        a.go_if(mark, *sorted(TPIDS))
        a.go("network")
        a.label(mark)  # X is at the tag's TCI: the next ethertype is behind it
        a.add(LD_H_IND, 2)
        a.add(ST, TYPE)
        _advance(a, 4)
        a.add(LD_MEM, TYPE)
    a.label("network")
    a.go_if("ipv4", ETHERTYPE_IPV4)
    a.go_if("ipv6", ETHERTYPE_IPV6)
    a.go("nobody")
    _ipv4(a, "ipv4", "icmp")
    _ipv6(a, "ipv6", "icmpv6")
    a.label("icmp")  # X is at the ICMP header
    a.add(LD_B_IND, 0)
    a.go_if("about ipv4", *ICMP_ERRORS)
    a.go("addresses4")
    a.label("icmpv6")
    a.add(LD_B_IND, 0)
    a.go_if("about ipv6", *ICMPV6_ERRORS)
    a.go_if("addresses6", 128, 129)  # echo
    a.go("nobody")  # neighbours, routers, groups
    a.label("about ipv4")
    _advance(a, 8)
    _ipv4(a, "inner ipv4", "addresses4")
    a.label("about ipv6")
    _advance(a, 8)
    _ipv6(a, "inner ipv6", "addresses6")
    _hash(a)
    a.label("nobody")
    a.add(RET_K, 0)
    return a.finished()


def _advance(a: Assembler, distance: int) -> None:
    a.add(TXA)
    a.add(ADD_K, distance)
    a.add(TAX)


def _ipv4(a: Assembler, name: str, icmp: str) -> None:
    """X is at an IPv4 header: on to its ports, to `icmp`, or to its addresses."""
    a.label(name)
    a.add(TXA)
    a.add(ST, NETWORK)
    a.add(LD_H_IND, 6)
    a.go_if_set("addresses4", 0x3FFF)  # a fragment
    a.add(LD_B_IND, 9)
    a.add(ST, TYPE)
    a.add(LD_B_IND, 0)
    a.add(AND_K, 15)
    a.add(LSH_K, 2)
    a.add(ADD_X)
    a.add(TAX)  # at the transport header
    a.add(ST, TRANSPORT)
    a.add(LD_MEM, TYPE)
    a.go_if("ports4", TCP, UDP)
    a.go_if(icmp, ICMP)
    a.go("addresses4")


def _ipv6(a: Assembler, name: str, icmp: str) -> None:
    """X is at an IPv6 header: on to its ports, to `icmp`, or to its addresses."""
    a.label(name)
    a.add(TXA)
    a.add(ST, NETWORK)
    a.add(LD_B_IND, 6)
    a.add(ST, TYPE)
    _advance(a, 40)
    a.add(LD_MEM, TYPE)
    for number in range(MAX_EXTENSIONS):
        a.go_if(f"{name} extension {number}", *EXTENSIONS)
        a.go(f"{name} transport")
        a.label(f"{name} extension {number}")
        a.add(LD_B_IND, 0)
        a.add(ST, TYPE)
        a.add(LD_B_IND, 1)
        a.add(ADD_K, 1)
        a.add(LSH_K, 3)
        a.add(ADD_X)
        a.add(TAX)
        a.add(LD_MEM, TYPE)
    a.label(f"{name} transport")
    a.add(TXA)
    a.add(ST, TRANSPORT)
    a.add(LD_MEM, TYPE)
    a.go_if("ports6", TCP, UDP)
    a.go_if(icmp, ICMPV6)
    a.go("addresses6")  # fragments too


def _hash(a: Assembler) -> None:
    """From ports and addresses to the answer. The ports come first, then what both kinds of packets have."""
    for version, offsets in (("4", ((12, 16),)), ("6", ((8, 24), (12, 28), (16, 32), (20, 36)))):
        a.label(f"ports{version}")
        a.add(LDX_MEM, TRANSPORT)
        a.mix(LD_H_IND, 0, 2)
        a.label(f"addresses{version}")
        for first, second in offsets:
            a.add(LDX_MEM, NETWORK)
            a.mix(LD_W_IND, first, second)
        a.add(LD_MEM, HASH)
        for shift in (15, 13):
            a.add(ST, HASH)
            a.add(RSH_K, shift)
            a.add(TAX)
            a.add(LD_MEM, HASH)
            a.add(XOR_X)
            a.add(MUL_K, FINAL)
        a.add(RSH_K, 16)  # a TAP takes 16 bits of the answer
        a.add(RET_A)


def extended(code: list[Instruction], *, ethernet: bool) -> list[Extended]:
    """Classic instructions in eBPF: A is r0, X is r7, the packet r6, memory is on the stack."""
    starts: list[int] = []
    position = 2
    for one in code:
        starts.append(position)
        position += _length(one, ethernet)
    starts.append(position)
    out: list[Extended] = [(0xBF, 6, 1, 0, 0), (0xB7, 7, 0, 0, 0)]  # r6 = the packet; X = 0
    for index, one in enumerate(code):
        out += _translated(one, index, starts, ethernet)
    return out


def _length(one: Instruction, ethernet: bool) -> int:
    return len(_translated(one, 0, [0] * 70_000, ethernet))


def _translated(one: Instruction, index: int, starts: list[int], ethernet: bool) -> list[Extended]:
    code, _, jf, k = one
    slot = -4 * (k + 1)
    if code == LD_H_ABS and not ethernet:
        return [(0x61, 0, 6, 16, 0), (0xDC, 0, 0, 0, 16)]  # r0 = __sk_buff.protocol, from the network's order
    if code in (LD_W_IND, LD_H_IND, LD_B_IND):
        return [(code, 0, 7, 0, k)]
    if code == LD_H_ABS:
        return [(code, 0, 0, 0, k)]
    if code in (LD_IMM, LDX_IMM):
        return [(0xB4, 7 if code == LDX_IMM else 0, 0, 0, k)]
    if code in (LD_MEM, LDX_MEM):
        return [(0x61, 7 if code == LDX_MEM else 0, 10, slot, 0)]
    if code == ST:
        return [(0x63, 10, 0, slot, 0)]
    if code in (ADD_X, XOR_X):
        return [(code, 0, 7, 0, 0)]
    if code in (ADD_K, MUL_K, AND_K, LSH_K, RSH_K):
        return [(code, 0, 0, 0, k)]
    if code == TAX:
        return [(0xBC, 7, 0, 0, 0)]
    if code == TXA:
        return [(0xBC, 0, 7, 0, 0)]
    if code == JA:
        return [(0x05, 0, 0, starts[index + 1 + k] - starts[index + 1], 0)]
    if code in (JEQ_K, JSET_K):  # the true way is the next instruction, the false way `jf` further on
        distance = starts[index + 1 + jf] - starts[index + 1]
        negated = 0x55 if code == JEQ_K else None
        if negated is not None:
            return [(negated, 0, 0, distance, k)]
        return [(0x45, 0, 0, 1, k), (0x05, 0, 0, distance, 0)]
    if code == RET_K:
        return [(0xB4, 0, 0, 0, k), (0x95, 0, 0, 0, 0)]
    assert code == RET_A
    return [(0x95, 0, 0, 0, 0)]


# the same, for packets that are here already


def owner(data: bytes, layer: int) -> int:
    """What the program says of a packet; its remainder by the number of workers is the owner's number."""
    try:
        return _owner(data, layer)
    except IndexError:
        return 0


def _owner(data: bytes, layer: int) -> int:
    at = 0
    if layer == 2:
        ethertype, at = _field(data, 12, 2), 14
        for _ in range(MAX_TAGS):
            if ethertype not in TPIDS:
                break
            ethertype = _field(data, at + 2, 2)
            at += 4
    else:
        ethertype = ETHERTYPE_IPV4 if _field(data, 0, 1) >> 4 == 4 else ETHERTYPE_IPV6
    if ethertype not in (ETHERTYPE_IPV4, ETHERTYPE_IPV6):
        return 0
    six = ethertype == ETHERTYPE_IPV6
    kind, transport = (_transport6 if six else _transport4)(data, at)
    icmp, errors = (ICMPV6, ICMPV6_ERRORS) if six else (ICMP, ICMP_ERRORS)
    if kind == icmp:
        what = _field(data, transport, 1)
        if what in errors:
            at = transport + 8
            kind, transport = (_transport6 if six else _transport4)(data, at)
        elif six and what not in (128, 129):
            return 0
    size = 16 if six else 4
    at += 8 if six else 12
    addresses = _bytes(data, at, size), _bytes(data, at + size, size)
    if kind in (TCP, UDP):
        return flow_owner(*addresses, _field(data, transport, 2), _field(data, transport + 2, 2))
    return _finished(0, *addresses)


def flow_owner(one: bytes, other: bytes, port: int, other_port: int) -> int:
    """What the program says of the packets of a TCP or UDP flow between packed addresses, whichever way they go."""
    return _finished(_mix(0, port, other_port), one, other)


def _finished(mixed: int, one: bytes, other: bytes) -> int:
    for at in range(0, len(one), 4):
        mixed = _mix(mixed, _field(one, at, 4), _field(other, at, 4))
    for shift in (15, 13):
        mixed = (mixed ^ mixed >> shift) * FINAL & MASK32
    return mixed >> 16


def _field(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(_bytes(data, at, size), "big")


def _bytes(data: bytes, at: int, size: int) -> bytes:
    if at + size > len(data):
        raise IndexError
    return data[at : at + size]


def _mix(mixed: int, first: int, second: int) -> int:
    mixed = (mixed ^ (first + second) & MASK32) * SUM & MASK32
    return (mixed ^ first ^ second) * DIFFERENCE & MASK32


def _transport4(data: bytes, at: int) -> tuple[int, int]:
    """(protocol, offset of its header); protocol -1 for a fragment."""
    if _field(data, at + 6, 2) & 0x3FFF:
        return -1, 0
    return _field(data, at + 9, 1), at + (_field(data, at, 1) & 15) * 4


def _transport6(data: bytes, at: int) -> tuple[int, int]:
    kind = _field(data, at + 6, 1)
    at += 40
    for _ in range(MAX_EXTENSIONS):
        if kind not in EXTENSIONS:
            break
        kind, at = _field(data, at, 1), at + (_field(data, at + 1, 1) + 1) * 8
    return kind, at
