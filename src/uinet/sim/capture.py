"""Capture files of simulated links: pcapng, with virtual time as the time of each frame."""

from __future__ import annotations

import os

from uinet.errors import CaptureError
from uinet.wire.capture import DIRECTION_UNKNOWN, INBOUND, LINKTYPE_ETHERNET, LINKTYPE_RAW, OUTBOUND
from uinet.wire.pcapng import PcapngWriter


class CaptureFile:
    """Writes the frames of one port or segment to a pcapng file, whose bytes depend on them alone."""

    def __init__(self, path: str | os.PathLike[str], layer: int, name: str) -> None:
        self.path = os.fspath(path)
        self._writer = PcapngWriter()
        try:
            self._file = open(path, "wb")  # noqa: SIM115 - it outlives this call; `close` closes it
        except OSError as error:
            raise CaptureError(f"can't write the capture {self.path}: {error.strerror}") from error
        self._file.write(self._writer.header())
        self._file.write(self._writer.interface(name, LINKTYPE_ETHERNET if layer == 2 else LINKTYPE_RAW))

    def write(self, data: bytes, time: int, outbound: bool | None = None) -> None:
        """Records a frame; `time` in ns. Nothing is recorded once the file is closed."""
        if not self._file.closed:
            direction = DIRECTION_UNKNOWN if outbound is None else OUTBOUND if outbound else INBOUND
            self._file.write(self._writer.packet(data, time, direction=direction))

    def flush(self) -> None:
        """Writes out what is buffered."""
        if not self._file.closed:
            self._file.flush()

    def close(self) -> None:
        """Completes the file; a second call does nothing."""
        self._file.close()
