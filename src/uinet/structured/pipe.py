"""A device whose other end is the program, on trio or anyio: the `send` function may be ``async``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uinet.link import pipe
from uinet.sending import AsyncSender, SendFunction
from uinet.structured.words import Event, Words

if TYPE_CHECKING:
    from uinet.filters import Begin
    from uinet.ip.interface import Interface


class Pipe(pipe.Pipe):
    """Packets of one interface, moved by the program. Made by `Host.add_pipe`.

    Out: `send`, plain or ``async``, is called with each packet; if it raises, the pipe is broken and its interface
    down. In: `feed` and `feed_many`; `writable` and `drain` say when the stack has caught up.
    """

    interface: Interface

    def __init__(
        self, words: Words, begin: Begin, send: SendFunction, *, layer: int, mtu: int, checksums: bool, name: str
    ) -> None:
        self._words = words
        self._feeders: list[Event] = []
        self.outgoing = AsyncSender(send, begin)
        super().__init__(layer=layer, mtu=mtu, checksums=checksums, name=name, sender=self.outgoing)
        self.on_drained = self._wake_feeders

    async def drain(self) -> None:
        """Waits until the pipe is `writable`; DeviceGone once it is closed."""
        await self._words.checkpoint()
        while not self.writable:
            event = self._words.event()
            self._feeders.append(event)
            await event.wait()
        self.require_open()

    def _wake_feeders(self) -> None:
        feeders, self._feeders = self._feeders, []
        for event in feeders:
            event.set()
