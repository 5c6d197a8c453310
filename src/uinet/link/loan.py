"""Packets that are lent where a device has them, instead of being copied."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol

from uinet.wire.frame import Frame


class Lender(Protocol):
    """A device that lends buffers; `memory_id`: ports with the same one can exchange them."""

    closed: bool
    memory_id: int
    buffer_size: int

    def take_back(self, loan: Loan, index: int) -> None:
        """The end of a loan; buffer `index` is what comes back for it."""


class Loan:
    """A packet in the buffer where the kernel has put it: `data`. The buffer is lent until `release`, or `forward`.

    `data` must not be kept beyond that: the buffer is used again. `owner`: who lends it, None once it has ended.
    `copied`: there was nothing left to lend, so the bytes are the loan's own.
    """

    __slots__ = ("data", "index", "owner")

    def __init__(self, owner: Lender, index: int, data: memoryview) -> None:
        self.owner: Lender | None = owner
        self.index = index
        self.data = data

    @property
    def copied(self) -> bool:
        return self.index < 0

    def frame(self) -> Frame:
        """A frame of its own, to give to a stack: one copy."""
        return Frame(bytes(self.data))

    def release(self) -> None:
        """The buffer goes back; a second call does nothing."""
        owner, self.owner = self.owner, None
        if owner is not None:
            owner.take_back(self, self.index)

    def __len__(self) -> int:
        return len(self.data)

    def __enter__(self) -> Loan:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
