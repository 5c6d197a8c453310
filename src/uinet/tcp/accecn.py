"""The state of accurate ECN feedback (RFC 9768, 3.2): what a connection in that mode counts, and what it may do."""

from __future__ import annotations

# by the ECN field of the SYN or SYN,ACK that is told of: Not-ECT, ECT(1), ECT(0), CE (RFC 9768, tables 2 and 3)
HANDSHAKE_ACE = (0b010, 0b011, 0b100, 0b110)
FIRST_CEP = 5
FIRST_BYTES = 1
MASK24 = 0xFFFFFF


class AccEcn:
    """The counters of one connection: `r_`, what came here, `s_`, what the peer has told of ours. `cep`: packets marked
    "congestion experienced"; `ceb`, `e0b`, `e1b`: bytes in packets with CE, ECT(0) and ECT(1).

    `ect`: packets may be ECN-capable. `respond`: marks that the peer tells of count. `handshake`: the ECN field of the
    SYN,ACK, that the next bare ACK tells of; -1: none does. `syn_ecn`: that of the SYN, for our SYN,ACK. `ce_on_syn`:
    our SYN or SYN,ACK came marked. `last_ce`: the last packet was. `ce_unacked`: how many since the last ACK of ours.
    `options`: the peer's AccECN options come, and can be believed. `offer`: we send them. `changed`: a byte counter has
    since the last. `checked`: the first ACE field was looked at. `stretch`: packets that an ACK acknowledges, on
    average, in eighths.
    """

    def __init__(self, syn_ecn: int) -> None:
        self.r_cep = FIRST_CEP
        self.r_ceb = 0
        self.r_e0b = FIRST_BYTES
        self.r_e1b = FIRST_BYTES
        self.s_cep = FIRST_CEP
        self.s_ceb = 0
        self.s_e0b = FIRST_BYTES
        self.s_e1b = FIRST_BYTES
        self.ect = True
        self.respond = True
        self.handshake = -1
        self.syn_ecn = syn_ecn
        self.ce_on_syn = False
        self.last_ce = False
        self.ce_unacked = 0
        self.options = False
        self.offer = True
        self.changed = True
        self.checked = False
        self.stretch = 8
