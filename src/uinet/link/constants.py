"""Numbers that offloads need of the protocols whose packets they touch (RFC 791, 8200, 9293, 768)."""

ETHERTYPE_IPV4 = 0x0800
ETHERTYPE_IPV6 = 0x86DD

TCP = 6
UDP = 17

FIN = 0x01
PSH = 0x08
ACK = 0x10
CWR = 0x80

CE = 3  # congestion experienced: the low two bits of the type of service (RFC 3168)
FIXED_IPV4 = 20  # bytes of an IPv4 header without options

TCP_CHECKSUM = 16  # offsets of the checksum fields in their headers
UDP_CHECKSUM = 6
F_NEEDS_CSUM = 0x01  # of a virtio-net header: the checksum is not computed yet
