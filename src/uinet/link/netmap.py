"""netmap: the rings of a network card, of the host's stack behind it, or of a port of a VALE switch.

Read first: netmap(4) of FreeBSD; :mod:`uinet.link.netmap_api`, :mod:`uinet.link.slots`. A card in netmap mode is the
program's alone: its frames never reach the kernel's stack, whose end of the cable are the host rings. Frames have no
offload state. Packets are copied once each way; :meth:`NetmapDevice.lend` and :meth:`NetmapDevice.forward` carry them
from ring to ring without a copy.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from uinet.errors import DeviceError, DeviceGone
from uinet.link import interface
from uinet.link.fate import InterfaceDevice
from uinet.link.loan import Loan
from uinet.link.netmap_api import (
    BUFS_HEAD,
    HOST_RINGS,
    NIOCRXSYNC,
    NIOCTXSYNC,
    ONE_HOST_RING,
    ONE_RING,
    PATH,
    Port,
    System,
    explained,
    parse_port,
    register,
    rings,
)
from uinet.link.slots import Slots
from uinet.link.sockets import watch_only
from uinet.link.writing import WritingDevice
from uinet.wire.addresses import Mac
from uinet.wire.frame import CHECKSUM_NEEDED, Frame

if TYPE_CHECKING:
    import mmap

    from uinet.link.sharing import Share

MOST_PIECES = 64  # slots of a packet, where the port takes packets of several
MOST_LENT = 1 << 16
_AGAIN = (errno.EAGAIN, errno.EINTR)


class NetmapDevice(InterfaceDevice, WritingDevice):
    """The rings that `name` means: see :func:`uinet.link.netmap_api.parse_port`.

    `mtu`: None for the interface's own (Linux), else 1500; on a card at most what one buffer holds. `lend`: buffers
    that may be lent at once; `lendable` is how many the kernel has granted. `promisc`: frames for other MACs too
    (Linux; elsewhere set it on the interface). `share`: it is one worker's ring of the card. `system`: the calls of the
    operating system, for tests. Down, up and gone as with PacketDevice, on Linux.

    Raises DeviceURLError (bad name), PermissionDenied, DeviceError.
    """

    def __init__(
        self,
        name: str,
        *,
        mtu: int | None = None,
        mac: Mac | None = None,
        lend: int = 0,
        promisc: bool = True,
        busy_poll: int = 0,
        share: Share | None = None,
        system: System | None = None,
    ) -> None:
        port = parse_port(name)
        if system is None and not sys.platform.startswith(("linux", "freebsd")):
            raise DeviceError("netmap devices exist on Linux and FreeBSD only")
        if not 0 <= lend <= MOST_LENT:
            raise DeviceError(f"netmap:{name}: lend={lend}: want 0 to {MOST_LENT}")
        if share is not None:
            port = _ring_of(port, share)
        self._port = port
        self._system = system or System()
        self._fd = -1
        self._memory: mmap.mmap | None = None
        self._watcher: socket.socket | None = None
        self._epoll: select.epoll | None = None
        self._waits = False  # there was no room: whoever sends wants to hear of it
        self._out: dict[int, Loan] = {}  # by their buffers
        real = self._system.real and sys.platform == "linux" and not port.virtual
        found = _interface_mtu(port.interface) if real else None
        try:
            self._open(lend, share)
            largest = self._slots.size * (MOST_PIECES if port.virtual else 1) - 14 - 2 * 4
            super().__init__(f"netmap:{name}", mtu=mtu or min(found or 1500, largest), mac=mac)
            if self.mtu > largest + 2 * 4:
                raise DeviceError(f"{self.name} carries packets of at most {largest + 2 * 4} bytes, not {self.mtu}")
            if real:
                self._watch(promisc and port.mode not in (HOST_RINGS, ONE_HOST_RING))
        except OSError as error:
            self._release()
            if isinstance(error, DeviceError):
                raise
            raise explained(port, error) from None
        except BaseException:
            self._release()
            raise
        self.busy_poll = busy_poll

    def _open(self, lend: int, share: Share | None) -> None:
        port, system = self._port, self._system
        self._fd = system.open()
        answer = register(system, self._fd, port, lend)
        if share is not None and share.count != answer.receive_rings:
            raise DeviceError(f"netmap:{port.name} has {answer.receive_rings} rings: want as many workers")
        self.memory_id = answer.memory
        self._memory = system.map(self._fd, answer.size)
        self._interface = answer.offset
        receive, transmit, first = rings(self._memory, answer.offset, port)
        try:
            self._slots = Slots(self._memory, receive, transmit, MOST_PIECES if port.virtual else 1)
        except IndexError as error:
            raise DeviceError(f"netmap:{port.name}: {error}") from None
        self.buffer_size = self._slots.size
        self.lendable = self._slots.take_spares(first, answer.extra) if answer.extra else 0

    def _watch(self, promisc: bool) -> None:
        """Has a socket tell when the interface is set down: a call of netmap would not come back until it is up."""
        name = self._port.interface
        try:
            self._watcher = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        except PermissionError:
            raise interface.missing_capability(self.name, "CAP_NET_RAW") from None
        self.watch(self._watcher, interface.index(self._watcher, name))
        watch_only(self._watcher, name, self._index, promisc)
        self.down = not interface.is_up(self._watcher, name)
        self._epoll = select.epoll()
        self._epoll.register(self._watcher.fileno(), 0)  # errors, that is
        if not self.down:
            self._epoll.register(self._fd, select.EPOLLIN)

    def notice_down(self, code: int) -> None:
        super().notice_down(code)
        if self._epoll is not None:
            self._epoll.unregister(self._fd)

    def poll(self, now: int) -> None:
        was_down = self.down
        super().poll(now)
        if was_down and not self.down and self._epoll is not None:
            self._epoll.register(self._fd, select.EPOLLIN)

    # in

    def recv(self, limit: int = 64) -> list[Frame]:
        self.require_open()
        slots = self._slots
        frames = slots.receive(limit)
        octets = slots.octets
        if len(frames) < limit:
            self._sync(NIOCRXSYNC)
            frames += slots.receive(limit - len(frames))
            octets += slots.octets
        self._received(len(frames), octets)
        if self._waits:
            self._look_for_room()
        return frames

    def lend(self, limit: int = 64) -> list[Loan]:
        """As `recv`, but the packets stay where they are: views of buffers of the ring, at most `lendable` at once.

        Other buffers stand in for them in the ring. Beyond that, and where a packet lies in several buffers, the loan
        is a copy. DeviceGone.
        """
        self.require_open()
        slots = self._slots
        found = slots.lend(limit)
        octets = slots.octets
        if len(found) < limit:
            self._sync(NIOCRXSYNC)
            found += slots.lend(limit - len(found))
            octets += slots.octets
        self._received(len(found), octets)
        return [self._loan(each) for each in found]

    def _loan(self, packet: tuple[int, int] | bytes) -> Loan:
        if isinstance(packet, bytes):
            return Loan(self, -1, memoryview(packet))
        index, length = packet
        assert self._memory is not None
        at = self._slots.start + index * self._slots.size
        with memoryview(self._memory) as whole:
            loan = self._out[index] = Loan(self, index, whole[at : at + length])
        return loan

    def take_back(self, loan: Loan, index: int) -> None:
        """The end of a loan; buffer `index` is what comes back for it."""
        loan.data.release()
        if loan.index >= 0 and not self.closed:
            del self._out[loan.index]
            self._slots.give_back(index)

    def _received(self, frames: int, octets: int) -> None:
        self.counters["rx_frames"] += frames
        self.counters["rx_bytes"] += octets
        self.counters["rx_damaged"] = self._slots.damaged

    # out

    def send(self, frames: Sequence[Frame]) -> int:
        self.require_open()
        self._see_to_it()
        if self.down:
            self.count("tx_down", len(frames))
            return len(frames)
        if self._slots.room() < len(frames):
            self._sync(NIOCTXSYNC)
        taken = 0
        while taken < len(frames):
            run: list[bytes] = []
            for frame in frames[taken:] if self._begun is None else ():
                if frame.gso_size or frame.checksum == CHECKSUM_NEEDED or not self._fits(frame.data):
                    break
                run.append(frame.data)
            if run:
                done = self._put(run)
                taken += done
                if done < len(run):
                    break
            elif self.write_unfinished(frames[taken]):
                taken += 1
            else:
                break
        self._sync(NIOCTXSYNC)
        if taken < len(frames):
            self._wait_for_room(True)
        return taken

    def _wait_for_room(self, wanted: bool) -> None:
        """A descriptor of our own becomes readable when there is room again; netmap's own is writable then."""
        if self._epoll is not None and self._waits != wanted and not self.down:
            self._waits = wanted
            self._epoll.modify(self._fd, select.EPOLLIN | (select.EPOLLOUT if wanted else 0))

    def _look_for_room(self) -> None:
        self._sync(NIOCTXSYNC)
        if self._slots.room():
            self._wait_for_room(False)
            if self.on_writable is not None:
                self.on_writable()

    def write(self, packet: bytes) -> bool:
        if not self._fits(packet):
            self.count("tx_oversize" if len(packet) > 14 else "tx_refused")
            return True
        return self._put([packet]) == 1

    def _fits(self, packet: bytes) -> bool:
        return 14 <= len(packet) <= self._most()

    def _most(self) -> int:
        """Bytes of the longest frame that can be sent."""
        return int(min(self.largest(), self._slots.size * self._slots.pieces))

    def _put(self, packets: list[bytes]) -> int:
        """Puts packets into the ring, with system calls between where it is full; how many."""
        slots, done, waited = self._slots, 0, False
        while done < len(packets):
            room = slots.room()
            sent = slots.send(packets, done)
            done += sent
            self.counters["tx_frames"] += sent
            self.counters["tx_bytes"] += slots.octets
            if not sent and room >= slots.pieces:
                raise DeviceGone(f"{self.name}: its transmit ring names buffers that are not there")
            if not sent and waited:
                break
            if done < len(packets):
                self._sync(NIOCTXSYNC)
            waited = not sent
        return done

    def forward(self, loans: Sequence[Loan]) -> int:
        """Sends packets that were lent by this device, or by another: how many from the front, which are released.

        Where both have the same memory, buffers change places and nothing is copied. The others stay the caller's.
        ValueError if one of them is not lent any more. DeviceGone.
        """
        self.require_open()
        self._see_to_it()
        slots, taken = self._slots, 0
        for loan in loans:
            owner = loan.owner
            if owner is None or owner.closed:
                raise ValueError("a loan that has ended")
            length = len(loan)
            if self.down or not 14 <= length <= self._most():
                self.count("tx_down" if self.down else "tx_oversize" if length > 14 else "tx_refused")
                loan.release()
            elif loan.copied or owner.memory_id != self.memory_id or owner.buffer_size != slots.size:
                if self._put([bytes(loan.data)]) == 0:
                    break
                loan.release()
            else:
                index = slots.swap(loan.index, length)
                if index < 0:
                    self._sync(NIOCTXSYNC)
                    index = slots.swap(loan.index, length)
                if index < 0:
                    break
                loan.owner = None
                owner.take_back(loan, index)
                self.sent(length)
            taken += 1
        self._sync(NIOCTXSYNC)
        return taken

    def _see_to_it(self) -> None:
        """Notices that the interface has been set down, or has gone. DeviceGone."""
        if self._watcher is not None and not self.down:
            self.look()

    def _sync(self, request: int) -> None:
        """Has the kernel look at the rings, unless the interface is down. DeviceGone."""
        self._see_to_it()
        if self.down:
            return
        try:
            self._system.sync(self._fd, request)
        except OSError as error:
            if error.errno in _AGAIN:
                return
            raise DeviceGone(f"{self.name}: {error.strerror}; its interface is gone, or its ring is damaged") from None

    # what the device holds

    def fileno(self) -> int:
        if self.closed:
            return -1
        return self._fd if self._epoll is None else self._epoll.fileno()

    def forget(self) -> None:
        if not self.closed:
            super().close()
            self._end_loans()
            self._release()

    def close(self) -> None:
        if self.closed:
            return
        try:
            self._sync(NIOCTXSYNC)
        except DeviceGone:
            pass  # then nothing more can be sent
        super().close()
        lent = self._end_loans()
        if self.lendable and self._memory is not None:
            first = self._slots.chain(lent)  # by which the kernel frees them
            at = self._interface + BUFS_HEAD
            self._memory[at : at + 4] = first.to_bytes(4, sys.byteorder)
        self._release()

    def _end_loans(self) -> list[int]:
        """Ends all loans; the buffers that were lent."""
        lent = list(self._out)
        for loan in self._out.values():
            loan.owner = None
            try:
                loan.data.release()
            except BufferError:
                pass  # somebody has a view of the view: the memory stays mapped until that is gone
        self._out = {}
        return lent

    def _release(self) -> None:
        slots: Slots | None = getattr(self, "_slots", None)
        if slots is not None:
            slots.release()
        if self._epoll is not None:
            self._epoll.close()
        if self._watcher is not None:
            self._watcher.close()
        if self._memory is not None:
            try:
                self._memory.close()
            except BufferError:
                pass  # as above
            self._memory = None
        if self._fd >= 0:
            self._system.close(self._fd)
            self._fd = -1


def _ring_of(port: Port, share: Share) -> Port:
    """The ring of one of several workers."""
    if port.virtual or port.mode in (HOST_RINGS, ONE_HOST_RING, ONE_RING):
        raise DeviceError(f"netmap:{port.name}: only all rings of a card can be shared by several workers")
    return port._replace(mode=ONE_RING, ring=share.index)


def _interface_mtu(name: str) -> int | None:
    """The MTU of an interface of Linux; None if it does not tell. DeviceError if there is no such interface."""
    interface.check_name(name)
    if not os.path.exists(PATH) and name not in (known for _, known in socket.if_nameindex()):
        return None  # that there is no netmap is the better thing to say
    with interface.control_socket() as sock:
        interface.index(sock, name)
        return interface.mtu(sock, name)
