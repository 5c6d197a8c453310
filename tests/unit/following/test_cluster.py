"""Following on a cluster: the records are those of one process."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import uinet
from tests.unit.following.archive import SECOND, START, files, packets
from tests.unit.following.talk import Talk
from uinet.cli import main
from uinet.errors import CaptureError, DeviceError, FilterError, InvalidArgument
from uinet.following import shares
from uinet.following.api import Run, options
from uinet.following.cluster import Cluster, ClusterError
from uinet.following.inputs import Sources
from uinet.following.records import NO_DIGEST, Record, Recorder, plain
from uinet.passive.clock import PacketClock
from uinet.passive.options import Options

distributed = pytest.importorskip("distributed")


class Future:
    def __init__(self, value: Any) -> None:
        self.value = value

    def result(self, timeout: float | None = None) -> Any:
        return self.value


class Here:
    """A cluster of one worker that is this thread: everything is done when it is submitted."""

    loop = None

    def __init__(self, worker: Any, threads: int = 3) -> None:
        self.worker = worker
        self.threads = threads
        self.calls: list[str] = []

    def submit(self, function: Callable[..., Any], *arguments: Any, **_: Any) -> Future:
        self.calls.append(function.__name__)
        return Future(function(*map(value, arguments)))

    def gather(self, futures: list[Future]) -> list[Any]:
        return value(futures)  # type: ignore[no-any-return]

    def run(self, function: Callable[..., Any], *arguments: Any, **_: Any) -> dict[str, Any]:
        more = {"dask_worker": self.worker} if function is shares.clean else {}
        return {"here": function(*arguments, **more)}

    def nthreads(self) -> dict[str, int]:
        return {"here": self.threads}

    def close(self) -> None:
        self.worker = None


def value(argument: Any) -> Any:
    if isinstance(argument, Future):
        return argument.value
    return [value(one) for one in argument] if isinstance(argument, list) else argument


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    """The cluster at every address is this thread."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    worker = SimpleNamespace(address="here", local_directory=str(scratch))
    client = Here(worker)

    @contextmanager
    def inside() -> Iterator[Here]:
        yield client

    monkeypatch.setattr(distributed, "get_worker", lambda: worker)
    monkeypatch.setattr(distributed, "worker_client", inside)
    monkeypatch.setattr(distributed, "Client", lambda *_, **__: client)
    monkeypatch.setattr(distributed, "as_completed", lambda futures, **_: futures)
    return client


def single(paths: list[str], chosen: Options) -> list[Record]:
    """What one process finds."""
    found: list[Record] = []
    run = Run(Sources(paths), Recorder(found.append).sink, chosen)
    while run.step():
        pass
    return sorted(found, key=lambda record: record["serial"])


def spread(paths: list[str], chosen: Options, address: str = "here", **more: Any) -> list[Record]:
    """What a cluster finds."""
    with Cluster(address, paths, chosen, **more) as cluster:
        return [plain(found.record) for found in cluster]


def same(paths: list[str], **chosen: Any) -> int:
    """Asserts that both find the same; how many connections."""
    expected, found = single(paths, options(**chosen)), spread(paths, options(**chosen))
    for one, other in zip(expected, found, strict=False):
        if NO_DIGEST not in (*one.get("notes", []), *other.get("notes", [])):  # whose limit is that of a process
            assert other == one
    assert len(found) == len(expected)
    return len(expected)


CHOICES: list[dict[str, Any]] = [
    {}, {"midstream": True}, {"midstream": True, "deadline": 0.5, "skew": 0.0, "idle": 5.0}, {"overlap": "last"},
    {"ignore_vlans": True, "midstream": True}, {"checksums": "verify"}, {"checksums": "ignore", "idle": 60.0},
]


@pytest.mark.parametrize("chosen", CHOICES, ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_records_are_those_of_one_process_wherever_the_capture_is_cut(
    seed: int, chosen: dict[str, Any], here: Here, tmp_path: Path
) -> None:
    capture = packets(seed, 60)
    rng = random.Random(seed)
    cuts = sorted(rng.randrange(len(capture)) for _ in range(rng.choice([1, 3, 6])))
    assert same(files(tmp_path, capture, cuts), **chosen) > 20
    assert here.calls.count("join") > 0


def test_each_file_may_be_cut_packet_by_packet(here: Here, tmp_path: Path) -> None:
    capture = packets(5, 4, span=2)
    assert same(files(tmp_path, capture, list(range(1, len(capture))))) > 1


def test_one_file_has_nothing_to_share(here: Here, tmp_path: Path) -> None:
    assert same(files(tmp_path, packets(6, 20), [])) > 5
    assert "join" not in here.calls
    assert "overlap" not in here.calls


def test_a_connection_that_is_idle_for_too_long_ends_by_the_time_of_later_files(here: Here, tmp_path: Path) -> None:
    idle = Talk(client=("10.0.0.1", 1111), start=START).opened().says(0, b"x" * 10)
    late = Talk(client=("10.0.0.2", 2222), start=START + 700 * SECOND).opened()
    alive = Talk(client=("10.0.0.3", 3333), start=START + 699 * SECOND).opened()
    paths = files(tmp_path, idle.packets + alive.packets + late.packets, [5])
    assert same(paths) == 3
    assert [record["close"] for record in spread(paths, options())] == ["timeout", "end", "end"]
    assert [record["close"] for record in spread(paths[:1], options())] == ["end"]


def test_fragments_of_one_datagram_in_two_files_are_put_together(here: Here, tmp_path: Path) -> None:
    from uinet.wire import build

    talk = Talk(start=START).opened()
    before = list(talk.packets)
    talk.send(0, "A", b"0123456789" * 100)
    time, frame = talk.packets[-1]
    pieces = [build.frame(piece) for piece in build.fragments(frame[14:], 400, 7)]
    talk.packets[:] = before + [(time + number, piece) for number, piece in enumerate(pieces)]
    talk.send(1, "A")
    paths = files(tmp_path, talk.packets, [4])
    assert len(pieces) == 3
    assert same(paths) == 1
    (record,) = spread(paths, options())
    assert (record["client"]["bytes"], record["client"]["holes"]) == (1000, [])


@pytest.mark.parametrize("leap", [3, 10, -5])
def test_a_clock_that_is_set_is_followed_from_file_to_file(leap: int, here: Here, tmp_path: Path) -> None:
    capture = packets(9, 40, span=20)
    for number in range(len(capture) // 2, len(capture)):
        capture[number] = (capture[number][0] + leap * 86_400 * SECOND, capture[number][1])
    half = len(capture) // 2
    for cuts in ([half], [half + 3], [half - 20], [half + 7, half + 9]):
        directory = tmp_path / str(cuts)
        directory.mkdir()
        same(files(directory, capture, cuts), midstream=True)


def test_what_a_scan_says_of_the_clock_is_what_it_does() -> None:
    rng = random.Random(3)
    known = unknown = 0
    for _ in range(400):
        clock, begin = PacketClock(), shares.Begin()
        time = START
        for _ in range(3):
            stamps = []
            for _ in range(rng.choice([0, 1, 5, 9, 30])):
                time += rng.choice([1, SECOND, -SECOND, SECOND, 3600 * SECOND])
                if rng.random() < 0.02:
                    time += rng.choice([-1, 1]) * 3 * 86_400 * SECOND
                stamps.append(time)
            scanner = shares.Scanner(Options(), seed=b"")
            for stamp in stamps:
                scanner.frames += 1
                scanner.enqueue(1, b"", 0, 0, 0, stamp)
                clock.tick(stamp)
            rest = (scanner.first, scanner.least, scanner.most) if scanner.most >= scanner.least else None
            found = shares.after(begin, shares.Scan(
                len(stamps), [], frozenset(), frozenset(), 0, 0, scanner.head, rest, scanner.steady, "",
            ))
            if found is None:
                unknown += 1
                break
            known += 1
            begin = found
            assert (begin.now, begin.shift, begin.strange) == (clock.now, clock.shift, clock.strange)
    assert known > 600
    assert unknown > 20


def test_a_clock_that_a_scan_can_not_tell_is_read_again(here: Here, tmp_path: Path) -> None:
    capture = packets(10, 30, span=20)
    far = len(capture) * 2 // 3
    capture[far:] = [(time + 3 * 86_400 * SECOND, frame) for time, frame in capture[far:]]
    same(files(tmp_path, capture, [far // 2]))
    assert "clock_after" in here.calls


def test_a_filter_leaves_packets_their_numbers(here: Here, tmp_path: Path) -> None:
    paths = files(tmp_path, packets(11, 40), [100, 200])
    try:
        expected = list(uinet.follow(paths, filter="host 10.0.0.1"))
    except FilterError:
        pytest.skip("no libpcap")
    found = spread(paths, options(), filter="host 10.0.0.1")
    assert sorted(record["serial"] for record in found) == sorted(conn.serial for conn in expected)
    assert {record["client"]["ip"] for record in found} == {"10.0.0.1"}
    with Cluster("here", paths, options(), filter="host 10.0.0.1") as cluster:
        list(cluster)
    assert cluster.stats["packets"] == len(packets(11, 40))


def test_counters_add_up_to_those_of_one_process(here: Here, tmp_path: Path) -> None:
    paths = files(tmp_path, packets(12, 50), [50, 300, 400])
    with uinet.follow(paths) as follow:
        count = sum(1 for _ in follow)
        expected = follow.stats
    with Cluster("here", paths, options()) as cluster:
        assert sum(1 for _ in cluster) == count
    exact = [name for name in expected if not name.startswith("frag_")]
    assert {name: cluster.stats[name] for name in exact} == {name: expected[name] for name in exact}


def test_scratch_files_are_removed(here: Here, tmp_path: Path) -> None:
    paths = files(tmp_path, packets(13, 20), [50])
    with Cluster("here", paths, options()) as cluster:
        next(iter(cluster))
        assert list((tmp_path / "scratch").iterdir())
    assert list((tmp_path / "scratch").iterdir()) == []


def test_damage_ends_everything_where_it_is(here: Here, tmp_path: Path) -> None:
    paths = files(tmp_path, packets(14, 50), [200, 400])
    second = Path(paths[1])
    second.write_bytes(second.read_bytes()[:-9])
    with Cluster("here", paths, options()) as cluster:
        found = []
        with pytest.raises(CaptureError, match=r"001\.pcap: capture cut off"):
            found += [plain(one.record) for one in cluster]
        for one in cluster:  # one more run, for its records
            found.append(plain(one.record))
            if len(found) == 3:
                break
    expected: list[Record] = []
    run = Run(Sources(paths), Recorder(expected.append).sink, options())
    with pytest.raises(CaptureError):
        while run.step():
            pass
    assert found == sorted(expected, key=lambda record: record["serial"])[:3]


# what goes wrong


def test_a_file_that_a_worker_can_not_read_is_named(here: Here, tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"no\.pcap: No such file or directory \(worker here\)"):
        spread([str(tmp_path / "no.pcap")], options())
    with pytest.raises(DeviceError, match="not a file"):
        spread([str(tmp_path)], options())


def test_workers_have_to_be_of_one_version_and_see_the_same_files(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = files(tmp_path, packets(1, 1), [])

    def answers(**given: Any) -> None:
        monkeypatch.setattr(here, "run", lambda function, *_, **__: given if function is shares.look else {})

    for given, told in (
        ({"a": (uinet.__version__, [5]), "b": ("0.0.1", [5])}, r"worker b has uinet 0\.0\.1"),
        ({"a": (uinet.__version__, [5]), "b": (uinet.__version__, [6])}, "worker b has other files"),
        ({"a": ModuleNotFoundError("No module named 'uinet'")}, "worker a can't run uinet .*No module"),
        ({}, "no worker"),
    ):
        answers(**given)  # type: ignore[arg-type]
        with pytest.raises(ClusterError, match=told):
            spread(paths, options())


def test_a_worker_that_leaves_with_its_scratch_files_is_an_error(here: Here) -> None:
    class Never:
        def result(self, timeout: float) -> bytes:
            raise TimeoutError

    with pytest.raises(ClusterError, match="worker gone has left"):
        shares.arrived(here, Never(), "gone")


def test_what_fails_on_a_worker_is_one_line(here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("first\nsecond")

    monkeypatch.setattr(shares, "scan", fails)
    with pytest.raises(ClusterError, match=r"the cluster has failed: first second$"):
        spread(files(tmp_path, packets(1, 1), []), options())


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    status = main(["follow", *map(str, arguments)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.mark.parametrize(("arguments", "told"), [
    (["-o", "x"], "does not go with"), (["--count", "3"], "does not go with"), (["-"], "standard input"),
])
def test_wrong_uses_are_one_line(
    arguments: list[str], told: str, here: Here, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(capsys, "--dask", "here", *arguments, "x.pcap")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert told in err


def test_no_cluster_there_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise OSError("Timed out trying to connect to tcp://127.0.0.1:1 after 10 s")

    monkeypatch.setattr(distributed, "Client", fails)
    status, out, err = run(capsys, "--dask", "tcp://127.0.0.1:1", "x.pcap")
    assert (status, out) == (1, "")
    assert err == (
        "uinet: no Dask cluster at tcp://127.0.0.1:1: Timed out trying to connect to tcp://127.0.0.1:1 after 10 s\n"
    )


def test_without_distributed_one_line_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InvalidArgument, match=r"pip install 'uinet\[dask\]'"):
        Cluster("tcp://127.0.0.1:1", ["x"], options())
    status, out, err = run(capsys, "--dask", "tcp://127.0.0.1:1", "x.pcap")
    assert (status, out) == (2, "")
    assert err == "uinet: a cluster needs the package distributed: pip install 'uinet[dask]'\n"


# a real one, in processes of its own: what it leaves in memory is not for other tests to find

SERVE = """
import sys
from distributed import LocalCluster
if __name__ == "__main__":
    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1", local_directory=sys.argv[1],
        memory_limit=None, silence_logs=50,
    ) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
"""
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(uinet.__file__).parents[1])}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a cluster of two workers on this machine."""
    directory = tmp_path_factory.mktemp("workers")
    script = directory / "serve.py"
    script.write_text(SERVE)
    with subprocess.Popen(
        [sys.executable, str(script), str(directory)], text=True, env=ENVIRONMENT, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as cluster:
        assert cluster.stdout is not None
        yield cluster.stdout.readline().strip()
        cluster.communicate(timeout=30)


def command(*arguments: object) -> tuple[int, str, str]:
    """The command in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "uinet.cli", "follow", *map(str, arguments)], text=True, env=ENVIRONMENT,
        capture_output=True, timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return files(tmp_path_factory.mktemp("archive"), packets(21, 150), [150, 151, 700, 1200])


def test_the_command_prints_what_it_prints_without_a_cluster(
    address: str, archive: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    _, alone, _ = run(capsys, "--json", "--midstream", *archive)
    status, out, err = command("--json", "--midstream", "--dask", address, *archive)
    assert (status, err) == (0, "")
    records = [json.loads(line) for line in out.splitlines()]
    assert records == sorted(map(json.loads, alone.splitlines()), key=lambda record: record["serial"])
    assert [record["serial"] for record in records] == list(range(len(records)))
    assert len(records) > 50


def test_text_parquet_and_counters_come_out_of_a_cluster_too(
    address: str, archive: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    one, other = tmp_path / "one.parquet", tmp_path / "other.parquet"
    _, alone, _ = run(capsys, "--parquet", one, "--stats", *archive)
    status, out, err = command("--parquet", other, "--stats", "--dask", address, *archive)
    assert (status, err) == (0, "")

    def lines(text: str) -> list[str]:
        return sorted(" ".join(line.split()) for line in text.splitlines() if " in " not in line and "frag" not in line)

    assert lines(out) == lines(alone)
    tables = [pq.read_table(path).sort_by("serial") for path in (one, other)]
    assert tables[0].equals(tables[1])


def test_a_missing_file_is_one_line(address: str, archive: list[str]) -> None:
    status, out, err = command("-q", "--dask", address, archive[0], "/nonexistent.pcap")
    assert (status, err.count("\n")) == (1, 1)
    assert "/nonexistent.pcap: No such file or directory (worker tcp://" in err
    assert "connections" in out
