"""How connections end: resets, aborts, TIME-WAIT, and letting go of everything they hold."""

from __future__ import annotations

from uinet.errors import ConnectionAborted
from uinet.events import EV_CLOSED, EV_ERROR, EV_READABLE, EV_WRITABLE
from uinet.tcp.constants import COPIED
from uinet.tcp.cork import forget
from uinet.tcp.fast_open import ended
from uinet.tcp.notify import notify
from uinet.tcp.send import send_rst
from uinet.tcp.state import CLOSED, SYN_RECEIVED, change
from uinet.tcp.tcb import Tcb


def release(tcb: Tcb) -> None:
    """Lets go of buffers and timers and takes the connection out of its tables; unread data stays readable."""
    context = tcb.context
    context.wheel.disarm(tcb)
    extras = tcb.extras
    if extras is not None:
        if extras.fast_open is not None:
            ended(tcb)
        if extras.corked is not None:
            forget(tcb)
        extras.close_at = 0
    tcb.rexmt_at = 0
    tcb.delack_at = 0
    tcb.keep_at = 0
    forget_out_of_order(tcb)
    if tcb.snd_buf is not None:
        context.queued_bytes -= tcb.snd_buf.length
        tcb.snd_buf = None
    tcb.loss_at = 0
    tcb.pacing = False
    if tcb.flight is not None:
        tcb.flight.clear()
        tcb.flight = None
    tcb.congestion = None
    if tcb.rcv_buf is not None:
        context.received_bytes -= tcb.rcv_buf.length  # the user's from now on, who may forget a socket unread
        if tcb.orphan or tcb.receive_shut:
            tcb.rcv_buf = None
    if tcb.marks & COPIED:
        context.copies.end(tcb)
    context.closed(tcb)


def forget_out_of_order(tcb: Tcb) -> None:
    """Throws away what waits for something before it: the peer still has it."""
    if tcb.reassembly is not None:
        tcb.context.received_bytes -= tcb.reassembly.charge()
        tcb.reassembly = None


def forget_unread(tcb: Tcb) -> None:
    """Throws away what nobody will read."""
    forget_out_of_order(tcb)
    if tcb.rcv_buf is not None:
        if tcb.state != CLOSED:
            tcb.context.received_bytes -= tcb.rcv_buf.length
        tcb.rcv_buf = None


def finish(tcb: Tcb, error: BaseException | None) -> None:
    """The connection is over: goes to CLOSED and tells the user, with `error` if it failed.

    What has arrived before can still be read; the error comes after it.
    """
    if tcb.state == CLOSED:
        return
    change(tcb, CLOSED)
    tcb.context.ended += 1
    release(tcb)
    if error is not None:
        tcb.more().error = error
        notify(tcb, EV_ERROR | EV_READABLE | EV_WRITABLE | EV_CLOSED)
    else:
        notify(tcb, EV_READABLE | EV_CLOSED)


def abort(tcb: Tcb, error: BaseException | None = None, lost: bool = False) -> None:
    """ABORT (RFC 9293 3.10.5): sends a RST where the peer knows of the connection, and finishes.

    Without `error` the user asked for it: where both ends have sent their FINs there is nothing left to tell then,
    unless data that had come was `lost`.
    """
    if tcb.state >= SYN_RECEIVED and (error is not None or lost or not (tcb.fin_sent and tcb.fin_received)):
        send_rst(tcb)
    finish(tcb, error if error is not None else ConnectionAborted())
