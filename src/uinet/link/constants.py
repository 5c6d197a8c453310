"""Numbers that offloads need of the protocols whose packets they touch (RFC 791, 8200, 9293, 768)."""

ETHERTYPE_IPV4 = 0x0800
ETHERTYPE_IPV6 = 0x86DD

TCP = 6
UDP = 17

FIN = 0x01
PSH = 0x08
CWR = 0x80

TCP_CHECKSUM = 16  # offsets of the checksum fields in their headers
UDP_CHECKSUM = 6
F_NEEDS_CSUM = 0x01  # of a virtio-net header: the checksum is not computed yet
