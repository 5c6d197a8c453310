"""The shared captures: every stream as the reference has it, or as the table below says and why.

The reference (EXPECTED.tsv) was made of tshark's segments, placed by their sequence numbers, the first to arrive wins.
README.md beside it names its weak spots. It has all the time there is, so the deadline is an hour here; what the usual
one makes of the two captures where it matters is tested below.
"""

from __future__ import annotations

import csv
import hashlib
from ast import literal_eval
from functools import cache
from typing import Any, NamedTuple

import pytest

from tests.unit.passive.copy import Connected, Copy, Stream
from tests.unit.passive.shared import capture_path, shared_captures
from uinet.wire.pcap import read

Row = dict[str, str]
EMPTY = hashlib.sha256(b"").hexdigest()


class Found(NamedTuple):
    """One direction, as followed."""

    length: int
    missing: list[tuple[int, int]]
    present: str  # digests: of the bytes that are there, and of the stream with zeros for holes
    zeroed: str
    fin: bool


class Difference(NamedTuple):
    found: Found
    reason: str


def zeros(length: int) -> str:
    return hashlib.sha256(bytes(length)).hexdigest()


def same(digest: str, length: int, fin: bool) -> Found:
    return Found(length, [], digest, digest, fin)


REASSEMBLY = "zeek__reassembly.pcap"
URGENT = "suricata-verify__tcp-urgp-01-oob_tcp-urgent1.pcap"
UNACKED = (
    "suricata-verify__tcp-rst-unacked-stream-10_TLPW1-tcp-174.56.47.59-10.3.11.101-tcp-80-49309.pcap"
)
RETRANSMITTED_SYN = "suricata-verify__bug-4376_syn_retransmit_with_ts.pcap"
COLLISIONS = "zeek__vlan-collisions.pcap"
SPLIT = "suricata-verify__tcp-split-handshake-02-5whs_split-handshake-5whs.pcap"

# a capture's own options, where the usual ones would not do
OPTIONS: dict[str, dict[str, Any]] = {
    RETRANSMITTED_SYN: {"ignore_vlans": True},  # only the client's packets are tagged
    REASSEMBLY: {"checksums": "ignore"},  # a third of the sums are bad; the reference does not look at them
}

# connections where it is not one for each of the reference's streams
CONNECTIONS = {
    COLLISIONS: (3, "the same addresses and ports on three VLAN stacks; the reference is blind to VLANs"),
    SPLIT: (1, "a five-way handshake: the reference takes the server's SYN for another connection"),
    "PcapPlusPlus__tcp-reassembly.pcap": (1, "stream 6 is a sample within an sFlow datagram: nothing on this wire"),
}

# (file, stream, sender) -> what we have instead
DIFFERENCES = {
    ("zeek__fin_retransmission.pcap", "0", "10.1.30.117:55344"): Difference(
        same(EMPTY, 0, False),
        "one FIN has no ACK flag, the other stands at the SYN's own number: hosts drop both",
    ),
    ("zeek__retransmit-fast009.pcap", "0", "10.0.88.85:50368"): Difference(
        Found(474, [(0, 474)], EMPTY, zeros(474), False),
        "cut by the snap length; the server acknowledges 475, of which one is the SYN",
    ),
    ("zeek__retransmit-fast009.pcap", "0", "192.168.0.27:80"): Difference(
        Found(23783, [(0, 23783)], EMPTY, zeros(23783), False),
        "cut by the snap length; the client acknowledges 23784, of which one is the SYN",
    ),
    ("zeek__miss_end_data.pcap", "0", "77.238.160.184:80"): Difference(
        Found(2902, [(0, 2902)], EMPTY, zeros(2902), True),
        "no data at all, but a FIN at 2903 and its ACK: 2902 bytes are missing",
    ),
    ("suricata-verify__bug-3286-02-linux-evasion_with_evasion_linux.pcap", "0", "192.168.1.90:80"): Difference(
        same("46417b1b3b283d76350920b0be6e3a1bb13ea37f28dcddbaa6f33ffc32bb06f2", 79, False),
        "the FIN was forged: it came before the SYN|ACK, and the 79 bytes that follow were acknowledged",
    ),
    (SPLIT, "0", "1.1.1.1:12345"): Difference(
        same("a4cae81b6d0480d3ab6b52a6dfb5eae63346252bd00c4df5e27fcf96851bb84e", 4, False),
        "both halves of the split handshake are one connection; the reference has the bytes in its second",
    ),
}


def found(stream: Stream) -> Found:
    present, zeroed = (hashlib.sha256(data).hexdigest() for data in (stream.present, stream.data))
    return Found(stream.length, stream.missing, present, zeroed, stream.fin)


def expected(row: Row) -> Found:
    """What the reference has; it lists up to eight holes."""
    holes: list[tuple[int, int]] = literal_eval(row["hole_list"])
    return Found(int(row["extent"]), holes, row["sha256_concat"], row["sha256_zerofill"], row["fin"] != "0")


@cache
def followed(name: str, **options: Any) -> list[Connected]:
    """The connections of a capture, in the order of their first packets."""
    knobs = {"midstream": True, "deadline": 3600, **OPTIONS.get(name, {}), **options}
    copy = Copy(**knobs)
    for record in read(capture_path(name).read_bytes()):
        copy.wire.frames += 1
        copy.wire.follower.packet(
            record.link_type, record.data, 0, len(record.data), record.original_length, record.time
        )
    return copy.finish().all


def endpoint(address: tuple[Any, int]) -> str:
    return f"{address[0]}:{address[1]}"


def sides(record: Connected) -> dict[str, Stream]:
    return {endpoint(record.conn.client_address): record.client, endpoint(record.conn.server_address): record.server}


@cache
def rows(name: str) -> list[Row]:
    with capture_path("EXPECTED.tsv").open(newline="") as file:
        return [row for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE) if row["file"] == name]


def matched(name: str, **options: Any) -> list[tuple[Row, Stream | None]]:
    """Each row with its stream: the first connection left of the same ends, in the order of the capture."""
    left = list(followed(name, **options))
    pairs: list[tuple[Row, Stream | None]] = []
    streams: dict[str, dict[str, Stream]] = {}
    for row in rows(name):
        if row["stream"] not in streams:
            ends = {row["src"], row["dst"]}
            record = next((record for record in left if set(sides(record)) == ends), None)
            streams[row["stream"]] = sides(record) if record else {}
            if record:
                left.remove(record)
        pairs.append((row, streams[row["stream"]].get(row["src"])))
    return pairs


CAPTURES = shared_captures("EXPECTED.tsv")


@pytest.mark.parametrize("name", CAPTURES)
def test_every_stream_is_as_the_reference_has_it(name: str) -> None:
    for row, stream in matched(name):
        if stream is None:
            assert name in CONNECTIONS, f"stream {row['stream']} of {row['src']} is absent"
            continue
        difference = DIFFERENCES.get((name, row["stream"], row["src"]))
        want = expected(row)
        have = found(stream)
        if difference is not None:
            assert have == difference.found, difference.reason
            assert have != want, "the reference agrees by now: strike it off the table"
            continue
        assert have._replace(missing=have.missing[: len(want.missing)]) == want, (row["stream"], row["src"])
        assert len(have.missing) == int(row["holes"])
        assert sum(length for _, length in have.missing) == int(row["hole_bytes"])


@pytest.mark.parametrize("name", CAPTURES)
def test_every_connection_is_found_once(name: str) -> None:
    count = len({row["stream"] for row in rows(name)})
    if name in CONNECTIONS:
        count, _ = CONNECTIONS[name]
    assert len(followed(name)) == count
    assert [record.conn.serial for record in followed(name)] == list(range(count))


@pytest.mark.parametrize("name", CAPTURES)
def test_what_differs_is_in_the_table_only_where_it_is_in_the_capture(name: str) -> None:
    known = {(row["file"], row["stream"], row["src"]) for row in rows(name)}
    assert {key for key in DIFFERENCES if key[0] == name} <= known


def test_each_vlan_has_its_own_connection() -> None:
    """The reference merges the three; each of them is what it has of all."""
    records = followed(COLLISIONS)
    assert sorted(tuple(tag.vid for tag in record.conn.vlans) for record in records) == [(), (10, 20), (42,)]
    for row in rows(COLLISIONS):
        for record in records:
            assert found(sides(record)[row["src"]]) == expected(row)


def test_a_split_handshake_is_one_connection_whose_client_sent_the_first_syn() -> None:
    (record,) = followed(SPLIT)
    assert endpoint(record.conn.client_address) == "1.1.1.1:12345"
    assert record.client.data == b"EVIL"
    assert record.server.data == b""


@pytest.mark.parametrize(
    "name",
    [
        "suricata-verify__eve-payload-01-tcp-exact-overlap_tcp-overlap.pcap",
        "PcapPlusPlus__one_tcp_stream_max_seq.pcap",
    ],
)
def test_what_was_in_order_is_final_under_last_wins_too(name: str) -> None:
    """The reference's last-wins changes delivered bytes: other data for the same range, a keepalive's garbage."""
    assert any(row["sha256_lastwins"] for row in rows(name))
    for row, stream in matched(name, overlap="last"):
        assert stream is not None
        assert found(stream).present == row["sha256_concat"] != row["sha256_lastwins"]


def test_what_was_held_is_the_last_under_last_wins() -> None:
    """Of the 151 bytes that zeek__reassembly has in two versions some were held and some had been delivered."""
    (last,) = followed(REASSEMBLY, overlap="last")
    (first,) = followed(REASSEMBLY)
    assert last.client.missing == first.client.missing
    assert sum(a != b for a, b in zip(last.client.data, first.client.data, strict=True)) in range(1, 152)
    assert found(last.client).present == "b3e808eef3be5828d0b308cf77d5ccbc46427a6a279fd4bf193ffd8462f168c1"


@pytest.mark.parametrize(
    "name, sender, missing",
    [
        (UNACKED, "174.56.47.59:80", [(35576, 3864), (51032, 5152)]),
        (
            REASSEMBLY, "63.193.213.194:2564",
            [
                (1714, 8), (6094, 8), (11910, 1456), (15570, 728), (16310, 708), (17677, 81), (17782, 1343),
                (23443, 20), (29957, 1448),
            ],
        ),
    ],
    ids=["unacked", "reassembly"],
)
def test_retransmissions_later_than_the_deadline_come_too_late(
    name: str, sender: str, missing: list[tuple[int, int]]
) -> None:
    """In both somebody sends again after more than five seconds; the hole was told by then, and why."""
    (record,) = followed(name, deadline=5, checksums="auto")
    stream = sides(record)[sender]
    assert stream.missing == missing
    assert "deadline" in {reason for _, _, reason in stream.holes}


def test_bad_checksums_among_good_ones_count_only_where_nothing_better_comes() -> None:
    """Of the bytes that zeek__reassembly has in two versions, those with a right checksum stay."""
    (record,) = followed(REASSEMBLY, checksums="auto")
    stream = sides(record)["63.193.213.194:2564"]
    (ignoring,) = followed(REASSEMBLY)
    other = sides(ignoring)["63.193.213.194:2564"]
    assert stream.missing == other.missing
    assert sum(a != b for a, b in zip(stream.data, other.data, strict=True)) in range(1, 152)


def test_urgent_bytes_of_a_real_host() -> None:
    """Linux sent one urgent byte, the eleventh: in line by default, else it is the only hole."""
    (inline,) = followed(URGENT)
    (hole,) = followed(URGENT, urgent="hole")
    assert inline.client.holes == []
    assert hole.client.holes == [(10, 1, "urgent")]
    assert hole.client.length == inline.client.length == 167
