"""What a machine under test is to a session: time, a wire, sockets and commands."""

from __future__ import annotations

from typing import Protocol

from uinet.sim.packetdrill.matcher import Sniffed
from uinet.sim.packetdrill.system import System


class Backend(Protocol):
    """One machine with one link. Times are ns since the script began."""

    @property
    def system(self) -> System:
        """Its sockets."""

    @property
    def checked(self) -> bool:
        """Whether what it sends is held against the invariants of every trace."""

    @property
    def now(self) -> int:
        """The time."""

    def start(self) -> None:
        """The script's time begins: what was done before took none of it."""

    def advance(self, limit: int) -> None:
        """Lets time pass until something may have happened, and no longer than until `limit`."""

    def flush(self) -> None:
        """Lets what calls have queued go out."""

    def inject(self, packets: list[bytes]) -> None:
        """IP packets for it, together."""

    def fast_open_cookie(self, client: bytes, server: bytes) -> bytes:
        """The Fast Open cookie that it gives that client now; b"" if nobody can tell."""

    def take(self) -> list[Sniffed]:
        """The packets that it has sent since the last time, oldest first."""

    def command(self, text: str) -> None:
        """Runs a shell command; Unsupported for what means nothing here, Mismatch if it fails."""

    def finish(self) -> list[str]:
        """Ends every connection; what should not be left over, and is."""

    def close(self) -> None:
        """Gives everything back."""
