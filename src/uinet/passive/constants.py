"""States and flags of followed connections.

Plain integers of a module that is never compiled: a hot file imports them by name and declares them as C integers in
its own ``.pxd``.
"""

from __future__ import annotations

# states of a connection
WAITING = 0  # no SYN seen: it may come yet, or the connection be followed from the middle
OPEN = 1
CLOSED = 2  # told; kept for a while to recognize stragglers
IGNORED = 3  # began before the copy, and that is not wanted

# how it ended
CLOSE_NONE = 0
CLOSE_FIN = 1
CLOSE_RST = 2
CLOSE_TIMEOUT = 3
CLOSE_END = 4
CLOSES = ("", "fin", "rst", "timeout", "end")

# flags of a connection
MIDSTREAM = 1
REVERSED = 2  # the first packet came from the server (not a note)
REUSED = 4
LIMIT = 8
CONFLICT = 16
RST_IGNORED = 32
UNFINISHED = 64
LOST_END = 128
BUDGET = 256
DOUBTFUL = 512
OPENED = 1024  # the sink was told (not a note)
SIGNED = 2048  # uses TCP-MD5 or TCP-AO (not a note)

# what is known of the direction
BASE = 1  # the sequence number of its first byte
SYN_SEEN = 2  # ... from its SYN
GUESSED = 4  # ... from the other side's ACK, which may have come later than data
SETTLING = 8  # the connection began before its copy did: the first bytes wait for earlier ones
TIMESTAMPS = 16  # its SYN carried the option
FINISHED = 32  # its FIN has come, and all before it
ENDED = 64  # the other side acknowledged its FIN, which the copy does not have
DELIVERED = 128  # something of it has been delivered

# why a piece is not taken for granted
DOUBT = 1  # the receiver may have refused it (bad checksum, old time stamp, data on a SYN): its ACK confirms it
FAR = 2  # it lies beyond the window that the receiver was seen to offer
VOID = 4  # no bytes: cut off by the capture, or an urgent byte

WEAK = DOUBT | FAR

PIECE_COST = 176  # what a piece costs beside its bytes: two objects and its place
GAP_COST = 384
NO_FIN = -(1 << 62)

LEAP = 86_400_000_000_000  # ns: a packet that far from the one before is not believed at once

# policies of overlapping segments, see uinet.passive.overlap
FIRST = 0
BSD = 1
LINUX = 2
OLD_LINUX = 3
SOLARIS = 4
LAST = 5

# a VLAN stack in 32 bits: the number of VIDs, above two of 12 bits
ONE_VID = 1 << 24
TWO_VIDS = 2 << 24
MANY_VIDS = 3 << 24  # they don't fit: to be compared in full
