"""The file descriptors of a script."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from typing import Any

from uinet.sim.packetdrill.flow import Flow


def failure(code: int) -> OSError:
    """The error of this errno."""
    return OSError(code, errno.errorcode[code])


@dataclass
class Watched:
    """What an epoll instance knows of one descriptor. `seen`: the activity that it has told, None: of none."""

    events: set[str]
    data: dict[str, int]
    seen: object = None
    spent: bool = False  # EPOLLONESHOT, and it has been told


@dataclass
class Descriptor:
    """One descriptor. `kind`: "SOCK_STREAM", "SOCK_DGRAM" or "epoll". `handle`: the system's."""

    number: int
    kind: str
    handle: Any = None
    v6: bool = False
    nonblocking: bool = False
    flow: Flow | None = None
    watched: dict[int, Watched] = field(default_factory=dict)


class Descriptors:
    """All of them, by the numbers that the script has for them."""

    def __init__(self) -> None:
        self._table: dict[int, Descriptor] = {}
        self._lost: list[Descriptor] = []  # their numbers were given to others, though they were never closed

    def add(self, descriptor: Descriptor) -> None:
        """Adds one; it takes the place of one that has its number."""
        if descriptor.number in self._table:
            self._lost.append(self._table[descriptor.number])
        self._table[descriptor.number] = descriptor

    def get(self, number: int) -> Descriptor:
        """The one with that number; OSError EBADF."""
        if number not in self._table:
            raise failure(errno.EBADF)
        return self._table[number]

    def remove(self, number: int) -> Descriptor:
        """Takes it out; OSError EBADF."""
        descriptor = self.get(number)
        del self._table[number]
        return descriptor

    def all(self) -> list[Descriptor]:
        """All that are open."""
        return [*self._table.values(), *self._lost]

    def sockets(self) -> list[Descriptor]:
        """All sockets."""
        return [descriptor for descriptor in self._table.values() if descriptor.handle is not None]

    def of_flow(self, flow: Flow | None) -> Descriptor | None:
        """The socket of a connection."""
        for descriptor in self.sockets():
            if flow is not None and descriptor.flow is flow:
                return descriptor
        return None
