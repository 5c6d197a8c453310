"""The user's calls (RFC 9293, 3.10.1 to 3.10.6) on one connection. None of them sends: `send.output` does, later."""

from __future__ import annotations

from uinet.errors import BrokenPipe, NotConnected
from uinet.seq import seq_diff, seq_lt
from uinet.tcp.autotune import most_to_receive, user_has_read
from uinet.tcp.buffer import ByteQueue
from uinet.tcp.close import abort, finish, forget_unread
from uinet.tcp.context import Context
from uinet.tcp.negotiate import scale_for
from uinet.tcp.send import begin_opening, wants_output
from uinet.tcp.state import (
    CLOSE_WAIT,
    CLOSED,
    ESTABLISHED,
    FIN_WAIT_1,
    FIN_WAIT_2,
    LAST_ACK,
    SYN_SENT,
    change,
)
from uinet.tcp.tcb import Tcb
from uinet.tcp.telling import update_due, window_opened
from uinet.tcp.timers import rearm, wait_for_fin
from uinet.tcp.urgent import urgent_left

HASTE = 8  # a part like this of the delay of ACKs


def open_active(context: Context, tcb: Tcb, floor: int) -> None:
    """OPEN, active: the TCB has its key, path and options; sends the SYN.

    `floor`: the lowest ISN that may be used, or -1: a connection in TIME-WAIT gave way.
    """
    tcb.iss = context.secrets.isn(tcb, context.now)
    if floor >= 0 and seq_lt(tcb.iss, floor):
        tcb.iss = floor
    if tcb.auth is not None:
        tcb.auth.begin(tcb.iss, -1)
    tcb.ts_offset = context.secrets.timestamp_offset(tcb)
    tcb.snd_una = tcb.snd_nxt = tcb.iss
    tcb.rcv_scale = scale_for(most_to_receive(tcb))
    change(tcb, SYN_SENT)
    if tcb.extras is None or tcb.extras.fast_open is None:
        begin_opening(tcb)
    elif not tcb.fast_open.held:
        wants_output(tcb)  # the SYN goes then, with the data that is there by then


def failure(error: BaseException) -> BaseException:
    """What to raise for `error`, the end of a connection: a copy, as one that is raised refers to the frames that it
    has passed, and they to the connection that holds it."""
    return type(error)(str(error))


def check_writable(tcb: Tcb) -> None:
    """Raises what a SEND would meet: the connection's error, BrokenPipe after close or shutdown, NotConnected."""
    if tcb.extras is not None and tcb.extras.error is not None:
        raise failure(tcb.extras.error)
    if tcb.closing or tcb.state == CLOSED:
        raise BrokenPipe()


def send(tcb: Tcb, data: bytes | bytearray, offset: int, length: int) -> int:
    """SEND: queues as many of `length` bytes of `data` at `offset` as there is room for; how many (0: none now)."""
    check_writable(tcb)
    queue = tcb.snd_buf
    room = tcb.snd_limit - (queue.length if queue is not None else 0)
    if length >= room:
        length = room
        tcb.wants_write = True
    if length <= 0:
        return 0
    if queue is None:
        queue = ByteQueue()
        tcb.snd_buf = queue
    queue.append(data, offset, length)
    tcb.context.queued_bytes += length
    wants_output(tcb)
    return length


def unsent(tcb: Tcb) -> int:
    """Bytes that are queued and were never sent."""
    if tcb.snd_buf is None:
        return 0
    sent = seq_diff(tcb.snd_nxt, tcb.snd_una)
    if tcb.state < ESTABLISHED and sent:
        sent -= 1  # the SYN
    return max(0, tcb.snd_buf.length - sent)


def receive(tcb: Tcb, limit: int) -> bytes:
    """RECEIVE: up to `limit` bytes; b"" if there are none, be it now or for ever (`at_end` tells)."""
    if tcb.rcv_buf is None or tcb.rcv_buf.length == 0:
        return b""
    data = tcb.rcv_buf.read(limit)
    was_read(tcb, len(data))
    return data


def receive_piece(tcb: Tcb, limit: int) -> bytes:
    """As `receive`, but perhaps less than there is, if that saves a copy."""
    if tcb.rcv_buf is None or tcb.rcv_buf.length == 0:
        return b""
    data = tcb.rcv_buf.read_piece(limit)
    was_read(tcb, len(data))
    return data


def receive_into(tcb: Tcb, target: memoryview) -> int:
    """RECEIVE into a writable buffer of bytes; how many."""
    if tcb.rcv_buf is None or tcb.rcv_buf.length == 0:
        return 0
    count = tcb.rcv_buf.read_into(target)
    was_read(tcb, count)
    return count


def was_read(tcb: Tcb, count: int) -> None:
    """`count` bytes have left the receive buffer: the window may be worth an update."""
    if tcb.state != CLOSED:
        tcb.context.received_bytes -= count
    if tcb.receive_auto:
        user_has_read(tcb)
    queue = tcb.rcv_buf
    if queue is not None and queue.length == 0:
        tcb.rcv_buf = None
    if tcb.urgent_in:
        urgent_left(tcb)  # there may be none any more
    if tcb.state < ESTABLISHED:
        return
    if update_due(tcb):
        tcb.ack_now = True
        wants_output(tcb)
    elif tcb.delack_at and window_opened(tcb):
        hasten_ack(tcb)


def hasten_ack(tcb: Tcb) -> None:
    """An ACK that is being delayed has news for the peer (who, by Nagle's rule, may be waiting for it): it waits for an
    answer to go with for a moment only."""
    soon = tcb.context.now + tcb.context.settings.delayed_ack // HASTE
    if tcb.delack_at > soon:
        tcb.delack_at = soon
        rearm(tcb)


def acknowledge_now(tcb: Tcb) -> None:
    """Sends an ACK that is being delayed, if there is one, when the batch is done: with data, if there is some."""
    if tcb.delack_at:
        tcb.ack_now = True
        wants_output(tcb)


def shut_sending(tcb: Tcb) -> None:
    """CLOSE of the sending side only (half-close): FIN follows what is queued. Again: nothing."""
    if tcb.closing:
        return
    if tcb.state == CLOSED:
        raise NotConnected()
    tcb.closing = True
    if tcb.state == ESTABLISHED:
        change(tcb, FIN_WAIT_1)
    elif tcb.state == CLOSE_WAIT:
        change(tcb, LAST_ACK)
    wants_output(tcb)


def close(tcb: Tcb, linger: int) -> None:
    """CLOSE: the user lets go. Unread data resets the connection (RFC 9293 3.6.1, SHLD-3), as does `linger` 0.

    `linger`: ns that what is queued may take to arrive before the connection is reset; negative: the setting.
    """
    if tcb.orphan:
        return
    tcb.orphan = True
    if tcb.state == CLOSED:
        forget_unread(tcb)
        return
    if tcb.state == SYN_SENT:
        finish(tcb, None)
        return
    unread = tcb.rcv_buf is not None and tcb.rcv_buf.length > 0
    if unread or linger == 0:
        abort(tcb, lost=unread)
        return
    shut_sending(tcb)
    settings = tcb.context.settings
    if tcb.state == FIN_WAIT_2:
        wait_for_fin(tcb)
    else:
        tcb.lingering = linger > 0
        tcb.more().close_at = tcb.context.now + (linger if linger > 0 else settings.orphan_timeout)
    rearm(tcb)


def at_end(tcb: Tcb) -> bool:
    """Whether nothing more will ever be read."""
    return (tcb.rcv_buf is None or tcb.rcv_buf.length == 0) and (
        tcb.fin_received or tcb.receive_shut or tcb.state == CLOSED
    )
