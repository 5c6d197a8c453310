"""A filter expression over packets of any link type: one BPF program for each type that is met."""

from __future__ import annotations

from uinet.errors import FilterError
from uinet.passive.bpf import Program
from uinet.wire.capture import (
    LINKTYPE_ETHERNET,
    LINKTYPE_IPV4,
    LINKTYPE_IPV6,
    LINKTYPE_LINUX_SLL,
    LINKTYPE_LINUX_SLL2,
    LINKTYPE_LOOP,
    LINKTYPE_NULL,
    LINKTYPE_RAW,
)

TRIED = (LINKTYPE_ETHERNET, LINKTYPE_RAW, LINKTYPE_LINUX_SLL)  # an expression that none of them takes is wrong
FOLLOWED = frozenset((
    LINKTYPE_ETHERNET, LINKTYPE_IPV4, LINKTYPE_IPV6, LINKTYPE_LINUX_SLL, LINKTYPE_LINUX_SLL2, LINKTYPE_LOOP,
    LINKTYPE_NULL, LINKTYPE_RAW, 12, 14,
))


class Filter:
    """The filter expression `text`, in the language of pcap-filter(7).

    FilterError, one line, if libpcap is missing or takes it for no kind of link.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.link_type = -1  # that of the packet before, and its program
        self.program: Program | None = None
        self.programs: dict[int, Program | None] = {}
        self._try()

    def _compile(self, link_type: int) -> Program:
        from uinet.following.libpcap import compile_filter  # which needs ctypes

        return Program(compile_filter(self.text, link_type))

    def _try(self) -> None:
        said: FilterError | None = None
        for link_type in TRIED:
            try:
                self.programs[link_type] = self._compile(link_type)
                return
            except FilterError as error:
                said = said or error
        assert said is not None
        raise said

    def accepts(self, link_type: int, data: bytes, start: int, captured: int, length: int) -> bool:
        """Whether a packet passes, of which ``data[start:start + captured]`` are there, of `length` bytes.

        Packets of kinds that nobody can follow, and that libpcap has no filter for, don't pass. FilterError if the
        expression has no meaning for the packet's link type, as `ether host` for bare IP packets.
        """
        if link_type != self.link_type:
            self.program = self.program_for(link_type)
            self.link_type = link_type
        program = self.program
        return program is not None and program.run(data, start, captured, length) != 0

    def program_for(self, link_type: int) -> Program | None:
        """The program for a link type; None for a kind that nobody can follow, nor libpcap filter. FilterError."""
        if link_type not in self.programs:
            try:
                self.programs[link_type] = self._compile(link_type)
            except FilterError as error:
                if link_type in FOLLOWED:
                    raise FilterError(f"{error} (packets of link type {link_type})") from None
                self.programs[link_type] = None
        return self.programs[link_type]
