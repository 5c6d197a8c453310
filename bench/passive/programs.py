"""Who is compared: uinet in three modes, and the peers, which are built or installed into the cache when wanted.

No line of a peer is kept here: the drivers in ``peers/`` are ours, and are linked to what Debian's packages install.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.harness import Skipped
from bench.passive.captures import Capture
from bench.passive.record import BULK_PORT

HERE = Path(__file__).parent
SOURCES = HERE / "peers"
GOPATH = "/usr/share/gocode"  # where Debian's packages put Go libraries
COUNTERS = "ABCDEFG"  # captures, by first letter
SMALL = "AB"


@dataclass(frozen=True, slots=True)
class Contestant:
    """One program: `command` for a capture; `captures` are the first letters of those it is run on by default.

    `packets`: it reads only so many packets of a capture, and its CPU time is extrapolated from them. `directory`:
    it writes files into a directory, whose name goes where the command has "{}". `slow`: three runs suffice.
    """

    name: str
    what: str
    command: Callable[[Capture], list[str]]
    captures: str
    packets: int = 0
    directory: bool = False
    slow: bool = False


def program(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise Skipped(f"no {name} (Debian: {package})")
    return found


def build(cache: Path, source: str, command: list[str], package: str, environment: dict[str, str] | None = None) -> str:
    """The driver compiled from `source` into the cache: `command` with the names of output and source put in."""
    binary, text = cache / "bin" / Path(source).stem, SOURCES / source
    if binary.exists() and binary.stat().st_mtime > text.stat().st_mtime:
        return str(binary)
    program(command[0], package)
    binary.parent.mkdir(exist_ok=True)
    filled = [str({"OUT": binary, "SOURCE": text}.get(word, word)) for word in command]
    variables = {**os.environ, **(environment or {})}
    done = subprocess.run(filled, capture_output=True, text=True, timeout=400, env=variables)
    if done.returncode:
        why = next((line for line in done.stderr.splitlines() if "error" in line or "cannot" in line), "").strip()
        raise Skipped(f"{source} does not build: {why or done.stderr.strip()[-200:]} (Debian: {package})")
    return str(binary)


def packages(cache: Path, *names: str) -> str:
    """A Python with packages from PyPI, in a virtual environment of the cache's."""
    python = cache / "venv" / "bin" / "python"
    probe = [str(python), "-c", f"import {', '.join(names)}"]
    if not python.exists() or subprocess.run(probe, capture_output=True, timeout=60).returncode:
        commands = (
            [sys.executable, "-m", "venv", str(cache / "venv")],
            [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *names],
        )
        for command in commands:
            done = subprocess.run(command, capture_output=True, text=True, timeout=300)
            if done.returncode:
                raise Skipped(f"{' and '.join(names)} can't be installed: {done.stderr.strip().splitlines()[-1:]}")
    return str(python)


def ours(mode: str) -> list[str]:
    return [sys.executable, "-P", str(HERE / "ours.py"), mode]


def midstream(capture: Capture) -> list[str]:
    """Captures whose handshakes may be missing are followed from the middle too."""
    return ["--midstream"] if capture.lossy else []


def uinet_modes() -> list[Contestant]:
    follow = f"exec '{sys.executable}' -P -m uinet.cli follow --json \"$@\" > /dev/null"
    return [
        Contestant("uinet", "counts in place",
                   lambda c: [*ours("count"), c.path, *midstream(c)], COUNTERS),
        Contestant("uinet start-up", "of that, until the file is opened", lambda c: [*ours("start"), c.path], COUNTERS),
        Contestant("uinet callback", "every byte to a Python method",
                   lambda c: [*ours("callback"), c.path, *midstream(c)], SMALL),
        Contestant("uinet follow --json", "the command, records and digests",
                   lambda c: ["/bin/sh", "-c", follow, "sh", *midstream(c), c.path], SMALL, slow=True),
    ]


def libpcap(cache: Path) -> Contestant:
    driver = build(cache, "pcap_loop.c", ["cc", "-O2", "-o", "OUT", "SOURCE", "-lpcap"], "gcc libpcap-dev")
    return Contestant("libpcap", "reads packets, does nothing with them", lambda c: [driver, c.path], COUNTERS)


def libnids(cache: Path) -> Contestant:
    driver = build(cache, "nids.c", ["cc", "-O2", "-o", "OUT", "SOURCE", "-lnids", "-lpcap"], "gcc libnids-dev")
    return Contestant("libnids", "counts", lambda c: [driver, c.path, str(min(c.connections, 1_000_000))], COUNTERS)


def libtins(cache: Path) -> Contestant:
    driver = build(cache, "tins.cpp", ["c++", "-O2", "-o", "OUT", "SOURCE", "-ltins", "-lpcap"], "g++ libtins-dev")
    return Contestant("libtins", "counts", lambda c: [driver, c.path], COUNTERS)


def gopacket(cache: Path) -> Contestant:
    environment = {"GO111MODULE": "off", "GOPATH": GOPATH, "GOCACHE": str(cache / "gocache"), "GOFLAGS": ""}
    wanted = "golang-go golang-github-google-gopacket-dev golang-golang-x-net-dev golang-golang-x-sys-dev"
    driver = build(cache, "gopacket.go", ["go", "build", "-o", "OUT", "SOURCE"], wanted, environment)
    return Contestant("gopacket", "tcpassembly, counts", lambda c: [driver, c.path], COUNTERS)


def tcpflow(cache: Path) -> Contestant:
    found = program("tcpflow", "tcpflow")
    return Contestant("tcpflow", "writes files, in memory", lambda c: [found, "-q", "-r", c.path, "-o", "{}"], SMALL,
                      directory=True, slow=True)


def tshark(cache: Path) -> Contestant:
    found = program("tshark", "tshark")
    options = ["-d", f"tcp.port=={BULK_PORT},data", "-q", "-z", "conv,tcp"]
    return Contestant("tshark", "-q -z conv,tcp: dissects, a table of connections, no streams",
                      lambda c: [found, "-r", c.path, *options], SMALL, slow=True)


def by_hand(cache: Path, name: str, packets: int) -> Contestant:
    python = packages(cache, "dpkt", "scapy")
    script = str(SOURCES / "by_hand.py")
    return Contestant(name, f"and a few lines of Python, on the first {packets} packets",
                      lambda c: [python, script, name, c.path], SMALL, packets=packets, slow=True)


PEERS: dict[str, Callable[[Path], Contestant]] = {
    "libpcap": libpcap,
    "libnids": libnids,
    "libtins": libtins,
    "gopacket": gopacket,
    "tcpflow": tcpflow,
    "tshark": tshark,
    "dpkt": lambda cache: by_hand(cache, "dpkt", 100_000),
    "scapy": lambda cache: by_hand(cache, "scapy", 10_000),
}


def scratch() -> tempfile.TemporaryDirectory[str]:
    """A directory for a peer's files, in memory if there is such a place."""
    memory = Path("/dev/shm")
    return tempfile.TemporaryDirectory(prefix="uinet-bench-", dir=memory if memory.is_dir() else None)
