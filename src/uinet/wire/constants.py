"""Assigned numbers that more than one file needs.

Plain integers of a module that is never compiled: a hot file imports them by name and declares them as C integers in
its own ``.pxd``.
"""

from __future__ import annotations

ETHERTYPE_IPV4 = 0x0800
ETHERTYPE_ARP = 0x0806
ETHERTYPE_IPV6 = 0x86DD

MAX_TAGS = 16  # of a VLAN stack

PROTO_ICMP = 1
PROTO_TCP = 6
PROTO_UDP = 17
PROTO_ICMPV6 = 58

# IPv4's flags and fragment offset field
MORE_FRAGMENTS = 0x2000
OFFSET_MASK = 0x1FFF

# TCP's control bits (RFC 9293, 3.1; RFC 3168)
FIN = 0x01
SYN = 0x02
RST = 0x04
PSH = 0x08
ACK = 0x10
URG = 0x20
ECE = 0x40
CWR = 0x80
AE = 0x100  # RFC 9768
ACE_SHIFT = 6  # AE, CWR and ECE as one number

# the high half of an IPv4-mapped address's low 64 bits: ::ffff:0:0/96
V4_MAPPED = 0x0000FFFF00000000

# NOP, NOP, timestamps of 10 bytes: what every segment of an ordinary connection carries (RFC 7323, appendix A)
ALIGNED_TIMESTAMPS = 0x0101080A

NO_WSCALE = 255  # what `Segment.wscale` is without the option

# kinds of TCP options
KIND_EOL = 0
KIND_NOP = 1
KIND_MSS = 2
KIND_WSCALE = 3
KIND_SACK_PERMITTED = 4
KIND_SACK = 5
KIND_TIMESTAMPS = 8
KIND_MD5 = 19  # RFC 2385
KIND_USER_TIMEOUT = 28  # RFC 5482
KIND_AO = 29  # RFC 5925
KIND_FAST_OPEN = 34  # RFC 7413
KIND_ACCECN0 = 172  # RFC 9768
KIND_ACCECN1 = 174
