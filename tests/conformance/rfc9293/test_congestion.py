"""RFC 9293 3.8.2: what may stand in for congestion control. ECN: tests/conformance/test_ecn.py."""

from __future__ import annotations

import pytest

from tests.unit.tcp.peer import Peer
from uinet.wire.tcp_options import Mss, Nop, WindowScale


@pytest.mark.rfc("9293", "MAY-18", "another congestion control: CUBIC is the default, NewReno can be had")
def test_congestion_control_can_be_chosen() -> None:
    names = []
    for settings in ({}, {"congestion": "cubic"}, {"congestion": "newreno"}):
        peer = Peer(**settings)
        sock = peer.passive((Mss(1460), WindowScale(7), Nop()))
        sock.send(b"x")
        peer.flush()
        assert sock.tcb is not None and sock.tcb.congestion is not None
        names.append(sock.tcb.congestion.name)
    assert names == ["cubic", "cubic", "newreno"]
