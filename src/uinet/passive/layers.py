"""From a captured packet's link header to its IP header, in place: nothing is copied.

Looked through, in any combination: VLAN stacks (IEEE 802.1Q, 802.1ad; up to 16 tags), PPPoE sessions (RFC 2516),
MPLS label stacks (RFC 3032, RFC 4928) and Ethernet pseudowires in them (RFC 4448), LLC with SNAP (RFC 1042); behind
Ethernet, Linux cooked headers v1 and v2, BSD's loopback headers, or nothing (raw IP).

PPPoE session::

    | 1 | 1 | code 0 |   session id    |     length      | PPP protocol (1 or 2 bytes) | IP ...

MPLS::

    |          label (20 bits)          | class |S|  TTL  |     S: bottom of the stack
"""

from __future__ import annotations

from uinet.passive.codes import FOUND, NO_IP, TOO_DEEP, TOO_SHORT
from uinet.passive.constants import MANY_VIDS, ONE_VID, TWO_VIDS
from uinet.wire.capture import (
    LINKTYPE_ETHERNET,
    LINKTYPE_IPV4,
    LINKTYPE_IPV6,
    LINKTYPE_LINUX_SLL,
    LINKTYPE_LINUX_SLL2,
    LINKTYPE_LOOP,
    LINKTYPE_NULL,
    LINKTYPE_RAW,
)
from uinet.wire.constants import ETHERTYPE_IPV4, ETHERTYPE_IPV6, MAX_TAGS
from uinet.wire.kernels import load_u8, load_u16, load_u32, store_u16, store_u32, take
from uinet.wire.packet import is_tpid

DLT_RAW = 12  # what some programs write for LINKTYPE_RAW, by mistake
DLT_RAW_OPENBSD = 14

ETHERNET_LENGTH = 14
SLL_LENGTH = 16
SLL2_LENGTH = 20
FAMILY_LENGTH = 4

MPLS_UNICAST = 0x8847
MPLS_MULTICAST = 0x8848
PPPOE_SESSION = 0x8864
FIRST_ETHERTYPE = 1536  # what is less counts the bytes of an LLC frame (IEEE 802.3, 3.2.6)

BOTTOM_OF_STACK = 0x100
PPPOE_DATA = 0x1100  # version 1, type 1, code 0
PPP_IPV4 = 0x21
PPP_IPV6 = 0x57
SNAP = 0xAAAA03  # both service access points SNAP, unnumbered information
OUI_RFC1042 = 0x000000
OUI_BRIDGE_TUNNEL = 0x0000F8  # IEEE 802.1H

FAMILY_IPV4 = 2  # AF_INET, everywhere

CACHE_SIZE = 4096
MAX_LONG_STACKS = 4096


def is_family_ipv6(family: int) -> bool:
    """Whether a number is some system's AF_INET6: Linux, Windows, NetBSD, FreeBSD, macOS."""
    return family == 10 or family == 23 or family == 24 or family == 28 or family == 30


class Layers:
    """Where the IP packet of a frame begins, and what was around it: a scratch object, filled again for each packet.

    `l3`: offset of the IP header, `version` what the layer above it said that it is (4 or 6).
    `wire`: where the packet ended on the wire; a PPPoE header may say that it did earlier than the frame.
    `tags`, `vids`: the number of VLAN tags, and two bytes for each whose VID is not 0, from the outside in, those
    inside a pseudowire included. Equal stacks mostly share one object; compare by value all the same.
    `link_start`, `link_length`: the innermost Ethernet header with its tags; 0, 0 if there is none. Innermost, since
    its MACs are those of the hosts: around it are those of the provider's routers.
    """

    def __init__(self) -> None:
        self.l3 = 0
        self.version = 0
        self.wire = 0
        self.tags = 0
        self.vids = b""
        self.link_start = 0
        self.link_length = 0
        self.named = 0  # tags whose VID is not 0
        self.stack = 0  # the first four of them, 16 bits each
        self.deeper = b""  # those after the fourth, as in `vids`
        self.cache: list[bytes] = [b""] * CACHE_SIZE  # stacks of one and of two VIDs, each in the slot of its hash
        self.long_stacks: dict[bytes, bytes] = {}
        self.scratch = bytearray(4)

    def walk(self, link_type: int, data: bytes, start: int, end: int, wire: int) -> int:
        """Reads the headers of the packet at ``data[start:end]`` up to its IP header; FOUND, or why not.

        `wire`: where the packet ended before a snap length cut it.
        """
        self.wire = wire
        self.link_start = 0
        self.link_length = 0
        self.tags = 0
        self.named = 0
        self.vids = b""
        if link_type == LINKTYPE_ETHERNET:
            if end - start < ETHERNET_LENGTH:
                return TOO_SHORT
            self.link_start = start
            self.link_length = ETHERNET_LENGTH
            code = self._network(data, start + ETHERNET_LENGTH, end, load_u16(data, start + 12))
        elif link_type == LINKTYPE_LINUX_SLL:
            if end - start < SLL_LENGTH:
                return TOO_SHORT
            code = self._network(data, start + SLL_LENGTH, end, load_u16(data, start + 14))
        elif link_type == LINKTYPE_LINUX_SLL2:
            if end - start < SLL2_LENGTH:
                return TOO_SHORT
            code = self._network(data, start + SLL2_LENGTH, end, load_u16(data, start))
        else:
            code = self._bare(link_type, data, start, end)
        return code

    def _bare(self, link_type: int, data: bytes, start: int, end: int) -> int:
        """The link types that have IP packets only."""
        if link_type in (LINKTYPE_NULL, LINKTYPE_LOOP):
            if end - start < FAMILY_LENGTH:
                return TOO_SHORT
            family = load_u32(data, start)
            if family > 0xFFFF:  # little-endian: a number of a family fits 16 bits
                family = (family >> 24) | (family >> 8 & 0xFF00)
            self.version = 4 if family == FAMILY_IPV4 else 6
            self.l3 = start + FAMILY_LENGTH
            return FOUND if family == FAMILY_IPV4 or is_family_ipv6(family) else NO_IP
        self.l3 = start
        if link_type == LINKTYPE_IPV4:
            self.version = 4
            return FOUND
        if link_type == LINKTYPE_IPV6:
            self.version = 6
            return FOUND
        if link_type != LINKTYPE_RAW and link_type != DLT_RAW and link_type != DLT_RAW_OPENBSD:
            return NO_IP
        if start >= end:
            return TOO_SHORT
        self.version = load_u8(data, start) >> 4
        return FOUND if self.version == 4 or self.version == 6 else NO_IP

    def _network(self, data: bytes, at: int, end: int, kind: int) -> int:
        """Goes from what Ethernet type `kind` announces at `at` to the IP header: each turn steps over one layer."""
        while True:
            if kind in (ETHERTYPE_IPV4, ETHERTYPE_IPV6):
                self.version = 4 if kind == ETHERTYPE_IPV4 else 6
                self.l3 = at
                return FOUND
            if is_tpid(kind):
                if end - at < 4:
                    return TOO_SHORT
                if self.tags == MAX_TAGS:
                    return TOO_DEEP
                word = load_u32(data, at)
                self._tag(word >> 16 & 0x0FFF)
                if at == self.link_start + self.link_length:
                    self.link_length += 4
                kind = word & 0xFFFF
                at += 4
                continue
            if kind in (MPLS_UNICAST, MPLS_MULTICAST):
                code = self._labels(data, at, end)
            elif kind == PPPOE_SESSION:
                code = self._session(data, at, end)
            elif kind < FIRST_ETHERTYPE:
                code = self._llc(data, at, end)
            else:
                return NO_IP
            if code != FOUND:
                return code
            at = self.l3
            kind = self.version

    # Each of the following leaves in `l3` where the next layer begins, and in `version` its Ethernet type

    def _labels(self, data: bytes, at: int, end: int) -> int:
        """MPLS: only the first four bits behind the last label tell what follows (RFC 4928, 3)."""
        while True:
            if end - at < 4:
                return TOO_SHORT
            label = load_u32(data, at)
            at += 4
            if label & BOTTOM_OF_STACK:
                break
        if end - at < 2:
            return TOO_SHORT
        self.l3 = at
        word = load_u16(data, at)
        nibble = word >> 12
        if nibble == 4 or nibble == 6:
            self.version = ETHERTYPE_IPV4 if nibble == 4 else ETHERTYPE_IPV6
            return FOUND
        if nibble == 1:
            return NO_IP  # an associated channel (RFC 5586)
        if word == 0:
            at += 4  # a control word; without one the first two bytes of the destination MAC would be 0
        if end - at < ETHERNET_LENGTH:
            return TOO_SHORT
        self.link_start = at
        self.link_length = ETHERNET_LENGTH
        self.version = load_u16(data, at + 12)
        self.l3 = at + ETHERNET_LENGTH
        return FOUND

    def _session(self, data: bytes, at: int, end: int) -> int:
        """PPPoE; the PPP protocol may be compressed to its low byte, which is odd (RFC 1661, 6.5)."""
        if end - at < 8:
            return TOO_SHORT
        if load_u16(data, at) != PPPOE_DATA:
            return NO_IP
        stop = at + 6 + load_u16(data, at + 4)
        if stop < self.wire:
            self.wire = stop
        protocol = load_u16(data, at + 6)
        self.l3 = at + 8
        if protocol & 0x100:
            protocol >>= 8
            self.l3 = at + 7
        if protocol == PPP_IPV4:
            self.version = ETHERTYPE_IPV4
            return FOUND
        self.version = ETHERTYPE_IPV6
        return FOUND if protocol == PPP_IPV6 else NO_IP

    def _llc(self, data: bytes, at: int, end: int) -> int:
        if end - at < 8 or load_u32(data, at) >> 8 != SNAP:
            return NO_IP
        organization = load_u32(data, at + 2) & 0xFFFFFF
        self.version = load_u16(data, at + 6)
        self.l3 = at + 8
        return FOUND if organization in (OUI_RFC1042, OUI_BRIDGE_TUNNEL) else NO_IP

    def _tag(self, vid: int) -> None:
        self.tags += 1
        if vid == 0:
            return  # a priority tag: no VLAN
        if self.named == 0:
            self.stack = 0
            self.deeper = b""
        if self.named < 4:
            self.stack = self.stack << 16 | vid
        else:
            self.deeper += bytes((vid >> 8, vid & 0xFF))
        self.named += 1

    def mark(self) -> int:
        """The VLAN stack in 32 bits: MANY where there are more than two VIDs."""
        if self.named == 0:
            return 0
        if self.named == 1:
            return ONE_VID | self.stack
        if self.named == 2:
            return TWO_VIDS | (self.stack >> 16) << 12 | (self.stack & 0xFFFF)
        return MANY_VIDS

    def name_stack(self) -> None:
        """Sets `vids`, with an object made before if there is one; apart, as few packets' are ever looked at."""
        if not self.named:
            return
        stack = self.stack
        if self.named > 2:
            self._name_long_stack()
            return
        scratch = self.scratch
        slot = (stack ^ (stack >> 16) * 31) & (CACHE_SIZE - 1)
        known = self.cache[slot]
        if self.named == 1:
            if len(known) != 2 or load_u16(known, 0) != stack:
                store_u16(scratch, 0, stack)
                known = take(scratch, 0, 2)
        elif len(known) != 4 or load_u32(known, 0) != stack:
            store_u32(scratch, 0, stack)
            known = take(scratch, 0, 4)
        self.cache[slot] = known
        self.vids = known

    def _name_long_stack(self) -> None:
        named = self.named if self.named < 4 else 4
        vids = self.stack.to_bytes(2 * named, "big") + self.deeper
        if len(self.long_stacks) >= MAX_LONG_STACKS:
            self.long_stacks.clear()
        self.vids = self.long_stacks.setdefault(vids, vids)
