"""Every device that needs no root is put to the checks of `uinet.link.conformance`, which find what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from tests.unit.link.subjects import SUBJECTS, beside
from uinet.link import Device, MemoryDevice, conformance
from uinet.link.conformance import CHECKS, Check, ConformanceError, Subject
from uinet.wire.frame import Frame


@pytest.mark.parametrize("name", SUBJECTS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_device_conforms(name: str, check: Check) -> None:
    check(SUBJECTS[name])


# devices with one fault each, and the check that has to find it


class Reorders(MemoryDevice):
    def recv(self, limit: int = 64) -> list[Frame]:
        return super().recv(limit)[::-1]


class GivesMore(MemoryDevice):
    def recv(self, limit: int = 64) -> list[Frame]:
        return super().recv(max(limit, 8))


class Truncates(MemoryDevice):
    def recv(self, limit: int = 64) -> list[Frame]:
        return [Frame(frame.data[:200]) for frame in super().recv(limit)]


class Miscounts(MemoryDevice):
    def send(self, frames: Sequence[Frame]) -> int:
        taken = super().send(frames)
        self.counters["tx_frames"] += taken > 3
        return taken


class DropsSilently(MemoryDevice):
    def send(self, frames: Sequence[Frame]) -> int:
        super().send(frames)
        return len(frames)


class SendsAnything(MemoryDevice):
    def largest(self) -> int:
        return 1000


class IsNeverClosed(MemoryDevice):
    def require_open(self) -> None:
        pass


class TellsNobody(MemoryDevice):
    def send(self, frames: Sequence[Frame]) -> int:
        peer = self.peer
        assert peer is not None
        notify, peer.on_readable = peer.on_readable, None
        try:
            return super().send(frames)
        finally:
            peer.on_readable = notify


class ForgetsTheChecksum(MemoryDevice):
    offload = False


class CountsByItsOwnName(MemoryDevice):
    def statistics(self) -> dict[str, int]:
        return {**super().statistics(), "my_frames": 1}


class WaitsForFrames(MemoryDevice):
    def recv(self, limit: int = 64) -> list[Frame]:
        return super().recv(limit) or [Frame(conformance.frame(self, 1))]


LEAKED: list[object] = []


class LeavesADescriptor(MemoryDevice):
    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)  # type: ignore[arg-type]
        LEAKED.append(open("/dev/null", "rb"))  # noqa: SIM115


@pytest.mark.parametrize(("kind", "check"), [
    (Reorders, conformance.receives_in_order),
    (Truncates, conformance.receives_in_order),
    (GivesMore, conformance.receives_no_more_than_asked),
    (Miscounts, conformance.sends_in_order),
    (DropsSilently, conformance.loses_nothing_when_it_is_full),
    (SendsAnything, conformance.says_what_it_is),
    (IsNeverClosed, conformance.closes_for_good),
    (TellsNobody, conformance.announces_frames),
    (ForgetsTheChecksum, conformance.finishes_what_is_unfinished),
    (CountsByItsOwnName, conformance.counts_by_known_names),
    (WaitsForFrames, conformance.has_nothing_when_it_is_quiet),
    (LeavesADescriptor, conformance.gives_descriptors_back),
], ids=lambda value: getattr(value, "__name__", ""))  # fmt: skip
def test_device_with_a_fault_is_found(
    kind: type[MemoryDevice], check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conformance, "PATIENCE", 0.2)

    def make() -> Subject:
        a, b = kind("faulty"), (kind if kind is TellsNobody else MemoryDevice)("other")
        a.join(b)
        return beside(a, b)

    try:
        with pytest.raises(ConformanceError):
            check(make)
        good: Callable[[], Subject] = SUBJECTS["memory"]
        check(good)  # which has no fault
    finally:
        while LEAKED:
            LEAKED.pop().close()  # type: ignore[attr-defined]


def test_check_all_names_the_check_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    conformance.check_all(SUBJECTS["pipe"])

    def make() -> Subject:
        a, b = CountsByItsOwnName("faulty"), MemoryDevice("other")
        a.join(b)
        return beside(a, b)

    with pytest.raises(ConformanceError, match=r"counts_by_known_names: counters that link/device.py does not explain"):
        conformance.check_all(make)


def test_frames_of_the_checks_are_valid_packets() -> None:
    device: Device = MemoryDevice("x")
    for size in (0, 61, 1514):
        data = conformance.frame(device, 300, size)
        assert len(data) == max(60, size)
        header = data[14:34]
        assert sum(int.from_bytes(header[at : at + 2], "big") for at in range(0, 20, 2)) % 0xFFFF == 0
        assert int.from_bytes(header[2:4], "big") == len(data) - 14
