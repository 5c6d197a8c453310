"""Telling the user: events are marked while a batch is eaten and delivered after it (design decision D4)."""

from __future__ import annotations

from uinet.events import EV_SOFT_ERROR
from uinet.tcp.tcb import Tcb


def notify(tcb: Tcb, events: int) -> None:
    """Marks `events` (EV bits) for whoever owns the connection."""
    tcb.events |= events
    if not tcb.ready_queued:
        tcb.ready_queued = True
        tcb.context.ready.append(tcb)


def note_soft_error(tcb: Tcb, error: BaseException) -> None:
    """Keeps an error that may pass (RFC 9293 3.9.1, MUST-47), and tells the user if that was asked for (SHLD-20)."""
    tcb.soft_error = error
    if tcb.report_soft:
        notify(tcb, EV_SOFT_ERROR)
