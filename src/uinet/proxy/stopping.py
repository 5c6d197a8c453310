"""What stops a proxy that runs on asyncio: a program's call, or a signal."""

from __future__ import annotations

import asyncio
import signal


class Stoppable:
    """`stopping`: it is to stop. `hurry`: without waiting for open connections any longer."""

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        self.hurry = asyncio.Event()

    def stop(self) -> None:
        """Begins to stop; the second time, without waiting for open connections any longer."""
        if self.stopping.is_set():
            self.hurry.set()
        self.stopping.set()

    def stop_on_signals(self) -> None:
        """SIGINT and SIGTERM stop it from now on."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop)
