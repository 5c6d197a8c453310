"""``uinet.aio.follow``: the connections of a capture or a live source, while the program does other things."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

from uinet.following.api import Follow, Followed
from uinet.following.api import follow as follow_now

if TYPE_CHECKING:
    from types import TracebackType

    from uinet.following.inputs import Input


LOOK = 0.001  # how often a device in memory, which has no descriptor, is looked at


class AsyncFollow:
    """An asynchronous iterator over the connections of a source, in the order in which they end.

    A file is read in slices of a fraction of a millisecond (compiled), between which other tasks run. What may have to
    be waited for, a network device or a pipe, is read by a thread of the loop's executor. When the task that waits here
    is cancelled, the source is closed. `stats`, `dropped`, `position`, `size`: as `uinet.following.Follow` has them.
    """

    def __init__(self, following: Follow) -> None:
        self._follow = following
        self._reading: asyncio.Future[bool] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Followed:
        while (found := self._follow.ready()) is None:
            if not await self._pump():
                raise StopAsyncIteration
        return found

    async def _pump(self) -> bool:
        sources = self._follow.sources
        try:
            if not sources.live or sources.shared:
                await asyncio.sleep(LOOK if sources.live else 0)
                return self._follow.pump()
            self._reading = asyncio.get_running_loop().run_in_executor(None, self._follow.pump)
            return await asyncio.shield(self._reading)
        except asyncio.CancelledError:
            await self.close()
            raise
        finally:
            self._reading = None

    @property
    def stats(self) -> dict[str, int]:
        return self._follow.stats

    @property
    def dropped(self) -> int:
        return self._follow.dropped

    @property
    def position(self) -> int:
        return self._follow.position

    @property
    def size(self) -> int | None:
        return self._follow.size

    async def close(self) -> None:
        """Stops reading. What has been given out stays readable."""
        reading, self._reading = self._reading, None
        if reading is None or reading.done():
            self._follow.close()
        else:
            self._follow.stop()  # the thread notices; what it reads may not be closed under it
            reading.add_done_callback(lambda done: self._follow.close())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def follow(source: Input, **chosen: Any) -> AsyncFollow:
    """As `uinet.follow`, which has the options, for ``async for``."""
    return AsyncFollow(follow_now(source, **chosen))
