"""Constants that several files of TCP compare with."""

from __future__ import annotations

# states of recovery (`Tcb.recovering`)
OPEN = 0
FAST = 1  # fast recovery
TIMEOUT = 2  # slow start after a timeout
REDUCING = 3  # cwnd comes down because of a congestion mark or a loss that was repaired already

# where F-RTO is (`Flight.frto`; RFC 5682)
NO_FRTO = 0
RESENT = 1  # after the timeout the first segment was sent again, and nothing has come yet
PROBING = 2  # new data was sent to see what its ACKs say

DUP_THRESH = 3  # RFC 5681, RFC 6675
MAX_CWND = 1 << 30

# the ECN field (RFC 3168, 5)
ECT_0 = 2
CE = 3

# the setting `ecn`
ECN_NEVER = 0
ECN_ASK = 1
ECN_ANSWER = 2
ECN_ACCURATE = 3

ALWAYS = 2  # the setting `drop_syn_fin`: in every state

# what two SYNs have agreed on
MODE_NONE = 0
MODE_CLASSIC = 1  # RFC 3168
MODE_ACCURATE = 2  # RFC 9768

# marks of an entry of the table (`Entry.marks`)
COPY_RX = 1  # its segments are copied: those that come,
COPY_TX = 2  # and those that go (`copying`)
COPIED = 3
PINNED = 4  # sent by its interface, whatever routes say (IP_TXIF)
TRIVIAL_ISN = 8  # TCP_TRIVIAL_ISN
NO_TIME_WAIT = 16  # TCP_NOTIMEWAIT
FRAGMENTS = 32  # over IPv4 routers may fragment (IP_PMTUDISC_DONT)

TIMESTAMPS_LENGTH = 12  # bytes of the option, aligned (RFC 7323, appendix A)

# kinds of address patterns of listeners: one address, any of a family, any
IP_EXACT = 0
IP_FAMILY = 1
IP_ANY = 2
