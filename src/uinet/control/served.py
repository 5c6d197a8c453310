"""What a control socket serves: one stack, and what is around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from uinet.control.tables import TABLES, Table

if TYPE_CHECKING:
    from uinet.stack import Stack

Devices = Callable[[], dict[str, dict[str, int]]]


class Served:
    """`stack`, and its `devices`: their counters by the names of their interfaces, as a Driver tells them. `tables`: by
    name; a program may add some."""

    def __init__(self, stack: Stack, devices: Devices = dict) -> None:
        self.stack = stack
        self.devices = devices
        self.tables: dict[str, Table] = dict(TABLES)
        self.began = stack.now

    def refresh(self) -> int:
        """The time, ns, as the stack knows it: now, if it has a clock."""
        self.stack.tcp.refresh()
        return self.stack.now
