"""What is logged: one JSON object for each connection, conversation in datagrams, and scanning source.

Times are seconds since 1970, `epoch` (ns) is what makes them of the stack's; sizes are bytes.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from uinet.honeypot.fingerprint import fingerprint
from uinet.wire.addresses import L2Info, unpack_address
from uinet.wire.packet import l2info_of

if TYPE_CHECKING:
    from uinet.honeypot.watch import Source

PORTS_TOLD = 32


def printable(data: bytes) -> str:
    """`data` as text, a dot for what is none."""
    return "".join(chr(byte) if 32 <= byte < 127 else "." for byte in data)


def first_bytes(data: bytes) -> dict[str, str]:
    """The first bytes of a stream or datagram, exact and for people."""
    return {"base64": base64.b64encode(data).decode(), "text": printable(data)}


def link_fields(l2: L2Info | None) -> dict[str, Any]:
    """MACs (the sender's first) and VLAN stack; nothing on layer 3."""
    if l2 is None:
        return {"vlans": []}
    fields: dict[str, Any] = {
        "mac": str(l2.source), "to_mac": str(l2.destination), "vlans": [tag.vid for tag in l2.vlans],
    }
    if l2.vlans:
        fields["tags"] = [
            {"vid": tag.vid, "pcp": tag.pcp, "dei": tag.dei, "tpid": f"0x{tag.tpid:04x}"} for tag in l2.vlans
        ]
    return fields


def scan_record(source: Source, layer: int, epoch: int) -> dict[str, Any]:
    """What a source did in one interval; that of all sources without a place of their own has no address."""
    record: dict[str, Any] = {
        "event": "scan", "start": (source.first + epoch) / 1e9, "end": (source.last + epoch) / 1e9,
        "source": str(unpack_address(source.address)) if source.address else None,
        "syns": source.syns, "connections": source.connections, "datagrams": source.datagrams,
        "pings": source.echoes, "odd": source.odd, "other": source.others,
        "ports": sorted(source.ports)[:PORTS_TOLD], "ports_tried": len(source.ports),
        "hosts_tried": len(source.hosts),
    }
    if source.address:
        frame = source.first_frame
        l2 = None
        if layer == 2:
            at = 12
            while int.from_bytes(frame[at : at + 2], "big") not in (0x0800, 0x86DD) and at + 4 < len(frame):
                at += 4
            l2 = l2info_of(frame[: at + 2])
        record |= link_fields(l2)
        record["fingerprint"] = fingerprint(frame, layer) if source.syns else None
    return record
