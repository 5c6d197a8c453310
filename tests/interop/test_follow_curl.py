"""Transfers between kernels, watched live: what `uinet follow` says of them against what nginx served and curl got.

Nothing here depends on the watcher being fast enough: what the kernel's ring had no room for is counted, and missing.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import mmap
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import uinet
from tests.interop.netns import (
    PATIENCE,
    Namespace,
    background,
    json_records,
    namespace,
    require,
    veth,
    wait_for,
    whole_lines,
)
from tests.interop.vlan import tag
from uinet import ANY
from uinet.aio import WatchedReader

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

CLIENT, SERVER = "10.60.0.1", "10.60.0.2"
CLIENT6, SERVER6 = "fd60::1", "fd60::2"
MEGABYTE = 1 << 20
GIGABYTE = 1 << 30
HEADERS = 14 + 20 + 32  # of every packet in a `plain` lab behind the handshake: Ethernet, IPv4, TCP with time stamps
LARGEST_PACKET = 1514
TRANSFER = 60  # seconds that a download may take

NGINX = """
user root; worker_processes 1; daemon off; pid {root}/nginx.pid; error_log {root}/error.log;
events {{ worker_connections 1024; }}
http {{
    log_format each '$remote_port $request_length $bytes_sent'; access_log {root}/access.log each; sendfile on;
    client_body_temp_path {root}/b; proxy_temp_path {root}/p; fastcgi_temp_path {root}/f; uwsgi_temp_path {root}/u;
    scgi_temp_path {root}/s; server {{ listen 0.0.0.0:80; {more} root {www}; }}
}}
"""


class Talk(NamedTuple):
    """An HTTP request and its answer, as curl has sent and received them; of the answer's body only the length."""

    request: bytes
    head: bytes
    length: int


class Counted(NamedTuple):
    """What has crossed an interface, both ways."""

    packets: int
    bytes: int

    def until(self, later: Counted) -> Counted:
        """What came since."""
        return Counted(later.packets - self.packets, later.bytes - self.bytes)

    def without(self, stats: dict[str, int]) -> Counted:
        """All of it that a follower has not seen."""
        return Counted(self.packets - stats["packets"], self.bytes - stats["bytes"])


class Site:
    """What nginx serves: /big, and a small page. No two places in /big look alike."""

    def __init__(self, www: Path) -> None:
        self.www = www
        base = os.urandom(4 * MEGABYTE)
        twice = base + base
        with (www / "big").open("wb") as file:
            for number in range(GIGABYTE // len(base)):
                file.write(memoryview(twice)[number * 4099 :][: len(base)])
        (www / "index.html").write_bytes(base[:1000])
        with (www / "big").open("rb") as file:
            self.big = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def digest(self, talk: Talk) -> str:
        """The SHA-256 of the answer."""
        digest = hashlib.sha256(talk.head)
        with memoryview(self.big) as body:
            digest.update(body[: talk.length])
        return digest.hexdigest()

    def has(self, talk: Talk, offset: int, data: bytes) -> bool:
        """Whether `data` is what stands at `offset` of the answer."""
        size = len(talk.head)
        head = talk.head[offset : offset + len(data)]
        body = max(0, offset - size)
        return data == head + self.big[body : body + len(data) - len(head)]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """1 GiB of it, in memory if there is a tmpfs; gone afterwards."""
    require("nginx", "curl")
    shared = Path("/dev/shm")
    www = Path(tempfile.mkdtemp(prefix="uinet-", dir=shared if os.access(shared, os.W_OK) else None))
    www.chmod(0o755)
    made = None
    try:
        made = Site(www)
        yield made
    finally:
        if made is not None:
            made.big.close()
        shutil.rmtree(www)


class Watch:
    """``uinet follow`` at work, as a user runs it; it has to end well when Ctrl-C is pressed."""

    def __init__(self, process: subprocess.Popen[bytes], root: Path) -> None:
        self.process = process
        self.output = root / "follow.out"
        self.errors = root / "follow.err"

    def lines(self) -> list[str]:
        return whole_lines(self.output)

    def settle(self, count: int, timeout: float = PATIENCE) -> None:
        """Waits for so many lines; not for ever, as the end of a connection may have been dropped."""
        end = time.monotonic() + timeout
        while len(self.lines()) < count and time.monotonic() < end:
            time.sleep(0.02)

    def records(self) -> list[dict[str, Any]]:
        """What ``--json`` has printed, in the order in which the connections began."""
        return sorted(json_records(self.output), key=lambda record: int(record["serial"]))

    def stop(self) -> str:
        """Presses Ctrl-C. What stands on standard error then."""
        self.process.send_signal(signal.SIGINT)
        status = self.process.wait(timeout=20)
        said = self.errors.read_text()
        assert status == 0, f"exit status {status}: {said}"
        assert "Traceback" not in said, said
        return said


class Lab:
    """client -- server, two kernels on a cable whose client's end is called c0; nginx runs in `server`."""

    def __init__(self, client: Namespace, server: Namespace, root: Path, site: Site) -> None:
        self.client = client
        self.server = server
        self.root = root
        self.site = site

    def fetch(self, *options: str, host: str = SERVER, page: str = "big") -> Talk:
        """Has curl fetch a page."""
        head = self.root / "head"
        command = ["curl", "-sSv", "--max-time", str(TRANSFER), "-D", str(head), "-o", "/dev/null", *options]
        done = subprocess.run(
            ["ip", "netns", "exec", self.client.name, *command, f"http://{host}/{page}"],
            capture_output=True, timeout=TRANSFER + 10,
        )
        assert done.returncode == 0, done.stderr
        request = b"".join(line[2:] for line in done.stderr.splitlines(True) if line.startswith(b"> "))
        found = re.search(rb"Content-Length: (\d+)", head.read_bytes())
        assert found is not None
        return Talk(request, head.read_bytes(), int(found[1]))

    def pace(self, rate: str) -> None:
        """From now on the server sends evenly, and no faster than that: without a pace two cores are too few for two
        kernels and a watcher."""
        require("tc")
        self.server.run(f"tc qdisc replace dev s0 root tbf rate {rate} burst 256k limit 16M")

    @contextmanager
    def watch(self, *words: str, where: Namespace | None = None) -> Iterator[Watch]:
        """``uinet follow`` with these arguments, watching already."""
        where = where if where is not None else self.client
        command = ["ip", "netns", "exec", where.name, sys.executable, "-m", "uinet.cli", "follow", *words]
        with (self.root / "follow.out").open("wb") as output, (self.root / "follow.err").open("wb") as errors:
            process = subprocess.Popen(command, stdout=output, stderr=errors)
        watch = Watch(process, self.root)

        def ready() -> bool:
            if process.poll() is not None:
                pytest.fail(f"it ended with {process.returncode}: {watch.errors.read_text()}")
            sockets = [line.split() for line in where.run("cat /proc/net/packet").splitlines()]
            return any(words[5] == "1" for words in sockets)  # it is bound, and runs

        try:
            wait_for(ready, "a packet socket")
            yield watch
        finally:
            if process.poll() is None:
                process.kill()
                process.wait(timeout=10)

    def crossed(self) -> Counted:
        """What c0 has counted."""
        return Counted(*(received + sent for received, sent in zip(*counters(self.client, "c0"), strict=True)))

    def wait_for_bytes(self, count: int) -> None:
        """Until so many more have crossed c0."""
        end = self.crossed().bytes + count
        wait_for(lambda: self.crossed().bytes >= end, f"{count} bytes to cross")

    def retransmitted(self) -> int:
        """Segments that the kernels have sent again."""
        return sum(self.counter(side, "RetransSegs") for side in (self.client, self.server))

    def spare(self) -> int:
        """Bytes at most that have crossed a `plain` lab and are neither a header nor a new octet of a stream: what the
        kernels have sent again."""
        return self.retransmitted() * LARGEST_PACKET

    @staticmethod
    def counter(side: Namespace, name: str) -> int:
        """One of the TCP counters of a kernel."""
        found = {}
        for file in ("snmp", "netstat"):
            lines = [line.split() for line in side.run(f"cat /proc/net/{file}").splitlines()]
            for names, values in zip(lines[::2], lines[1::2], strict=True):
                if names[0] in ("Tcp:", "TcpExt:"):
                    found |= dict(zip(names, values, strict=True))
        return int(found[name])


def counters(where: Namespace, device: str) -> tuple[tuple[int, int], tuple[int, int]]:
    """(packets, bytes) received by an interface, and sent."""
    folder = f"/sys/class/net/{device}/statistics"
    names = " ".join(f"{folder}/{name}" for name in ("rx_packets", "rx_bytes", "tx_packets", "tx_bytes"))
    values = [int(value) for value in where.run(f"cat {names}").split()]
    return (values[0], values[1]), (values[2], values[3])


@contextmanager
def lab(
    root: Path, site: Site, *, ipv6: bool = False, vids: tuple[int, ...] = (), plain: bool = False
) -> Iterator[Lab]:
    """Nothing but what is asked for crosses the cable if there is no IPv6: neighbours know each other. `plain`: all TCP
    headers behind the handshake are of one length, as there are no SACK options, not even where a packet came out of
    order."""
    with ExitStack() as stack:
        client, server = (stack.enter_context(namespace(name, ipv6=ipv6)) for name in ("client", "server"))
        mtu = 1500 + 8 if len(vids) > 1 else 1500
        stack.enter_context(veth(client, "c0", server, "s0", mtu=mtu))
        for side, device, v4, v6 in ((client, "c0", CLIENT, CLIENT6), (server, "s0", SERVER, SERVER6)):
            side.run(f"ip addr add {v4}/24 dev {device}")
            if mtu != 1500:  # the cable has room for two tags that the hosts don't know of
                side.run(f"ip route change 10.60.0.0/24 dev {device} src {v4} mtu 1500")
            if ipv6:
                side.run(f"ip addr add {v6}/64 dev {device} nodad")
                side.run(f"ip -6 route replace fd60::/64 dev {device} proto kernel metric 256 mtu 1500")
            if plain:
                side.run("sysctl -qw net.ipv4.tcp_sack=0")
            if vids:
                tag(side, device, vids, root)
        for side, device, other, peer, address in (
            (client, "c0", server, "s0", SERVER), (server, "s0", client, "c0", CLIENT)
        ):
            mac = other.run(f"cat /sys/class/net/{peer}/address").strip()
            side.run(f"ip neigh replace {address} lladdr {mac} dev {device} nud permanent")
        config = root / "nginx.conf"
        config.write_text(NGINX.format(root=root, www=site.www, more="listen [::]:80;" if ipv6 else ""))
        nginx = subprocess.Popen(["ip", "netns", "exec", server.name, "nginx", "-c", str(config)])
        try:
            wait_for(lambda: ":80" in server.run("ss -Htln"), "nginx")
            yield Lab(client, server, root, site)
        finally:
            nginx.terminate()
            nginx.wait(timeout=10)


def check_whole(made: Lab, record: dict[str, Any], talk: Talk) -> None:
    """The record has both streams, whole."""
    assert record["close"] == "fin" and not record["midstream"], record
    assert record["client"]["holes"] == record["server"]["holes"] == [], record
    assert record["client"]["bytes"] == len(talk.request)
    assert record["client"]["sha256"] == hashlib.sha256(talk.request).hexdigest()
    assert record["server"]["bytes"] == len(talk.head) + talk.length
    assert record["server"]["sha256"] == made.site.digest(talk)


def check_missing(made: Lab, holes: list[tuple[int, int, str]], missing: Counted, spare: int) -> None:
    """The holes are as large as what the kernel has dropped: all that is no header, or is `spare` (see there)."""
    lost = sum(length for _, length, _ in holes)
    assert {reason for *_, reason in holes} <= {"lost", "budget"}, holes
    assert missing.packets > 0 and lost > 0
    assert 0 <= missing.bytes - missing.packets * HEADERS - lost <= spare


PACES = "2gbit", "1gbit", "500mbit", "200mbit"  # until it is fast enough: its machine may be busy with other things


@pytest.mark.timeout(240)
def test_a_gigabyte_is_followed_whole(tmp_path: Path, site: Site) -> None:
    with lab(tmp_path, site) as made:
        for rate in PACES:
            made.pace(rate)
            with made.watch("--json", "--stats", "packet:c0?ring=256M") as watch:
                before = made.crossed()
                talk = made.fetch()
                after = made.crossed()
                watch.settle(1)
                stats = json.loads(watch.stop())
            missing = before.until(after).without(stats)
            assert missing.packets == stats.get("dropped", 0)
            if not missing.packets:
                break
        assert missing == (0, 0)
        assert talk.length == GIGABYTE
        [record] = watch.records()
        check_whole(made, record, talk)
        assert (record["client"]["ip"], record["server"]["ip"]) == (CLIENT, SERVER)
        assert record["vlans"] == []


PART = ("-r", f"0-{128 * MEGABYTE - 1}")


def test_python_follows_it_too(tmp_path: Path, site: Site) -> None:
    with lab(tmp_path, site) as made:
        made.pace("2gbit")
        with made.client.entered():
            watched = uinet.follow("packet:c0?ring=256M")
        with watched, background(lambda: made.fetch(*PART)) as talks:  # for all of which the ring has room
            conn = next(watched)
        [talk] = talks
        assert isinstance(talk, Talk) and talk.length == 128 * MEGABYTE
        assert watched.dropped == 0
        check_whole(made, conn.as_dict(), talk)
        assert conn.client.read() == talk.request
        assert all(site.has(talk, chunk.offset, chunk.data) for chunk in conn.server)


SLOW, SLOWER = "500mbit", "200mbit"
SMALL = "packet:c0?ring=16M"  # half of UNSEEN; at the slower pace it lasts for a third of a second: the end is seen
SEEN, UNSEEN = 8 * MEGABYTE, 32 * MEGABYTE  # of it, before the watcher's attention goes elsewhere, and while it does


def test_what_a_stopped_watcher_missed_is_counted_and_a_hole(tmp_path: Path, site: Site) -> None:
    with lab(tmp_path, site, plain=True) as made:
        made.pace(SLOW)
        streams = site.www / "streams"
        with made.watch("--json", "--stats", "-o", str(streams), SMALL) as watch:
            before = made.crossed()
            with background(lambda: made.fetch(*PART)) as talks:
                made.wait_for_bytes(SEEN)
                watch.process.send_signal(signal.SIGSTOP)
                made.wait_for_bytes(UNSEEN)
                made.pace(SLOWER)
                watch.process.send_signal(signal.SIGCONT)
            watch.settle(1)
            [talk] = talks
            assert isinstance(talk, Talk)
            after = made.crossed()
            stats = json.loads(watch.stop())
        [record] = watch.records()
        missing = before.until(after).without(stats)
        assert stats["dropped"] == missing.packets
        side = record["server"]
        check_missing(made, side["holes"], missing, made.spare())
        assert record["close"] == "fin"
        assert side["bytes"] == len(talk.head) + talk.length
        assert record["client"]["sha256"] == hashlib.sha256(talk.request).hexdigest()
        present = check_file(site, talk, streams / side["file"], side["holes"])
        assert present + sum(length for _, length, _ in side["holes"]) == side["bytes"]
        assert present == stats["delivered"] - len(talk.request)
        shutil.rmtree(streams)


def check_file(site: Site, talk: Talk, path: Path, holes: list[tuple[int, int, str]]) -> int:
    """What `-o` wrote is right outside the holes, and zeros in them; how many bytes there are outside."""
    data = path.read_bytes()
    present = at = 0
    for offset, length, _ in [*holes, (len(data), 0, "")]:
        assert at <= offset
        assert site.has(talk, at, data[at:offset])
        assert not any(data[offset : offset + length])
        present += offset - at
        at = offset + length
    return present


def test_what_python_had_no_time_for_is_counted_and_a_hole(tmp_path: Path, site: Site) -> None:
    with lab(tmp_path, site, plain=True) as made:
        made.pace(SLOW)
        with made.client.entered():
            watched = uinet.follow(SMALL)
        before = made.crossed()
        with watched, background(lambda: made.fetch(*PART)) as talks:
            while watched.position < SEEN:
                watched.pump()
            made.wait_for_bytes(UNSEEN)
            made.pace(SLOWER)
            conn = next(watched)
        [talk] = talks
        assert isinstance(talk, Talk)
        after = made.crossed()
        stats = watched.stats
        missing = before.until(after).without(stats)
        assert watched.dropped == missing.packets
        check_missing(made, conn.server.holes, missing, made.spare())
        assert conn.close_reason == "fin"
        assert conn.server.bytes == len(talk.head) + talk.length
        at = present = 0
        for chunk in conn.server:
            assert chunk.offset == at
            at += chunk.length
            if chunk.hole is None:
                assert site.has(talk, chunk.offset, chunk.data)
                present += len(chunk.data)
        assert at == conn.server.bytes == present + conn.server.hole_bytes
        assert present == stats["delivered"] - len(talk.request)


@pytest.mark.parametrize("vids", [(), (100,), (100, 200)], ids=["untagged", "one tag", "two tags"])
def test_vlans_and_ipv6(tmp_path: Path, site: Site, vids: tuple[int, ...]) -> None:
    part = ("-r", f"0-{20 * MEGABYTE - 1}")
    with lab(tmp_path, site, ipv6=True, vids=vids) as made, made.watch("--json", "packet:c0") as watch:
        talks = [made.fetch(*part), made.fetch(*part, host=f"[{SERVER6}]")]
        watch.settle(2)
        watch.stop()
        records = watch.records()
        assert [record["server"]["ip"] for record in records] == [SERVER, SERVER6]
        for record, talk in zip(records, talks, strict=True):
            check_whole(made, record, talk)
            assert record["vlans"] == list(vids)


def test_a_thousand_short_connections_are_all_found_once(tmp_path: Path, site: Site) -> None:
    require("ab")
    with lab(tmp_path, site) as made, made.watch("--json", "--stats", "packet:c0") as watch:
        said = made.client.run(f"ab -q -n 1000 -c 20 http://{SERVER}/index.html", timeout=TRANSFER)
        assert re.search(r"Complete requests: +1000\n", said) and re.search(r"Failed requests: +0\n", said), said
        opened = made.counter(made.client, "ActiveOpens")  # ab opens a few that it finds no use for
        watch.settle(opened)
        assert "dropped" not in json.loads(watch.stop())
        records = watch.records()
        assert Counter(record["close"] for record in records) == {"fin": opened}
        assert not any(record["client"]["holes"] or record["server"]["holes"] for record in records)
        log = tmp_path / "access.log"
        wait_for(lambda: len(whole_lines(log)) >= 1000, "nginx to have logged all")
        served = sorted(tuple(map(int, line.split())) for line in whole_lines(log))
        found = [(each["client"]["port"], each["client"]["bytes"], each["server"]["bytes"]) for each in records]
        assert len(served) == 1000
        assert sorted(each for each in found if each[1]) == served
        assert sorted(record["serial"] for record in records) == list(range(opened))


def test_ctrl_c_ends_with_a_summary(tmp_path: Path, site: Site) -> None:
    with lab(tmp_path, site) as made:
        with made.watch("packet:c0") as watch:
            for _ in range(3):
                made.fetch(page="index.html")
            watch.settle(4)  # a heading, and three lines
            assert watch.stop() == ""
            text = watch.output.read_text()
            assert re.search(r"^ *connections +3 \(3 fin\) *$", text, re.M), text
            assert re.search(r"^ *packets +\d+ in ", text, re.M), text
        with made.watch("--json", "packet:c0") as watch, made.client.popen(
            f"curl -sS -o /dev/null --limit-rate 1M http://{SERVER}/big"
        ):
            made.wait_for_bytes(2 * MEGABYTE)
            watch.stop()
            [record] = watch.records()
            assert record["close"] == "end" and record["server"]["holes"] == []
            assert record["server"]["bytes"] > MEGABYTE


def test_what_came_before_ctrl_c_is_still_read(tmp_path: Path, site: Site) -> None:
    # a ring has room for what comes within a few seconds, be it little: see `Ring`
    with lab(tmp_path, site) as made, made.watch("--json", "--stats", "packet:c0?ring=256M") as watch:
        before = made.crossed()
        watch.process.send_signal(signal.SIGSTOP)
        talk = made.fetch("-r", f"0-{10 * MEGABYTE - 1}")
        after = made.crossed()
        watch.process.send_signal(signal.SIGINT)
        watch.process.send_signal(signal.SIGCONT)
        assert watch.process.wait(timeout=20) == 0
        assert before.until(after).without(json.loads(watch.errors.read_text())) == (0, 0)
        [record] = watch.records()
        check_whole(made, record, talk)


@contextmanager
def mirrored(root: Path, site: Site) -> Iterator[tuple[Lab, Namespace]]:
    """A lab, and a namespace whose m1 hears all that crosses c0; m0 would hear what m1 sends."""
    require("tc")
    with lab(root, site) as made, namespace("watcher", ipv6=False) as watcher, veth(made.client, "m0", watcher, "m1"):
        made.client.run("tc qdisc add dev c0 clsact")
        for way in ("ingress", "egress"):
            made.client.run(
                f"tc filter add dev c0 {way} prio 1 protocol all u32 match u32 0 0 action mirred egress mirror dev m0"
            )
        yield made, watcher
        assert counters(made.client, "m0")[0] == (0, 0)
        assert counters(watcher, "m1")[1] == (0, 0)


def test_watching_a_mirror_is_silent(tmp_path: Path, site: Site) -> None:
    with mirrored(tmp_path, site) as (made, watcher):
        with made.watch("--json", "packet:m1", where=watcher) as watch:
            talk = made.fetch("-r", f"0-{20 * MEGABYTE - 1}")
            watch.settle(1)
            watch.stop()
            [record] = watch.records()
            check_whole(made, record, talk)
        assert counters(watcher, "m1")[0][1] > 20 * MEGABYTE


def test_passive_server_on_a_mirror_sees_both_streams_and_is_silent(tmp_path: Path, site: Site) -> None:
    with mirrored(tmp_path, site) as (made, watcher):
        made.pace("200mbit")

        async def digest(reader: WatchedReader) -> tuple[int, str]:
            found, length = hashlib.sha256(), 0
            while data := await reader.read(MEGABYTE):
                found.update(data)
                length += len(data)
            assert reader.error is None and list(reader.holes) == []
            return length, found.hexdigest()

        async def work() -> None:
            seen: asyncio.Future[list[tuple[int, str]]] = asyncio.get_running_loop().create_future()

            async def handle(reader: WatchedReader, peer: WatchedReader) -> None:
                assert reader.get_extra_info("peername")[0] == CLIENT
                seen.set_result(await asyncio.gather(digest(reader), digest(peer)))

            async with uinet.Host() as host:
                host.stack.tcp.settings.receive_buffer = 64 * MEGABYTE  # nobody can be asked to wait
                with watcher.entered():
                    device = uinet.open_device("packet:m1?buffer=64M")
                await host.add_device(device, cdom=1, promiscuous=True)
                await host.start_server(handle, ANY, 80, vlans=ANY, cdom=1, passive=True)
                talk = await asyncio.to_thread(made.fetch, "-r", f"0-{40 * MEGABYTE - 1}")
                found = await asyncio.wait_for(seen, PATIENCE)
            assert found[0] == (len(talk.request), hashlib.sha256(talk.request).hexdigest())
            assert found[1] == (len(talk.head) + talk.length, site.digest(talk))

        asyncio.run(work())
