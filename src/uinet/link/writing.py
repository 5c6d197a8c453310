"""Devices that send one packet a call: software offload and partial progress, common to all of them."""

from __future__ import annotations

from collections.abc import Sequence

from uinet.link.device import Device
from uinet.link.offload import finish
from uinet.wire.frame import CHECKSUM_NEEDED, Frame, gathered


class WritingDevice(Device):
    """A device whose `write` carries a single finished packet.

    Where a frame stands for several segments and the device is full in the middle, the frame counts as not
    taken, and its first segments are not sent again when it is offered again.
    """

    _begun: Frame | None = None  # the frame whose first `_written` segments are out
    _written = 0

    def write(self, packet: bytes) -> bool:
        """Sends one packet (or drops and counts it): True. False: full now, nothing happened."""
        raise NotImplementedError

    def send(self, frames: Sequence[Frame]) -> int:
        self.require_open()
        taken = 0
        for frame in frames:
            if frame.gso_size or frame.checksum == CHECKSUM_NEEDED:
                done = self.write_unfinished(frame)
            else:
                done = self.write(frame.data)
            if not done:
                break
            taken += 1
        return taken

    def write_unfinished(self, frame: Frame) -> bool:
        """Sends a frame with an unfinished checksum or a gso_size, in software; as `write`."""
        segments = finish(gathered(frame), self.layer, checksums=self.checksums)
        first = self._written if frame is self._begun else 0
        self._begun = None
        for index in range(first, len(segments)):
            if not self.write(segments[index].data):
                self._begun, self._written = frame, index
                return False
        return True

    def sent(self, size: int) -> None:
        """Counts one packet of `size` bytes as sent."""
        self.counters["tx_frames"] += 1
        self.counters["tx_bytes"] += size
