"""SYN filters of programs on an event loop: plain functions decide at once, ``async`` ones defer the SYN meanwhile."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

from uinet.errors import InvalidArgument
from uinet.tcp.syn import Verdict

if TYPE_CHECKING:
    from uinet.stack import Stack
    from uinet.tcp.syn import Syn

logger = logging.getLogger("uinet")

SynFilter = Callable[["Syn"], "Verdict"] | Callable[["Syn"], Awaitable["Verdict"]]
Cancel = Callable[[], object]
Begin = Callable[[Coroutine[Any, Any, None], Callable[[], object]], Cancel]


class FilterRunner:
    """What the engine calls as the SYN filter of one listener, whichever kind `function` is.

    `begin`: runs a coroutine as a task of the event loop, none of it before it returns, and returns what cancels it;
    its second argument is to be called when the task has ended. A filter that raises, or returns no Verdict, rejects
    its SYN silently; that is logged and counted ("tcp_syn_filter_error"). An ``async`` one is cancelled when its SYN
    has come to nothing (reset, timed out), unless it has set `syn.on_gone` to hear of that itself.
    """

    def __init__(self, function: SynFilter, begin: Begin, stack: Stack) -> None:
        self.function = function
        self.begin = begin
        self.stack = stack
        self.thinking: set[Cancel] = set()

    def __call__(self, syn: Syn) -> Verdict:
        """The verdict on `syn`, or DEFER while an ``async`` filter thinks about it."""
        result = self.function(syn)
        if inspect.isawaitable(result):
            return self._defer(syn, result)
        return checked(result)  # the engine sees to errors

    def close(self) -> None:
        """Cancels the filters that still think; the engine releases their SYNs with the listener."""
        for cancel in list(self.thinking):
            cancel()

    def _defer(self, syn: Syn, thought: Awaitable[object]) -> Verdict:
        known: list[Cancel] = []
        cancel = self.begin(self._decide(syn, thought), lambda: self.thinking.discard(known[0]))
        known.append(cancel)
        self.thinking.add(cancel)
        if syn.on_gone is None:
            syn.on_gone = lambda syn, why: _call(cancel)
        return Verdict.DEFER

    async def _decide(self, syn: Syn, thought: Awaitable[object]) -> None:
        if not syn.waiting:  # too many were deferred already: the engine has dropped it
            if inspect.iscoroutine(thought):
                thought.close()
            return
        verdict = Verdict.REJECT_SILENT
        try:
            decided = checked(await thought)
            if decided is Verdict.DEFER:
                raise InvalidArgument("the SYN is deferred already: DEFER is no verdict on it")
            verdict = decided
        except Exception:
            self.stack.stats.count("tcp_syn_filter_error")
            logger.exception("SYN filter raised for %r", syn)
        syn.deliver(verdict)


def _call(cancel: Cancel) -> None:
    cancel()


def checked(verdict: object) -> Verdict:
    """`verdict` if it is one, else InvalidArgument."""
    if not isinstance(verdict, Verdict):
        raise InvalidArgument(f"a SYN filter returns a Verdict, not {verdict!r}")
    return verdict
