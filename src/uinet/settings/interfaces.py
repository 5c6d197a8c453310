"""Settings of each interface: their names are ``net.interface.NAME.`` and what is here."""

from __future__ import annotations

from uinet.settings.kinds import Duration, Fact, Flag, Kind, Whole
from uinet.settings.registry import AT_ONCE, NEVER, Setting
from uinet.units import MILLISECOND, MINUTE
from uinet.wire.addresses import Mac

PREFIX = "net.interface."


def _interface(attribute: str, kind: Kind, rfc: str, help: str) -> Setting:
    applies = AT_ONCE if kind.writable else NEVER
    return Setting(f"{PREFIX}NAME.{attribute}", "interface", attribute, kind, rfc, help, applies)


def _mac(held: bytes) -> str:
    return str(Mac(held)) if held else ""


INTERFACE = (
    _interface("mac", Fact("MAC", _mac), "", "hardware address; empty on layer 3"),
    _interface("layer", Fact("integer"), "", "2: Ethernet frames; 3: IP packets"),
    _interface("cdom", Fact("integer"), "", "connection domain"),
    _interface("promiscuous", Fact("flag", bool), "", "every frame is its own, whoever it is addressed to"),
    _interface("mtu", Fact("integer"), "894, 8200 5", "bytes of the largest IP packet"),
    _interface("up", Flag(), "", "whether frames pass; what is sent while it is down is dropped"),
    _interface("answer_any", Flag(), "", "a promiscuous interface answers ARP and ND for every address"),
    _interface("timestamps", Flag(), "", "frames whose device tells no time get that at which they were taken in"),
    _interface("output_limit", Whole(1, 1 << 20, "frames"), "", "frames that wait for the device"),
    _interface("hop_limit", Whole(1, 255), "4861 6.3.2", "hop limit of IPv6 packets; routers may change it"),
    _interface("accept_redirects", Flag(), "4861 8", "believe routers that tell of a better first hop"),
    _interface("base_reachable_time", Duration(MILLISECOND, 60 * MINUTE), "4861 6.3.2",
               "how long a neighbour is believed to be there, on average; routers may change it"),
    _interface("retrans_time", Duration(MILLISECOND, MINUTE), "4861 6.3.2",
               "time between solicitations of a neighbour; routers may change it"),
)
