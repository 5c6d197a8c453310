"""Unix sockets, with the other end played by plain sockets."""

from __future__ import annotations

import select
import socket
import struct
from pathlib import Path

import pytest

from tests.unit.link.packets import Seen, packet, tcp_header
from uinet.errors import DeviceError, DeviceGone, DeviceURLError, InvalidArgument
from uinet.link.unix import UnixDatagramDevice, UnixStreamDevice
from uinet.wire.frame import CHECKSUM_NEEDED, Frame

FRAME = packet(tcp_header(), b"hello")


def readable(device: UnixStreamDevice | UnixDatagramDevice, timeout: float = 5) -> bool:
    return bool(select.select([device.fileno()], [], [], timeout)[0])


def framed(*frames: bytes) -> bytes:
    return b"".join(struct.pack(">I", len(frame)) + frame for frame in frames)


def stream(mtu: int = 1500) -> tuple[UnixStreamDevice, socket.socket]:
    mine, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    other.settimeout(5)
    return UnixStreamDevice(connection=mine, mtu=mtu), other


def exactly(sock: socket.socket, n: int) -> bytes:
    data = b""
    while len(data) < n:
        piece = sock.recv(n - len(data))
        assert piece
        data += piece
    return data


def test_frames_are_sent_behind_their_length() -> None:
    device, other = stream()
    with device, other:
        large = Frame(packet(tcp_header(), bytes(3000), state="partial"), CHECKSUM_NEEDED, 1460)
        assert device.send([Frame(FRAME), large]) == 2
        assert exactly(other, 4 + len(FRAME)) == framed(FRAME)
        for size in (1460, 1460, 80):
            (length,) = struct.unpack(">I", exactly(other, 4))
            assert len(Seen(exactly(other, length)).payload) == size


def test_frames_arrive_however_the_stream_is_cut() -> None:
    device, other = stream()
    with device, other:
        data = framed(FRAME, b"x" * 60, b"", b"y" * 1514)
        got = []
        for at in range(0, len(data), 7):
            other.sendall(data[at : at + 7])
            got += device.recv()
        assert [frame.data for frame in got] == [FRAME, b"x" * 60, b"y" * 1514]
        assert device.recv() == []


def test_frames_beyond_the_limit_are_announced_by_a_deadline() -> None:
    device, other = stream()
    with device, other:
        other.sendall(framed(b"a" * 60, b"b" * 60, b"c" * 60))
        assert device.deadline() is None
        assert len(device.recv(2)) == 2
        assert device.deadline() == 0
        assert [frame.data[:1] for frame in device.recv(2)] == [b"c"]
        assert device.deadline() is None


def test_full_stream_takes_fewer_and_loses_nothing() -> None:
    device, other = stream()
    with device, other:
        sent = [bytes([n % 256]) * 1500 for n in range(1000)]
        frames = [Frame(data) for data in sent]
        taken = device.send(frames)
        assert 0 < taken < len(frames)
        assert device.send(frames[taken:]) == 0
        received = bytearray()
        while taken < len(frames):
            received += exactly(other, 1504)
            taken += device.send(frames[taken:])
        received += exactly(other, 1504 * len(frames) - len(received))
        assert bytes(received) == framed(*sent)


def test_rest_of_a_frame_is_sent_by_the_timer() -> None:
    device, other = stream(mtu=65535)
    with device, other:
        frames = [Frame(bytes([n]) * 65535) for n in range(100)]
        taken = device.send(frames)
        assert 0 < taken < 100
        assert device.deadline() == 0
        device.poll(5_000_000)
        assert device.deadline() == 6_000_000  # still full
        assert device.send(frames[taken:]) == 0
        received = exactly(other, 65539 * (taken - 1))
        device.poll(5_999_999)
        assert device.deadline() == 6_000_000
        device.poll(6_000_000)
        assert device.deadline() is None
        received += exactly(other, 65539)
        assert received == framed(*[frame.data for frame in frames[:taken]])


def test_peer_that_hangs_up_is_reported_after_its_last_frame() -> None:
    device, other = stream()
    with device:
        other.sendall(framed(FRAME) + b"\0\0")
        other.close()
        assert [frame.data for frame in device.recv()] == [FRAME]
        with pytest.raises(DeviceGone, match="closed by its peer"):
            device.recv()
        with pytest.raises(DeviceGone):
            device.send([Frame(FRAME)])


def test_impossible_length_ends_the_stream() -> None:
    device, other = stream()
    with device, other:
        other.sendall(b"GET / HTTP/1.1\r\n")
        with pytest.raises(DeviceGone, match="its peer announced a frame of 1195725856 bytes"):
            device.recv()


def test_listening_device_serves_one_peer_after_the_other(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    device = UnixStreamDevice(path, listen=True)
    descriptor = device.fileno()
    assert device.send([Frame(FRAME)]) == 1
    assert device.statistics()["tx_down"] == 1
    for _ in range(2):
        with UnixStreamDevice(path) as client:
            client.send([Frame(b"from client " * 5)])
            assert readable(device)
            assert [frame.data for frame in device.recv()] == [b"from client " * 5]
            assert device.fileno() == descriptor
            device.send([Frame(b"to client")])
            assert readable(client)
            assert [frame.data for frame in client.recv()] == [b"to client"]
        assert readable(device)
        assert device.recv() == []
        assert not readable(device, 0)
    device.close()
    device.close()
    assert not Path(path).exists()


def test_listening_device_drops_the_peer_that_talks_nonsense(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with UnixStreamDevice(path, listen=True) as device, socket.socket(socket.AF_UNIX) as other:
        other.connect(path)
        other.sendall(b"\xff" * 100)
        assert readable(device)
        assert device.recv() == []
        other.settimeout(5)
        with pytest.raises(ConnectionResetError):  # it was closed with bytes unread, or read as an end
            if other.recv(1) == b"":
                raise ConnectionResetError
        with UnixStreamDevice(path) as client:
            client.send([Frame(FRAME)])
            assert readable(device)
            assert [frame.data for frame in device.recv()] == [FRAME]


def test_listening_device_queues_for_a_slow_peer_and_drops_beyond(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with UnixStreamDevice(path, listen=True) as device, socket.socket(socket.AF_UNIX) as other:
        other.connect(path)
        other.settimeout(5)
        frames = [Frame(bytes([n % 256]) * 1500) for n in range(2000)]
        assert device.send(frames) == 2000  # never fewer: its descriptor can't tell when there is room
        counters = device.statistics()
        assert counters["tx_full"] > 0
        assert counters["tx_frames"] + counters["tx_full"] == 2000
        expected = framed(*[frame.data for frame in frames[: counters["tx_frames"]]])
        received = b""
        while len(received) < len(expected):
            received += other.recv(100_000)
            if readable(device, 0):
                device.recv()  # wakes for the rest of the queue
        assert received == expected
        assert not readable(device, 0)


def test_left_over_socket_is_replaced_and_a_live_one_is_not(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    with UnixStreamDevice(path, listen=True), pytest.raises(DeviceError, match="is in use"):
        UnixStreamDevice(path, listen=True)
    plain = tmp_path / "plain"
    plain.write_text("a file")
    with pytest.raises(DeviceError, match="is in use"):
        UnixStreamDevice(str(plain), listen=True)
    assert plain.read_text() == "a file"


def test_link_to_a_left_over_socket_is_not_replaced(tmp_path: Path) -> None:
    path, link = tmp_path / "socket", tmp_path / "link"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    link.symlink_to(path)
    with pytest.raises(DeviceError, match="is in use"):
        UnixStreamDevice(str(link), listen=True)
    assert link.is_symlink()


def test_errors_are_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"nobody listens there \(listen=1 makes this side wait"):
        UnixStreamDevice(str(tmp_path / "nothing"))
    with pytest.raises(DeviceURLError, match="at most 107 bytes"):
        UnixStreamDevice("x" * 108)
    with pytest.raises(DeviceURLError, match="path of a socket is missing"):
        UnixDatagramDevice("")
    datagrams = str(tmp_path / "datagrams")
    with UnixDatagramDevice(datagrams, listen=True), pytest.raises(DeviceError, match="of the other mode"):
        UnixStreamDevice(datagrams)


def test_datagrams_both_ways(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with UnixDatagramDevice(path, listen=True) as server, UnixDatagramDevice(path) as client:
        assert server.send([Frame(FRAME)]) == 1  # nobody has said anything yet
        assert server.statistics()["tx_down"] == 1
        assert client.send([Frame(FRAME), Frame(b"second")]) == 2
        assert readable(server)
        assert [frame.data for frame in server.recv()] == [FRAME, b"second"]
        server.send([Frame(b"answer")])
        assert [frame.data for frame in client.recv()] == [b"answer"]
    assert not Path(path).exists()


def test_full_datagram_peer_is_back_pressure_for_who_connected(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with UnixDatagramDevice(path, listen=True) as server, UnixDatagramDevice(path) as client:
        frames = [Frame(bytes(1500))] * 5000
        taken = client.send(frames)
        assert 0 < taken < 5000
        assert not select.select([], [client.fileno()], [], 0)[1]
        while server.recv():
            pass
        assert select.select([], [client.fileno()], [], 5)[1]
        assert client.send(frames[taken:]) > 0


def test_full_datagram_peer_is_loss_for_who_listens(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with UnixDatagramDevice(path, listen=True) as server, UnixDatagramDevice(path) as client:
        client.send([Frame(FRAME)])
        server.recv()
        assert server.send([Frame(bytes(1500))] * 5000) == 5000
        counters = server.statistics()
        assert counters["tx_full"] == 5000 - counters["tx_frames"] > 0


def test_datagram_peer_may_be_started_anew(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    server = UnixDatagramDevice(path, listen=True)
    with UnixDatagramDevice(path, local=str(tmp_path / "local")) as client:
        server.close()
        assert client.send([Frame(FRAME)]) == 1
        assert client.statistics()["tx_down"] == 1
        assert client.recv() == []
        with UnixDatagramDevice(path, listen=True) as again:
            assert client.send([Frame(FRAME)]) == 1
            assert [frame.data for frame in again.recv()] == [FRAME]
            again.send([Frame(b"answer")])
            assert [frame.data for frame in client.recv()] == [b"answer"]
    assert not (tmp_path / "local").exists()


def test_abstract_names_leave_no_file(tmp_path: Path) -> None:
    name = f"@{tmp_path.name}-uinet"
    with UnixStreamDevice(name, listen=True) as server, UnixStreamDevice(name) as client:
        client.send([Frame(FRAME)])
        assert readable(server)
        assert [frame.data for frame in server.recv()] == [FRAME]


def test_oversize_frames_are_dropped_and_counted(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    device, other = stream()
    with device, other, UnixDatagramDevice(path, listen=True) as server:
        for one in (device, server):
            assert one.send([Frame(bytes(one.largest() + 1))]) == 1
            assert one.statistics()["tx_oversize"] == 1


# a peer that comes and goes


MS = 1_000_000


def test_device_that_reconnects_needs_no_peer_at_first(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with UnixStreamDevice(path, reconnect=100 * MS) as device:
        descriptor = device.fileno()
        assert device.deadline() == 0
        device.poll(1000 * MS)
        assert device.deadline() == 1100 * MS
        assert device.send([Frame(FRAME)]) == 1
        assert device.statistics()["tx_down"] == 1
        with UnixStreamDevice(path, listen=True) as server:
            device.poll(1099 * MS)  # too early
            assert device.deadline() == 1100 * MS
            device.poll(1100 * MS)
            assert device.deadline() is None
            assert device.send([Frame(FRAME)]) == 1
            assert readable(server)
            assert [frame.data for frame in server.recv()] == [FRAME]
            server.send([Frame(b"answer")])
            assert readable(device)
            assert [frame.data for frame in device.recv()] == [b"answer"]
        assert readable(device)
        assert device.recv() == []  # the peer has hung up
        assert device.deadline() == 0
        with UnixStreamDevice(path, listen=True) as server:
            device.poll(1300 * MS)
            assert device.fileno() == descriptor
            device.send([Frame(b"again")])
            assert readable(server)
            assert [frame.data for frame in server.recv()] == [b"again"]


def test_peer_that_hangs_up_at_once_is_not_called_all_the_time(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listener, UnixStreamDevice(path, reconnect=100 * MS) as device:
        listener.bind(path)
        listener.listen(8)
        now, accepted = 1000 * MS, 0
        listener.setblocking(False)
        for _ in range(100):
            device.poll(now)
            try:
                connection, _ = listener.accept()
                connection.close()
                accepted += 1
            except BlockingIOError:
                pass
            device.recv()
            now += 10 * MS
        assert accepted == 10


def test_half_a_frame_is_forgotten_with_its_peer(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(8)
        with UnixStreamDevice(path, reconnect=MS) as device:
            first, _ = listener.accept()
            first.sendall(framed(FRAME)[:20])
            assert device.recv() == []
            first.close()
            assert device.recv() == []
            device.poll(1000 * MS)
            second, _ = listener.accept()
            with second:
                second.sendall(framed(b"whole frame"))
                assert [frame.data for frame in device.recv()] == [b"whole frame"]


def test_datagram_peer_may_come_later(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with UnixDatagramDevice(path, wait=True) as client:
        assert client.send([Frame(FRAME)]) == 1
        assert client.statistics()["tx_down"] == 1
        assert client.recv() == []
        with UnixDatagramDevice(path, listen=True) as server:
            assert client.send([Frame(FRAME)]) == 1
            assert [frame.data for frame in server.recv()] == [FRAME]
            server.send([Frame(b"answer")])
            assert [frame.data for frame in client.recv()] == [b"answer"]


def test_wrong_options_leave_no_socket_behind(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with pytest.raises(InvalidArgument):
        UnixDatagramDevice(str(path), listen=True, mtu=10)
    assert not path.exists()
    (tmp_path / "folder").mkdir()
    with pytest.raises(DeviceError, match="is in use"):
        UnixDatagramDevice(str(tmp_path / "folder"), listen=True)
