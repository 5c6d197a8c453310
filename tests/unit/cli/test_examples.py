"""Every example runs: in memory on virtual time here, and as a script."""

from __future__ import annotations

import asyncio
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from uinet.sim.network import Network

EXAMPLES = Path(__file__).parents[3] / "examples"
SAYS = {
    "echo_server": ["echoed: hello, stack"],
    "honeypot": [
        "65536 addresses",
        "10.66.0.1 port 22 says b'SSH-2.0-OpenSSH_9.2\\r\\n'",
        "10.66.200.200 port 31337: b'anybody there?\\r\\n'",
    ],
    "client_from_any_address": [
        "you are 10.8.1.1 port 1111, MAC 02:00:00:00:01:01, VLANs []",
        "you are 10.8.1.2 port 2222, MAC 02:00:00:00:01:02, VLANs [100]",
        "you are 10.8.1.2 port 2222, MAC 02:00:00:00:01:03, VLANs [100, 200]",
    ],
    "follow_capture": [
        "to 10.9.0.2 port 80, VLANs [], closed by fin",
        "  client at 0: 33 bytes, beginning b'GET / HTTP/1.0",
        "  server at 0: 1448 bytes are missing (lost)",
        "  server at 1448: 4971 bytes",
    ],
    "syn_filter": [
        "10.9.0.1 to port 80: welcome, checked 10.9.0.1",
        "10.9.0.1 to port 23: refused",
        "10.9.0.1 to port 24: silence",
        "10.9.0.66 to port 80: refused",
    ],
    "transparent_proxy": [
        "the server saw ('10.1.2.3', 4567), 02:00:00:00:00:01, VLANs [100, 200]: HELLO, THROUGH THE PROXY",
    ],
}
# those whose device is made of sockets of the kernel, and so of real time
ON_SOCKETS = {"udp_device": ["answered in 0."]}


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_example_that_answers_for_addresses_says_for_which() -> None:
    for path in EXAMPLES.glob("*.py"):
        text = path.read_text()
        assert text.count("answer_any=True") == text.count("interface.answer_prefixes = "), path.name


def test_every_example_is_tested() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(SAYS) | set(ON_SOCKETS)


@pytest.mark.parametrize("name", sorted(SAYS))
def test_example_in_memory_says_what_it_should(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = load(name)
    with Network(seed=1, limit=600) as net, asyncio.Runner(loop_factory=net.asyncio) as runner:
        runner.run(module.in_memory())
    output = capsys.readouterr().out
    for line in SAYS[name]:
        assert line in output


@pytest.mark.parametrize(("name", "lines"), [("echo_server", ["echoed: hello, stack"]), *ON_SOCKETS.items()])
def test_example_as_a_script(name: str, lines: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    for line in lines:
        assert line in done.stdout
