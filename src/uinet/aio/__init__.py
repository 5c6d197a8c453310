"""The stack on asyncio: a :class:`Host` with its transports, servers and pipes, and an event loop over one."""

from __future__ import annotations

from uinet.aio.datagram import DatagramTransport
from uinet.aio.eventloop import EventLoop, loop_class, run
from uinet.aio.following import AsyncFollow, follow
from uinet.aio.host import Host
from uinet.aio.pipe import Pipe
from uinet.aio.server import Server
from uinet.aio.transport import Transport
from uinet.aio.watching import PassiveTransport, WatchedReader
from uinet.dns import NameNotFound

__all__ = [
    "AsyncFollow", "DatagramTransport", "EventLoop", "Host", "NameNotFound", "PassiveTransport", "Pipe", "Server",
    "Transport", "WatchedReader", "follow", "loop_class", "run",
]
