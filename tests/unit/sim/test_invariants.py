"""The invariants of every trace: each has a trace that breaks it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from uinet.sim.invariants import Violation, Watch, segment_of
from uinet.wire import build
from uinet.wire.dissection import dissect

MSS = b"\2\4\5\xb4"
Ours = Callable[..., None]


def talk() -> tuple[Watch, Ours]:
    """A connection that is established: the peer's ISN is 100, ours 500, both windows 1000 bytes."""
    watch = Watch()

    def ours(
        flags: str, seq: int, ack: int = 0, payload: bytes = b"", window: int = 1000, options: bytes = b""
    ) -> None:
        area = options or (MSS if "S" in flags else b"")
        frame = build.tcp("10.0.0.1", "10.0.0.2", 1, 2, flags, seq, ack, window, area, payload)
        watch.from_stack(segment_of(dissect(frame), 0))

    watch.from_peer("S", 100, 0, 1000, 0, ())
    ours("S.", 500, 101)
    watch.from_peer(".", 101, 501, 1000, 0, ())
    return watch, ours


def test_an_ordinary_trace_breaks_nothing() -> None:
    watch, ours = talk()
    ours("P.", 501, 101, b"x" * 1000)
    ours("P.", 501, 101, b"x" * 1000)
    watch.from_peer("P.", 101, 1501, 0, 50, ())
    ours(".", 1501, 151, b"", 950)
    ours(".", 1501, 151, b"y", 950)  # the probe of a closed window
    watch.from_peer("F.", 151, 1502, 1000, 0, ())
    ours("F.", 1502, 152, b"", 949)
    ours("R.", 1503, 152, b"", 0)


@pytest.mark.parametrize(("what", "segment"), [
    ("beyond the window", ("P.", 501, 101, b"x" * 1001)),
    ("never sent", (".", 501, 102)),
    ("the right edge goes back by 1", (".", 501, 101, b"", 999)),
    ("an option of SYNs", (".", 501, 101, b"", 1000, MSS)),
    ("malformed", (".", 501, 101, b"", 1000, b"\2\\9\0\0")),
    ("padding", (".", 501, 101, b"", 1000, b"\0\0\0\1")),
    ("without MSS", ("S.", 500, 101, b"", 1000, b"\1\1\1\1")),
    ("not beyond the ACK", (".", 501, 101, b"", 1000, b"\1\1\5\x0a" + bytes((0, 0, 0, 200, 0, 0, 0, 190)))),
    ("SACK block beyond the window", (".", 501, 101, b"", 1000, b"\1\1\5\x0a" + bytes((0, 0, 8, 0, 0, 0, 9, 0)))),
    ("D-SACK of nothing", (".", 501, 101, b"", 1000, b"\1\1\5\x0a" + bytes((0, 0, 0, 90, 0, 0, 0, 90)))),
])
def test_what_breaks_one_is_named(what: str, segment: tuple[object, ...]) -> None:
    _, ours = talk()
    with pytest.raises(Violation, match=what):
        ours(*segment)


def test_an_ack_that_goes_back() -> None:
    watch, ours = talk()
    watch.from_peer(".", 101, 501, 1000, 50, ())
    ours(".", 501, 151)
    with pytest.raises(Violation, match="an ACK goes back"):
        ours(".", 501, 150)


def test_a_retransmission_with_other_bytes() -> None:
    _, ours = talk()
    ours("P.", 501, 101, b"abc")
    with pytest.raises(Violation, match="other bytes"):
        ours("P.", 502, 101, b"bX")


def test_a_wrong_checksum() -> None:
    watch, _ = talk()
    frame = bytearray(build.tcp("10.0.0.1", "10.0.0.2", 1, 2, ".", 501, 101))
    frame[-1] ^= 1
    with pytest.raises(Violation, match="checksum"):
        watch.from_stack(segment_of(dissect(bytes(frame)), 0))


def test_syns_into_a_connection_count_once_they_are_answered() -> None:
    """A SYN that is only challenged changes nothing; one that begins anew makes the old numbers void."""
    watch, ours = talk()
    ours("P.", 501, 101, b"abc")
    watch.from_peer("S", 5000, 0, 10, 0, ())
    ours(".", 504, 101)
    with pytest.raises(Violation, match="never sent"):
        ours(".", 504, 5001)
    watch.from_peer("S", 5000, 0, 10, 0, ())
    ours("S.", 9000, 5001, b"", 10)
    watch.from_peer(".", 5001, 9001, 10, 0, ())
    ours("P.", 9001, 5001, b"X", 10)
