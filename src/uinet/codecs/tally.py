"""What a codec has done, counted: for one connection, and added up for all of a proxy."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

COUNTERS: dict[str, str] = {
    "plain_out": "bytes of streams given to be sent to the other proxy",
    "wire_out": "bytes that were sent there for them, repairs and all",
    "plain_in": "bytes of streams that came from the other proxy",
    "wire_in": "bytes that came from there for them",
    "chunks": "chunks that passed whole, either way",
    "references": "chunks of which a reference was enough, either way",
    "needed": "chunks that the other proxy referred to and that were not in our store",
    "repaired": "chunks sent because the other proxy did not have what we referred to",
    "foreign": "connections refused: the peer speaks no codec protocol",
    "version": "connections refused: the peer speaks another version",
    "broken": "connections refused: what the peer sent was corrupt",
    "truncated": "connections reset: the peer's stream stopped in the middle",
    "refused": "connections reset: the peer refused us",
}
REFUSALS = ("foreign", "version", "broken", "truncated", "refused")


@dataclass
class Tally:
    """Counters, see COUNTERS."""

    plain_out: int = 0
    wire_out: int = 0
    plain_in: int = 0
    wire_in: int = 0
    chunks: int = 0
    references: int = 0
    needed: int = 0
    repaired: int = 0
    foreign: int = 0
    version: int = 0
    broken: int = 0
    truncated: int = 0
    refused: int = 0

    def add(self, other: Tally) -> None:
        """Adds another one."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))

    def as_dict(self) -> dict[str, Any]:
        """The counters by name."""
        return asdict(self)

    def saved(self) -> float:
        """The share of the streams' bytes that did not have to pass, both ways; below 0 if more passed."""
        plain = self.plain_out + self.plain_in
        return 1 - (self.wire_out + self.wire_in) / plain if plain else 0.0
