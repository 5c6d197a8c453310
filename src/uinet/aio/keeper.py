"""The transports of one host: who makes them, and sees them go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from uinet.aio.transport import Transport
from uinet.aio.watching import PassiveTransport
from uinet.passive_socket import PassiveSocket

if TYPE_CHECKING:
    from uinet.socket import Socket


class Keeper:
    """Makes a transport for each connection on `loop`, and has it in `transports` until it is over.

    `on_left`: None, or called whenever one is over.
    """

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self.transports: set[Transport] = set()
        self.on_left: Callable[[], None] | None = None

    def adopt(
        self, sock: Socket, protocol: asyncio.BaseProtocol, on_lost: Callable[[Transport], None] | None
    ) -> Transport:
        """A transport for a connected socket. `on_lost`: see :class:`Transport`."""
        assert self.loop is not None
        kind = PassiveTransport if isinstance(sock, PassiveSocket) else Transport
        transport = kind(self.loop, sock, protocol, on_lost, self)
        self.transports.add(transport)
        return transport

    def left(self, transport: Transport) -> None:
        """A transport is over."""
        self.transports.discard(transport)
        if self.on_left is not None:
            self.on_left()
