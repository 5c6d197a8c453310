"""What takes the connections that wait at a listening socket: once for each of them, so compiled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from uinet.errors import Error, WouldBlock
from uinet.passive_socket import PassiveSocket
from uinet.socket import accept_one
from uinet.socket_state import is_readable

if TYPE_CHECKING:
    from uinet.aio.keeper import Keeper
    from uinet.aio.transport import Transport
    from uinet.socket import Socket


class Acceptor:
    """Gives each connection of a listening socket a protocol and a transport.

    `keeper`: makes the transport. `watched`: takes a watched connection instead. `complain`: is told in words, and by
    the error, of what fails. `clients`: the transports that there are now; `emptied` is called when the last goes.
    `closed`: nothing is accepted any more.
    """

    def __init__(
        self,
        factory: Callable[[], asyncio.BaseProtocol],
        keeper: Keeper,
        watched: Callable[[PassiveSocket], None],
        complain: Callable[[str, BaseException], None],
        emptied: Callable[[], None],
    ) -> None:
        self.factory = factory
        self.keeper = keeper
        self.watched = watched
        self.complain = complain
        self.emptied = emptied
        self.clients: set[Transport] = set()
        self.closed = False

    def on_event(self, sock: Socket, events: int) -> None:
        """Takes every connection that waits at `sock`."""
        while not self.closed and is_readable(sock):
            try:
                accepted = accept_one(sock)
            except WouldBlock:
                return
            except Error as error:
                self.complain("accept failed", error)
                return
            if isinstance(accepted, PassiveSocket):
                self.watched(accepted)
            else:
                self.serve(accepted)

    def serve(self, sock: Socket) -> None:
        """Makes a protocol for a connection, and begins with it."""
        try:
            protocol = self.factory()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            sock.abort()  # nobody would ever answer this peer
            self.complain("protocol factory failed", error)
            return
        transport = self.keeper.adopt(sock, protocol, self.forget)
        self.clients.add(transport)
        transport.start()

    def forget(self, transport: Transport) -> None:
        """A transport is over."""
        self.clients.discard(transport)
        if self.closed and not self.clients:
            self.emptied()
