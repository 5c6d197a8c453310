"""Writing captures: the file, and the wrapper that tees a device's frames into one."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence

from uinet.errors import DeviceError, InvalidArgument
from uinet.link.device import Device
from uinet.link.offload import complete
from uinet.link.wrapper import Wrapper
from uinet.wire.capture import INBOUND, LINKTYPE_ETHERNET, LINKTYPE_RAW, OUTBOUND
from uinet.wire.frame import Frame
from uinet.wire.pcap import PcapngWriter, PcapWriter

_FLAGS = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class CaptureFile:
    """A capture being written, whole records at a time: readable at any moment, even if the process dies.

    pcap if its name ends in .pcap or .cap, pcapng otherwise; nanosecond times. `name` is that of the
    interface. DeviceError if it can't be written.
    """

    def __init__(self, path: str, layer: int, name: str = "") -> None:
        self.path = path
        self._writer: PcapWriter | PcapngWriter
        link_type = LINKTYPE_ETHERNET if layer == 2 else LINKTYPE_RAW
        if path.lower().endswith((".pcap", ".cap")):
            self._writer = PcapWriter(link_type)
            head = self._writer.header()
        else:
            self._writer = PcapngWriter()
            head = self._writer.header() + self._writer.interface(name, link_type)
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _FLAGS, 0o666)
        except OSError as error:
            raise DeviceError(f"{path}: {error.strerror}") from None
        self._size = 0
        if not self._append(head):
            os.close(self._fd)
            raise DeviceError(f"{path}: can't be written")

    def write(self, packets: Sequence[tuple[bytes, int]], direction: int) -> int:
        """Appends (data, time) packets with one write.

        How many are in the file: all, or, if it failed, none.
        """
        records = []
        for data, when in packets:
            with contextlib.suppress(InvalidArgument):  # a time that the format can't tell
                records.append(self._writer.packet(data, when, direction=direction))
        return len(records) if self._append(b"".join(records)) else 0

    def _append(self, data: bytes) -> bool:
        written = 0
        try:
            while written < len(data):
                written += os.write(self._fd, data[written:])
        except OSError:
            # a full disk: no half of a record stays behind
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._size)
                os.lseek(self._fd, self._size, os.SEEK_SET)
            return False
        self._size += written
        return True

    def close(self) -> None:
        """Closes the file; a second call does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Capture(Wrapper):
    """Tees what the stack receives and sends into a file, with directions where its format knows them.

    `clock`: nanoseconds since 1970, for frames whose device does not tell their time. Large frames are
    written whole, with their checksums completed. Where writing fails the traffic goes on, counted as
    capture_lost.
    """

    def __init__(self, inner: Device, path: str, *, clock: Callable[[], int] = time.time_ns) -> None:
        self._file = CaptureFile(path, inner.layer, inner.name)
        super().__init__(inner)
        self._clock = clock

    def recv(self, limit: int = 64) -> list[Frame]:
        frames = self.inner.recv(limit)
        if frames:
            self._write(frames, INBOUND)
        return frames

    def send(self, frames: Sequence[Frame]) -> int:
        taken = self.inner.send(frames)
        if taken:
            self._write(frames[:taken], OUTBOUND)
        return taken

    def _write(self, frames: Sequence[Frame], direction: int) -> None:
        now = self._clock()
        packets = []
        for frame in frames:
            data = complete(frame, self.layer).data if self.checksums else frame.data
            packets.append((data, frame.time or now))
        written = self._file.write(packets, direction)
        self.count("capture_frames", written)
        self.count("capture_lost", len(packets) - written)

    def close(self) -> None:
        super().close()
        self._file.close()

    def forget(self) -> None:
        super().forget()
        self._file.close()
