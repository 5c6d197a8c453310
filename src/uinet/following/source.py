"""Where packets come from: a capture file, a pipe, a device. A pump for each, with a follower at its other end."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self, cast
from urllib.parse import unquote

from uinet.errors import CaptureError, InvalidArgument
from uinet.following.blocks import Blocks
from uinet.following.filtering import Filter
from uinet.following.magic import MAGIC_LENGTH, kind_of
from uinet.following.reading import DescriptorInput, Input, ObjectInput, open_path
from uinet.passive.follower import Follower

if TYPE_CHECKING:
    from uinet.following.compressed import Expander
    from uinet.link.device import Device

Stop = Callable[[], bool]


class Source:
    """A pump: each call of `pump` feeds a follower some packets.

    `name`: for people. `size`: bytes of the file, None if there is no end to be known; `position`: bytes of it that
    have been read, compressed ones if it is compressed. `dropped`: packets that the kernel had no room for (live).
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.size: int | None = None
        self.position = 0
        self.dropped = 0

    def pump(self, follower: Follower, stop: Stop | None = None) -> bool:
        """Feeds the packets of one chunk, if there are any within 0.1 s; False at the end, or if `stop` says so.

        CaptureError, one line, if a file is damaged or cut off, DeviceGone if a device has vanished: the follower has
        had everything before that, and `pump` must not be called again. What the follower raises comes through.
        """
        raise NotImplementedError

    def statistics(self) -> dict[str, int]:
        """Counters by name: `packets`, `filtered` (of these the filter has kept back), `bytes` and others."""
        raise NotImplementedError

    def close(self) -> None:
        """Gives back what `open_source` opened; what it was given stays open. A second call does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class CaptureSource(Source):
    """A capture that is read from front to end: pcap or pcapng, compressed or not."""

    def __init__(self, source: Input, filter: Filter | None = None) -> None:
        super().__init__(source.name)
        self.size = source.size
        self._input = source
        self._blocks = Blocks(filter)
        self._expander: Expander | None = None
        self._head: bytes | None = b""  # the file's first bytes, until they say how it is compressed
        self._ended = False

    def pump(self, follower: Follower, stop: Stop | None = None) -> bool:
        if self._ended or (stop is not None and stop()):
            return False
        try:
            if self._expander is not None and self._pump_expanded(follower):
                return True
            if not self._input.ready():
                return True
            data = self._input.read()
            self.position = self._input.position
            if data:
                self._take(follower, data)
                return True
            self._finish(follower)
        except CaptureError as error:
            self._ended = True
            raise CaptureError(f"{self.name}: {error}") from None
        return False

    def _take(self, follower: Follower, data: bytes) -> None:
        """Bytes of the file."""
        if self._head is not None:
            data = self._head + data
            if len(data) < MAGIC_LENGTH:
                self._head = data
                return
            self._head = None
            kind = kind_of(data)
            if kind:
                from uinet.following.compressed import expander

                self._expander = expander(kind)
        if self._expander is not None:
            self._expander.feed(data)
        else:
            self._blocks.feed(follower, data)

    def _pump_expanded(self, follower: Follower) -> bool:
        """Feeds the next piece that the compressed data stand for; whether there was one."""
        assert self._expander is not None
        try:
            data = self._expander.read()
        except CaptureError as error:
            raise CaptureError(f"{error}, after packet {self._blocks.count}") from None
        if data:
            self._blocks.feed(follower, data)
        return bool(data)

    def _finish(self, follower: Follower) -> None:
        """The end of the file."""
        self._ended = True
        if self._head:
            self._blocks.feed(follower, self._head)
        if self._expander is not None:
            try:
                self._expander.finish()
            except CaptureError as error:
                raise CaptureError(f"{error} after packet {self._blocks.count}") from None
        self._blocks.finish()

    def statistics(self) -> dict[str, int]:
        blocks = self._blocks
        return {"packets": blocks.count, "filtered": blocks.count - blocks.passed, "bytes": self.position}

    def close(self) -> None:
        self._input.close()


def open_source(name: str | os.PathLike[str] | BinaryIO | Device, *, filter: str | None = None) -> Source:
    """The source that `name` says: a path, "-" for standard input, a device URL, an open binary file, or a device.

    A file may be pcap or pcapng, plain or compressed (gzip, zstd, bzip2, xz), whatever it is called; a file that is
    called like a device URL is meant with ``./`` before it. ``packet:IFNAME[?ring=64M&promisc=1]`` watches an interface
    and never sends; other URLs are those of `uinet.open_device`. `filter`: an expression of pcap-filter(7).

    DeviceError (can't be opened), DeviceURLError, PermissionDenied, CaptureError, FilterError: one line each.
    """
    compiled = Filter(filter) if filter and filter.strip() else None
    if isinstance(name, (str, os.PathLike)):
        text = os.fspath(name)
        if not isinstance(text, str):
            raise InvalidArgument(f"a source is named by text, not by {type(text).__name__}")
        if isinstance(name, str) and _is_device(text):
            return _open_url(text, compiled)
        return CaptureSource(DescriptorInput("standard input", 0) if text == "-" else open_path(text), compiled)
    if hasattr(name, "read"):
        return CaptureSource(ObjectInput(cast(BinaryIO, name)), compiled)
    from uinet.following.devices import DeviceSource
    from uinet.link.device import Device

    if isinstance(name, Device):
        return DeviceSource(name, compiled)
    raise InvalidArgument(f"a source is a path, a device URL, a file or a device, not {type(name).__name__}")


def _is_device(text: str) -> bool:
    """Whether it is a device URL: files are opened without loading the devices."""
    if ":" not in text:
        return False
    from uinet.link.url import is_device_url

    return is_device_url(text)


def _open_url(url: str, filter: Filter | None) -> Source:
    scheme, _, rest = url.partition(":")
    if scheme == "packet":
        from uinet.following.live import open_ring

        return open_ring(url, filter)
    if scheme == "pcap" and rest and "?" not in rest:
        return CaptureSource(open_path(unquote(rest)), filter)
    from uinet.following.devices import DeviceSource
    from uinet.link.url import open_device

    return DeviceSource(open_device(url), filter, owned=True)
