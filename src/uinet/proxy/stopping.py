"""What stops a proxy that runs on asyncio: a program's call, or a signal."""

from __future__ import annotations

import asyncio
import os
import signal


class Stoppable:
    """`stopping`: it is to stop. `hurry`: without waiting for open connections any longer."""

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        self.hurry = asyncio.Event()
        self.signals = 0

    def stop(self) -> None:
        """Begins to stop; the second time, without waiting for open connections any longer."""
        if self.stopping.is_set():
            self.hurry.set()
        self.stopping.set()

    def stop_on_signals(self) -> None:
        """SIGINT and SIGTERM stop it from now on; a third one ends the process, whatever a policy is still at."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._signalled, number)

    def _signalled(self, number: int) -> None:
        self.signals += 1
        if self.signals <= 2:
            self.stop()
        else:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
