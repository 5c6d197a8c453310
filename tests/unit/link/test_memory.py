"""Memory links."""

from __future__ import annotations

import pytest

from uinet.errors import DeviceError, DeviceGone, InvalidArgument
from uinet.link.memory import MemoryDevice, MemoryRegistry
from uinet.wire.frame import CHECKSUM_NEEDED, Frame


def frames(n: int, size: int = 60) -> list[Frame]:
    return [Frame(bytes([k % 256]) * size) for k in range(n)]


def test_frames_arrive_as_they_were_sent_offload_state_included() -> None:
    a, b = MemoryDevice.pair()
    large = Frame(bytes(60000), CHECKSUM_NEEDED, 1448, 7)
    small = Frame(b"x" * 60)
    assert a.send([large, small]) == 2
    assert b.recv() == [large, small]
    assert b.recv() == []
    assert a.statistics() == {"rx_frames": 0, "rx_bytes": 0, "tx_frames": 2, "tx_bytes": 60060}
    assert b.statistics() == {"rx_frames": 2, "rx_bytes": 60060, "tx_frames": 0, "tx_bytes": 0}


def test_recv_takes_no_more_than_its_limit() -> None:
    a, b = MemoryDevice.pair()
    a.send(frames(5))
    assert [frame.data[0] for frame in b.recv(3)] == [0, 1, 2]
    assert [frame.data[0] for frame in b.recv(3)] == [3, 4]


def test_readable_is_announced_once_a_batch() -> None:
    a, b = MemoryDevice.pair()
    calls: list[str] = []
    b.on_readable = lambda: calls.append("readable")
    a.send(frames(5))
    assert calls == ["readable"]
    assert len(b.recv()) == 5


def test_full_queue_takes_fewer_and_announces_room() -> None:
    a, b = MemoryDevice.pair(queue=4)
    calls: list[str] = []
    a.on_writable = lambda: calls.append("writable")
    batch = frames(6)
    assert a.send(batch) == 4
    assert a.send(batch[4:]) == 0
    assert len(b.recv(1)) == 1
    assert calls == []
    assert len(b.recv(1)) == 1
    assert calls == ["writable"]
    assert a.send(batch[4:]) == 2
    assert [frame.data[0] for frame in b.recv()] == [2, 3, 4, 5]
    assert calls == ["writable"]


def test_frame_longer_than_the_link_takes_is_dropped_and_counted() -> None:
    a, b = MemoryDevice.pair(mtu=1000)
    whole = a.largest()
    assert whole == 1000 + 14 + 16 * 4
    assert a.send([Frame(bytes(whole + 1)), Frame(bytes(whole))]) == 2
    assert [len(frame.data) for frame in b.recv()] == [whole]
    assert a.statistics()["tx_oversize"] == 1


def test_sending_to_a_closed_end_drops_and_counts() -> None:
    a, b = MemoryDevice.pair(queue=2)
    calls: list[str] = []
    a.on_writable = lambda: calls.append("writable")
    assert a.send(frames(3)) == 2
    b.close()
    b.close()
    assert calls == ["writable"]
    assert a.send(frames(3)) == 3
    assert a.statistics()["tx_down"] == 3
    assert b.statistics()["discarded"] == 2
    with pytest.raises(DeviceGone, match="memory/b is closed"):
        b.recv()
    with pytest.raises(DeviceGone, match="memory/b is closed"):
        b.send(frames(1))


def test_registry_joins_two_openers_of_a_name() -> None:
    registry = MemoryRegistry()
    a = registry.open("link")
    assert a.send(frames(1)) == 1  # nobody there yet
    b = registry.open("link")
    a.send(frames(2))
    assert len(b.recv()) == 2
    with pytest.raises(DeviceError, match="memory:link has both its ends in use"):
        registry.open("link")
    assert registry.open("other").peer is None
    assert MemoryRegistry().open("link").peer is None


@pytest.mark.parametrize("first", [True, False])
def test_closed_end_can_be_opened_again(first: bool) -> None:
    registry = MemoryRegistry()
    ends = [registry.open("link"), registry.open("link")]
    closed, left = ends if first else reversed(ends)
    closed.close()
    again = registry.open("link")
    left.send(frames(1))
    assert len(again.recv()) == 1
    left.close()
    again.close()
    assert registry.open("link").peer is None


def test_ends_must_agree() -> None:
    registry = MemoryRegistry()
    registry.open("link", mtu=9000)
    with pytest.raises(DeviceError, match="layer 2 and MTU 9000 at its other end, not 2 and 1500"):
        registry.open("link")
    with pytest.raises(InvalidArgument, match="can't be joined"):
        MemoryDevice("a").join(MemoryDevice("b", layer=3))
    a, b = MemoryDevice.pair()
    with pytest.raises(InvalidArgument, match="can't be joined"):
        a.join(b)
    with pytest.raises(InvalidArgument, match="queue 0"):
        MemoryDevice(queue=0)
