"""Settings of the network layer: `uinet.ip.settings.IpSettings`, and the limits of its tables."""

from __future__ import annotations

from uinet.settings.kinds import Choice, Duration, Flag, Kind, Secret, Size, Whole
from uinet.settings.registry import NEXT, Setting
from uinet.units import MILLISECOND, MINUTE, SECOND

HOUR = 60 * MINUTE
DAY = 24 * HOUR
WAIT = Duration(0, MINUTE)
FEW = Whole(0, 16)
LIMIT = Whole(0, 65535)


def _ip6(name: str, attribute: str, kind: Kind, rfc: str, help: str, applies: str = "at once", **more: str) -> Setting:
    return Setting(f"net.inet6.ip6.{name}", "ip", attribute, kind, rfc, help, applies, **more)


def _arp(name: str, attribute: str, kind: Kind, help: str, **more: str) -> Setting:
    return Setting(f"net.link.arp.{name}", "ip", attribute, kind, "5227 1.1", help, NEXT, **more)


CONFLICTS = (
    _arp("probe.wait", "probe_wait", WAIT, "delay before the first probe of an IPv4 address, at most"),
    _arp("probe.count", "probe_num", Whole(1, 16), "probes of an IPv4 address"),
    _arp("probe.min", "probe_min", WAIT, "least time between probes", at_most="probe_max"),
    _arp("probe.max", "probe_max", WAIT, "largest time between probes", at_least="probe_min"),
    _arp("announce.wait", "announce_wait", WAIT, "silence after the last probe"),
    _arp("announce.count", "announce_num", FEW, "announcements of an address that is ours"),
    _arp("announce.interval", "announce_interval", WAIT, "time between announcements"),
    _arp("defend_interval", "defend_interval", Duration(0, HOUR), "an address is defended once in this time"),
)
AUTOCONF = (
    _ip6("dad_count", "dad_transmits", FEW, "4862 5.1", "solicitations that test an address for duplicates; 0: none",
         NEXT),
    _ip6("dad_retries", "dad_retries", FEW, "7217 7", "other addresses tried after a duplicate", NEXT),
    _ip6("rtsol.delay", "solicitation_delay", WAIT, "4861 10", "delay before the first router solicitation, at most",
         NEXT),
    _ip6("rtsol.interval", "solicitation_interval", Duration(MILLISECOND, HOUR), "4861 10",
         "time to the second router solicitation; it doubles", NEXT, at_most="solicitation_max"),
    _ip6("rtsol.max", "solicitation_max", Duration(SECOND, DAY), "7559 2",
         "largest time between router solicitations", NEXT, at_least="solicitation_interval"),
    _ip6("identifier", "interface_identifier", Choice(("stable", "eui64")), "7217, 4291 2.5.1",
         "interface identifiers: stable and opaque, or the MAC's", NEXT),
    _ip6("stable_secret", "stable_secret", Secret(64), "7217 5",
         "secret of stable identifiers; empty: of the stack's seed", NEXT),
    _ip6("use_tempaddr", "temporary_addresses", Flag(), "8981", "make and prefer temporary addresses", NEXT),
    _ip6("tempvltime", "temporary_valid", Duration(MINUTE, 365 * DAY), "8981 3.8",
         "valid lifetime of a temporary address", NEXT, at_least="temporary_preferred"),
    _ip6("temppltime", "temporary_preferred", Duration(MINUTE, 365 * DAY), "8981 3.8",
         "preferred lifetime of a temporary address", NEXT, at_most="temporary_valid"),
    _ip6("ra.min_hop_limit", "min_hop_limit", Whole(1, 255), "8504 6.2",
         "least hop limit that a router may set (CVE-2015-2922)"),
    _ip6("ra.min_retrans_time", "min_retrans_time", Duration(MILLISECOND, MINUTE), "4861 6.3.4",
         "least retransmission time that a router may set", at_most="max_retrans_time"),
    _ip6("ra.max_retrans_time", "max_retrans_time", Duration(MILLISECOND, HOUR), "4861 6.3.4",
         "largest retransmission time that a router may set", at_least="min_retrans_time"),
    _ip6("maxrouters", "router_limit", LIMIT, "6980", "default routers of an interface"),
    _ip6("maxprefixes", "prefix_limit", LIMIT, "4861 6.3.4", "advertised prefixes and routes of an interface"),
    _ip6("maxaddresses", "address_limit", LIMIT, "4862 5.5.3",
         "addresses of an interface that routers have configured"),
    _ip6("redirect.limit", "redirect_limit", LIMIT, "4861 8", "redirects remembered of an interface"),
    _ip6("redirect.lifetime", "redirect_lifetime", Duration(SECOND, DAY), "4861 8", "how long a redirect is believed"),
    _ip6("maxnameservers", "name_server_limit", LIMIT, "8106 5.3.1", "name servers remembered"),
    _ip6("maxsearchdomains", "search_domain_limit", LIMIT, "8106 5.3.1", "search domains remembered"),
)
BLACKHOLES = (
    Setting("net.inet.udp.blackhole", "ip", "udp_blackhole", Flag(), "1122 4.1.3.1",
            "datagrams to a port that nobody has meet silence, no ICMP error"),
    Setting("net.inet.ip.blackhole", "ip", "protocol_blackhole", Flag(), "1122 3.2.2.1, 4443 3.4",
            "so do packets of an unknown protocol, IPv6 headers that are unknown or wrong, and missing fragments"),
)
TABLES = (
    Setting("net.link.maxneighbors", "neighbors", "limit", Whole(16, 1 << 20), "6583 6",
            "neighbours remembered, those configured not counted"),
    Setting("net.inet.ip.maxfragmem", "reassembler", "memory_limit", Size(65536, 1 << 40), "8504 5.2",
            "bytes of incomplete datagrams, in all"),
    Setting("net.inet.ip.maxfragsource", "reassembler", "source_limit", Size(65536, 1 << 40), "8504 5.2",
            "bytes of incomplete datagrams of one source"),
)
IP = (*CONFLICTS, *AUTOCONF, *BLACKHOLES, *TABLES)
