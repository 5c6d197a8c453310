"""One class for each thing that a caller can act on.

All of them are :class:`Error`, which is an ``OSError``; where Python has a class for the ``errno`` that class is a base
as well, so ``except ConnectionRefusedError`` works as with kernel sockets.
"""

from __future__ import annotations

import errno


class Error(OSError):
    """Base of all errors of this package. `code` is the errno of the class; the message is one line."""

    code: int = errno.EINVAL

    def __init__(self, message: str = "") -> None:
        super().__init__(self.code, message or (self.__doc__ or "").split("\n")[0].rstrip("."))

    def __str__(self) -> str:
        return str(self.strerror)

    def __reduce__(self) -> tuple[type[Error], tuple[str]]:
        return type(self), (str(self),)  # copies and pickles are made from the message, not from the errno


class InvalidArgument(Error, ValueError):
    """An argument is not valid."""

    code = errno.EINVAL


class AddressError(InvalidArgument):
    """An IP address, MAC address, port or prefix is not valid."""


class VlanError(InvalidArgument):
    """A VLAN tag or stack of tags is not valid."""


class FilterError(InvalidArgument):
    """A packet filter is not valid, or can't be compiled."""


class DeviceError(Error):
    """A device can't be opened or has failed."""

    code = errno.ENODEV


class DeviceURLError(DeviceError, ValueError):
    """A device URL is not valid."""

    code = errno.EINVAL


class DeviceGone(DeviceError):
    """A device has vanished."""

    code = errno.ENXIO


class PermissionDenied(DeviceError, PermissionError):
    """A permission or capability is missing."""

    code = errno.EPERM


class CaptureError(DeviceError, ValueError):
    """A capture file is damaged or of an unknown kind."""

    code = errno.EINVAL


class SpoolError(Error):
    """The temporary file of streams that wait to be read can't be written or read."""

    code = errno.ENOSPC


class WorkerFailed(Error):
    """A worker has failed, or its process has died."""

    code = errno.ECANCELED


class ControlError(Error):
    """A running program's control socket can't be used, or has refused a request."""

    code = errno.EPROTO


class WouldBlock(Error, BlockingIOError):
    """Nothing to read, or no room to write, now."""

    code = errno.EAGAIN


class ConnectionRefused(Error, ConnectionRefusedError):
    """The peer refused the connection."""

    code = errno.ECONNREFUSED


class ConnectionReset(Error, ConnectionResetError):
    """The peer reset the connection."""

    code = errno.ECONNRESET


class ConnectionAborted(Error, ConnectionAbortedError):
    """The connection was aborted on this side."""

    code = errno.ECONNABORTED


class BrokenPipe(Error, BrokenPipeError):
    """The sending side is shut."""

    code = errno.EPIPE


class TimedOut(Error, TimeoutError):
    """The peer did not answer in time."""

    code = errno.ETIMEDOUT


class NotConnected(Error):
    """The socket is not connected."""

    code = errno.ENOTCONN


class AlreadyConnected(Error):
    """The socket is already connected."""

    code = errno.EISCONN


class AddressInUse(Error):
    """The address and port are already in use."""

    code = errno.EADDRINUSE


class AddressNotAvailable(Error):
    """The address is none of this stack's own."""

    code = errno.EADDRNOTAVAIL


class AddressConflict(Error):
    """Another host on the link has the address."""

    code = errno.EADDRINUSE


class NetworkUnreachable(Error):
    """There is no route to the network."""

    code = errno.ENETUNREACH


class HostUnreachable(Error):
    """There is no route to the host, or it does not answer."""

    code = errno.EHOSTUNREACH


class ProtocolUnreachable(Error):
    """The peer does not speak the protocol."""

    code = errno.ENOPROTOOPT


class MessageTooLong(Error):
    """The message is larger than the path or the protocol allows."""

    code = errno.EMSGSIZE


class NotSupported(Error):
    """This socket does not support the operation."""

    code = errno.EOPNOTSUPP


class BadSocket(Error):
    """The socket is closed."""

    code = errno.EBADF


class Unsafe(Error):
    """A connection can't be taken over, or let go of, now. The message says why; nothing has happened to it."""

    code = errno.ECANCELED

    @property
    def may_pass(self) -> bool:
        """Whether the reason may be gone soon: it says what to do, "wait" or "drain"."""
        return ": wait" in str(self) or ": drain" in str(self)
