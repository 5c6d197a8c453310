"""``async`` functions of the program, SYN filters and senders of pipes, as asyncio tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from uinet.filters import Begin


def tasks_of(loop: asyncio.AbstractEventLoop, name: str = "uinet SYN filter") -> Begin:
    """What runs coroutines as tasks of `loop`, called `name`."""

    def begin(thought: Coroutine[Any, Any, None], done: Callable[[], object]) -> Any:
        # not loop.create_task: an eager task factory would deliver the verdict before DEFER is returned
        task = asyncio.Task(thought, loop=loop, name=name)
        task.add_done_callback(lambda task: done())
        return task.cancel

    return begin
