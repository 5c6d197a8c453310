"""Telling the user: events are marked while a batch is eaten and delivered after it (design decision D4)."""

from __future__ import annotations

from uinet.tcp.tcb import Tcb


def notify(tcb: Tcb, events: int) -> None:
    """Marks `events` (EV bits) for whoever owns the connection."""
    tcb.events |= events
    if not tcb.ready_queued:
        tcb.ready_queued = True
        tcb.context.ready.append(tcb)
