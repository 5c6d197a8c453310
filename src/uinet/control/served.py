"""What a control socket serves: one stack, and what is around it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uinet.stack import Stack

Devices = Callable[[], dict[str, dict[str, int]]]


class Served:
    """`stack`, and its `devices`: their counters by the names of their interfaces, as a Driver tells them."""

    def __init__(self, stack: Stack, devices: Devices = dict) -> None:
        self.stack = stack
        self.devices = devices
        self.began = stack.now

    def refresh(self) -> int:
        """The time, ns, as the stack knows it: now, if it has a clock."""
        self.stack.tcp.refresh()
        return self.stack.now


def resident() -> int:
    """Bytes of memory that this process occupies; 0 where nothing tells."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
