"""gevent's own servers on a stack."""

from __future__ import annotations

from collections.abc import Callable
from ssl import SSLContext
from typing import TYPE_CHECKING, Any

from gevent import pywsgi, server

from uinet.errors import WouldBlock
from uinet.events import EV_ACCEPT
from uinet.gevent.sockets import Socket
from uinet.gevent.tls import TlsContext

if TYPE_CHECKING:
    from uinet.gevent.host import Host


class AcceptWatcher:
    """In place of an io watcher on a listening socket: runs `callback` in the hub while connections wait."""

    def __init__(self, loop: Any, listener: Socket, callback: Callable[[], object]) -> None:
        self.loop = loop
        self.listener = listener
        self.callback = callback
        self.active = True
        self._soon()

    def stop(self) -> None:
        """Runs it no more."""
        self.active = False
        self.listener._readiness.discard(self._soon)

    def close(self) -> None:
        """Nothing is left to be closed."""

    def _soon(self) -> None:
        if self.active:
            self.loop.run_callback(self._run)

    def _run(self) -> None:
        if not self.active or self.listener.sock.closed:  # its host was left before the server was stopped
            return
        self.callback()
        if not self.active or self.listener.sock.closed:
            return
        if self.listener.sock.readable:
            self._soon()
        else:
            self.listener._readiness.add(self.listener.sock, EV_ACCEPT, self._soon)


class OnUinet:
    """Makes a server of gevent's accept from a listening socket of a stack."""

    socket: Any
    loop: Any
    _watcher: Any
    _do_read: Any

    def start_accepting(self) -> None:
        """Called by the server."""
        if self._watcher is None:
            self._watcher = AcceptWatcher(self.loop, self.socket, self._do_read)

    def do_read(self) -> tuple[Socket, tuple[str, int]] | None:
        """The next connection, for the server; None if there is none now."""
        listener: Socket = self.socket
        try:
            made = Socket(listener.host, listener.sock.accept())
        except WouldBlock:
            return None
        return made, made.getpeername()


def _listener(host: Host, listener: Any, backlog: int | None) -> Socket:
    """`listener` itself, or one at that address: (address, port)."""
    if isinstance(listener, Socket):
        return listener
    return host.listen(listener, backlog=128 if backlog is None else backlog)


def _secure(context: SSLContext | None) -> dict[str, Any]:
    """The arguments that make a server of gevent's wrap its sockets."""
    return {} if context is None else {"ssl_context": TlsContext(context)}


class StreamServer(OnUinet, server.StreamServer):  # type: ignore[misc]
    """`gevent.server.StreamServer` on a host: runs ``handle(socket, address)`` in a greenlet for each connection.

    `listener`: (address, port), or what `Host.listen` gave, promiscuous ones included. `spawn`: a pool, or a number of
    connections at a time. `ssl`: a context; the handler gets sockets under TLS, after the handshake.
    """

    def __init__(
        self, host: Host, listener: Any, handle: Any = None, backlog: int | None = None, spawn: Any = "default",
        ssl: SSLContext | None = None,
    ) -> None:
        super().__init__(_listener(host, listener, backlog), handle, spawn=spawn, **_secure(ssl))


class WSGIServer(OnUinet, pywsgi.WSGIServer):  # type: ignore[misc]
    """`gevent.pywsgi.WSGIServer` on a host: serves a WSGI application. `listener` and `ssl`: as of
    `StreamServer`; other options are gevent's."""

    def __init__(
        self, host: Host, listener: Any, application: Any = None, backlog: int | None = None,
        ssl: SSLContext | None = None, **options: Any,
    ) -> None:
        super().__init__(_listener(host, listener, backlog), application, **options, **_secure(ssl))
