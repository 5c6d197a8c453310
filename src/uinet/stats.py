"""Counters: one name for each decision to drop, and for what an operator asks first.

Every stack owns one :class:`Stats`, every passive receiver another. A stack's names are registered here with their
meaning (a receiver's in `passive/tally.py`); counting an unknown name is an error, so that a misspelt counter fails its
first test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

COUNTERS: dict[str, str] = {
    # link
    "link_rx_frames": "frames received",
    "link_rx_bytes": "bytes received",
    "link_tx_frames": "frames sent",
    "link_tx_bytes": "bytes sent",
    "link_output_full": "frames not sent: the interface's output queue was full",
    "link_down": "dropped, in either direction: the interface is down",
    "loopback_full": "packets to ourselves not sent: too many wait",
    "link_device_gone": "devices that vanished; their interfaces are down",
    "link_bridged": "frames forwarded untouched to the bridge peer",
    "first_look_dropped": "frames that a first look dropped, or that it sent to a bridge that is not there",
    "first_look_sent": "frames that a first look sent by another interface",
    "first_look_error": "first looks that raised, or left no marks",
    "filter_dropped_in": "incoming packets that a packet filter dropped",
    "filter_dropped_out": "outgoing packets that a packet filter dropped",
    "filter_replaced": "packets that a packet filter replaced",
    "filter_error": "packets dropped: their packet filter raised, or answered nonsense",
    "bridge_translated": "frames forwarded with translated numbers, of flows that were let go",
    "bridge_too_large": "dropped: a translated packet that came in fragments is larger than the link's MTU",
    "eth_short": "dropped: shorter than its link header",
    "eth_other_host": "dropped: addressed to another MAC",
    "eth_vlan_unexpected": "dropped: tagged, on an interface that is not promiscuous",
    "eth_vlan_too_deep": "dropped: more than 16 VLAN tags",
    "eth_unknown_type": "dropped: no such network protocol here",
    # arp, nd
    "arp_malformed": "dropped: ARP packet malformed",
    "arp_requests_in": "ARP requests received",
    "arp_replies_in": "ARP replies received",
    "arp_requests_out": "ARP requests sent",
    "arp_replies_out": "ARP replies sent",
    "arp_ignored": "ARP packets that were no news for this host",
    "arp_conflict": "ARP packets of another host that claims one of our addresses",
    "nd_malformed": "dropped: ND message malformed or with a hop limit other than 255",
    "nd_ns_in": "neighbour solicitations received",
    "nd_na_in": "neighbour advertisements received",
    "nd_ns_out": "neighbour solicitations sent",
    "nd_na_out": "neighbour advertisements sent",
    "nd_conflict": "neighbour advertisements of another host that claims one of our addresses",
    "nd_ra_in": "router advertisements received",
    "nd_rs_out": "router solicitations sent",
    "nd_ra_refused": "what router advertisements said that is not believed: hop limit, MTU, prefix",
    "nd_router_limit": "dropped: advertisements of default routers beyond the limit",
    "nd_prefix_limit": "dropped: advertised prefixes and routes beyond the limit",
    "nd_address_limit": "addresses not made: an interface has as many from routers as it may",
    "nd_dns_limit": "dropped: advertised name servers and search domains beyond the limit",
    "dad_duplicate": "addresses under test that another host has: not used",
    "dad_looped_back": "probes for duplicate addresses that the link handed back to us",
    "redirect_in": "redirects received",
    "redirect_ignored": "dropped: redirects that are not wanted, not from the first hop, or to no neighbour",
    "router_unreachable": "gateways that stopped to answer",
    "nd_ignored": "ND messages that were no news for this host",
    "neighbor_queue_full": "dropped: too many packets waited for a neighbour's MAC",
    "neighbor_unreachable": "dropped: the neighbour did not answer",
    "neighbor_evicted": "neighbour entries evicted to keep the table bounded",
    # ip
    "ip_short": "dropped: shorter than an IP header",
    "ip_bad_version": "dropped: IP version not that of its ethertype",
    "ip_bad_header_length": "dropped: header length impossible",
    "ip_bad_length": "dropped: total length impossible",
    "ip_bad_checksum": "dropped: IPv4 header checksum wrong",
    "ip_martian_source": "dropped: source address impossible",
    "ip_not_ours": "dropped: destination is none of our addresses",
    "ip_source_route": "dropped: carries a source route option",
    "ip_bad_options": "dropped: malformed IPv4 options or IPv6 extension headers",
    "ip_unknown_protocol": "dropped: no such transport protocol here",
    "ip_blackholed": "unknown protocols, wrong headers, missing fragments that met silence (net.inet.ip.blackhole)",
    "ip_no_route": "not sent: no route",
    "ip_tx_fragments": "fragments sent",
    "frag_rx": "fragments received",
    "frag_bad": "dropped: fragment malformed",
    "frag_overlap": "dropped: fragments overlap; the whole datagram is",
    "frag_too_many": "dropped: datagram with too many fragments",
    "frag_evicted": "incomplete datagrams evicted to keep memory bounded",
    "frag_timeout": "incomplete datagrams that timed out",
    "frag_reassembled": "datagrams reassembled",
    # icmp
    "icmp_rx": "ICMP and ICMPv6 messages received",
    "icmp_tx": "ICMP and ICMPv6 messages sent",
    "icmp_short": "dropped: ICMP message too short",
    "icmp_bad_checksum": "dropped: ICMP checksum wrong",
    "icmp_ignored": "ICMP messages of a type that is ignored",
    "icmp_bad_quote": "dropped: ICMP error that quotes too little, or no flow of ours",
    "icmp_rate_limited": "ICMP messages not sent: rate limit",
    # mld, igmp
    "mld_rx": "MLD messages received",
    "mld_tx": "MLD reports sent",
    "mld_malformed": "dropped: MLD message malformed, or not from its link",
    "igmp_rx": "IGMP messages received",
    "igmp_tx": "IGMP reports sent",
    "igmp_malformed": "dropped: IGMP message malformed",
    # udp
    "udp_rx": "UDP datagrams received",
    "udp_tx": "UDP datagrams sent",
    "udp_short": "dropped: UDP header or length malformed",
    "udp_bad_checksum": "dropped: UDP checksum wrong or, over IPv6, missing",
    "udp_no_port": "dropped: nobody listens on the UDP port",
    "udp_blackholed": "datagrams that met silence (net.inet.udp.blackhole)",
    "udp_buffer_full": "dropped: the UDP socket's receive buffer is full",
    # dhcp
    "dhcp_rx": "DHCP messages received",
    "dhcp_tx": "DHCP messages sent",
    "dhcp_malformed": "dropped: DHCP message malformed",
    "dhcp_ignored": "dropped: DHCP messages that answer nothing that was asked",
    "dhcp_bad_offer": "dropped: DHCP offers and acknowledgements that give nothing usable",
    "dhcp_nak": "DHCP requests that the server refused",
    "dhcp_declined": "DHCP leases declined: another host has the address",
    "dhcp_expired": "DHCP leases that ended because nobody renewed them",
    "dhcp_unsent": "DHCP messages not sent: no route to the server",
    # tcp
    "tcp_rx": "TCP segments received",
    "tcp_tx": "TCP segments sent",
    "tcp_short": "dropped: TCP segment shorter than its header",
    "tcp_bad_checksum": "dropped: TCP checksum wrong",
    "tcp_bad_port": "dropped: TCP port 0",
    "tcp_no_connection": "segments for no connection and no listener",
    "tcp_rst_in": "RSTs received",
    "tcp_rst_out": "RSTs sent",
    "tcp_rst_rate_limited": "RSTs not sent: rate limit",
    "tcp_blackholed": "segments of no connection that met silence (net.inet.tcp.blackhole)",
    "tcp_rst_out_of_window": "dropped: RST outside the window (RFC 5961)",
    "tcp_challenge_ack": "challenge ACKs sent (RFC 5961)",
    "tcp_challenge_ack_limited": "challenge ACKs not sent: per-connection limit",
    "tcp_out_of_window": "dropped: segment outside the receive window",
    "tcp_paws": "dropped: timestamp too old (RFC 7323 PAWS)",
    "tcp_timestamp_missing": "dropped: timestamp missing though negotiated",
    "tcp_no_ack": "dropped: segment without ACK",
    "tcp_ack_too_new": "dropped: ACK of data never sent",
    "tcp_ack_too_old": "dropped: ACK older than any window (RFC 5961)",
    "tcp_listen_overflow": "dropped: accept queue or SYN cache full",
    "tcp_ecn_mixed": "handshakes reset, as a SYN sent again asked for another kind of ECN (RFC 9768, 3.1.5)",
    "tcp_ce_in": "segments received with a congestion mark (RFC 3168)",
    "tcp_dsack_in": "D-SACKs received: something was sent again without need (RFC 2883)",
    "tcp_tail_probe": "tail loss probes sent (RFC 8985)",
    "tcp_probe_recovery": "losses that a tail loss probe has repaired",
    "tcp_spurious_recovery": "recoveries undone: nothing was lost (RFC 3522, RFC 5682)",
    "tcp_sack_reneged": "peers that have thrown away what they had SACKed",
    "tcp_syn_dropped": "dropped: SYN with flags or source that no listener takes",
    "tcp_syncache_added": "half-open connections remembered in the SYN cache",
    "tcp_syncache_evicted": "half-open connections evicted from the SYN cache",
    "tcp_syncache_timeout": "half-open connections that timed out",
    "tcp_syncache_reset": "half-open connections reset by the peer",
    "tcp_syncookie_sent": "SYN cookies sent",
    "tcp_syncookie_ok": "connections made from a SYN cookie",
    "tcp_syncookie_bad": "dropped: ACK with a wrong SYN cookie",
    "tcp_syn_deferred": "SYNs deferred by a SYN filter",
    "tcp_syn_deferred_again": "retransmissions of deferred SYNs that were absorbed",
    "tcp_syn_deferred_full": "dropped: too many deferred SYNs",
    "tcp_syn_deferred_timeout": "deferred SYNs whose time ran out",
    "tcp_syn_rejected_rst": "SYNs rejected with a RST by a SYN filter",
    "tcp_syn_rejected_silent": "SYNs rejected silently by a SYN filter",
    "tcp_syn_filter_error": "SYN filters that raised, or answered with no verdict that there is; the SYN was dropped",
    "tcp_accept_deferred": "ACKs that would have completed a handshake, but brought no data (TCP_DEFER_ACCEPT)",
    "tcp_fastopen_cookie_asked": "SYNs that asked for a Fast Open cookie, and were given one",
    "tcp_fastopen_bad_cookie": "SYNs with a wrong or old Fast Open cookie: the ordinary handshake followed",
    "tcp_fastopen_overflow": "SYNs with a good Fast Open cookie, but too many such connections were pending",
    "tcp_fastopen_passive": "connections made from a SYN with a good Fast Open cookie",
    "tcp_fastopen_active": "connections opened with data in the SYN that was taken",
    "tcp_fastopen_refused": "connections opened whose SYN's data was not taken and went again",
    "tcp_fastopen_lost": "SYNs with data that were not answered, or whose connections were silent afterwards",
    "tcp_md5_missing": "dropped: not signed, of a peer with an MD5 key",
    "tcp_md5_wrong": "dropped: MD5 signature wrong",
    "tcp_ao_missing": "dropped: without TCP-AO, of a peer with a key for it",
    "tcp_ao_wrong": "dropped: MAC of TCP-AO wrong",
    "tcp_ao_unknown_key": "dropped: KeyID or RNextKeyID of TCP-AO that no key of the peer has",
    "tcp_ao_icmp_ignored": "ICMP errors ignored, as TCP-AO wants it (RFC 5925, 7.8)",
    "tcp_signature_malformed": "dropped: signature of the wrong kind or length, or more than one",
    "tcp_signature_unexpected": "dropped: signed SYN of a peer without a key",
    "tcp_rst_unsigned": "RSTs not sent: the peer has a TCP-AO key, but no connection to sign for",
    "tcp_accepted": "connections accepted",
    "tcp_connected": "connections opened",
    "tcp_closed": "connections closed",
    "tcp_timed_out": "connections that timed out",
    "tcp_retransmit": "segments retransmitted",
    "tcp_rto": "retransmission timeouts",
    "tcp_r1": "times that three retransmissions in a row were not answered (RFC 9293 3.8.3: R1)",
    "tcp_fast_retransmit": "fast retransmissions",
    "tcp_dup_ack_in": "duplicate ACKs received",
    "tcp_out_of_order": "segments received out of order",
    "tcp_memory_full": "dropped: in-order data in the window, as the memory of all connections was taken",
    "tcp_ooo_full": "dropped: out-of-order data beyond the limit",
    "tcp_duplicate": "segments received with nothing new in them",
    "tcp_after_close": "dropped: data after the socket was closed",
    "tcp_mtu_held": "reports of a smaller path MTU kept until a timeout confirms them (RFC 5927)",
    "tcp_mtu_refuted": "such reports forgotten, as the segment that they were about was acknowledged",
    "tcp_mtu_probe": "probes for a larger path MTU sent (RFC 4821)",
    "tcp_mtu_probe_ok": "probes that arrived: larger segments from then on",
    "tcp_mtu_probe_lost": "probes that were lost alone, which is no congestion",
    "tcp_black_hole": "full segments that vanished without a word: smaller ones from then on",
    "tcp_persist_probe": "zero-window probes sent",
    "tcp_keepalive_probe": "keepalive probes sent",
    "tcp_taken_over": "endpoints that went on in the middle of a connection",
    "tcp_let_go": "endpoints that stepped out of their connection, which goes on",
    "tcp_time_wait_recycled": "TIME-WAIT connections replaced by a new one",
    "tcp_time_wait_skipped": "connections that left no TIME-WAIT behind (TCP_NOTIMEWAIT)",
    "tcp_time_wait_evicted": "TIME-WAIT connections evicted to keep the table bounded",
    "tcp_port_exhausted": "connects that found no free local port",
    # passive sockets
    "passive_gone_active": "endpoints of watched connections that are played from then on",
    "passive_watched": "connections watched, of which more than SYNs was seen",
    "passive_overflow": "connections not watched: too many wait to be accepted, or are watched in all",
    "passive_evicted": "watched connections given up, of which only SYNs were seen, to keep their number bounded",
    "passive_not_kept": "segments of a deferred SYN's connection that were not kept for its verdict",
    "passive_hole_bytes": "bytes missing in the streams of watched connections",
    "passive_overrun_bytes": "bytes of watched streams dropped: the socket's receive buffer was full",
    "passive_conflicts": "segments of watched connections with other bytes than were seen before for the same place",
    # copies of flows
    "copy_flows": "connections whose packets are copied, or may be",
    "copy_packets": "packets copied to where IP_COPY_TARGET says",
    "copy_bytes": "and their bytes",
    "copy_not_held": "packets not kept of flows whose copy was not decided on: no room",
    "copy_limited": "flows whose copy ended at IP_COPY_LIMIT",
    "copy_error": "flows whose copy ended because its target raised",
    "syn_events_lost": "events of SYNs not told: too many in one batch",
    # engine
    "upcall_error": "upcalls that raised; their connection was reset",
}


class Stats:
    """The counters of one stack, or of whose `names` are. `count` adds, ``stats["name"]`` reads, `as_dict` tells those
    that are not zero.

    `refresh`: None, or called before counters are read: who counts in plain integers brings them up to date then.
    """

    __slots__ = ("refresh", "values")

    def __init__(self, names: Iterable[str] = COUNTERS) -> None:
        self.values: dict[str, int] = dict.fromkeys(names, 0)
        self.refresh: Callable[[], None] | None = None

    def count(self, name: str, n: int = 1) -> None:
        """Adds `n` to the counter `name`; KeyError if there is no such counter."""
        self.values[name] = self.values[name] + n

    def __getitem__(self, name: str) -> int:
        if self.refresh is not None:
            self.refresh()
        return self.values[name]

    def as_dict(self, *, zeros: bool = False) -> dict[str, int]:
        """The counters by name; those at zero only if `zeros`."""
        if self.refresh is not None:
            self.refresh()
        return {name: value for name, value in self.values.items() if value or zeros}
