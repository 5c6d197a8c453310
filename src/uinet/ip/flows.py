"""What looks at TCP packets on a bridging interface before anything else does, seen from the network layer."""

from __future__ import annotations

from typing import Any

from uinet.wire.judge import Judge
from uinet.wire.packet import Packet


class FlowInput(Judge):
    """Takes packets of flows that it knows; see :class:`uinet.bridging.table.FlowTable`."""

    def segment(self, interface: Any, packet: Packet) -> bool:
        """Takes a whole TCP packet that came by `interface`; False if it is to go on to the connections here."""
        return False

    def passed(self, interface: Any, frames: int, octets: int) -> None:
        """So many frames have been passed on from `interface` by its device (see `Judge.passes`)."""

    def stranger(self, interface: Any, packet: Packet) -> None:
        """A whole TCP packet is about to be bridged, as no connection here wants it."""

    def icmp_error(self, interface: Any, packet: Packet) -> bool:
        """Takes an ICMP error; False if it passes as it is."""
        return False
