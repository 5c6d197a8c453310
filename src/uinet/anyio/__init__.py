"""The stack on anyio, on either of its backends: a :class:`Host` with anyio's own words: `connect_tcp`,
`create_tcp_listener`, `create_udp_socket`."""

from __future__ import annotations

try:
    import anyio  # noqa: F401
except ImportError as error:
    raise ImportError("uinet.anyio needs anyio: pip install 'uinet[anyio]'") from error

from uinet.anyio.host import Host
from uinet.anyio.streams import ConnectedUdpSocket, TcpListener, TcpStream, UdpSocket, UinetAttribute
from uinet.dns import NameNotFound

__all__ = ["ConnectedUdpSocket", "Host", "NameNotFound", "TcpListener", "TcpStream", "UdpSocket", "UinetAttribute"]
