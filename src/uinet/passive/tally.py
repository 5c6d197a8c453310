"""Counters of a passive receiver: one name for each decision, so that nothing vanishes uncounted.

Every receiver owns a :class:`uinet.stats.Stats` of these names, which are registered here with their meaning.
"""

from __future__ import annotations

NAMES: dict[str, str] = {
    # link
    "record_bounds": "damaged: the packet is not within the bytes that its source gave",
    "link_short": "damaged: shorter than its link headers",
    "link_too_deep": "damaged: more than 16 VLAN tags",
    "link_other": "not looked into: a link type or a network protocol that carries no TCP known here",
    "headers_cut": "useless: the snap length cut the packet's headers",
    # ip
    "ip_short": "damaged: shorter than an IP header",
    "ip_bad_version": "damaged: IP version not that of its ethertype",
    "ip_bad_header_length": "damaged: header length impossible",
    "ip_bad_length": "damaged: total length impossible",
    "ip_overlong": "IP packets that say to be longer than their frame: taken to its end",
    "ip_bad_checksum": "IPv4 header checksums that are wrong",
    "ip_no_checksum": "IPv4 header checksum 0, left to the sender's network card: taken as it is",
    "ip_no_length": "IP length 0, left to the sender's network card: the frame's length taken instead",
    "ip_martian_source": "damaged: an IPv4-mapped IPv6 address, which is never on a wire",
    "ip_bad_extensions": "damaged: IPv6 extension headers or authentication header malformed",
    "ip_other": "not looked into: an IP packet with another protocol than TCP",
    # fragments
    "frag_received": "IP fragments received",
    "frag_atomic": "IPv6 packets with a fragment header that are whole all the same (RFC 6946)",
    "frag_bad": "damaged: a fragment that is empty, out of place, or against what others of its datagram said",
    "frag_duplicate": "fragments that were there already, same place and same bytes",
    "frag_overlap": "fragments that overlap another one of their datagram",
    "frag_conflict": "fragments that overlap another one with different bytes",
    "frag_dropped": "fragments of an IPv6 datagram that was dropped because fragments overlap (RFC 5722)",
    "frag_cut": "datagrams made whole up to where the snap length cut one of their fragments",
    "frag_reassembled": "datagrams made whole",
    "frag_timeout": "datagrams whose missing fragments did not come in time",
    "frag_evicted": "incomplete datagrams given up to keep memory bounded",
    "frag_end": "incomplete datagrams at the capture's end",
    # tcp
    "tcp_short": "damaged: shorter than its TCP header",
    # segments
    "bad_checksum": "segments with a wrong TCP checksum",
    "unexpected_signature": "refused: TCP-MD5 or TCP-AO option on a connection that did not agree on it",
    "nonsense_flags": "refused: SYN with FIN or RST",
    "no_ack": "refused: neither SYN nor ACK",
    "out_of_window": "refused: a sequence number far from the stream, or beyond a window that never opened",
    "bad_ack": "ACKs of bytes that no window had room for",
    "conflicts": "segments whose bytes differ from those seen before for the same place",
    "syn_ignored": "SYNs on a connection that goes on",
    "rst_ignored": "RSTs out of window, or outlived by their connection",
    "rst_alone": "RSTs of no connection",
    "fin_replaced": "FINs of held segments that were replaced by longer ones, and lost with them",
    "stragglers": "segments of a connection that is over",
    # connections
    "reused": "connections that ended because another began on their addresses and ports",
    "midstream_ignored": "connections not followed: their beginning is not in the copy",
    "ignored_midstream": "segments of such connections",
    "connections_given_up": "connections given up early: there were too many",
    "held_given_up": "gaps given up early: too much was held",
}
