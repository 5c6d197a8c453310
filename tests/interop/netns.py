"""Network namespaces for tests against the host's kernel: made, entered in process, and cleaned up.

    def test_something(): ...
        with namespace() as left, namespace() as right, veth(left, "l0", right, "r0"):
            right.run("ip addr add 10.7.0.1/24 dev r0")
            with left.entered():
                device = open_device("packet:l0")     # stays in `left` afterwards

Every helper skips the test, with the reason, where it can't work.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

CLONE_NEWNET = 0x40000000
ACCEPTS = 0x10000  # __SO_ACCEPTCON
PATIENCE = 30  # seconds for what is quick on a quiet machine: it only says when to give up
_serial = itertools.count()
_libc = ctypes.CDLL(None, use_errno=True)


def require(*programs: str) -> None:
    """Skips the test unless it runs as root, on Linux, with these programs."""
    if sys.platform != "linux":
        cannot("needs Linux")
    if os.geteuid() != 0:
        cannot("needs root, to make network namespaces")
    for program in ("ip", *programs):
        if shutil.which(program) is None:
            cannot(f"needs the program {program}: make deps")


def cannot(why: str) -> NoReturn:
    """Skips the test; fails it where UINET_INTEROP=require says that it has to run."""
    if os.environ.get("UINET_INTEROP") == "require":
        pytest.fail(why)
    pytest.skip(why)


class Namespace:
    """A network namespace; its loopback is up."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = Path("/var/run/netns") / name

    def run(self, command: str, *, timeout: float = PATIENCE, check: bool = True) -> str:
        """What a command in the namespace writes, run without a shell. If it fails, so does the test."""
        done = subprocess.run(
            ["ip", "netns", "exec", self.name, *shlex.split(command)],
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if check and done.returncode != 0:
            pytest.fail(f"{command!r} in {self.name} exited {done.returncode}: {done.stderr or done.stdout}")
        return done.stdout

    @contextlib.contextmanager
    def popen(self, command: str) -> Iterator[subprocess.Popen[str]]:
        """A command that runs beside the test, in the namespace; killed at the end."""
        arguments = ["ip", "netns", "exec", self.name, *shlex.split(command)]
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            yield process
        finally:
            process.kill()
            process.wait(timeout=10)
            if process.stdout is not None:
                process.stdout.close()

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """This thread is in the namespace; sockets and devices opened inside stay there for good."""
        with open("/proc/thread-self/ns/net", "rb") as home, open(self.path, "rb") as target:
            _setns(target.fileno())
            try:
                yield
            finally:
                _setns(home.fileno())

    def open_socket(self, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM) -> socket.socket:
        """A kernel socket of the namespace."""
        with self.entered():
            return socket.socket(family, kind)

    def packet_socket(self, interface: str) -> socket.socket:
        """A raw AF_PACKET socket on an interface of the namespace; to send only, it receives nothing."""
        with self.entered():
            raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            raw.bind((interface, 0))
        return raw


def _setns(descriptor: int) -> None:
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"setns: {os.strerror(code)}")


def _ip(command: str) -> None:
    done = subprocess.run(["ip", *shlex.split(command)], capture_output=True, text=True, timeout=PATIENCE)
    if done.returncode != 0:
        raise OSError(f"ip {command}: {done.stderr.strip()}")


def _remove_left_over() -> None:
    """Deletes the namespaces of test runs that were killed."""
    for path in Path("/var/run/netns").glob("uinet-*-*"):
        pid = path.name.split("-")[1]
        if pid.isdigit() and not Path("/proc", pid).exists():
            with contextlib.suppress(OSError):  # another run may have been faster
                _ip(f"netns del {path.name}")


@contextlib.contextmanager
def namespace(label: str = "ns", *, ipv6: bool = True) -> Iterator[Namespace]:
    """A new namespace, deleted at the end with all that is in it.

    Without `ipv6` its interfaces send no router solicitations and the like: tests that count frames want
    that.
    """
    require()
    _remove_left_over()
    name = f"uinet-{os.getpid()}-{next(_serial)}-{label}"
    try:
        _ip(f"netns add {name}")
    except OSError as error:
        cannot(f"needs network namespaces: {error}")
    try:
        made = Namespace(name)
        if not ipv6:
            with made.entered():
                for scope in ("all", "default"):
                    path = Path(f"/proc/sys/net/ipv6/conf/{scope}/disable_ipv6")
                    if path.exists():
                        path.write_text("1")
        made.run("ip link set lo up")
        yield made
    finally:
        _ip(f"netns del {name}")


@contextlib.contextmanager
def veth(
    left: Namespace, left_name: str, right: Namespace, right_name: str, *, mtu: int = 1500
) -> Iterator[None]:
    """A cable between two namespaces, both ends up; gone at the end, if it is still there."""
    _ip(
        f"link add {left_name} netns {left.name} mtu {mtu} type veth "
        f"peer name {right_name} netns {right.name} mtu {mtu}"
    )
    try:
        left.run(f"ip link set {left_name} up")
        right.run(f"ip link set {right_name} up")
        yield
    finally:
        left.run(f"ip link del {left_name}", check=False)


@contextlib.contextmanager
def background(work: Callable[[], object]) -> Iterator[list[object]]:
    """Runs `work` in a thread beside the test; the list gets what it returns. What it raises fails the test.

    The thread is in the namespace that this one is in now, so it must not be started inside `entered`, and
    sockets for it are made before.
    """
    results: list[object] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield results
    thread.join(timeout=PATIENCE)
    assert not thread.is_alive(), "the work beside the test did not end"
    if errors:
        raise errors[0]


def wait_for(condition: Callable[[], bool], what: str, *, timeout: float = PATIENCE) -> None:
    """Polls until `condition` holds; fails the test after `timeout` seconds."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"waited {timeout} s for {what}")
        time.sleep(0.005)


def whole_lines(path: Path) -> list[str]:
    """The lines of a file that a program is writing: the last may have no end yet, and is left out then."""
    return [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


def json_records(path: Path) -> list[dict[str, Any]]:
    """The JSON objects, a line each, that a program has written so far."""
    return [json.loads(line) for line in whole_lines(path)]


def listens(path: Path, space: Namespace | None = None) -> bool:
    """Whether a program, of `space` if it is given, listens at a Unix socket: its name is there a moment before."""
    table = space.run("cat /proc/net/unix") if space is not None else Path("/proc/net/unix").read_text()
    rows = [line.split(maxsplit=7) for line in table.splitlines()]
    return any(len(row) == 8 and row[7] == str(path) and int(row[3], 16) & ACCEPTS for row in rows[1:])


@contextlib.contextmanager
def before_all_others() -> Iterator[None]:
    """This thread runs whenever it has something to do, however busy the machine is: for what is measured in real
    time. (The kernel lets it; where it does not, things are as they are.)"""
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    try:
        yield
    finally:
        os.sched_setscheduler(0, *before)
