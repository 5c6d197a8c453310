"""``uinet.follow`` and `deliver`: every byte, every hole, from every kind of source, and nothing kept too long."""

from __future__ import annotations

import gc
import io
import os
import threading
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest

import uinet
from tests.unit.following.talk import EPOCH, Talk, capture, whole
from uinet.following import Chunk, Handler, deliver
from uinet.following.api import Follow
from uinet.passive.connection import Connection
from uinet.passive.half import Half

CLIENT, SERVER = Random(1).randbytes(10_000), Random(2).randbytes(200_000)
ONE = capture(whole(CLIENT, SERVER, vlans=(100, 200)))
LOST = capture(Talk().opened().says(0, b"0123456789" * 300, 1000, lost=[1]).closed())


def many(number: int) -> bytes:
    return capture(*(
        whole(b"%d asks" % n, b"%d answers" % n, client=("10.0.0.1", 1024 + n), start=EPOCH + n * 100)
        for n in range(number)
    ))


def test_both_streams_are_whole_and_who_is_who_is_said() -> None:
    (conn,) = uinet.follow(ONE)
    assert [str(part) for part in conn.client.endpoint] == ["10.0.0.1", "1234"]
    assert [str(part) for part in conn.server.endpoint] == ["10.0.0.2", "80"]
    assert [tag.vid for tag in conn.vlans] == [100, 200]
    assert (conn.client.bytes, conn.server.bytes) == (10_000, 200_000)
    assert (conn.client.read(), conn.server.read()) == (CLIENT, SERVER)
    assert (conn.client.sha256, conn.server.sha256) == (sha256(CLIENT).hexdigest(), sha256(SERVER).hexdigest())
    assert (conn.client.holes, conn.client.fin, conn.server.fin) == ([], True, True)
    assert (conn.serial, conn.close_reason, conn.midstream, conn.notes) == (0, "fin", False, [])
    assert conn.start == EPOCH / 1e9
    assert conn.end > conn.start


def test_chunks_are_in_order_and_can_be_had_any_number_of_times() -> None:
    (conn,) = uinet.follow(ONE)
    for _ in range(2):
        chunks = list(conn.server)
        assert b"".join(chunk.data for chunk in chunks) == SERVER
        assert all(0 < chunk.length <= 65536 and chunk.length == len(chunk.data) for chunk in chunks)
        assert [chunk.offset for chunk in chunks[1:]] == [chunk.offset + chunk.length for chunk in chunks[:-1]]
        assert [chunk.time for chunk in chunks] == sorted(chunk.time for chunk in chunks)
    assert len(chunks) == 4


def test_hole_has_place_length_reason_and_is_zeros_for_who_does_not_ask() -> None:
    (conn,) = uinet.follow(LOST)
    assert conn.client.holes == [(1000, 1000, "lost")]
    assert conn.client.hole_bytes == 1000
    chunks = list(conn.client)
    assert [(chunk.offset, chunk.length, chunk.hole, len(chunk.data)) for chunk in chunks] == [
        (0, 1000, None, 1000), (1000, 1000, "lost", 0), (2000, 1000, None, 1000),
    ]
    expected = b"0123456789" * 100 + bytes(1000) + b"0123456789" * 100
    assert conn.client.read() == expected
    assert conn.client.sha256 == sha256(expected).hexdigest()


def test_record_is_that_of_the_command_line() -> None:
    (conn,) = uinet.follow(LOST)
    zeros = b"0123456789" * 100 + bytes(1000) + b"0123456789" * 100
    found = conn.as_dict()
    assert found["client"] | {"mac": None} == found["client"] | {
        "ip": "10.0.0.1", "port": 1234, "mac": None, "bytes": 3000, "holes": [[1000, 1000, "lost"]],
        "sha256": sha256(zeros).hexdigest(),
    }
    assert found["server"]["sha256"] == sha256(b"").hexdigest()
    assert found["start"] == EPOCH / 1e9
    assert (found["serial"], found["vlans"], found["close"], found["midstream"]) == (0, [], "fin", False)


def test_a_stream_that_is_too_long_is_not_read_by_accident() -> None:
    (conn,) = uinet.follow(ONE)
    with pytest.raises(uinet.InvalidArgument, match="a stream of 200000 bytes is more than 1000"):
        conn.server.read(limit=1000)


def test_connections_come_in_the_order_in_which_they_end() -> None:
    long = Talk().opened()
    short = whole(b"a", b"b", client=("10.0.0.9", 9), start=long.time)
    long.time = short.time + 1
    long.says(0, b"later").closed()
    assert [conn.serial for conn in uinet.follow(capture(long, short))] == [1, 0]


@pytest.mark.parametrize("kind", ["path", "Path", "file", "BytesIO", "bytes", "bytearray", "memoryview", "pcap URL"])
def test_every_kind_of_source(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "one.pcap"
    path.write_bytes(ONE)
    source = {
        "path": str(path), "Path": path, "BytesIO": io.BytesIO(ONE), "bytes": ONE, "bytearray": bytearray(ONE),
        "memoryview": memoryview(ONE), "pcap URL": f"pcap:{path}",
    }
    if kind == "file":
        with path.open("rb") as file:
            found = list(uinet.follow(file))
            assert not file.closed
    else:
        found = list(uinet.follow(source[kind]))
    assert [conn.server.read() for conn in found] == [SERVER]


def test_device_is_a_source_and_stays_open(tmp_path: Path) -> None:
    path = tmp_path / "one.pcap"
    path.write_bytes(ONE)
    with uinet.open_device(f"pcap:{path}") as device:
        (conn,) = uinet.follow(device)
        assert not device.closed
    assert conn.server.read() == SERVER


def test_several_captures_are_one(tmp_path: Path) -> None:
    talk = whole(CLIENT, SERVER)
    parts = [Talk(), Talk(), Talk()]
    for number, packet in enumerate(talk.packets):
        parts[number * 3 // len(talk.packets)].packets.append(packet)
    paths = []
    for number, part in enumerate(parts):
        paths.append(tmp_path / f"{number}.pcap")
        paths[-1].write_bytes(capture(part))
    with uinet.follow(paths) as following:
        (conn,) = following
        assert following.position == following.size == sum(path.stat().st_size for path in paths)
    assert (conn.client.read(), conn.server.read()) == (CLIENT, SERVER)


def test_a_file_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    there = tmp_path / "there.pcap"
    there.write_bytes(ONE)
    for source in (tmp_path / "none.pcap", [there, tmp_path / "none.pcap"]):
        with pytest.raises(uinet.DeviceError, match=r"none.pcap: No such file or directory"):
            uinet.follow(source)
    with pytest.raises(uinet.InvalidArgument, match="nothing to follow"):
        uinet.follow([])


def test_damage_comes_after_all_that_came_before_it() -> None:
    following = uinet.follow(many(5) + b"\xff" * 40)
    found = []
    with pytest.raises(uinet.CaptureError, match="damaged"):
        for conn in following:
            found.append(conn.client.read())  # noqa: PERF401 - a comprehension would lose them
    assert found == [b"%d asks" % n for n in range(5)]
    assert list(following) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [("deadline", -1), ("deadline", float("nan")), ("idle", 0), ("skew", -0.1), ("overlap", "middle"),
     ("checksums", "x"), ("urgent", "x")],
)
def test_nonsense_is_refused_before_anything_is_read(name: str, value: object) -> None:
    with pytest.raises(uinet.InvalidArgument, match=name):
        uinet.follow(ONE, **{name: value})  # type: ignore[arg-type]


def test_more_than_memory_goes_to_the_file_and_is_given_back() -> None:
    following = uinet.follow(many(200), memory=20_000)
    found = list(following)
    spool = following._keeper.spool
    assert spool.in_file > 0
    assert [conn.client.read() for conn in found] == [b"%d asks" % n for n in range(200)]
    assert [conn.server.read() for conn in found] == [b"%d answers" % n for n in range(200)]
    del found
    assert (spool.in_memory, spool.in_file, spool.end) == (0, 0, 0)


def test_what_is_over_the_spool_limit_is_a_hole_and_the_record_says_so() -> None:
    (conn,) = uinet.follow(ONE, memory=0, spool_limit=1 << 17)
    holes = conn.server.holes
    assert {reason for _, _, reason in holes} == {"overrun"}
    assert conn.server.bytes == 200_000
    read = conn.server.read()
    for offset, length, _ in holes:
        assert read[offset : offset + length] == bytes(length)
        read = read[:offset] + SERVER[offset : offset + length] + read[offset + length :]
    assert read == SERVER
    assert conn.as_dict()["server"]["holes"] == [list(hole) for hole in holes]


def test_given_out_connections_outlive_the_iterator() -> None:
    with uinet.follow(many(3), memory=0) as following:
        conn = next(following)
    del following
    gc.collect()
    assert conn.client.read() == b"0 asks"


def test_abandoned_iterator_leaves_nothing_behind() -> None:
    gc.collect()
    talks = [Talk(client=("10.0.0.1", 1000 + n)).opened().says(0, b"never ends") for n in range(50)]
    data = capture(whole(b"x", b"y", start=EPOCH - 10**9), *talks)
    before = len(gc.get_objects())

    def look() -> None:
        following = uinet.follow(data)
        assert next(following).client.read() == b"x"
        spool.append(following._keeper.spool)

    spool: list[object] = []
    look()
    gc.collect()
    assert not any(type(each) is Follow for each in gc.get_objects())  # isinstance would wake lazy modules
    assert len(gc.get_objects()) - before < 50
    assert spool[0].in_memory == 0  # type: ignore[attr-defined]


def test_pipe_is_followed_while_it_is_written() -> None:
    read, write = os.pipe()

    def feed() -> None:
        for at in range(0, len(ONE), 5000):
            os.write(write, ONE[at : at + 5000])
        os.close(write)

    with open(read, "rb") as file:
        thread = threading.Thread(target=feed)
        thread.start()
        (conn,) = uinet.follow(file)
        thread.join(20)
    assert conn.server.read() == SERVER


class Log(Handler):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[tuple[object, ...]] = []
        self.streams: dict[tuple[int, str], bytes] = {}

    def opened(self, connection: Connection) -> None:
        self.said.append(("opened", connection.serial))

    def chunk(self, connection: Connection, half: Half, offset: int, data: bytes, time: int) -> None:
        side = "client" if half is connection.client else "server"
        key = (connection.serial, side)
        assert len(self.streams.get(key, b"")) == offset
        assert isinstance(data, bytes)
        assert 0 < len(data) <= 65536
        self.streams[key] = self.streams.get(key, b"") + data
        self.said.append(("chunk", *key, offset, len(data)))

    def hole(self, connection: Connection, half: Half, offset: int, length: int, reason: str, time: int) -> None:
        key = (connection.serial, "client" if half is connection.client else "server")
        self.streams[key] = self.streams.get(key, b"") + bytes(length)
        self.said.append(("hole", *key, offset, length, reason))

    def closed(self, connection: Connection) -> None:
        self.said.append(("closed", connection.serial, connection.close))


def test_deliver_tells_every_byte_in_large_chunks() -> None:
    log = Log()
    counters = deliver(ONE, log)
    assert log.streams == {(0, "client"): CLIENT, (0, "server"): SERVER}
    assert log.said[0] == ("opened", 0)
    assert log.said[-1] == ("closed", 0, "fin")
    assert len(log.said) == 2 + 1 + 4
    assert counters["packets"] == len(whole(CLIENT, SERVER).packets)


def test_deliver_ends_a_chunk_at_a_hole() -> None:
    log = Log()
    deliver(LOST, log)
    assert log.said == [
        ("opened", 0), ("chunk", 0, "client", 0, 1000), ("hole", 0, "client", 1000, 1000, "lost"),
        ("chunk", 0, "client", 2000, 1000), ("closed", 0, "fin"),
    ]


def test_handler_need_not_have_all_methods() -> None:
    class Counts:
        bytes = 0

        def chunk(self, connection: Connection, half: Half, offset: int, data: bytes, time: int) -> None:
            self.bytes += len(data)

    counts = Counts()
    deliver(ONE, counts)
    assert counts.bytes == 210_000
    deliver(ONE, object())


@pytest.mark.parametrize("where", ["opened", "chunk", "hole", "closed"])
def test_what_a_handler_raises_ends_the_delivery(where: str) -> None:
    class Fails(Log):
        pass

    def fail(*arguments: object) -> None:
        calls.append(where)
        raise ZeroDivisionError(where)

    calls: list[str] = []
    handler = Fails()
    setattr(handler, where, fail)
    with pytest.raises(ZeroDivisionError, match=where):
        deliver([LOST, LOST], handler)
    assert calls == [where]


def test_live_chunks_are_not_held_back() -> None:
    """A reader of a pipe sees what has been written before the next packet comes."""
    read, write = os.pipe()
    talk = Talk().opened().says(0, b"first").says(0, b"second").closed()
    data = capture(talk)
    cut = data.index(b"first") + 5

    class Feeds(Log):
        def chunk(self, connection: Connection, half: Half, offset: int, data_: bytes, time: int) -> None:
            super().chunk(connection, half, offset, data_, time)
            if data_ == b"first":
                os.write(write, data[cut:])
                os.close(write)

    os.write(write, data[:cut])
    log = Feeds()
    with open(read, "rb") as file:
        deliver(file, log)
    assert log.streams == {(0, "client"): b"firstsecond"}
    assert ("chunk", 0, "client", 0, 5) in log.said


def test_chunk_says_what_it_is() -> None:
    assert Chunk(5, b"abc", None, 1.5, 3)._asdict() == {
        "offset": 5, "data": b"abc", "hole": None, "time": 1.5, "length": 3,
    }
