"""Everything of the network layer that can be set, with its default: `stack.network.settings`."""

from __future__ import annotations

from uinet.units import MILLISECOND, MINUTE, SECOND

NEVER = 1 << 62  # ns: later than any deadline


class IpSettings:
    """Set before interfaces are configured. Times are in ns."""

    def __init__(self) -> None:
        # duplicate address detection (RFC 4862, section 5.1)
        self.dad_transmits = 1
        self.dad_retries = 3  # other addresses tried after a duplicate: IDGEN_RETRIES of RFC 7217, section 7
        # RFC 5227, section 1.1: probes of an IPv4 address, and its announcements
        self.probe_wait = 1 * SECOND
        self.probe_num = 3
        self.probe_min = 1 * SECOND
        self.probe_max = 2 * SECOND
        self.announce_wait = 2 * SECOND
        self.announce_num = 2
        self.announce_interval = 2 * SECOND
        self.defend_interval = 10 * SECOND
        # router solicitation (RFC 4861 section 10, RFC 7559 section 2)
        self.solicitation_delay = 1 * SECOND
        self.solicitation_interval = 4 * SECOND
        self.solicitation_max = 60 * MINUTE
        # interface identifiers: "stable" (RFC 7217) or "eui64" (RFC 4291); the secret is the seed's if empty
        self.interface_identifier = "stable"
        self.stable_secret = b""
        # temporary addresses (RFC 8981, section 3.8)
        self.temporary_addresses = False
        self.temporary_valid = 2 * 24 * 60 * MINUTE
        self.temporary_preferred = 24 * 60 * MINUTE
        # what a router advertisement may set
        self.min_hop_limit = 32  # a lower one would keep packets from leaving the site (CVE-2015-2922)
        self.min_retrans_time = 100 * MILLISECOND
        self.max_retrans_time = 60 * SECOND
        # answers to what nobody here wants (FreeBSD's names)
        self.udp_blackhole = False  # no ICMP error for a port that nobody has
        self.protocol_blackhole = False  # nor for a protocol that is not known
        # of one interface
        self.router_limit = 8
        self.prefix_limit = 16
        self.address_limit = 16  # configured by routers
        self.redirect_limit = 64
        self.redirect_lifetime = 10 * MINUTE
        self.name_server_limit = 8
        self.search_domain_limit = 8
