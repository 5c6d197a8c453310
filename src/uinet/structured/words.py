"""The words that trio and anyio have in common, so that what needs no others is written once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from types import TracebackType
from typing import Any, NamedTuple, Protocol


class Event(Protocol):
    """Something that happens once."""

    def set(self) -> object:
        """It has happened."""

    async def wait(self) -> object:
        """Waits until it has; a checkpoint."""


class Group(Protocol):
    """A nursery, or task group."""

    @property
    def cancel_scope(self) -> Any:
        """What cancels all of its tasks."""

    def start_soon(self, function: Callable[..., Awaitable[Any]], /, *args: Any) -> Any:
        """Begins a task."""


class Words(NamedTuple):
    """One library's."""

    event: Callable[[], Event]
    group: Callable[[], AbstractAsyncContextManager[Any]]
    scope: Callable[[], Any]  # a cancel scope
    move_on_after: Callable[[float], AbstractContextManager[Any]]
    sleep: Callable[[float], Awaitable[object]]
    current_time: Callable[[], float]
    checkpoint: Callable[[], Awaitable[object]]
    checkpoint_if_cancelled: Callable[[], Awaitable[object]]
    cancel_shielded_checkpoint: Callable[[], Awaitable[object]]
    cancelled: Callable[[], type[BaseException]]  # the class of what is raised in a task that is cancelled
    busy: type[Exception]
    closed: type[Exception]
    broken: type[Exception]


class Turn:
    """Lets one task at a time do what may not be done by two: a second one gets the library's BusyResourceError."""

    __slots__ = ("error", "message", "taken")

    def __init__(self, error: type[Exception], message: str) -> None:
        self.error = error
        self.message = message
        self.taken = False

    def __enter__(self) -> None:
        if self.taken:
            raise self.error(self.message)
        self.taken = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.taken = False
