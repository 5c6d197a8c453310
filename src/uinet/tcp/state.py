"""The states of a connection (RFC 9293, 3.3.2) and the only place where they change.

`TRANSITIONS` is the state diagram (RFC 9293, figure 5) as a table; the picture in the documents is drawn from it.
"""

from __future__ import annotations

from uinet.tcp.tcb import Tcb

CLOSED = 0
LISTEN = 1
SYN_SENT = 2
SYN_RECEIVED = 3
ESTABLISHED = 4
FIN_WAIT_1 = 5
FIN_WAIT_2 = 6
CLOSE_WAIT = 7
CLOSING = 8
LAST_ACK = 9
TIME_WAIT = 10

NAMES = (
    "CLOSED", "LISTEN", "SYN-SENT", "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2", "CLOSE-WAIT", "CLOSING",
    "LAST-ACK", "TIME-WAIT",
)

# state -> {next state: what makes it}; every state may also go to CLOSED by abort, RST or timeout. What the RFC draws
# as one arrow over two steps (SYN-RECEIVED to CLOSE-WAIT, FIN-WAIT-1 to TIME-WAIT) takes both here. A listener's
# SYN-RECEIVED has no TCB yet: it is an entry of the SYN cache, unless Fast Open makes one at once.
TRANSITIONS: dict[int, dict[int, str]] = {
    CLOSED: {
        SYN_SENT: "active open / SYN", SYN_RECEIVED: "rcv SYN with a Fast Open cookie / SYN,ACK",
        ESTABLISHED: "ACK of a SYN cache entry",
    },
    SYN_SENT: {
        SYN_RECEIVED: "rcv SYN / SYN,ACK", ESTABLISHED: "rcv SYN,ACK / ACK", CLOSED: "close",
    },
    SYN_RECEIVED: {ESTABLISHED: "rcv ACK of SYN"},
    ESTABLISHED: {FIN_WAIT_1: "close / FIN", CLOSE_WAIT: "rcv FIN / ACK"},
    FIN_WAIT_1: {FIN_WAIT_2: "rcv ACK of FIN", CLOSING: "rcv FIN / ACK"},
    FIN_WAIT_2: {TIME_WAIT: "rcv FIN / ACK"},
    CLOSE_WAIT: {LAST_ACK: "close / FIN"},
    CLOSING: {TIME_WAIT: "rcv ACK of FIN"},
    LAST_ACK: {CLOSED: "rcv ACK of FIN"},
    TIME_WAIT: {CLOSED: "2 MSL"},
}

# the same, a bit for each next state
ARROWS = tuple([sum([1 << following for following in TRANSITIONS.get(state, ())]) for state in range(len(NAMES))])


def change(tcb: Tcb, state: int) -> None:
    """Moves `tcb` to `state`; an arrow that is not in the diagram is a bug of ours."""
    old = tcb.state
    arrows = ARROWS[old]
    if state and not arrows >> state & 1:  # CLOSED is 0
        raise AssertionError(f"no way from {NAMES[old]} to {NAMES[state]}")
    tcb.state = state
    trace = tcb.context.trace
    if trace is not None:
        trace(tcb.context.now, "state", tcb, old=NAMES[old], new=NAMES[state])
