"""The decoder sees in public captures what tshark sees: ports, sequence numbers, flags and payload lengths.

The captures are not part of this repository: they lie in ``shared/pcaps`` beside the checkout, or where the
environment variable ``UINET_SHARED`` says.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from uinet.passive.codes import SEGMENT
from uinet.passive.decoder import Decoder
from uinet.passive.options import Options
from uinet.passive.tally import NAMES
from uinet.stats import Stats
from uinet.wire.pcap import Reader

SHARED = Path(os.environ.get("UINET_SHARED") or Path(__file__).parents[3].parent / "shared")
CAPTURES = sorted((SHARED / "pcaps").glob("*.pcap*"))
FIELDS = ("frame.number", "frame.protocols", "tcp.srcport", "tcp.dstport", "tcp.seq_raw", "tcp.flags", "tcp.len")
TUNNELS = {"gre", "vxlan", "gtp", "teredo", "ipip", "6in4", "l2tp"}

Seen = dict[int, tuple[int, int, int, int, int]]


def tunnelled(protocols: str) -> bool:
    """Whether there is IP in IP, or a tunnel's header: such packets are not looked into."""
    names = protocols.split(":")
    return bool(TUNNELS & set(names)) or names.count("ip") + names.count("ipv6") > 1


def by_tshark(capture: Path) -> Seen:
    command = [
        "tshark", "-r", str(capture), "-o", "tcp.desegment_tcp_streams:FALSE", "-Y", "tcp && !icmp && !icmpv6",
        "-T", "fields", "-E", "occurrence=l",
    ]
    for field in FIELDS:
        command += ["-e", field]
    lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    seen = {}
    for line in lines:
        number, protocols, *numbers = line.split("\t")
        if not tunnelled(protocols):
            source, destination, seq, flags, length = (int(value, 0) for value in numbers)
            seen[int(number)] = (source, destination, seq, flags & 0xFF, length)
    return seen


def by_decoder(capture: Path) -> tuple[Seen, Stats]:
    stats = Stats(NAMES)
    decoder = Decoder(Options(), stats)
    reader = Reader()
    reader.feed(capture.read_bytes())
    seen = {}
    for number, record in enumerate(reader, 1):
        block = b"\xff" * 7 + record.data + b"\xff" * 7
        code = decoder.decode(record.link_type, block, 7, len(record.data), record.original_length, record.time)
        if code == SEGMENT:
            seg = decoder.seg
            seen[number] = (seg.source_port, seg.destination_port, seg.seq, seg.flags, seg.length)
    return seen, stats


@pytest.mark.skipif(not CAPTURES, reason=f"no captures in {SHARED / 'pcaps'}")
@pytest.mark.skipif(shutil.which("tshark") is None, reason="no tshark here to compare with")
@pytest.mark.parametrize("capture", CAPTURES, ids=lambda capture: capture.name)
def test_what_tshark_shows_is_decoded(capture: Path) -> None:
    seen, stats = by_decoder(capture)
    assert seen == by_tshark(capture), stats.as_dict()
