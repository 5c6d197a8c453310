"""How large a connection's buffers are: as large as it can use, by what was measured, and never by what a peer says.

Receiving (dynamic right-sizing): in a round trip a sender can send a window, so a connection whose user reads more in a
round trip than ever before is given room for twice that and more, as its sender may be doubling its rate. A user that
does not read gets no larger a buffer. The round trip is measured by the receiver: by the timestamps that come back
(RFC 7323, 4.1), or else as the time that a whole window takes.

Sending: a user that waits for room is given twice what the congestion window and the peer's window let out, so that
what is acknowledged and what is to be sent next both have a place.

Neither ever shrinks. Both end at a maximum, under pressure of all connections' memory, and where the user has chosen a
size (SO_RCVBUF, SO_SNDBUF).
"""

from __future__ import annotations

from uinet.seq import seq_diff
from uinet.tcp.tcb import Tcb
from uinet.tcp.tuning import Tuning
from uinet.units import MASK32, MILLISECOND, SECOND
from uinet.wire.segment import Segment

LEAST_RTT = MILLISECOND // 2  # ns; what a window that came in one batch, in no time, is taken for
BELIEVABLE = 120_000  # ms; an echo older than that, or from the future, says nothing
MEMORY = 10 * SECOND  # ns for which the least round trip is remembered, at least
SAMPLES = 16  # of the round trip in a window, where timestamps tell it
READ_AT_FIRST = 4  # a part of the buffer like this is what a user reads in a round trip without its growing


def most_to_receive(tcb: Tcb) -> int:
    """The largest receive buffer that the connection may come to have: its window scale has to allow for it."""
    most = tcb.context.settings.receive_buffer_max
    return most if tcb.receive_auto and most > tcb.rcv_limit else tcb.rcv_limit


def user_has_read(tcb: Tcb) -> None:
    """The user of a connection with `receive_auto` has read: measures, and lets the buffer grow if that is due."""
    context = tcb.context
    taken = tcb.bytes_in - (tcb.rcv_buf.length if tcb.rcv_buf is not None else 0)
    tuning = tcb.tuning
    if tuning is None:
        if tcb.bytes_in >= tcb.rcv_limit // READ_AT_FIRST:
            mark = tcb.rcv_nxt if tcb.ts_ok else tcb.rcv_adv
            tcb.tuning = Tuning(mark, context.now, taken, tcb.rcv_limit // READ_AT_FIRST)
        return
    if tuning.rtt == 0 or context.now < tuning.until:
        return
    read = taken - tuning.taken
    if 2 * read > tcb.rcv_limit:
        grow_to_receive(tcb, read, tuning.most)
    if read > tuning.most:
        tuning.most = read
    tuning.taken = taken
    tuning.until = context.now + tuning.rtt


def grow_to_receive(tcb: Tcb, read: int, before: int) -> None:
    """The user has read `read` bytes in a round trip, more than half of the buffer, which becomes twice as large as
    that: a sender in slow start will send so much in the next one. As a larger window takes effect only after a round
    trip, it is more still if `before`, the most until now, was less.
    """
    settings = tcb.context.settings
    wanted = 2 * read
    growth = read - before
    if growth > 0:
        wanted += 2 * wanted * (growth if growth < before else before) // before
    most = settings.receive_buffer_max
    field = 0xFFFF << tcb.rcv_scale
    if most > field:
        most = field
    if wanted > most:
        wanted = most
    more = wanted - tcb.rcv_limit
    if more > 0 and tcb.context.received_bytes + more <= settings.receive_memory // 2:
        tcb.rcv_limit = wanted


def take_round_trip(tcb: Tcb, seg: Segment) -> None:
    """Data has passed the mark: a sample of the round trip, of which the least counts.

    One is too long where the sender had nothing to send for a while, or its packets waited in a queue, which a larger
    window would only fill.
    """
    tuning = tcb.tuning
    if tuning is None:
        return
    now = tcb.context.now
    if tcb.ts_ok:
        # the last ACK of ours that the peer had when it sent this (RFC 7323, 4.3), by a clock of whole milliseconds
        elapsed = (now // MILLISECOND + tcb.ts_offset - seg.tsecr) & MASK32
        tuning.mark = (tcb.rcv_nxt + tcb.rcv_limit // SAMPLES) & MASK32
        if elapsed >= BELIEVABLE:
            return
        sample = (elapsed + 1) * MILLISECOND
    else:
        sample = now - tuning.marked_at
        tuning.marked_at = now
        tuning.mark = tcb.rcv_adv
        if sample < LEAST_RTT:
            sample = LEAST_RTT
    if now >= tuning.renewed_at + MEMORY:
        tuning.renewed_at = now  # the path may have become longer: the least of the last while is what counts
        tuning.rtt = tuning.recent
        tuning.recent = sample
    elif tuning.recent == 0 or sample < tuning.recent:
        tuning.recent = sample
    if tuning.rtt == 0 or sample < tuning.rtt:
        tuning.rtt = sample


def may_write(tcb: Tcb) -> bool:
    """Bytes were acknowledged while the user waits for room: grows the send buffer if that is of use; whether there is
    room worth telling of. A third of the buffer is, and less if no full segment is left to be sent."""
    context = tcb.context
    if tcb.send_auto:
        wanted = 2 * (tcb.cwnd if tcb.cwnd < tcb.snd_wnd else tcb.snd_wnd)
        most = context.settings.send_buffer_max
        if wanted > most:
            wanted = most
        more = wanted - tcb.snd_limit
        if more > 0 and context.queued_bytes + more <= context.settings.send_memory // 2:
            tcb.snd_limit = wanted
    held = tcb.snd_buf.length if tcb.snd_buf is not None else 0
    room = tcb.snd_limit - held
    if room >= tcb.snd_limit // 3:
        return True
    return room >= tcb.snd_limit // 16 and held < seq_diff(tcb.snd_nxt, tcb.snd_una) + tcb.mss
