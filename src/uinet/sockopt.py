"""Socket options: their names, and how their values are checked and kept.

The names are BSD's and libuinet's; the numbers are this package's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from uinet.errors import InvalidArgument, NotSupported
from uinet.tcp.config import Config as Config
from uinet.tcp.congestion.names import check_congestion
from uinet.tcp.copying import check_mode
from uinet.tcp.keys import Keys
from uinet.units import MILLISECOND, SECOND
from uinet.wire.addresses import ANY, L2Info, parse_vlans

AF_INET = 2
AF_INET6 = 10
AF_UNSPEC = 0  # both families
SOCK_STREAM = 1
SOCK_DGRAM = 2

SHUT_RD = 0
SHUT_WR = 1
SHUT_RDWR = 2

MSG_OOB = 0x1  # of send: urgent data; it is read in line
MSG_PEEK = 0x2
MSG_DONTWAIT = 0x40
MSG_FASTOPEN = 0x20000000  # sendmsg and sendto connect as well, with the data in the SYN if a cookie is known
MSG_HOLE_BREAK = 0x1000000  # of passive sockets: a read stops before a hole, or returns nothing but one

SOL_SOCKET = 1
IPPROTO_IP = 0
IPPROTO_TCP = 6
IPPROTO_UDP = 17
IPPROTO_IPV6 = 41

SO_REUSEADDR = 2
SO_TYPE = 3
SO_ERROR = 4
SO_BROADCAST = 6
SO_SNDBUF = 7
SO_RCVBUF = 8
SO_KEEPALIVE = 9
SO_OOBINLINE = 10  # urgent data is always read in line; with it set a read ends before the last urgent byte
SO_LINGER = 13
SO_REUSEPORT = 15
SO_RCVLOWAT = 18  # a socket is readable from so many bytes on
SO_ACCEPTCONN = 30
SO_PROTOCOL = 38
SO_DOMAIN = 39
SO_MAX_PACING_RATE = 47  # bytes a second; 0: no bound
# libuinet's
SO_PROMISC = 0x1001  # the socket works on a promiscuous interface: any address, any port
SO_SETFIB = 0x1002  # the connection domain
SO_L2INFO = 0x1003  # MACs and VLAN stack: what to send with, or what a connection came with
SO_PASSIVE = 0x1004  # the socket watches connections of others, and sends nothing
SO_VLANS = 0x1005  # which VLAN stacks a listener takes: () none, a stack, ANY
SO_CATCHALL = 0x1006  # the listener takes every SYN of its domain, and no other is looked for
SO_TIMESTAMPNS = 35  # of datagram sockets: recvmsg tells when one came, ns since 1970
SO_ACTIVE_RESET = 0x1007  # a passive socket that goes active resets whom it plays

IP_TOS = 1
IP_TTL = 2
IP_RECVERR = 11  # tell of soft errors with EV_SOFT_ERROR
IP_MTU_DISCOVER = 10  # IP_PMTUDISC_DONT, _WANT, _DO or _PROBE
IP_MTU = 14  # of a connection: the path's MTU as it is known
IPV6_MTU_DISCOVER = 23
IPV6_MTU = 24
IP_PMTUDISC_DONT = 0  # over IPv4 routers may fragment, and nothing is discovered; over IPv6 as _WANT
IP_PMTUDISC_WANT = 1  # packets are as long as the path carries; datagrams are fragmented for it
IP_PMTUDISC_DO = 2  # datagrams are never fragmented
IP_PMTUDISC_PROBE = 3  # nor does ICMP say how long they may be
IP_BINDANY = 0x1010
IP_SYNFILTER = 0x1011
IP_SERIALNO = 0x1012
IP_TXIF = 0x1013  # send by this interface, whatever routes say: an Interface, its name, or None
IP_COPY_MODE = 0x1014  # copies of a connection's packets: one of the modes, and perhaps a direction
IP_COPY_LIMIT = 0x1015  # bytes after which a copy ends; 0: none
IP_COPY_TARGET = 0x1016  # where they go: an Interface, or what has packet() and end()
IP_COPY_MODE_OFF = 0
IP_COPY_MODE_MAYBE = 1  # packets are kept until it is off or on
IP_COPY_MODE_ON = 2
IP_COPY_MODE_RX = 4  # without either, both
IP_COPY_MODE_TX = 8
IP_COPY_MODE_TXRX = 12
IP_ORIGDSTADDR = 20  # ancillary data of datagrams: (ip, port) that one was sent to, or is sent from
# of datagram sockets: see uinet.multicast
IP_MULTICAST_IF = 32
IP_MULTICAST_TTL = 33
IP_MULTICAST_LOOP = 34
IP_ADD_MEMBERSHIP = 35
IP_DROP_MEMBERSHIP = 36
IPV6_UNICAST_HOPS = 16
IPV6_MULTICAST_IF = 17
IPV6_MULTICAST_HOPS = 18
IPV6_MULTICAST_LOOP = 19
IPV6_JOIN_GROUP = 20
IPV6_LEAVE_GROUP = 21
IPV6_RECVERR = 25
IPV6_TCLASS = 67

TCP_NODELAY = 1
TCP_MAXSEG = 2
TCP_CORK = 3
TCP_KEEPIDLE = 4
TCP_KEEPINTVL = 5
TCP_KEEPCNT = 6
TCP_LINGER2 = 8  # seconds for which a closed connection waits for the peer's FIN (FIN-WAIT-2)
TCP_DEFER_ACCEPT = 9  # seconds for which a connection has to bring data before it is accepted; 0: it need not
TCP_WINDOW_CLAMP = 10  # the largest window to advertise; 0: the receive buffer
TCP_INFO = 11
TCP_QUICKACK = 12
TCP_CONGESTION = 13  # a name, or a class of one's own
TCP_USER_TIMEOUT = 18  # milliseconds
TCP_MD5SIG = 14  # an Md5Key more (or less), RFC 2385; read: all of them
TCP_AO_ADD_KEY = 38  # an AoKey more, RFC 5925
TCP_AO_DEL_KEY = 39  # an AoKey less
TCP_AO_INFO = 40  # of a connection: an AoInfo, with the keys in use
TCP_AO_GET_KEYS = 41  # read: all AoKeys
TCP_FASTOPEN = 23  # of a listener: how many Fast Open connections may be pending; 0: none
TCP_NOTSENT_LOWAT = 25  # a socket is writable while less than so many bytes wait to be sent; 0: no matter
TCP_FASTOPEN_CONNECT = 30  # connect sends nothing if a cookie is known: the SYN goes with the first data
TCP_FASTOPEN_KEY = 33  # of a listener: its own key for cookies, 16 bytes, or 32 with the one before
TCP_UTO = 0x1022  # our user timeout is told to the peer, and the peer's taken, in SYNs (RFC 5482)
TCP_NOPUSH = TCP_CORK
TCP_REASSDL = 0x1020  # milliseconds for which a passive socket waits for missing bytes
TCP_MTU_PROBING = 0x1023  # probes of the path MTU: 0 never, 1 after a black hole, 2 always; -1 as the stack
TCP_TRIVIAL_ISN = 0x1024  # ISNs are the clock's: for tests, in simulations; TCP_TRIVIAL_ISN_FORCE anywhere
TCP_TRIVIAL_ISN_FORCE = 2
TCP_NOTIMEWAIT = 0x1025  # no TIME-WAIT after an active close
TCP_HOLE = 0x1021  # ancillary data of a passive socket: a Hole

MIN_BUFFER = 2048
MOST_VARIANTS = 32  # of a shared Config
MOST_RATE = 10**12  # bytes a second
LONGEST = 10**9 * SECOND  # ns; any longer time would not fit 64 bits for long

__all__ = [
    "AF_INET",
    "AF_INET6",
    "AF_UNSPEC",
    "IPPROTO_IP",
    "IPPROTO_IPV6",
    "IPPROTO_TCP",
    "IPPROTO_UDP",
    "IPV6_JOIN_GROUP",
    "IPV6_LEAVE_GROUP",
    "IPV6_MTU",
    "IPV6_MTU_DISCOVER",
    "IPV6_MULTICAST_HOPS",
    "IPV6_MULTICAST_IF",
    "IPV6_MULTICAST_LOOP",
    "IPV6_RECVERR",
    "IPV6_TCLASS",
    "IPV6_UNICAST_HOPS",
    "IP_ADD_MEMBERSHIP",
    "IP_BINDANY",
    "IP_COPY_LIMIT",
    "IP_COPY_MODE",
    "IP_COPY_MODE_MAYBE",
    "IP_COPY_MODE_OFF",
    "IP_COPY_MODE_ON",
    "IP_COPY_MODE_RX",
    "IP_COPY_MODE_TX",
    "IP_COPY_MODE_TXRX",
    "IP_COPY_TARGET",
    "IP_DROP_MEMBERSHIP",
    "IP_MTU",
    "IP_MTU_DISCOVER",
    "IP_MULTICAST_IF",
    "IP_MULTICAST_LOOP",
    "IP_MULTICAST_TTL",
    "IP_ORIGDSTADDR",
    "IP_PMTUDISC_DO",
    "IP_PMTUDISC_DONT",
    "IP_PMTUDISC_PROBE",
    "IP_PMTUDISC_WANT",
    "IP_RECVERR",
    "IP_SERIALNO",
    "IP_SYNFILTER",
    "IP_TOS",
    "IP_TTL",
    "IP_TXIF",
    "MSG_DONTWAIT",
    "MSG_FASTOPEN",
    "MSG_HOLE_BREAK",
    "MSG_OOB",
    "MSG_PEEK",
    "SHUT_RD",
    "SHUT_RDWR",
    "SHUT_WR",
    "SOCK_DGRAM",
    "SOCK_STREAM",
    "SOL_SOCKET",
    "SO_ACCEPTCONN",
    "SO_ACTIVE_RESET",
    "SO_BROADCAST",
    "SO_CATCHALL",
    "SO_DOMAIN",
    "SO_ERROR",
    "SO_KEEPALIVE",
    "SO_L2INFO",
    "SO_LINGER",
    "SO_MAX_PACING_RATE",
    "SO_OOBINLINE",
    "SO_PASSIVE",
    "SO_PROMISC",
    "SO_PROTOCOL",
    "SO_RCVBUF",
    "SO_RCVLOWAT",
    "SO_REUSEADDR",
    "SO_REUSEPORT",
    "SO_SETFIB",
    "SO_SNDBUF",
    "SO_TIMESTAMPNS",
    "SO_TYPE",
    "SO_VLANS",
    "TCP_AO_ADD_KEY",
    "TCP_AO_DEL_KEY",
    "TCP_AO_GET_KEYS",
    "TCP_AO_INFO",
    "TCP_CONGESTION",
    "TCP_CORK",
    "TCP_DEFER_ACCEPT",
    "TCP_FASTOPEN",
    "TCP_FASTOPEN_CONNECT",
    "TCP_FASTOPEN_KEY",
    "TCP_HOLE",
    "TCP_INFO",
    "TCP_KEEPCNT",
    "TCP_KEEPIDLE",
    "TCP_KEEPINTVL",
    "TCP_LINGER2",
    "TCP_MAXSEG",
    "TCP_MD5SIG",
    "TCP_MTU_PROBING",
    "TCP_NODELAY",
    "TCP_NOPUSH",
    "TCP_NOTIMEWAIT",
    "TCP_NOTSENT_LOWAT",
    "TCP_QUICKACK",
    "TCP_REASSDL",
    "TCP_TRIVIAL_ISN",
    "TCP_TRIVIAL_ISN_FORCE",
    "TCP_USER_TIMEOUT",
    "TCP_UTO",
    "TCP_WINDOW_CLAMP",
]


def _flag(value: Any) -> bool:
    return bool(value)


def _within(low: int, high: int, what: str) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if not isinstance(value, int) or not low <= value <= high:
            raise InvalidArgument(f"{what} is {value!r}: want an integer from {low} to {high}")
        return value

    return check


def _duration(what: str, unit: int, units: str) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if not isinstance(value, (int, float)) or not 0 <= value * unit <= LONGEST:
            raise InvalidArgument(f"{what} is {value!r}: want {units}")
        return round(value * unit)

    return check


def _linger(value: Any) -> int:
    """(on, seconds), as struct linger."""
    try:
        on, seconds = value
        return _duration("SO_LINGER", SECOND, "seconds")(seconds) if on else -1
    except (TypeError, ValueError):
        raise InvalidArgument(f"SO_LINGER is {value!r}: want (on, seconds)") from None


def _vlans(value: Any) -> Any:
    return ANY if value is ANY else parse_vlans(value)


def check_l2(value: Any) -> L2Info | None:
    """`value` if it is an L2Info (or None), its parts made what they should be; InvalidArgument."""
    if value is None:
        return None
    if not isinstance(value, L2Info):
        raise InvalidArgument(f"SO_L2INFO is {value!r}: want an L2Info")
    return L2Info.make(value.source, value.destination, value.vlans)


def _filter(value: Any) -> Any:
    if value is not None and not callable(value):
        raise InvalidArgument(f"IP_SYNFILTER is {value!r}: want a callable or None")
    return value


def _fast_open_key(value: Any) -> bytes:
    if not isinstance(value, (bytes, bytearray)) or len(value) not in (0, 16, 32):
        raise InvalidArgument("TCP_FASTOPEN_KEY wants 16 bytes, or 32 with the key before, or none for the stack's own")
    return bytes(value)


def _segment(value: Any) -> int:
    return _within(0 if value == 0 else 88, 65495, "TCP_MAXSEG")(value)


def _clamp(value: Any) -> int:
    return _within(0 if value == 0 else MIN_BUFFER // 2, 1 << 30, "TCP_WINDOW_CLAMP")(value)


def _buffer(value: Any) -> int:
    return _within(1, 1 << 31, "a buffer's size")(value)


# (level, name) -> (attribute of Config, what turns the value into the attribute's)
SETTABLE: dict[tuple[int, int], tuple[str, Callable[[Any], Any]]] = {
    (SOL_SOCKET, SO_PROMISC): ("promiscuous", _flag),
    (SOL_SOCKET, SO_PASSIVE): ("passive", _flag),
    (SOL_SOCKET, SO_ACTIVE_RESET): ("active_reset", _flag),
    (SOL_SOCKET, SO_SETFIB): ("cdom", _within(0, 0xFFFFFFFF, "a connection domain")),
    (SOL_SOCKET, SO_VLANS): ("vlans", _vlans),
    (SOL_SOCKET, SO_CATCHALL): ("catch_all", _flag),
    (SOL_SOCKET, SO_TIMESTAMPNS): ("timestamps", _flag),
    (IPPROTO_IP, IP_TXIF): ("tx_interface", lambda value: value),  # the socket has made it an interface
    (IPPROTO_IP, IP_COPY_MODE): ("copy_mode", check_mode),
    (IPPROTO_IP, IP_COPY_LIMIT): ("copy_limit", _within(0, 1 << 60, "IP_COPY_LIMIT")),
    (IPPROTO_IP, IP_COPY_TARGET): ("copy_target", lambda value: value),  # the socket has checked it
    (IPPROTO_TCP, TCP_NOTIMEWAIT): ("no_time_wait", _flag),
    (IPPROTO_TCP, TCP_TRIVIAL_ISN): ("trivial_isn", _within(0, TCP_TRIVIAL_ISN_FORCE, "TCP_TRIVIAL_ISN")),
    (SOL_SOCKET, SO_REUSEPORT): ("reuse_port", _flag),
    (SOL_SOCKET, SO_REUSEADDR): ("reuse_address", _flag),
    (SOL_SOCKET, SO_BROADCAST): ("broadcast", _flag),
    (SOL_SOCKET, SO_SNDBUF): ("send_buffer", _buffer),
    (SOL_SOCKET, SO_RCVBUF): ("receive_buffer", _buffer),
    (SOL_SOCKET, SO_KEEPALIVE): ("keepalive", _flag),
    (SOL_SOCKET, SO_LINGER): ("linger", _linger),
    (SOL_SOCKET, SO_MAX_PACING_RATE): ("max_pacing_rate", _within(0, MOST_RATE, "SO_MAX_PACING_RATE")),
    (IPPROTO_IP, IP_BINDANY): ("bind_any", _flag),
    (IPPROTO_IP, IP_SYNFILTER): ("syn_filter", _filter),
    (IPPROTO_IP, IP_RECVERR): ("receive_errors", _flag),
    (IPPROTO_IPV6, IPV6_RECVERR): ("receive_errors", _flag),
    (IPPROTO_IP, IP_MTU_DISCOVER): ("mtu_discover", _within(0, 3, "IP_MTU_DISCOVER")),
    (IPPROTO_IPV6, IPV6_MTU_DISCOVER): ("mtu_discover", _within(0, 3, "IPV6_MTU_DISCOVER")),
    (IPPROTO_TCP, TCP_MTU_PROBING): ("mtu_probing", _within(-1, 2, "TCP_MTU_PROBING")),
    (IPPROTO_IP, IP_TTL): ("ttl", _within(1, 255, "a TTL")),
    (IPPROTO_IP, IP_TOS): ("tos", _within(0, 255, "a type of service")),
    (IPPROTO_IPV6, IPV6_UNICAST_HOPS): ("ttl", _within(1, 255, "a hop limit")),
    (IPPROTO_IPV6, IPV6_TCLASS): ("tos", _within(0, 255, "a traffic class")),
    (IPPROTO_TCP, TCP_FASTOPEN): ("fast_open", _within(0, 1 << 20, "TCP_FASTOPEN")),
    (IPPROTO_TCP, TCP_FASTOPEN_CONNECT): ("fast_open_connect", _flag),
    (IPPROTO_TCP, TCP_FASTOPEN_KEY): ("fast_open_key", _fast_open_key),
    (IPPROTO_TCP, TCP_NODELAY): ("no_delay", _flag),
    (IPPROTO_TCP, TCP_CORK): ("cork", _flag),
    (IPPROTO_TCP, TCP_UTO): ("user_timeout_option", _flag),
    (IPPROTO_TCP, TCP_MAXSEG): ("max_segment", _segment),
    (IPPROTO_TCP, TCP_WINDOW_CLAMP): ("window_clamp", _clamp),
    (IPPROTO_TCP, TCP_NOTSENT_LOWAT): ("not_sent_low", _within(0, 0xFFFFFFFF, "TCP_NOTSENT_LOWAT")),
    (IPPROTO_TCP, TCP_DEFER_ACCEPT): ("defer_accept", _duration("TCP_DEFER_ACCEPT", SECOND, "seconds")),
    (SOL_SOCKET, SO_RCVLOWAT): ("receive_low", lambda value: max(1, _within(0, 1 << 31, "SO_RCVLOWAT")(value))),
    (SOL_SOCKET, SO_OOBINLINE): ("oob_inline", _flag),
    (IPPROTO_TCP, TCP_CONGESTION): ("congestion", check_congestion),
    (IPPROTO_TCP, TCP_QUICKACK): ("quick_ack", _flag),
    (IPPROTO_TCP, TCP_KEEPIDLE): ("keep_idle", _duration("TCP_KEEPIDLE", SECOND, "seconds")),
    (IPPROTO_TCP, TCP_KEEPINTVL): ("keep_interval", _duration("TCP_KEEPINTVL", SECOND, "seconds")),
    (IPPROTO_TCP, TCP_KEEPCNT): ("keep_count", _within(1, 127, "TCP_KEEPCNT")),
    (IPPROTO_TCP, TCP_LINGER2): ("fin_wait_2", _duration("TCP_LINGER2", SECOND, "seconds")),
    (IPPROTO_TCP, TCP_USER_TIMEOUT): ("user_timeout", _duration("TCP_USER_TIMEOUT", MILLISECOND, "milliseconds")),
    (IPPROTO_TCP, TCP_REASSDL): ("reassembly_deadline", _duration("TCP_REASSDL", MILLISECOND, "milliseconds")),
}

# what makes the socket's keys anew
KEY_CHANGES: dict[tuple[int, int], Callable[[Keys, Any], Keys]] = {
    (IPPROTO_TCP, TCP_MD5SIG): Keys.with_md5,
    (IPPROTO_TCP, TCP_AO_ADD_KEY): Keys.with_ao,
    (IPPROTO_TCP, TCP_AO_DEL_KEY): Keys.without_ao,
}

# where a socket belongs: not to be changed once it is there
BEFORE_BIND = {
    (SOL_SOCKET, SO_PROMISC), (SOL_SOCKET, SO_PASSIVE), (SOL_SOCKET, SO_SETFIB), (SOL_SOCKET, SO_VLANS),
    (SOL_SOCKET, SO_L2INFO), (SOL_SOCKET, SO_CATCHALL),
}

NANOSECONDS = {
    "defer_accept": SECOND, "fin_wait_2": SECOND, "keep_idle": SECOND, "keep_interval": SECOND,
    "reassembly_deadline": MILLISECOND, "user_timeout": MILLISECOND,
}


def apply(config: Config, level: int, name: int, value: Any) -> str:
    """Sets an option; the name of the attribute it has changed. InvalidArgument, NotSupported."""
    if (level, name) in KEY_CHANGES:
        config.keys = KEY_CHANGES[level, name](config.keys, value)
        return "keys"
    if (level, name) not in SETTABLE:
        raise NotSupported(f"there is no option {name} at level {level}")
    attribute, convert = SETTABLE[level, name]
    converted = convert(value)
    if attribute in ("send_buffer", "receive_buffer"):
        converted = max(MIN_BUFFER, min(converted, config.max_buffer))
        setattr(config, attribute.replace("buffer", "auto"), False)
    setattr(config, attribute, converted)
    return attribute


def read(config: Config, level: int, name: int) -> Any:
    """The value of an option, in the form in which it is set. NotSupported."""
    if (level, name) == (IPPROTO_TCP, TCP_MD5SIG):
        return tuple(key for _, key in config.keys.md5)
    if (level, name) == (IPPROTO_TCP, TCP_AO_GET_KEYS):
        return tuple(key for _, key, _ in config.keys.ao)
    if (level, name) not in SETTABLE:
        raise NotSupported(f"there is no option {name} at level {level}")
    attribute = SETTABLE[level, name][0]
    value = getattr(config, attribute)
    if attribute == "copy_mode":
        return max(IP_COPY_MODE_OFF, value)
    if attribute == "linger":
        return (0, 0) if value < 0 else (1, value / SECOND)
    if attribute in NANOSECONDS:
        unit = NANOSECONDS[attribute]
        return value // unit if value % unit == 0 else value / unit
    return int(value) if isinstance(value, bool) else value


def variant(config: Config, level: int, name: int, value: Any) -> Config | None:
    """A shared `config` with an option set, for all sockets that set the same: a million of them have one. None where
    that is not worth it (the value is an object, or there are many). InvalidArgument, NotSupported."""
    setting = SETTABLE.get((level, name))
    if setting is not None and type(value) is not int and value is getattr(config, setting[0]):
        return config
    if type(value) is not int and type(value) is not bool and value is not ANY:
        return None
    found: Config | None = config.variants.get((level, name, value))
    if found is None and len(config.variants) < MOST_VARIANTS:
        found = config.copy()
        apply(found, level, name, value)
        config.variants[level, name, value] = found
    return found
