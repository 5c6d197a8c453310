"""A TCP connection, a listener and a datagram socket as tasks use them: every call waits, and may be cancelled.

A call that is cancelled has not taken anything: bytes, datagrams and connections are there for the next one. Only what
is being sent may have gone in part.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from uinet.errors import BadSocket, Error, NotConnected, WouldBlock
from uinet.events import EV_ACCEPT, EV_READABLE, EV_WRITABLE
from uinet.readiness import readiness_of, ready
from uinet.sockopt import SHUT_WR
from uinet.structured.words import Turn, Words

if TYPE_CHECKING:
    from uinet.filters import FilterRunner
    from uinet.hosting import Closable
    from uinet.socket import Socket

T = TypeVar("T")

DEFAULT_RECEIVE_SIZE = 65536
LARGEST_DATAGRAM = 65_535


async def wait_ready(words: Words, sock: Socket, events: int) -> int:
    """Waits until one of `events` is so; which. A checkpoint in any case. EV_CLOSED or EV_ERROR if that is the end."""
    now = ready(sock, events)
    if now:
        await words.checkpoint()
        return now
    readiness = readiness_of(sock)
    while not now:
        event = words.event()
        wake = event.set
        readiness.add(sock, events, wake)
        try:
            await event.wait()
        except BaseException:
            readiness.discard(wake)
            raise
        now = ready(sock, events)
    return now


class Opened:
    """A socket in the care of a host. `socket`: the engine's own; options are set there."""

    _words: Words  # of the library

    def __init__(self, sock: Socket, opened: set[Closable]) -> None:
        self._opened = opened
        self._readiness = readiness_of(sock)
        self.socket = sock
        opened.add(self)

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__name__} {self.socket!r}>"

    def close_now(self) -> None:
        """Closes the socket and wakes who waits for it. What was sent is still delivered."""
        self._opened.discard(self)
        if not self.socket.closed:
            self.socket.close()
        self._readiness.wake_all()

    async def _close(self) -> None:
        self.close_now()
        await self._words.checkpoint()

    def _check_open(self) -> None:
        if self.socket.closed:
            raise self._words.closed("this was closed already")

    async def _retry(self, call: Callable[[], T], events: int) -> T:
        """What ``call()`` returns, once it does not raise WouldBlock; a checkpoint, and cancelled only before."""
        words = self._words
        self._check_open()
        await words.checkpoint_if_cancelled()
        waited = False
        while True:
            self._check_open()
            try:
                result = call()
                break
            except WouldBlock:
                await wait_ready(words, self.socket, events)
                waited = True
            except BadSocket as error:
                raise words.closed(str(error)) from None
            except Error as error:
                raise words.broken(f"connection broken: {error}") from error
        if not waited:
            await words.cancel_shielded_checkpoint()
        return result


class Connection(Opened):
    """A connected stream socket."""

    def __init__(self, sock: Socket, opened: set[Closable]) -> None:
        super().__init__(sock, opened)
        self._sending = Turn(self._words.busy, "another task is sending on this stream")
        self._receiving = Turn(self._words.busy, "another task is receiving from this stream")
        self._eof_sent = False

    async def _receive(self, limit: int) -> bytes:
        """At most `limit` bytes, and at least one; b"" at the end of the stream."""
        with self._receiving:
            return await self._retry(lambda: self.socket.recv(limit), EV_READABLE)

    async def _send(self, data: bytes | bytearray | memoryview) -> None:
        """Sends all of `data`: returns when the socket has taken it."""
        with self._sending:
            self._check_open()
            if self._eof_sent:
                raise self._words.closed("can't send data after the end of the stream")
            with memoryview(data) as view, view.cast("B") as octets:
                if len(octets) == 0:
                    await self._words.checkpoint()
                    return
                at = 0
                if type(data) is bytes:
                    at = await self._retry(lambda: self.socket.send(data), EV_WRITABLE)  # kept by reference
                while at < len(octets):
                    at += await self._retry(lambda: self._send_some(octets, at), EV_WRITABLE)  # noqa: B023

    def _send_some(self, octets: memoryview, at: int) -> int:
        # the socket copies what it is given: no more than fits, and a byte so that it tells of room again
        return self.socket.send(octets[at : at + self.socket.send_space + 1])

    async def _wait_writable(self) -> None:
        """Waits until sending would not wait, as far as one can tell."""
        with self._sending:
            self._check_open()
            await wait_ready(self._words, self.socket, EV_WRITABLE)
            self._check_open()

    async def _send_eof(self) -> None:
        """Ends the stream to the peer; again: nothing."""
        with self._sending:
            await self._words.checkpoint()
            if self._eof_sent:
                return
            self._check_open()
            try:
                self.socket.shutdown(SHUT_WR)
            except Error as error:
                raise self._words.broken(f"connection broken: {self.socket.error or error}") from error
            self._eof_sent = True


class Listening(Opened):
    """A listening socket."""

    def __init__(self, sock: Socket, opened: set[Closable], runner: FilterRunner | None) -> None:
        super().__init__(sock, opened)
        self._accepting = Turn(self._words.busy, "another task is accepting from this listener")
        self._runner = runner

    async def _accept(self) -> Socket:
        """The socket of the next connection."""
        with self._accepting:
            return await self._retry(self.socket.accept, EV_ACCEPT)

    def close_now(self) -> None:
        """Stops listening; what was accepted goes on. Filters that still think are cancelled."""
        if self._runner is not None:
            self._runner.close()
        super().close_now()


class Datagrams(Opened):
    """A datagram socket."""

    def __init__(self, sock: Socket, opened: set[Closable]) -> None:
        super().__init__(sock, opened)
        self._sending = Turn(self._words.busy, "another task is sending on this socket")
        self._receiving = Turn(self._words.busy, "another task is receiving from this socket")

    async def _receive_from(self) -> tuple[bytes, tuple[str, int]]:
        """One datagram and who sent it. The error that an ICMP message reports of one that was sent is raised as
        broken, once."""
        with self._receiving:
            data, address = await self._retry(lambda: self.socket.recvfrom(LARGEST_DATAGRAM), EV_READABLE)
        return data, (str(address[0]), address[1])

    async def _send_to(self, data: bytes | bytearray | memoryview, address: tuple[Any, int] | None) -> None:
        """Sends one datagram, to the peer if there is no `address`."""

        def send() -> int:
            return self.socket.send(data) if address is None else self.socket.sendto(data, address)

        with self._sending:
            await self._retry(send, EV_WRITABLE)


def peer_of(sock: Socket) -> tuple[str, int] | None:
    """The peer's address as text, and port; None if there is none."""
    try:
        address, port = sock.getpeername()
    except NotConnected:
        return None
    return str(address), port
