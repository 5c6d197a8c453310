"""Capture files as devices.

What was captured comes in, what the stack answers goes to another file or nowhere.
"""

from __future__ import annotations

import os
from collections import deque

from uinet.errors import CaptureError, DeviceError, DeviceURLError
from uinet.link.capture import CaptureFile
from uinet.link.writing import WritingDevice
from uinet.wire.addresses import Mac
from uinet.wire.capture import (
    LINKTYPE_ETHERNET,
    LINKTYPE_IPV4,
    LINKTYPE_IPV6,
    LINKTYPE_LINUX_SLL,
    LINKTYPE_LINUX_SLL2,
    LINKTYPE_LOOP,
    LINKTYPE_NULL,
    LINKTYPE_RAW,
    OUTBOUND,
    decapsulate,
)
from uinet.wire.frame import Frame
from uinet.wire.pcap import Reader

CHUNK = 256 * 1024
PACES = ("fast", "capture")
LAYERS = {
    LINKTYPE_ETHERNET: 2,
    **dict.fromkeys((LINKTYPE_RAW, LINKTYPE_IPV4, LINKTYPE_IPV6, 12, 14), 3),
    **dict.fromkeys((LINKTYPE_NULL, LINKTYPE_LOOP, LINKTYPE_LINUX_SLL, LINKTYPE_LINUX_SLL2), 3),
}


class PcapDevice(WritingDevice):
    """The frames of the pcap or pcapng file `path`; their `time` is the capture's.

    `out`: a file for what is sent, pcapng unless its name ends in .pcap or .cap, timed with the capture's
    clock; without it sent frames are counted and gone. `pace`: "fast" as they are wanted, "capture" at the
    speed at which they were captured, beginning with the first `poll`. The layer is that of the first
    interface of a known kind; packets of the other layer, or of an unknown kind, are counted as
    rx_unsupported.

    A damaged file: `recv` delivers what comes before the damage, then raises CaptureError once; `finished`
    after that. Raises DeviceURLError (pace), DeviceError (no such file), CaptureError (no capture, or no
    known link type).
    """

    def __init__(
        self, path: str, *, out: str = "", pace: str = "fast", mtu: int = 1500, mac: Mac | None = None
    ) -> None:
        if pace not in PACES:
            raise DeviceURLError(f"pace={pace}: want one of {', '.join(PACES)}")
        super().__init__(f"pcap:{path}", mtu=mtu, mac=mac)
        self._path = path
        self._paced = pace == "capture"
        self._reader = Reader()
        self._pending: deque[Frame] = deque()
        self._ended = False  # the file has been read to its end, or to its damage
        self._finished = False
        self.time = 0  # of the capture: that of the frame received last, or, paced, what the clock says
        self._start: int | None = None  # paced: what has to be added to capture times to get the caller's
        self._now = 0
        try:
            self._file = open(path, "rb")  # noqa: SIM115 - closed by close
        except OSError as error:
            raise DeviceError(f"{path}: {error.strerror}") from None
        self._out: CaptureFile | None = None
        try:
            self.layer = self._find_layer()
            if out:
                if os.path.exists(out) and os.path.samefile(out, path):
                    raise DeviceURLError(f"out={out} is the capture itself")
                self._out = CaptureFile(out, self.layer, "replies")
        except BaseException:
            self._file.close()
            raise

    def _find_layer(self) -> int:
        """Reads on to the first interface of a known kind, or to the first packet of an unknown one."""
        while True:
            for interface in self._reader.interfaces:
                if interface.link_type in LAYERS:
                    return LAYERS[interface.link_type]
            if self._ended or self._reader.count:
                break
            self._read()
        kinds = ", ".join(str(interface.link_type) for interface in self._reader.interfaces)
        if kinds:
            raise CaptureError(f"{self._path}: link type {kinds} is neither Ethernet nor IP")
        self._check_end()
        return 2  # a pcapng file of nothing

    def _read(self) -> None:
        """Feeds the reader one piece of the file."""
        try:
            data = self._file.read(CHUNK)
        except OSError as error:
            raise CaptureError(f"{self._path}: {error.strerror}") from None
        self._reader.feed(data)
        if not data or self._reader.damaged:
            self._ended = True

    def _fill(self) -> bool:
        """Whether there is a frame to come; reads on until there is, or the end."""
        while not self._pending:
            for record in self._reader:
                found = decapsulate(record.link_type, record.data)
                if found is not None and found[0] == self.layer:
                    self._pending.append(Frame(found[1], time=record.time))
                else:
                    self.count("rx_unsupported")
            if self._pending or self._ended:
                break
            self._read()
        return bool(self._pending)

    def _check_end(self) -> None:
        """CaptureError if the file did not end as it should."""
        try:
            self._reader.finish()
        except CaptureError as error:
            raise CaptureError(f"{self._path}: {error}") from None

    def recv(self, limit: int = 64) -> list[Frame]:
        self.require_open()
        frames: list[Frame] = []
        while len(frames) < limit and not self._finished:
            if not self._fill():
                if not frames:
                    self._finished = True
                    self._check_end()
                break
            if self._paced and (self._start is None or self._pending[0].time + self._start > self._now):
                break
            frame = self._pending.popleft()
            self.time = max(self.time, frame.time)
            frames.append(frame)
        self.counters["rx_frames"] += len(frames)
        self.counters["rx_bytes"] += sum(len(frame.data) for frame in frames)
        return frames

    def deadline(self) -> int | None:
        if self._finished or self.closed:
            return None
        if not self._paced or self._start is None or not self._fill():
            return 0
        return max(self._pending[0].time, self.time) + self._start

    def poll(self, now: int) -> None:
        if self.closed or self._finished:
            return
        self._now = now
        if self._paced:
            if self._start is None and self._fill():
                self._start = now - self._pending[0].time
            if self._start is not None:
                self.time = max(self.time, now - self._start)
        deadline = self.deadline()
        if deadline is not None and deadline <= now and self.on_readable is not None:
            self.on_readable()

    def write(self, packet: bytes) -> bool:
        if len(packet) > self.largest():
            self.count("tx_oversize")
            return True
        if self._out is not None and not self._out.write([(packet, self.time)], OUTBOUND):
            self.count("capture_lost")
        self.sent(len(packet))
        return True

    @property
    def finished(self) -> bool:
        return self._finished

    def close(self) -> None:
        if self.closed:
            return
        super().close()
        self._file.close()
        if self._out is not None:
            self._out.close()
