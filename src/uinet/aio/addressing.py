"""Waiting for the addresses of an interface, as a coroutine."""

from __future__ import annotations

import asyncio

from uinet import addressing
from uinet.errors import TimedOut


class Addressing(addressing.Addressing):
    """As `uinet.addressing.Addressing`, on the running event loop."""

    async def wait(self, timeout: float) -> None:
        """Waits until everything is there; TimedOut, AddressConflict."""
        progress = asyncio.Event()
        self.on_progress = progress.set
        missing = ""
        try:
            async with asyncio.timeout(timeout):
                while missing := self.outstanding():
                    progress.clear()
                    await progress.wait()
        except TimeoutError:
            raise TimedOut(f"{self.interface.name}: {missing} within {timeout:g} s") from None
        finally:
            self.stop()
