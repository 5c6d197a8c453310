"""RFC 9293 3.8.2: what may be added to congestion control."""

from __future__ import annotations

import pytest

from tests.unit.tcp.peer import PLAIN, Peer
from uinet.wire.tcp_options import Mss, Nop, WindowScale


@pytest.mark.rfc("9293", "SHLD-8", "ECN is negotiated")
def test_syn_with_ece_and_cwr_is_answered_with_ece() -> None:
    peer = Peer()
    peer.listen()
    peer.send("SEW", options=PLAIN)
    peer.expect("SE.")


@pytest.mark.rfc("9293", "MAY-18", "another congestion control (CUBIC, RFC 9438)")
@pytest.mark.xfail(strict=True, reason="NewReno is the only one")
def test_congestion_control_can_be_chosen() -> None:
    peer = Peer()
    sock = peer.passive((Mss(1460), WindowScale(7), Nop()))
    sock.setsockopt(6, 13, "cubic")
    assert sock.getsockopt(6, 13) == "cubic"
