"""A Unix socket that clients connect to, and the clients that have: what `server` and `hub` have in common.

Whoever drives it looks after one descriptor and one deadline (`fileno`, `deadline`), and calls `serve`, which never
blocks, and works for no longer than a slice. Clients can't do harm: there are so many at most, of which the one that
has been silent longest gives way; none can send more than a request, or have more than a bounded answer wait for it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
from collections.abc import Callable
from time import perf_counter_ns
from typing import Protocol

from uinet.errors import AddressInUse, ControlError, InvalidArgument, PermissionDenied
from uinet.link.unix_socket import PATH_LENGTH, is_left_over
from uinet.units import MICROSECOND, SECOND

MOST_CLIENTS = 32
BACKLOG = 16  # connections taken in one call of `serve`
CHUNK = 16 * 1024
SLICE = 500 * MICROSECOND  # how long `serve` works at answers: then the stack has as long for itself
STUCK = 10 * SECOND  # a client that has read nothing for so long may have to give way
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
FULL = b'{"error":"too many clients"}\n'


class Conversation(Protocol):
    """What a client is talked to with: `uinet.control.session.Session` is one."""

    output: bytearray
    over: bool

    @property
    def busy(self) -> bool: ...

    @property
    def working(self) -> bool: ...

    def receive(self, data: bytes) -> None: ...

    def end(self) -> None: ...

    def step(self) -> None: ...


class Client:
    """One client: its socket, the conversation, and when it last sent or read anything (`heard`, ns). `guest`: it has
    connected, and may have to give way to another."""

    def __init__(self, connection: socket.socket, talk: Conversation, now: int, guest: bool) -> None:
        self.connection = connection
        self.talk = talk
        self.heard = now
        self.guest = guest
        self.ended = False  # it sends no more
        self.events = 0  # asked of the selector


class Door:
    """`path`: where the socket is (made with mode 0600), or None: only who is `adopt`-ed is served. `talk`: makes the
    conversation with a new client. `clock`: ns, to measure slices with.

    InvalidArgument for a path that can't be one, AddressInUse, PermissionDenied, ControlError.
    """

    def __init__(
        self, path: str | None, talk: Callable[[], Conversation], clock: Callable[[], int] = perf_counter_ns
    ) -> None:
        if path is not None:
            check_path(path)
        self.path = path
        self.talk = talk
        self.clock = clock
        self.selector = selectors.DefaultSelector()
        self.clients: list[Client] = []
        self.rest_until = 0
        self.closed = False
        self._deaf_until = 0  # ns: while descriptors have run out nobody is let in
        self._identity: tuple[int, int] | None = None
        self._listener = None if path is None else self._bind(path)
        if self._listener is not None:
            self.selector.register(self._listener, selectors.EVENT_READ)

    # what a driver calls

    def fileno(self) -> int:
        """Readable when `serve` has something to do; it stays the same."""
        return self.selector.fileno()  # there is one of epoll and of kqueue

    def deadline(self) -> int | None:
        """When to call `serve` even so, ns; None: not before the descriptor is readable."""
        for client in self.clients:
            if client.talk.working:
                return self.rest_until
        return self._deaf_until or None

    def serve(self, now: int) -> None:
        """Takes what clients send, works at answers for a slice, and sends what there is of them."""
        if self.closed:
            return
        if self._deaf_until and now >= self._deaf_until:
            self._deaf_until = 0
            assert self._listener is not None
            self.selector.register(self._listener, selectors.EVENT_READ)
        for key, events in self.selector.select(0):
            if key.data is None:
                self._accept(now)
            elif not isinstance(key.data, Client):
                key.data.wake()  # of a conversation's own
            elif key.data in self.clients:  # it may have given way to another just now
                self._attend(key.data, events, now)
        if now >= self.rest_until:
            self._work(now)
        for client in list(self.clients):
            self._flush(client, now)

    def close(self) -> None:
        """Hangs up on everybody, and takes the socket out of the file system if it is still ours."""
        if self.closed:
            return
        self.closed = True
        for client in list(self.clients):
            self._drop(client)
        if self._listener is not None:
            if not self._deaf_until:
                self.selector.unregister(self._listener)
            self._listener.close()
        self.selector.close()
        if self.path is not None:
            with contextlib.suppress(OSError):
                found = os.lstat(self.path)
                if (found.st_dev, found.st_ino) == self._identity:
                    os.unlink(self.path)

    def adopt(self, connection: socket.socket) -> None:
        """Serves who is at the other end of a connected socket, which is closed in the end."""
        self._welcome(connection, 0, False)

    def _welcome(self, connection: socket.socket, now: int, guest: bool) -> None:
        connection.setblocking(False)
        client = Client(connection, self.talk(), now, guest)
        self.clients.append(client)
        self._watch(client)

    # clients

    def _accept(self, now: int) -> None:
        assert self._listener is not None
        for _ in range(BACKLOG):
            try:
                connection, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in EXHAUSTED:  # they wait; to be told again and again would help nobody
                    self.selector.unregister(self._listener)
                    self._deaf_until = now + SECOND
                return
            if len(self.clients) < MOST_CLIENTS or self._make_room(now):
                self._welcome(connection, now, True)
                continue
            connection.setblocking(False)
            with contextlib.suppress(OSError):
                connection.send(FULL)
            connection.close()

    def _make_room(self, now: int) -> bool:
        """Hangs up on the client that has been silent longest, unless all of them are being answered."""
        silent = [
            client for client in self.clients
            if client.guest and (not client.talk.busy or (not client.talk.working and now - client.heard >= STUCK))
        ]
        if not silent:
            return False
        oldest = min(silent, key=lambda client: client.heard)
        with contextlib.suppress(OSError):
            oldest.connection.send(FULL)
        self._drop(oldest)
        return True

    def _attend(self, client: Client, events: int, now: int) -> None:
        if not events & selectors.EVENT_READ or client.ended:
            return
        try:
            data = client.connection.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            self._drop(client)
            return
        if data:
            client.heard = now
            client.talk.receive(data)
        else:
            client.ended = True
            client.talk.end()

    def _work(self, now: int) -> None:
        """Steps, each client in turn, until the slice is over or there is nothing to do."""
        began = self.clock()
        spent = 0
        while spent < SLICE:
            working = [client for client in self.clients if client.talk.working]
            if not working:
                break
            for client in working:
                client.talk.step()
                if client.ended and not client.talk.busy:
                    client.talk.end()
                self.clients.remove(client)
                self.clients.append(client)  # behind those who have had less
                spent = self.clock() - began
                if spent >= SLICE:
                    break
        self.rest_until = now + 2 * spent if spent >= SLICE else now

    def _flush(self, client: Client, now: int) -> None:
        talk = client.talk
        if talk.output:
            try:
                sent = client.connection.send(talk.output)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._drop(client)
                return
            if sent:
                client.heard = now
                del talk.output[:sent]
        if talk.over and not talk.output:
            self._drop(client)
        else:
            self._watch(client)

    def _watch(self, client: Client) -> None:
        """Asks the selector for what matters of a client now."""
        events = (0 if client.ended else selectors.EVENT_READ) | (selectors.EVENT_WRITE if client.talk.output else 0)
        if events == client.events:
            return
        if not client.events:
            self.selector.register(client.connection, events, client)
        elif not events:
            self.selector.unregister(client.connection)
        else:
            self.selector.modify(client.connection, events, client)
        client.events = events

    def _drop(self, client: Client) -> None:
        self.clients.remove(client)
        if client.events:
            self.selector.unregister(client.connection)
        client.connection.close()
        client.talk.over = True

    # the socket

    def _bind(self, path: str) -> socket.socket:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            os.fchmod(made.fileno(), 0o600)  # Linux gives the file this mode from its first moment on
            try:
                made.bind(path)
            except OSError as error:
                if error.errno != errno.EADDRINUSE or not is_left_over(path, socket.SOCK_STREAM):
                    raise
                os.unlink(path)
                made.bind(path)
            os.chmod(path, 0o600)
            made.listen(BACKLOG)
            made.setblocking(False)
            found = os.lstat(path)
            self._identity = (found.st_dev, found.st_ino)
        except OSError as error:
            made.close()
            self.selector.close()
            raise failure(path, error) from None
        return made


def check_path(path: str) -> None:
    """InvalidArgument for what is no path of a socket."""
    if not path or "\0" in path or len(os.fsencode(path)) > PATH_LENGTH:
        raise InvalidArgument(f"control socket: a path has 1 to {PATH_LENGTH} bytes: {path[:40]!r}")
    if path.startswith("@"):
        raise InvalidArgument("control socket: a name in the abstract namespace has no permissions: want a path")


def failure(path: str, error: OSError) -> Exception:
    """The error for a control socket that can't be opened."""
    if error.errno == errno.EADDRINUSE:
        return AddressInUse(f"control socket {path} is in use, or something else is there")
    if isinstance(error, PermissionError):
        return PermissionDenied(f"control socket {path}: permission denied")
    return ControlError(f"control socket {path}: {error.strerror or error}")
