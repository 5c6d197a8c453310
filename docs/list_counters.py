"""Writes docs/counters.md from the counters that the code registers: ``python docs/list_counters.py``."""

from __future__ import annotations

from pathlib import Path

from uinet.link import device, flow_files
from uinet.passive.tally import NAMES as TALLY
from uinet.proxy.connection import OUTCOMES
from uinet.proxy.engine import COUNTERS as PROXY
from uinet.stats import COUNTERS

HEAD = """\
# Counters

Made from the code by `docs/list_counters.py`; a test sees to it that this page is up to date.

Every decision to drop has a counter. `stack.stats["name"]` reads one, `stack.stats.as_dict()` gives those that are not
zero, `host.stats()` those of stack, interfaces and devices together, and `uinet proxy --stats` shows the largest drops.
Counters only grow.
"""
GROUPS = {
    "link": ("Link", ("link_", "loopback_", "eth_", "bridge_")),
    "neighbours": ("ARP, ND and neighbours", ("arp_", "nd_", "neighbor_", "dad_", "redirect_", "router_")),
    "ip": ("IP", ("ip_",)),
    "fragments": ("Fragments", ("frag_",)),
    "icmp": ("ICMP and ICMPv6", ("icmp_",)),
    "groups": ("MLD and IGMP", ("mld_", "igmp_")),
    "udp": ("UDP", ("udp_",)),
    "dhcp": ("DHCP", ("dhcp_",)),
    "tcp": ("TCP", ("tcp_",)),
    "passive": ("Passive sockets", ("passive_",)),
    "looks": ("First looks and packet filters", ("first_look_", "filter_")),
    "copies": ("Copies of flows", ("copy_",)),
    "engine": ("Engine", ("upcall_", "syn_events_")),
}
FOLLOWER = {
    "link": ("Link headers", ("record_", "link_", "headers_")),
    "ip": ("IP headers", ("ip_",)),
    "fragments": ("Fragments of IP packets", ("frag_",)),
    "rest": ("Segments and connections", ("",)),
}
TOTALS = {
    "packets": "packets that the source gave",
    "bytes": "their bytes, as on the wire",
    "segments": "TCP segments",
    "connections": "connections that were told of",
    "closed": "of these the ones that have ended",
    "delivered": "stream bytes delivered",
    "missing": "stream bytes in holes",
}


def table(rows: dict[str, str]) -> str:
    """A table of names and what they count."""
    lines = [f"| `{name}` | {what} |" for name, what in rows.items()]
    return "\n".join(["| counter | counts |", "|---|---|", *lines, ""])


def page() -> str:
    """The page's text."""
    left = dict(COUNTERS)
    parts = [HEAD, "## Of a stack\n"]
    for title, prefixes in GROUPS.values():
        rows = {name: left.pop(name) for name in COUNTERS if name.startswith(prefixes)}
        parts += [f"### {title}\n", table(rows)]
    if left:
        raise SystemExit(f"no group for {', '.join(left)}: see GROUPS")
    parts += ["## Of a device\n\n`device.statistics()`; those at zero are left out, but for frames and bytes.\n"]
    parts += [table(device.COUNTERS)]
    parts += ["## Of the captures of single flows\n\n`FlowFiles.statistics()`.\n"]
    parts += [table(flow_files.COUNTERS)]
    parts += ["## Of the proxy\n\n`proxy.statistics()`: these, connections by phase, and the outcomes below.\n"]
    parts += [table(PROXY), table(OUTCOMES)]
    parts += ["## Of a follower\n"]
    parts += ["`uinet.follow(...).stats`, what `deliver` answers, `uinet follow --stats`; those at zero are left out,"]
    parts += ["but for the totals. Of one stream: [counters and notes](rebuilding.md#counters-and-notes).\n"]
    parts += [table(TOTALS)]
    left = dict(TALLY)
    for title, prefixes in FOLLOWER.values():
        rows = {name: left.pop(name) for name in TALLY if name in left and name.startswith(prefixes)}
        parts += [f"### {title}\n", table(rows)]
    return "\n".join(parts)


if __name__ == "__main__":
    Path(__file__).with_name("counters.md").write_text(page())
