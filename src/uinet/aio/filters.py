"""``async`` SYN filters as asyncio tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from uinet.filters import Begin


def tasks_of(loop: asyncio.AbstractEventLoop) -> Begin:
    """What runs filters as tasks of `loop`."""

    def begin(thought: Coroutine[Any, Any, None], done: Callable[[], object]) -> Any:
        # not loop.create_task: an eager task factory would deliver the verdict before DEFER is returned
        task = asyncio.Task(thought, loop=loop, name="uinet SYN filter")
        task.add_done_callback(lambda task: done())
        return task.cancel

    return begin
