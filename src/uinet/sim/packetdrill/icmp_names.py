"""The names that scripts have for types and codes of ICMP and ICMPv6."""

from __future__ import annotations

from uinet.sim.packetdrill.errors import ScriptError

V4 = {
    "echo_reply": 0, "unreachable": 3, "source_quench": 4, "redirect": 5, "echo_request": 8, "time_exceeded": 11,
    "parameter_problem": 12, "timestamp_request": 13, "timestamp_reply": 14, "information_request": 15,
    "information_reply": 16, "address_mask_request": 17, "address_mask_reply": 18,
}
V4_CODES = {
    "net_unreachable": 0, "host_unreachable": 1, "protocol_unreachable": 2, "port_unreachable": 3, "frag_needed": 4,
    "source_route_failed": 5, "net_unknown": 6, "host_unknown": 7, "source_host_isolated": 8, "net_prohibited": 9,
    "host_prohibited": 10, "net_unreachable_for_tos": 11, "host_unreachable_for_tos": 12, "packet_filtered": 13,
    "admin_prohibited": 13, "communication_prohibited": 13, "precedence_violation": 14, "precedence_cutoff": 15,
    "ttl_exceeded_in_transit": 0, "frag_reass_exceeded": 1,
}
V6 = {
    "unreachable": 1, "packet_too_big": 2, "time_exceeded": 3, "parameter_problem": 4, "echo_request": 128,
    "echo_reply": 129, "router_solicitation": 133, "router_advertisement": 134,
}
V6_CODES = {
    "no_route": 0, "admin_prohibited": 1, "beyond_scope": 2, "not_neighbour": 2, "address_unreachable": 3,
    "port_unreachable": 4, "policy_failed": 5, "route_rejected": 6, "exceeded_hop_limit": 0,
    "exceeded_frag_time": 1, "header_field": 0, "unknown_next_header": 1, "unknown_option": 2,
}


def numbers(kind: str, code: str | None, v6: bool) -> tuple[int, int]:
    """Type and code; ScriptError for a name that is none."""
    number = _number(kind, V6 if v6 else V4, "type")
    return number, 0 if code is None else _number(code, V6_CODES if v6 else V4_CODES, "code")


def _number(name: str, table: dict[str, int], what: str) -> int:
    number = name.removeprefix(f"{what}_")
    if number.isdigit() and int(number) < 256:
        return int(number)
    if name not in table:
        raise ScriptError(f"{name!r} is no {what} of an ICMP message")
    return table[name]
