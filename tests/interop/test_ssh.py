"""OpenSSH against asyncssh on uinet's event loop, both ways, through a bad link: new keys on the way, files as sent.

UINET_LONG=1 sends a gigabyte instead of a few megabytes; with ``-s -p no:xdist`` it says how far it is. A path that
loses 1.5 % bounds CUBIC and NewReno: 1.2 / sqrt(0.015) segments each 5 ms are 23 Mbit/s, six minutes for a gigabyte,
from the kernel to itself as well. BBR is not bound by that, and the long copies use it, as the kernel's side may.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

import uinet
from tests.interop.lossy import (
    BAD,
    KERNEL,
    KERNEL6,
    MEDIUM,
    OURS,
    OURS6,
    check_faults,
    command,
    emulated,
    host,
    require_module,
)
from tests.interop.netns import Namespace, namespace, require

LONG = os.environ.get("UINET_LONG") == "1"
SIZE = 1_000_000_000 if LONG else 6_000_000
REKEY = "64M" if LONG else "1M"
SLOWEST = 11e6  # bit/s, of a copy there or back: half of what CUBIC gives
PATIENCE = 50 + 2 * SIZE * 8 / SLOWEST

pytestmark = [pytest.mark.interop, pytest.mark.timeout(PATIENCE + 10)]


def make_key(path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True, timeout=20)
    return path


def make_file(path: Path) -> str:
    """A file of SIZE bytes that nobody can guess; its digest."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for start in range(0, SIZE, 1 << 20):
            piece = os.urandom(min(1 << 20, SIZE - start))
            file.write(piece)
            digest.update(piece)
    return digest.hexdigest()


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def progress(tmp_path: Path) -> None:
    """Says every ten seconds how much has been copied there and back."""
    began = time.monotonic()
    while True:
        await asyncio.sleep(10)
        sizes = [path.stat().st_size if path.exists() else 0 for path in (tmp_path / "stored", tmp_path / "back")]
        passed = time.monotonic() - began
        rate = sum(sizes) * 8e-6 / passed
        print(f"  {passed:4.0f} s: {sizes[0] * 1e-6:.0f} MB there, {sizes[1] * 1e-6:.0f} MB back, {rate:.0f} Mbit/s",
              file=sys.stderr, flush=True)


def run(tmp_path: Path, work: Callable[[Namespace], Coroutine[Any, Any, None]]) -> None:
    """Runs ``work(namespace)`` on a loop whose network is uinet, over a bad link."""
    require("ssh", "scp", "ssh-keygen")
    with namespace("ssh") as space, emulated(space, tmp_path / "link", *BAD, *MEDIUM) as link:

        made = uinet.Host()

        async def inside() -> None:
            async with host(tmp_path / "link", made) as here:
                telling = None
                if LONG:
                    here.stack.tcp.settings.congestion = "bbr"
                    telling = asyncio.create_task(progress(tmp_path))
                await asyncio.wait_for(work(space), PATIENCE)
                if telling is not None:
                    telling.cancel()

        with asyncio.Runner(loop_factory=lambda: uinet.aio.EventLoop(made)) as runner:
            runner.run(inside())
        check_faults(link)


@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
def test_scp_of_openssh_to_a_server_on_uinet_and_back(family: str, tmp_path: Path) -> None:
    asyncssh = require_module("asyncssh")
    key, host_key = make_key(tmp_path / "key"), make_key(tmp_path / "host")
    digest = make_file(tmp_path / "there")
    address = OURS if family == "IPv4" else f"[{OURS6}]"

    async def work(space: Namespace) -> None:
        server = await asyncssh.listen(
            OURS if family == "IPv4" else OURS6, 22, server_host_keys=[str(host_key)],
            authorized_client_keys=f"{key}.pub", sftp_factory=True, allow_scp=True, rekey_bytes=SIZE // 4,
        )
        settings = (
            "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes", f"RekeyLimit={REKEY}",
            "LogLevel=ERROR",
        )
        # -O: with the newer protocol asyncssh sends no exit status, on any network
        options = ["-q", "-O", "-i", str(key), *(word for setting in settings for word in ("-o", setting))]
        there = f"root@{address}:{tmp_path}/stored"
        await command(space, "scp", *options, f"{tmp_path}/there", there, timeout=PATIENCE)
        assert digest_of(tmp_path / "stored") == digest
        await command(space, "scp", *options, there, f"{tmp_path}/back", timeout=PATIENCE)
        assert digest_of(tmp_path / "back") == digest
        server.close()
        await server.wait_closed()

    run(tmp_path, work)


@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
def test_a_client_on_uinet_copies_to_openssh_and_back(family: str, tmp_path: Path) -> None:
    asyncssh = require_module("asyncssh")
    require("/usr/sbin/sshd")
    key, host_key = make_key(tmp_path / "key"), make_key(tmp_path / "host")
    digest = make_file(tmp_path / "there")
    Path("/run/sshd").mkdir(exist_ok=True)
    config = tmp_path / "sshd_config"
    config.write_text(
        f"Port 22\nHostKey {host_key}\nAuthorizedKeysFile {key}.pub\nStrictModes no\nUsePAM no\n"
        f"PidFile {tmp_path}/pid\n"
        f"PermitRootLogin yes\nRekeyLimit {REKEY}\nSubsystem sftp internal-sftp\n"
    )

    async def work(space: Namespace) -> None:
        words = "ip", "netns", "exec", space.name, "/usr/sbin/sshd", "-D", "-f", str(config)
        sshd = await asyncio.create_subprocess_exec(*words)
        try:
            while not (tmp_path / "pid").exists():
                await asyncio.sleep(0.02)
            async with asyncssh.connect(
                KERNEL if family == "IPv4" else KERNEL6, 22, username="root", client_keys=[str(key)], known_hosts=None,
                rekey_bytes=SIZE // 4,
            ) as connection:
                async with connection.start_sftp_client() as sftp:
                    await sftp.put(f"{tmp_path}/there", f"{tmp_path}/stored")
                    await sftp.get(f"{tmp_path}/stored", f"{tmp_path}/back")
                told = await connection.run(f"sha256sum {tmp_path}/stored", check=True)
                assert str(told.stdout).split()[0] == digest
        finally:
            sshd.terminate()
            await sshd.wait()
        assert digest_of(tmp_path / "back") == digest

    run(tmp_path, work)
