"""The stack on trio: a :class:`Host` with trio's own words: `open_tcp_stream`, `open_tcp_listeners`, `serve_tcp`."""

from __future__ import annotations

try:
    import trio  # noqa: F401
except ImportError as error:
    raise ImportError("uinet.trio needs trio: pip install 'uinet[trio]'") from error

from uinet.dns import NameNotFound
from uinet.trio.host import Host
from uinet.trio.streams import DatagramSocket, TcpListener, TcpStream

__all__ = ["DatagramSocket", "Host", "NameNotFound", "TcpListener", "TcpStream"]
