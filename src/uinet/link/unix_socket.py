"""Unix sockets by their paths: made, bound, connected, taken away again; and what is wrong with them, in one line.

A path that begins with "@" is a name in Linux's abstract namespace.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import sys

from uinet.errors import DeviceError, DeviceURLError, PermissionDenied

ABSENT = (errno.ENOENT, errno.ECONNREFUSED)  # there is no socket of that name, or nobody has it open
WAYS = {
    "unix": "listen=1 makes this side wait for a peer, reconnect=1s has it try again",
    "vde": "listen=1 makes this side the switch",
}
PATH_LENGTH = 107  # sizeof(sockaddr_un.sun_path), less the final zero


def address_of(path: str, scheme: str = "unix") -> str | bytes:
    """`path` as the socket module takes it; DeviceURLError if no socket can have that name."""
    raw = os.fsencode(path)
    if not raw:
        raise DeviceURLError(f"{scheme}: the path of a socket is missing")
    if len(raw) > PATH_LENGTH:
        raise DeviceURLError(f"{scheme}:{path} is too long: at most {PATH_LENGTH} bytes")
    return b"\0" + raw[1:] if raw[:1] == b"@" else raw


def new_socket(kind: int) -> socket.socket:
    """A non-blocking socket; DeviceError where there are none."""
    if not hasattr(socket, "AF_UNIX"):
        raise DeviceError("this system has no Unix sockets")
    made = socket.socket(socket.AF_UNIX, kind)
    made.setblocking(False)
    return made


def connected(
    path: str, kind: int, local: str = "", *, absent: bool = False, scheme: str = "unix"
) -> socket.socket:
    """A socket connected to `path`, bound to `local` if that is given. `absent`: nobody need be there yet. `scheme`: of
    the device, for its errors.

    DeviceURLError, PermissionDenied, DeviceError.
    """
    address = address_of(path, scheme)
    made = bound(local, kind, scheme=scheme) if local else new_socket(kind)
    try:
        if kind == socket.SOCK_DGRAM and not local and sys.platform == "linux":
            made.bind("")  # Linux makes up an abstract name, to which the peer can answer
        made.connect(address)
    except OSError as error:
        if not absent or error.errno not in ABSENT:
            unbind(made)
            raise failure(path, error, scheme) from None
    return made


def bound(path: str, kind: int, *, scheme: str = "unix") -> socket.socket:
    """A socket at `path`; one that is left over there from a program that has died is replaced."""
    address = address_of(path, scheme)
    made = new_socket(kind)
    try:
        try:
            made.bind(address)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not is_left_over(path, kind):
                raise
            os.unlink(path)
            made.bind(address)
    except OSError as error:
        made.close()
        raise failure(path, error, scheme) from None
    return made


def is_left_over(path: str, kind: int) -> bool:
    """Whether the file at `path` is a socket of this kind that nobody has open. A link to one is not."""
    if path.startswith("@"):
        return False
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return False
        with new_socket(kind) as probe:
            probe.connect(path)
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False


def unbind(bound: socket.socket) -> None:
    """Closes a socket and takes its name out of the file system."""
    with contextlib.suppress(OSError):
        name = bound.getsockname()
        if isinstance(name, str) and name:
            os.unlink(name)
    bound.close()


def failure(path: str, error: OSError, scheme: str = "unix") -> DeviceError:
    """What an error of a socket at `path` means, in words."""
    if isinstance(error, DeviceError):
        return error
    name = f"{scheme}:{path}"
    if isinstance(error, PermissionError):
        return PermissionDenied(f"{name}: permission denied")
    if error.errno in ABSENT:
        return DeviceError(f"{name}: nobody listens there ({WAYS[scheme]})")
    if error.errno == errno.EADDRINUSE:
        return DeviceError(f"{name} is in use")
    if error.errno == errno.EPROTOTYPE:
        return DeviceError(f"{name} is a socket of the other mode (stream or dgram)")
    return DeviceError(f"{name}: {error.strerror}")
