"""TLS over a stack's sockets on gevent: Python's own, on memory buffers, as these sockets have no descriptor."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from gevent.lock import BoundedSemaphore

from uinet.errors import Error
from uinet.gevent.sockets import Socket

T = TypeVar("T")

RECORDS = 65536  # bytes to read at a time: a few records


class TlsSocket(Socket):
    """A connected socket under TLS, with the calls of `ssl.SSLSocket`; the handshake is done when there is one.

    `plain`: the socket, which is this one's from now on. Errors: `ssl.SSLError` and those of the socket.
    """

    def __init__(
        self, plain: Socket, context: ssl.SSLContext, server_side: bool = False, server_hostname: str | None = None,
        suppress_ragged_eofs: bool = True,
    ) -> None:
        super().__init__(plain.host, plain.sock)
        plain.host._opened.discard(plain)
        self.timeout = plain.timeout
        self.context = context
        self.suppress_ragged_eofs = suppress_ragged_eofs
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side, server_hostname)
        self._flushing = BoundedSemaphore(1)  # records go out in the order in which they were made
        try:
            self._drive(self._tls.do_handshake)
        except BaseException:
            with suppress(Error):
                self._flush()  # the alert that says why
            self.close()
            raise

    def __getattr__(self, name: str) -> Any:
        """`getpeercert`, `cipher`, `version`, `selected_alpn_protocol` and what else an `ssl.SSLObject` tells."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._tls, name)

    def _drive(self, call: Callable[[], T]) -> T:
        """What ``call()`` returns, once the peer has sent what it needs."""
        while True:
            try:
                result = call()
            except ssl.SSLWantReadError:
                self._flush()
                data = super().recv(RECORDS)
                if data:
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()
                continue
            self._flush()
            return result

    def _flush(self) -> None:
        while self._outgoing.pending:
            with self._flushing:
                super().sendall(self._outgoing.read())

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        """At most `bufsize` bytes; b"" at the end of the stream."""
        _no_flags(flags)
        try:
            return self._drive(lambda: self._tls.read(bufsize))
        except ssl.SSLZeroReturnError:
            return b""
        except ssl.SSLEOFError:
            if self.suppress_ragged_eofs:
                return b""
            raise

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """As `recv`, into a buffer; how many bytes."""
        view = memoryview(buffer).cast("B")
        data = self.recv(nbytes or len(view), flags)
        view[: len(data)] = data
        return len(data)

    def send(self, data: bytes | bytearray | memoryview, flags: int = 0) -> int:
        """All of `data`: TLS sends whole records."""
        _no_flags(flags)
        return self._drive(lambda: self._tls.write(data)) if len(data) else 0

    def sendall(self, data: bytes | bytearray | memoryview, flags: int = 0) -> None:
        """All of `data`."""
        with memoryview(data) as view, view.cast("B") as octets:
            at = 0
            while at < len(octets):
                at += self.send(octets[at:], flags)

    def unwrap(self) -> None:
        """Tells the peer that nothing more comes, and waits until it says so too."""
        self._drive(self._tls.unwrap)

    def _drop(self, end: Callable[[], object]) -> None:
        if not self.sock.closed and self.sock.error is None:
            with suppress(ssl.SSLError):
                self._tls.unwrap()  # close_notify; nobody waits for the peer's
            rest = self._outgoing.read()
            if rest and self.sock.writable and not self._flushing.locked():
                with suppress(Error):
                    self.sock.send(rest)
        super()._drop(end)


class TlsContext:
    """An `ssl.SSLContext` for gevent's servers, which ask it to wrap sockets."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.context = context

    def wrap_socket(self, sock: Socket, server_side: bool = False, **options: Any) -> TlsSocket:
        """A socket under TLS; after the handshake."""
        return TlsSocket(sock, self.context, server_side, **options)


def _no_flags(flags: int) -> None:
    if flags:
        raise ValueError("non-zero flags are not allowed under TLS")
