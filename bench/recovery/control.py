"""What the workers of this benchmark share: a JSON line in, a JSON line out, and counters of the kernel."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any


def say(**record: Any) -> None:
    print(json.dumps(record), flush=True)


def orders() -> Any:
    """The JSON objects on standard input, as they come."""
    for line in sys.stdin:
        yield json.loads(line)


def realtime(priority: int) -> None:
    """Runs before ordinary programs, where that is permitted: this measures protocols, not the machine's load."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))


def kernel_counters() -> dict[str, int]:
    """The TCP counters of this process's network namespace, by name (as `nstat` has them)."""
    found: dict[str, int] = {}
    for path in ("/proc/net/snmp", "/proc/net/netstat"):
        lines = Path(path).read_text().splitlines()
        for names, values in zip(lines[::2], lines[1::2], strict=True):
            if names.startswith(("Tcp:", "TcpExt:")):
                found.update(zip(names.split()[1:], map(int, values.split()[1:]), strict=True))
    return found


def difference(after: dict[str, int], before: dict[str, int]) -> dict[str, int]:
    """What has been counted in between, without zeros."""
    return {name: n - before.get(name, 0) for name, n in after.items() if n != before.get(name, 0)}
