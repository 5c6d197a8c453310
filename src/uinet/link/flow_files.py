"""Copies of flows as captures: one pcapng file for each connection, many of them at once.

What takes the packets is a `FlowFiles`; a stack gives them to it (`Stack.copy_flows`, IP_COPY_TARGET). Packets are
gathered and written some at a time; files that were not written to for longest are closed where too many are open, and
opened again to append. A full disk costs packets, counted and told once, never the traffic.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from uinet.errors import DeviceError, InvalidArgument
from uinet.link.offload import complete
from uinet.units import SECOND
from uinet.wire.addresses import IPAddress
from uinet.wire.capture import INBOUND, LINKTYPE_ETHERNET, LINKTYPE_RAW, OUTBOUND
from uinet.wire.frame import Frame
from uinet.wire.pcapng import PcapngWriter

MOST_OPEN = 256
CHUNK = 32 * 1024  # bytes of one flow that are gathered before they are written
PENDING = 16 << 20  # bytes of all flows
RETRY = 1 * SECOND  # how long a full disk is left alone
MOST_NAMES = 10_000  # tries to find one that is free
_FLAGS = os.O_WRONLY | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)

COUNTERS: dict[str, str] = {
    "files": "files written, one for each flow",
    "packets": "packets written",
    "bytes": "bytes written, those of the format included",
    "lost": "packets that could not be written",
    "errors": "times that a file could not be written",
}

log = logging.getLogger("uinet")


class Flow(Protocol):
    """What is to be known of a flow; `uinet.FlowCopy` is one. `note` is for who takes its packets."""

    serial: int
    layer: int
    vids: bytes
    local_port: int
    remote_port: int
    passive_open: bool
    missing: int
    interface: Any
    note: Any

    @property
    def local(self) -> IPAddress: ...

    @property
    def remote(self) -> IPAddress: ...


class FlowFile:
    """The capture of one flow. `size`: what is written of it; `lost`: packets that are not in it since the last one
    that was gathered; `noted`: those that what is gathered tells of; `full`: it is as large as files can be; `head`:
    what it begins with."""

    __slots__ = (
        "descriptor", "full", "gathered", "head", "lost", "made", "name", "noted", "pending", "records", "size",
        "writer",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.descriptor = -1
        self.made = False
        self.size = 0
        self.gathered: list[bytes] = []
        self.records = 0  # packets in `gathered`
        self.pending = 0  # bytes
        self.lost = 0
        self.noted = 0
        self.full = False
        self.writer = PcapngWriter()
        self.head = b""


class FlowFiles:
    """Writes each flow to a file of its own in `directory`, made if it is not there.

    A file is called ``00000007-eth0-10.0.0.1.1234-10.0.0.2.80.pcapng``: the flow's serial number (IP_SERIALNO), its
    interface, its VLAN stack if it has one (``v100.200-``), the client's address and port, and the server's; ``-2`` and
    so on is added where there is a file of that name from before. Times are nanoseconds, directions are told.

    `most_open`: files open at a time. `pending`: bytes gathered and not written, in all. `clock`: ns, to wait with. The
    files are whole after `flush`, after a flow's end, and after `close`. DeviceError if the directory can't be had.
    """

    def __init__(
        self, directory: str | os.PathLike[str], *, most_open: int = MOST_OPEN, pending: int = PENDING,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        if most_open < 1 or pending < 0:
            raise InvalidArgument("there has to be room for one open file at least")
        self.path = Path(directory)
        self.most_open = most_open
        self.most_pending = pending
        self.counters = dict.fromkeys(COUNTERS, 0)
        self._pending = 0
        self._clock = clock
        self._open: OrderedDict[FlowFile, None] = OrderedDict()  # those written to least recently first
        self._waiting: OrderedDict[FlowFile, None] = OrderedDict()  # with something gathered
        self._blocked_until = 0  # the disk is full, or worse: nothing is tried before
        self._failing = False
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._directory = os.open(self.path, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
        except OSError as error:
            raise DeviceError(f"{self.path}: {error.strerror}") from None

    # what a stack calls

    def packet(self, flow: Flow, frame: Frame, outbound: bool) -> None:
        """Takes the next packet of a flow."""
        file = flow.note
        if file is None:
            file = flow.note = FlowFile(name_of(flow))
            file.head = head_of(file.writer, flow)
        missing = flow.missing + file.lost
        file.lost = 0
        comment = f"{missing} packets before this one are not in the file" if missing else ""
        whole = complete(frame, flow.layer)
        try:
            record = file.writer.packet(
                whole.data, max(0, whole.time), direction=OUTBOUND if outbound else INBOUND, comment=comment
            )
        except InvalidArgument:  # longer than any packet of a capture
            file.lost = missing + 1
            self.counters["lost"] += 1
            return
        file.noted += missing
        self._gather(file, record)
        if file.pending >= CHUNK:
            self._write(file)
        while self._pending > self.most_pending and self._waiting:
            self._write(next(iter(self._waiting)))

    def end(self, flow: Flow) -> None:
        """A flow is over: its file is complete."""
        file = flow.note
        flow.note = None
        if file is not None:
            self._write(file)
            self._shut(file)

    # what its owner calls

    def flush(self) -> None:
        """Writes what was gathered."""
        for file in list(self._waiting):
            self._write(file)

    def close(self) -> None:
        """Writes what was gathered and closes all files; a second call does nothing."""
        if self._directory < 0:
            return
        self._blocked_until = 0
        self.flush()
        for file in list(self._open):
            self._shut(file)
        os.close(self._directory)
        self._directory = -1

    def statistics(self) -> dict[str, int]:
        """The counters (see `COUNTERS`), how many files are `open`, and the `pending` bytes: gathered, not written."""
        return dict(self.counters, open=len(self._open), pending=self._pending)

    # files

    def _gather(self, file: FlowFile, data: bytes) -> None:
        file.gathered.append(data)
        file.records += 1
        file.pending += len(data)
        self._pending += len(data)
        self._waiting[file] = None

    def _write(self, file: FlowFile) -> None:
        """Writes what was gathered of a file; what can't be written is lost, and the file as it was."""
        gathered, records, noted = file.gathered, file.records, file.noted
        self._waiting.pop(file, None)
        self._pending -= file.pending
        file.gathered, file.records, file.pending, file.noted = [], 0, 0, 0
        if not records:
            return
        if self._directory < 0 or file.full or self._clock() < self._blocked_until:
            self._lose(file, records, noted)
        else:
            try:
                self.counters["bytes"] += self._append(file, b"".join(gathered))
            except OSError as error:
                self._failed(file, error)
                self._lose(file, records, noted)
            else:
                self.counters["packets"] += records
                if self._failing:
                    self._failing = False
                    log.warning("%s: flows are written again, %d packets are lost", self.path, self.counters["lost"])

    def _append(self, file: FlowFile, data: bytes) -> int:
        """How many bytes were written; OSError, and then nothing of `data` is in the file."""
        descriptor = self._descriptor(file)
        if not file.size:
            data = file.head + data
        written = 0
        try:
            while written < len(data):
                written += os.write(descriptor, data[written:])
        except OSError:
            with contextlib.suppress(OSError):  # no half of a record stays behind
                os.ftruncate(descriptor, file.size)
            raise
        if not file.size:
            self.counters["files"] += 1
        file.size += len(data)
        return len(data)

    def _lose(self, file: FlowFile, records: int, noted: int) -> None:
        file.lost += records + noted
        self.counters["lost"] += records

    def _failed(self, file: FlowFile, error: OSError) -> None:
        """One line for each time that writing begins to fail."""
        self.counters["errors"] += 1
        if not file.size:
            self._forget(file)
        if error.errno == errno.EFBIG:
            file.full = True  # others are not
            return
        self._blocked_until = self._clock() + RETRY
        if not self._failing:
            self._failing = True
            log.error(
                "%s: %s: packets of flows are lost until it can be written", self.path / file.name, error.strerror
            )

    def _forget(self, file: FlowFile) -> None:
        """A file of which nothing could be written is not left lying about."""
        self._shut(file)
        if file.made:
            file.made = False
            with contextlib.suppress(OSError):
                os.unlink(file.name, dir_fd=self._directory)

    def _descriptor(self, file: FlowFile) -> int:
        """An open file to append to; OSError."""
        if file.descriptor >= 0:
            self._open.move_to_end(file)
            return file.descriptor
        while len(self._open) >= self.most_open:
            self._shut(next(iter(self._open)))
        try:
            file.descriptor = self._opened(file)
        except OSError as error:
            if error.errno not in _NO_DESCRIPTORS or not self._open:
                raise
            for other in list(self._open)[: (len(self._open) + 1) // 2]:  # somebody else needs many, too
                self._shut(other)
            file.descriptor = self._opened(file)
        self._open[file] = None
        return file.descriptor

    def _opened(self, file: FlowFile) -> int:
        if file.made:
            with contextlib.suppress(FileNotFoundError):  # somebody has taken it away: another is begun
                return os.open(file.name, _FLAGS, dir_fd=self._directory)
            file.size = 0
        stem = file.name.removesuffix(".pcapng")
        for number in range(2, MOST_NAMES):
            try:
                descriptor = os.open(file.name, _FLAGS | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=self._directory)
            except FileExistsError:
                file.name = f"{stem}-{number}.pcapng"
                continue
            file.made = True
            return descriptor
        raise OSError(errno.EEXIST, os.strerror(errno.EEXIST), file.name)

    def _shut(self, file: FlowFile) -> None:
        self._open.pop(file, None)
        if file.descriptor >= 0:
            descriptor, file.descriptor = file.descriptor, -1
            try:
                os.close(descriptor)
            except OSError as error:  # some file systems say only here that the disk is full
                self._failed(file, error)


def name_of(flow: Flow) -> str:
    """What the file of a flow is called: no slashes, whatever its interface is called."""
    here, there = (str(flow.local), flow.local_port), (str(flow.remote), flow.remote_port)
    client, server = (there, here) if flow.passive_open else (here, there)
    name = re.sub(r"[^A-Za-z0-9_.:@]+", "-", flow.interface.name if flow.interface is not None else "")[:40].strip("-.")
    vids = ".".join(str(flow.vids[at] << 8 | flow.vids[at + 1]) for at in range(0, len(flow.vids), 2))
    ends = f"{client[0]}.{client[1]}-{server[0]}.{server[1]}"
    parts = [f"{flow.serial:08d}", name, f"v{vids}" if vids else "", ends]
    return "-".join(part for part in parts if part) + ".pcapng"


def head_of(writer: PcapngWriter, flow: Flow) -> bytes:
    """What the file of a flow begins with."""
    name = flow.interface.name if flow.interface is not None else ""
    link_type = LINKTYPE_ETHERNET if flow.layer == 2 else LINKTYPE_RAW
    return writer.header() + writer.interface(name, link_type, description=f"flow {flow.serial}")
