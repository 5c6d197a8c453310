"""A TCP connection as an asyncio transport: the program's side of a `Channel`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from uinet.aio.channel import HIGH_WATER, Channel

if TYPE_CHECKING:
    from uinet.aio.keeper import Keeper
    from uinet.socket import Socket

IGNORED_WRITES = 5  # writes after the connection is lost before a warning, as asyncio does it


def asyncio_address(address: tuple[Any, int] | None) -> tuple[str, int] | None:
    """A socket's address as asyncio programs expect it: text and port, for IPv6 as well."""
    return None if address is None else (str(address[0]), address[1])


# asked of the socket when somebody wants to know: most programs never do
EXTRA_INFO: dict[str, Callable[[Any], Any]] = {
    "socket": lambda sock: sock,
    "peername": lambda sock: asyncio_address(sock.getpeername()),
    "sockname": lambda sock: asyncio_address(sock.getsockname()),
    "l2info": lambda sock: sock.l2info,
    "cdom": lambda sock: sock.cdom,
    "serialno": lambda sock: sock.serialno,
    "passive": lambda sock: sock.passive,
}


class Transport(asyncio.Transport):
    """A connected socket of a stack, for one protocol.

    `on_lost`, and `left` of `keeper`, where they are given, are called once when everything is over, after the
    protocol's `connection_lost`.
    """

    _start_tls_compatible = True  # asyncio's own TLS works on top of it
    _channel_class: type[Channel] = Channel
    _ignored_writes = 0

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: Socket,
        protocol: asyncio.BaseProtocol,
        on_lost: Callable[[Transport], None] | None = None,
        keeper: Keeper | None = None,
    ) -> None:
        self.loop = loop
        self.sock = sock
        self._channel = self._channel_class(self, loop, sock, on_lost, keeper)
        self.set_protocol(protocol)

    def start(self) -> None:
        """Tells the protocol that it is connected, and begins to read. Call once."""
        self._channel.start()

    def __repr__(self) -> str:
        channel = self._channel
        state = "closed" if channel.lost else "closing" if channel.closing else "open"
        return f"<Transport {self.get_extra_info('sockname')} - {self.get_extra_info('peername')} {state}>"

    # reading

    def is_reading(self) -> bool:
        """Whether data goes to the protocol as it comes."""
        return not self._channel.reading_paused and not self._channel.closing

    def pause_reading(self) -> None:
        """Lets data wait in the socket, and so closes the window to the peer in the end."""
        self._channel.reading_paused = True

    def resume_reading(self) -> None:
        """Undoes `pause_reading`."""
        self._channel.resume_reading()

    # writing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Queues `data`. After the connection is lost it is ignored, as asyncio's own transports do."""
        if not self._channel.write(data):
            self._ignored_writes += 1
            if self._ignored_writes == IGNORED_WRITES:
                self.loop.call_exception_handler(
                    {"message": "write() was called on a connection that is closed or lost", "transport": self}
                )

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Queues all of `list_of_data`, in order."""
        self.write(b"".join(list_of_data))

    def write_eof(self) -> None:
        """Sends FIN after what is queued; reading goes on."""
        self._channel.write_eof()

    def can_write_eof(self) -> bool:
        """True: TCP has a half-close."""
        return True

    # flow control of the protocol

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """At more than `high` bytes waiting the protocol is paused, at `low` or fewer resumed."""
        if high is None:
            high = HIGH_WATER if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self._channel.high, self._channel.low = high, low
        self._channel.maybe_pause()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """(low, high)."""
        return self._channel.low, self._channel.high

    def get_write_buffer_size(self) -> int:
        """Bytes that wait here; those that the socket has taken are not counted."""
        return self._channel.waiting_bytes

    # the end

    def is_closing(self) -> bool:
        """Whether the transport is closed or closing."""
        return self._channel.closing or self._channel.lost

    def close(self) -> None:
        """Sends what waits, then FIN; nothing more is read. `connection_lost(None)` follows."""
        self._channel.close()

    def abort(self) -> None:
        """Resets the connection: what waits is lost, the peer gets a RST. `connection_lost(None)` follows."""
        self._channel.force_close(None)

    def _force_close(self, error: BaseException | None) -> None:
        """Resets the connection because of `error`. Of this name because asyncio's TLS calls it so."""
        self._channel.force_close(error)

    # the protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Lets another protocol take over."""
        self._channel.set_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The current protocol."""
        protocol: asyncio.BaseProtocol = self._channel.protocol
        return protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`name`: peername, sockname (text, port), l2info, cdom, socket, serialno, passive."""
        knows = EXTRA_INFO.get(name)
        return default if knows is None else knows(self.sock)
