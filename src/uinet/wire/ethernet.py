r"""Ethernet II frames with stacks of VLAN tags (IEEE 802.3-2022, 3.1; 802.1Q-2022, 9.6).

::

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                        destination MAC                        |
    +                               +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                               |                               |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+           source MAC          +
    |                                                               |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+   \
    |             TPID              | PCP |D|          VID          |    > 0 to 16 tags
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+   /
    |           ethertype           |  payload ...
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
"""

from __future__ import annotations

from dataclasses import dataclass

from uinet.wire.addresses import MAX_VLAN_TAGS, TPIDS, L2Info, Mac, VlanTag, link_header
from uinet.wire.fields import malformed
from uinet.wire.kernels import load_u16

DESTINATION = 0
SOURCE = 6
ETHERTYPE = 12
HEADER_LENGTH = 14
TAG_LENGTH = 4
MIN_ETHERTYPE = 0x600  # below, the field is the length of an IEEE 802.3 frame

IPV4 = 0x0800
ARP = 0x0806
IPV6 = 0x86DD
LLDP = 0x88CC
MPLS = 0x8847
PPPOE_SESSION = 0x8864

SHORT = 0
TOO_DEEP = -1


def header_length(data: bytes) -> int:
    """The length of the link header, with tags; SHORT if it is cut off, TOO_DEEP if it has over 16 tags."""
    size = len(data)
    at = ETHERTYPE
    for _ in range(MAX_VLAN_TAGS + 1):
        if at + 2 > size:
            return SHORT
        if load_u16(data, at) not in TPIDS:
            return at + 2
        at += TAG_LENGTH
    return TOO_DEEP


def check(data: bytes) -> bool:
    """Whether the link header is whole: both MACs, at most 16 tags, and an ethertype."""
    return header_length(data) > 0


def destination(data: bytes) -> Mac:
    """The destination MAC."""
    return Mac(data[DESTINATION:SOURCE])


def source(data: bytes) -> Mac:
    """The source MAC."""
    return Mac(data[SOURCE:ETHERTYPE])


def vlans(data: bytes) -> tuple[VlanTag, ...]:
    """The VLAN stack, outermost tag first."""
    return tuple(
        decode_tag(load_u16(data, at), load_u16(data, at + 2))
        for at in range(ETHERTYPE, header_length(data) - 2, TAG_LENGTH)
    )


def ethertype(data: bytes) -> int:
    """The ethertype behind the last tag."""
    return load_u16(data, header_length(data) - 2)


def decode_tag(tpid: int, tci: int) -> VlanTag:
    """The tag that a TPID and the 16 bits after it make."""
    return VlanTag(tci & 0xFFF, tci >> 13, tci >> 12 & 1, tpid)


@dataclass(frozen=True, slots=True)
class EthernetHeader:
    """A link header: what :class:`L2Info` has, and the ethertype."""

    source: Mac
    destination: Mac
    ethertype: int
    vlans: tuple[VlanTag, ...] = ()

    @property
    def l2info(self) -> L2Info:
        """MACs and VLAN stack."""
        return L2Info(self.source, self.destination, self.vlans)


def parse(data: bytes) -> EthernetHeader:
    """The link header of a frame; InvalidArgument if `check` refuses it."""
    if not check(data):
        raise malformed("Ethernet header")
    return EthernetHeader(source(data), destination(data), ethertype(data), vlans(data))


def emit(header: EthernetHeader) -> bytes:
    """The bytes of a link header, tags verbatim."""
    return link_header(header.l2info, header.ethertype)
