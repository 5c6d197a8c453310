"""gevent's hub as an event loop of callbacks: libev's (or libuv's) watchers move a stack's frames and time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gevent import get_hub

from uinet.link.memory import MemoryRegistry

READ, WRITE = 1, 2  # of gevent's io watchers


def memory_of_hub() -> MemoryRegistry:
    """Where the ends of ``memory:NAME`` meet: those of all hosts of one hub, that is, of one thread."""
    hub = get_hub()
    registry: MemoryRegistry | None = getattr(hub, "_uinet_memory", None)
    if registry is None:
        registry = hub._uinet_memory = MemoryRegistry()
    return registry


class Timer:
    """What `GeventLoop.call_later` returns."""

    def __init__(self, watcher: Any) -> None:
        self.watcher = watcher

    def cancel(self) -> None:
        """The call will not be made."""
        self.watcher.stop()
        self.watcher.close()


class GeventLoop:
    """Callbacks on the hub of this thread. They run in the hub, and so must not block; one that raises is reported as
    the hub reports errors."""

    def __init__(self) -> None:
        self.loop: Any = get_hub().loop
        self._reading: dict[int, Any] = {}
        self._writing: dict[int, Any] = {}

    def call_soon(self, callback: Callable[..., Any], *args: Any) -> None:
        """Calls ``callback(*args)`` in the hub's next round."""
        self.loop.run_callback(callback, *args)

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any) -> Timer:
        """Calls ``callback(*args)`` after `delay` seconds."""
        timer = Timer(self.loop.timer(delay))

        def expired() -> None:
            timer.cancel()
            callback(*args)

        timer.watcher.start(expired, update=True)
        return timer

    def add_reader(self, fd: int, callback: Callable[..., Any], *args: Any) -> None:
        """Calls ``callback(*args)`` whenever `fd` is readable."""
        self._watch(self._reading, READ, fd, callback, args)

    def add_writer(self, fd: int, callback: Callable[..., Any], *args: Any) -> None:
        """Calls ``callback(*args)`` whenever `fd` is writable."""
        self._watch(self._writing, WRITE, fd, callback, args)

    def remove_reader(self, fd: int) -> bool:
        """Undoes `add_reader`; whether there was one."""
        return _stop(self._reading.pop(fd, None))

    def remove_writer(self, fd: int) -> bool:
        """Undoes `add_writer`; whether there was one."""
        return _stop(self._writing.pop(fd, None))

    def _watch(
        self, watched: dict[int, Any], events: int, fd: int, callback: Callable[..., Any], args: tuple[Any, ...]
    ) -> None:
        _stop(watched.pop(fd, None))
        watcher = watched[fd] = self.loop.io(fd, events)
        watcher.start(callback, *args)


def _stop(watcher: Any) -> bool:
    if watcher is None:
        return False
    watcher.stop()
    watcher.close()
    return True
