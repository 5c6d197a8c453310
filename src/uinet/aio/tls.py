"""TLS: asyncio's own SSLProtocol between a transport of ours and the program's protocol."""

from __future__ import annotations

import asyncio
import ssl
from asyncio import sslproto
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from uinet.errors import ConnectionReset, InvalidArgument


@dataclass(frozen=True, slots=True)
class Tls:
    """How to secure connections.

    `context`: True is Python's default for clients. `server_hostname`: the name in the server's certificate; clients
    only. Times in seconds, None for asyncio's defaults.
    """

    context: ssl.SSLContext | bool
    server_side: bool
    server_hostname: str | None = None
    handshake_timeout: float | None = None
    shutdown_timeout: float | None = None

    def __post_init__(self) -> None:
        if self.context is True and self.server_side:
            raise InvalidArgument("a TLS server needs an ssl.SSLContext that has its certificate")
        if not isinstance(self.context, (ssl.SSLContext, bool)):
            raise InvalidArgument(f"ssl is an ssl.SSLContext or True, not {self.context!r}")

    def protocol(
        self,
        loop: asyncio.AbstractEventLoop,
        inner: asyncio.BaseProtocol,
        waiter: asyncio.Future[Any] | None = None,
        *,
        call_connection_made: bool = True,
    ) -> sslproto.SSLProtocol:
        """What stands between a transport and `inner`; `waiter` is told when the handshake is done or has failed."""
        context = self.context if isinstance(self.context, ssl.SSLContext) else ssl.create_default_context()
        return sslproto.SSLProtocol(
            loop,
            inner,
            context,
            waiter,  # type: ignore[arg-type]  # None: nobody waits
            self.server_side,
            self.server_hostname,
            call_connection_made,
            ssl_handshake_timeout=self.handshake_timeout,  # type: ignore[arg-type]  # a float is as good
            ssl_shutdown_timeout=self.shutdown_timeout,
        )

    def factory(
        self, loop: asyncio.AbstractEventLoop, inner: Callable[[], asyncio.BaseProtocol]
    ) -> Callable[[], asyncio.BaseProtocol]:
        """A server's protocol factory that secures each connection for a protocol of `inner`."""
        return lambda: self.protocol(loop, inner())


def app_transport(protocol: sslproto.SSLProtocol) -> asyncio.Transport:
    """What the program writes to, in clear. ConnectionReset if the peer has left in the middle of the handshake."""
    transport: asyncio.Transport | None = protocol._app_transport
    if transport is None:  # asyncio tells the waiter of that as of a success
        raise ConnectionReset("the peer has closed the connection during the TLS handshake")
    return transport


async def start_tls(
    loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, inner: asyncio.BaseProtocol, tls: Tls
) -> asyncio.Transport:
    """Secures an open connection; the transport to use from now on. ssl.SSLError, ConnectionError, TimeoutError."""
    waiter: asyncio.Future[Any] = loop.create_future()
    protocol = tls.protocol(loop, inner, waiter, call_connection_made=False)
    transport.pause_reading()  # what comes from now on belongs to TLS
    transport.set_protocol(protocol)
    begin = loop.call_soon(protocol.connection_made, transport)
    resume = loop.call_soon(transport.resume_reading)
    try:
        await waiter
    except BaseException:
        transport.close()
        begin.cancel()
        resume.cancel()
        raise
    return app_transport(protocol)
