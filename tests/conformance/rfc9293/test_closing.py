"""RFC 9293 3.5.3 and 3.6: how connections end, and what the user hears of it."""

from __future__ import annotations

import pytest

from tests.unit.tcp.peer import Peer, read
from uinet.errors import ConnectionReset
from uinet.events import EV_CLOSED, EV_EOF, EV_ERROR
from uinet.units import MASK32

STATES = ["passive", "active", "close_wait", "fin_wait_1", "fin_wait_2"]


@pytest.mark.rfc("9293", "SHLD-2", "a RST with data is taken")
@pytest.mark.parametrize("state", [*STATES, "closing", "last_ack"])
@pytest.mark.parametrize("v6", [False, True])
def test_any_state_rst_with_data_resets(state: str, v6: bool) -> None:
    peer = Peer(v6=v6)
    sock = getattr(peer, state)()
    peer.drain()
    peer.send("R", data=b"go away, I do not know you")
    peer.quiet()
    assert sock.state == "CLOSED"
    assert read_nothing(sock) is (ConnectionReset if state in STATES else None)


def read_nothing(sock: object) -> type[BaseException] | None:
    """What reading raises; there is nothing to read."""
    try:
        assert sock.recv(100) == b""  # type: ignore[attr-defined]
    except OSError as error:
        return type(error)
    return None


@pytest.mark.rfc("9293", "MUST-12", "a normal close is told from an abort")
@pytest.mark.parametrize("v6", [False, True])
def test_established_fin_is_told_as_the_end_and_rst_as_an_error(v6: bool) -> None:
    peer = Peer(v6=v6)
    sock = peer.passive()
    peer.data(b"last words", "FP.")
    ((told, events),) = peer.stack.events()
    assert told is sock and events & EV_EOF and not events & EV_ERROR
    assert read(sock) == b"last words" and sock.recv(10) == b"" and sock.error is None
    other = Peer(v6=v6)
    sock = other.passive()
    other.data(b"last words")
    other.send("R")
    ((told, events),) = other.stack.events()
    assert told is sock and events & EV_ERROR and events & EV_CLOSED and not events & EV_EOF
    assert sock.recv(100) == b"last words"
    with pytest.raises(ConnectionResetError):
        sock.recv(100)
    assert isinstance(sock.error, ConnectionReset)


@pytest.mark.rfc("9293", "MAY-1", "a socket that is closed can't be read, one whose sending side is shut can")
def test_half_close_is_another_call_than_close() -> None:
    peer = Peer()
    sock = peer.fin_wait_2()
    for _ in range(5):
        peer.advance(3600)
        peer.data(b"still talking")
        assert read(sock) == b"still talking"
    other = Peer()
    sock = other.passive()
    sock.close()
    with pytest.raises(OSError):
        sock.recv(1)


@pytest.mark.rfc("9293", "MUST-13", "nothing is left after 2 MSL")
@pytest.mark.parametrize("v6", [False, True])
@pytest.mark.parametrize("msl", [1, 30, 120])
def test_time_wait_lasts_2_msl(v6: bool, msl: int) -> None:
    peer = Peer(v6=v6, msl=msl * 10**9)
    peer.time_wait().close()
    peer.advance(2 * msl - 0.1)
    peer.send("F.", (peer.seq - 1) & MASK32)
    peer.expect(".", ack=peer.seq)
    peer.advance(2 * msl - 0.1)
    assert len(peer.stack.tcp.time_wait) == 1
    peer.listener.close()
    peer.gone(0.2)
