"""A stack's sockets as a kernel's: families, types and addresses as the socket module has them."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from uinet import sockopt
from uinet.wire.addresses import ANY

if TYPE_CHECKING:
    from uinet.socket import Socket


class KernelLike:
    """One socket: `sock` is the engine's own."""

    def __init__(self, sock: Socket) -> None:
        self.sock = sock

    @property
    def family(self) -> socket.AddressFamily:
        """AF_INET or AF_INET6; AF_INET as well for a socket of both."""
        return socket.AF_INET6 if ":" in self.getsockname()[0] else socket.AF_INET

    @property
    def type(self) -> socket.SocketKind:
        """SOCK_STREAM or SOCK_DGRAM."""
        return socket.SOCK_STREAM if self.sock.type == sockopt.SOCK_STREAM else socket.SOCK_DGRAM

    @property
    def proto(self) -> int:
        """The IP protocol's number."""
        return self.sock.proto

    def fileno(self) -> int:
        """-1: there is no descriptor."""
        return -1

    def getsockname(self) -> tuple[Any, ...]:
        """The local address as text, "0.0.0.0" for all, and port."""
        return text_address(self.sock.getsockname())

    def getpeername(self) -> tuple[Any, ...]:
        """The peer's address as text, and port. NotConnected."""
        return text_address(self.sock.getpeername())

    def getsockopt(self, level: int, name: int, buflen: int = 0) -> Any:
        """As `uinet.Socket.getsockopt`."""
        return self.sock.getsockopt(level, name)

    def setsockopt(self, level: int, name: int, value: Any) -> None:
        """As `uinet.Socket.setsockopt`."""
        self.sock.setsockopt(level, name, value)


def text_address(address: tuple[Any, Any]) -> tuple[str, int]:
    """An address as text, "0.0.0.0" for all, and a port, 0 for all."""
    host, port = address
    return "0.0.0.0" if host is ANY else str(host), 0 if port is ANY else port
