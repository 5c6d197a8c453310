"""The host's kernel as the machine under test, in a network namespace of its own, on real time. Linux, root.

Verdicts on our stack can be held against its: the same script, the same checks, another machine.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import subprocess
import time
from dataclasses import replace
from pathlib import Path

from uinet.errors import DeviceError, PermissionDenied
from uinet.link.tap import TapDevice
from uinet.sim.packetdrill.config import Config
from uinet.sim.packetdrill.errors import Mismatch
from uinet.sim.packetdrill.kernel_system import KernelSystem
from uinet.sim.packetdrill.matcher import Sniffed
from uinet.units import MILLISECOND, SECOND
from uinet.wire.addresses import unpack_address

CLONE_NEWNET = 0x40000000
SLACK = 25 * MILLISECOND  # real time is less exact than a script's
STEP = MILLISECOND  # between two looks at calls that block
COMMAND_TIMEOUT = 30  # seconds

_libc = ctypes.CDLL(None, use_errno=True)


def _namespace(call: str, *arguments: int) -> None:
    """unshare or setns for this thread. PermissionDenied, DeviceError."""
    if getattr(_libc, call)(*arguments) != 0:
        code = ctypes.get_errno()
        if code in (errno.EPERM, errno.EACCES):
            raise PermissionDenied("the kernel backend needs root: it makes a network namespace")
        raise DeviceError(f"{call}: {os.strerror(code)}")


class KernelBackend:
    """This thread is in the namespace until `close`. `folder`: where commands run."""

    checked = False

    def __init__(self, config: Config, folder: Path) -> None:
        self.config = config
        self.folder = folder
        config.tolerance += SLACK
        config.rules = replace(config.rules, last_push=False)  # Linux leaves it out
        self._home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            _namespace("unshare", CLONE_NEWNET)
        except BaseException:
            os.close(self._home)
            raise
        try:
            self.link = self._set_up()
        except BaseException:
            self._leave()
            raise
        self.system = KernelSystem(config.ip_version == "ipv4-mapped-ipv6")
        self._sent: list[Sniffed] = []
        self._began = time.monotonic_ns()

    def _set_up(self) -> TapDevice:
        """The TUN with its addresses and routes."""
        config = self.config
        link = TapDevice("tun0", layer=3, mtu=config.mtu, offload=False)
        version = "-6" if config.v6 else "-4"
        local, gateway = unpack_address(config.local), unpack_address(config.gateway)
        length = 48 if config.v6 else 16
        flags = ["nodad"] if config.v6 else []
        self._ip(version, "addr", "add", f"{local}/{length}", "dev", "tun0", *flags)
        self._ip("link", "set", "lo", "up")
        self._ip("link", "set", "tun0", "up")
        if config.v6:
            self._until_taken(config.local)
        if config.gateway == config.local:
            self._ip(version, "route", "add", "default", "dev", "tun0")
        else:
            self._ip(version, "route", "add", "default", "via", str(gateway), "dev", "tun0", *(["onlink"]))
        return link

    @staticmethod
    def _until_taken(address: bytes) -> None:
        """An IPv6 address is the kernel's own a while after the link has come up: until then it answers nothing."""
        end = time.monotonic() + COMMAND_TIMEOUT
        while True:
            routes = [line.split() for line in Path("/proc/thread-self/net/ipv6_route").read_text().splitlines()]
            if any(words[:2] == [address.hex(), "80"] for words in routes):  # a prefix of 128 bits
                return
            if time.monotonic() > end:
                raise DeviceError("tun0: the kernel does not take its address")
            time.sleep(STEP / SECOND)

    def _ip(self, *words: str) -> None:
        done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=COMMAND_TIMEOUT, check=False)
        if done.returncode:
            raise DeviceError(f"ip {' '.join(words)}: {done.stderr.strip()}")

    @property
    def now(self) -> int:
        return time.monotonic_ns() - self._began

    def start(self) -> None:
        self.link.recv()
        self._began = time.monotonic_ns()

    def advance(self, limit: int) -> None:
        wait = min(limit - self.now, STEP)
        if wait > 0:
            select.select([self.link.fileno()], [], [], wait / SECOND)
        self._collect()

    def _collect(self) -> None:
        for frame in self.link.recv():
            self._sent.append(Sniffed.of(self.now, bytes(frame.data)))

    def flush(self) -> None:
        self._collect()

    def inject(self, packets: list[bytes]) -> None:
        """Past the device's own sending, which holds back what is larger than the MTU: the kernel takes it."""
        for packet in packets:
            try:
                os.write(self.link.fileno(), packet)
            except OSError as error:
                raise DeviceError(f"tun0: {error.strerror}") from None
        self._collect()

    def fast_open_cookie(self, client: bytes, server: bytes) -> bytes:
        return b""

    def take(self) -> list[Sniffed]:
        self._collect()
        sent, self._sent = self._sent, []
        return sent

    def command(self, text: str) -> None:
        done = subprocess.run(
            text, shell=True, cwd=self.folder, capture_output=True, text=True, timeout=COMMAND_TIMEOUT, check=False,
            env={**os.environ, "PACKETDRILL_PID": str(os.getpid())},
        )
        if done.returncode and "sysctl_restore" not in text:
            lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
            said = f": {lines[-1]}" if lines else ""
            raise Mismatch(f"a command exits with {done.returncode}{said}", text)

    def finish(self) -> list[str]:
        return []

    def close(self) -> None:
        for sock in self.system.sockets:
            sock.close()
        self.link.close()
        self._leave()

    def _leave(self) -> None:
        """Back to the namespace that this thread came from; the other one is gone with its last socket."""
        _namespace("setns", self._home, CLONE_NEWNET)
        os.close(self._home)
