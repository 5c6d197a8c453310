"""What tools that judge other people's packets say of ours: Wireshark's experts, and nmap's guesses."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

import uinet
from tests.interop.lossy import KERNEL, KERNEL6, MEDIUM, OURS, OURS6, command, emulated, host, web_server
from tests.interop.netns import PATIENCE, namespace, require
from uinet.link import open_device

pytestmark = [pytest.mark.interop, pytest.mark.timeout(240)]

DATA = os.urandom(1 << 20)
WARNING, ERROR = 0x600000, 0x800000  # Wireshark's severities
SEQUENCE = 0x02000000  # its group for what is retransmitted, repeated, out of order or reset: here the link's doing
OURS_TO_JUDGE = {"frame", "eth", "ethertype", "arp", "ip", "ipv6", "icmp", "icmpv6", "tcp", "data"}
FAULTS = ("--loss", "1%", "--reorder", "2%", "--duplicate", "1%")  # no damage: bad checksums would be the link's


def experts(capture: Path) -> list[tuple[str, int, int, str]]:
    """(frame, severity, group, message) of everything from warnings on that tshark has to say."""
    settings = [f"{protocol}.check_checksum:TRUE" for protocol in ("tcp", "ip", "udp")]
    settings.append("tcp.desegment_tcp_streams:FALSE")  # or a retransmission would be an error in putting HTTP together
    fields = "frame.number", "_ws.expert.severity", "_ws.expert.group", "_ws.expert.message"
    command = ["tshark", "-n", "-r", str(capture), "-T", "fields", "-E", "separator=\t", "-E", "aggregator=|"]
    # what the payload is taken for is nothing to us: random bytes from a random port look like many things
    listed = subprocess.run(["tshark", "-G", "protocols"], capture_output=True, text=True, timeout=100, check=True)
    known = {line.split("\t")[2] for line in listed.stdout.splitlines()}
    assert known > OURS_TO_JUDGE
    others = sorted(name for name in known if name.split(".")[0] not in OURS_TO_JUDGE)  # and options: tcp.options.x
    command += [word for name in others for word in ("--disable-protocol", name)]
    command += [word for setting in settings for word in ("-o", setting)]
    command += [word for field in fields for word in ("-e", field)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert len(lines) > 500, "the capture is too short to say anything"
    found = []
    for number, *columns in lines:
        for severity, group, message in zip(*(column.split("|") for column in columns), strict=False):
            if severity and int(severity) >= WARNING:
                found.append((number, int(severity), int(group), message))
    return found


def test_wireshark_finds_no_error_in_what_passes_a_lossy_link(tmp_path: Path) -> None:
    require("tshark", "curl")
    (tmp_path / "data").write_bytes(DATA)
    capture = tmp_path / "seen.pcapng"

    async def work() -> None:
        async with host(tmp_path / "link", options=f"?capture={capture}") as made:
            await made.start_server(web_server(DATA), None, 80)
            for address in (OURS, f"[{OURS6}]"):
                assert await command(space, "curl", "-sS", f"http://{address}/") == DATA
                await command(space, "curl", "-sS", "-T", f"{tmp_path}/data", f"http://{address}/")
            for address in (KERNEL, KERNEL6):
                with pytest.raises(ConnectionRefusedError):
                    await made.open_connection(address, 9)
                assert await made.ping(address, count=2, timeout=PATIENCE)

    with namespace("wire") as space, emulated(space, tmp_path / "link", *FAULTS, *MEDIUM) as link:
        asyncio.run(asyncio.wait_for(work(), 100))
        link.end()
        assert all(link.statistics[way][fault] for way in ("ab", "ba") for fault in ("lost", "reordered", "duplicated"))
    found = experts(capture)
    assert found, "not even a retransmission: the link was none of the kind"
    assert [entry for entry in found if entry[1] >= ERROR or entry[2] != SEQUENCE] == []


def test_nmap_can_not_predict_our_sequence_numbers(tmp_path: Path) -> None:
    require("nmap")

    async def work() -> None:
        with space.entered():
            device = open_device(f"tap:u0?ip={KERNEL}/24")
        async with uinet.Host() as made:
            await made.add_device(device, addresses=[f"{OURS}/24"])
            await made.start_server(web_server(DATA), OURS, 80)
            words = "nmap", "-O", "-v", "-n", "-Pn", "-p", "80,81", "--max-os-tries", "1", OURS
            text = (await command(space, *words, timeout=180)).decode()
        assert "80/tcp open" in text and "81/tcp closed" in text, text
        prediction = [line for line in text.splitlines() if line.startswith("TCP Sequence Prediction:")]
        assert len(prediction) == 1 and "(Good luck!)" in prediction[0], text

    with namespace("nmap") as space:
        asyncio.run(asyncio.wait_for(work(), 200))
