"""Who is asked to note when frames come, and who does where the first can't."""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
import sys
from typing import Any

import pytest

from uinet.errors import DeviceURLError
from uinet.link import stamping
from uinet.link.url import open_device

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="timestamps of Linux")


class Socket:
    """A packet socket of a kernel that does not know the options `unknown`."""

    def __init__(self, *unknown: int) -> None:
        self.unknown = unknown
        self.options: list[tuple[int, int, int]] = []

    def setsockopt(self, level: int, option: int, value: int) -> None:
        if option in self.unknown:
            raise OSError(errno.ENOPROTOOPT, "Protocol not available")
        self.options.append((level, option, value))


class Card:
    """A network card: `filter` is what it says that it notes the time of, None if it has no clock."""

    def __init__(self, filter: int | None, code: int = errno.EOPNOTSUPP) -> None:
        self.filter = filter
        self.code = code
        self.asked: list[tuple[bytes, tuple[int, ...]]] = []

    def ioctl(self, sock: Any, request: int, data: bytes) -> None:
        assert request == 0x89B0
        name, address = struct.unpack_from("16sP", data)
        config = (ctypes.c_char * 12).from_address(address)
        self.asked.append((name.rstrip(b"\0"), struct.unpack("=iii", config.raw)))
        if self.filter is None:
            raise OSError(self.code, "no clock here")
        config[:] = struct.pack("=iii", 0, 0, self.filter)  # type: ignore[assignment]


def ask(monkeypatch: pytest.MonkeyPatch, card: Card, sock: Socket, wanted: str, **more: Any) -> str:
    monkeypatch.setattr(stamping.fcntl, "ioctl", card.ioctl)
    return stamping.ask(sock, "eth0", wanted, **more)  # type: ignore[arg-type]


def test_a_card_with_a_clock_notes_the_time_of_every_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    card, sock = Card(1), Socket()
    assert ask(monkeypatch, card, sock, "hardware") == "hardware"
    assert card.asked == [(b"eth0", (0, 0, 1))]
    assert sock.options == [
        (socket.SOL_SOCKET, 35, 1), (socket.SOL_SOCKET, 37, 1 << 2 | 1 << 6),
    ], "the kernel tells what the card does not"


@pytest.mark.parametrize("card", [Card(None), Card(None, errno.EPERM), Card(0)], ids=["no clock", "not ours", "none"])
def test_without_one_the_kernel_does(monkeypatch: pytest.MonkeyPatch, card: Card) -> None:
    sock = Socket()
    assert ask(monkeypatch, card, sock, "hardware") == "software"
    assert sock.options == [(socket.SOL_SOCKET, 35, 1)]


def test_no_card_is_asked_for_the_kernels_times(monkeypatch: pytest.MonkeyPatch) -> None:
    card, sock = Card(1), Socket()
    assert ask(monkeypatch, card, sock, "software") == "software"
    assert card.asked == []


def test_a_ring_has_the_kernels_times_always(monkeypatch: pytest.MonkeyPatch) -> None:
    sock = Socket()
    assert ask(monkeypatch, Card(1), sock, "hardware", ring=True) == "hardware"
    assert sock.options == [(263, 17, 1 << 6)]
    sock = Socket(17)
    assert ask(monkeypatch, Card(1), sock, "hardware", ring=True) == "software"
    assert ask(monkeypatch, Card(1), sock, "software", ring=True) == "software"
    assert sock.options == []


def test_a_kernel_that_can_not_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(monkeypatch, Card(None), Socket(35, 37), "hardware") == ""
    assert ask(monkeypatch, Card(1), Socket(37), "hardware") == "software"


def test_other_words_are_refused() -> None:
    with pytest.raises(DeviceURLError, match="hardware or software"):
        open_device("packet:lo?timestamps=maybe")
    with pytest.raises(DeviceURLError, match="hardware or software"):
        stamping.ask(Socket(), "eth0", "maybe")  # type: ignore[arg-type]
