"""The stack on gevent: a :class:`Host` whose sockets block the greenlet that calls them, and gevent's servers on it."""

from __future__ import annotations

try:
    import gevent  # noqa: F401
except ImportError as error:
    raise ImportError("uinet.gevent needs gevent: pip install 'uinet[gevent]'") from error

from uinet.dns import NameNotFound
from uinet.gevent.host import Host
from uinet.gevent.servers import StreamServer, WSGIServer
from uinet.gevent.sockets import Socket
from uinet.gevent.tls import TlsSocket

__all__ = ["Host", "NameNotFound", "Socket", "StreamServer", "TlsSocket", "WSGIServer"]
