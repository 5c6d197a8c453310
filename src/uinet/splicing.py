"""Joining two connections inside the engine: what one receives the other sends, no byte becoming a Python object.

Half-close, reset and back-pressure pass through: a FIN follows the bytes before it, a RST resets the other side, and a
slow reader shuts the window of the fast writer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from uinet.errors import InvalidArgument
from uinet.events import EV_READABLE
from uinet.socket import Socket, close_socket
from uinet.tcp.buffer import ByteQueue
from uinet.tcp.calls import at_end, shut_sending, was_read
from uinet.tcp.close import abort
from uinet.tcp.notify import notify
from uinet.tcp.send import output, wants_output
from uinet.tcp.state import CLOSED, ESTABLISHED
from uinet.tcp.takeover import acknowledge_passed
from uinet.tcp.tcb import Tcb

log = logging.getLogger("uinet")


class Splice:
    """Two joined connections, or one that is joined to itself.

    `bytes_ab`, `bytes_ba`: bytes passed from the first to the second and back. `done`: both connections are over;
    `error`: what ended them, if not two FINs. `on_done`: None, or called with this object when `done` becomes true.
    """

    def __init__(self, first: Socket, second: Socket) -> None:
        self.first = first
        self.second = second
        self.bytes_ab = 0
        self.bytes_ba = 0
        self.done = False
        self.error: BaseException | None = None
        self.on_done: Callable[[Splice], Any] | None = None

    def pump(self) -> None:
        """Moves what can be moved, both ways, and passes on what has ended."""
        if self.done:
            return
        a = self.first.tcb
        b = self.second.tcb
        assert a is not None and b is not None
        self.bytes_ab += self.move(a, b)
        if a is not b:
            self.bytes_ba += self.move(b, a)
        self.pass_end(a, b)
        if a is not b:
            self.pass_end(b, a)
        if a.state == CLOSED and b.state == CLOSED:
            self.finish()

    def move(self, source: Tcb, target: Tcb) -> int:
        """Moves bytes from what `source` has received to what `target` sends; how many."""
        queue = source.rcv_buf
        if queue is None or queue.length == 0 or target.closing or target.state == CLOSED:
            return 0
        out = target.snd_buf
        room = target.snd_limit - (out.length if out is not None else 0)
        count = queue.length
        if count > room:
            count = room
            target.wants_write = True
        if count <= 0:
            return 0
        if out is None:
            out = ByteQueue()
            target.snd_buf = out
        queue.move(out, count)
        target.context.queued_bytes += count
        was_read(source, count)
        if target.extras is not None and target.extras.passed:
            acknowledge_passed(target)
        wants_output(target)
        return count

    def pass_end(self, source: Tcb, target: Tcb) -> None:
        """Passes on that `source` has ended: its FIN once all before it has moved, its failure at once, behind what the
        other side's windows let out of the bytes before it.
        """
        error = source.extras.error if source.extras is not None else None
        if error is not None:
            if self.error is None:
                self.error = error
            if target.state != CLOSED:
                output(target)
                abort(target, error)
        elif at_end(source) and not target.closing and target.state >= ESTABLISHED:
            shut_sending(target)
            if target.extras is not None and target.extras.passed:
                acknowledge_passed(target)

    def finish(self) -> None:
        """Both are over."""
        self.done = True
        for sock in (self.first, self.second):
            if sock.tcb is not None:
                sock.tcb.more().splice = None
            close_socket(sock)
        if self.on_done is not None:
            told, self.on_done = self.on_done, None
            try:
                told(self)
            except Exception:
                log.exception("on_done of a splice raised")

    def abort(self) -> None:
        """Resets both connections."""
        for sock in (self.first, self.second):
            if sock.tcb is not None and sock.tcb.state != CLOSED:
                abort(sock.tcb)
        self.pump()
        self.first.stack.kick()


def may_be_joined(sock: Socket) -> bool:
    """Whether a socket is a connection that is whole, and nobody's yet."""
    tcb = sock.tcb
    if tcb is None or sock.closed or tcb.receive_shut:
        return False
    extras = tcb.extras
    if tcb.closing and not (extras is not None and extras.taken):  # one that was taken over may have sent its FIN
        return False
    return extras is None or extras.splice is None


def begin_end(joined: Splice, sock: Socket) -> None:
    """Makes a socket one of the two."""
    tcb = sock.tcb
    assert tcb is not None
    tcb.more().splice = joined
    tcb.no_delay = True  # whoever sends has applied Nagle's rule already
    tcb.cork = False
    notify(tcb, EV_READABLE)


def splice(a: Socket, b: Socket) -> Splice:
    """Joins two connected sockets of one stack, which belong to the splice from then on. A socket joined to itself
    echoes.

    InvalidArgument if one of them is no connection, was shut down, or is joined already.
    """
    for sock in (a, b):
        if not isinstance(sock, Socket) or not may_be_joined(sock):
            raise InvalidArgument(f"{sock!r} can't be spliced")
    if a.stack is not b.stack:
        raise InvalidArgument("a splice joins two sockets of one stack")
    joined = Splice(a, b)
    begin_end(joined, a)
    if a is not b:
        begin_end(joined, b)
    a.stack.kick()
    return joined
