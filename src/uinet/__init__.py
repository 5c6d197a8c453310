"""uinet: a TCP/IP stack as a library, in user space.

It can be anyone on the wire, and listen without being anyone. See README.md and docs/.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uinet.errors import (
    AddressError,
    AddressInUse,
    AddressNotAvailable,
    AlreadyConnected,
    BadSocket,
    BrokenPipe,
    CaptureError,
    ConnectionAborted,
    ConnectionRefused,
    ConnectionReset,
    DeviceError,
    DeviceGone,
    DeviceURLError,
    Error,
    HostUnreachable,
    InvalidArgument,
    MessageTooLong,
    NetworkUnreachable,
    NotConnected,
    NotSupported,
    PermissionDenied,
    ProtocolUnreachable,
    TimedOut,
    VlanError,
    WouldBlock,
)
from uinet.events import (
    EV_ACCEPT,
    EV_CLOSED,
    EV_CONNECTED,
    EV_EOF,
    EV_ERROR,
    EV_READABLE,
    EV_WRITABLE,
)
from uinet.socket import Socket
from uinet.sockopt import (
    AF_INET,
    AF_INET6,
    AF_UNSPEC,
    IP_BINDANY,
    IP_ORIGDSTADDR,
    IP_SERIALNO,
    IP_SYNFILTER,
    IP_TOS,
    IP_TTL,
    IPPROTO_IP,
    IPPROTO_IPV6,
    IPPROTO_TCP,
    IPPROTO_UDP,
    IPV6_TCLASS,
    IPV6_UNICAST_HOPS,
    MSG_DONTWAIT,
    MSG_HOLE_BREAK,
    MSG_PEEK,
    SHUT_RD,
    SHUT_RDWR,
    SHUT_WR,
    SO_ACCEPTCONN,
    SO_BROADCAST,
    SO_DOMAIN,
    SO_ERROR,
    SO_KEEPALIVE,
    SO_L2INFO,
    SO_LINGER,
    SO_PASSIVE,
    SO_PROMISC,
    SO_PROTOCOL,
    SO_RCVBUF,
    SO_REUSEADDR,
    SO_REUSEPORT,
    SO_SETFIB,
    SO_SNDBUF,
    SO_TYPE,
    SO_VLANS,
    SOCK_DGRAM,
    SOCK_STREAM,
    SOL_SOCKET,
    TCP_CORK,
    TCP_INFO,
    TCP_KEEPCNT,
    TCP_KEEPIDLE,
    TCP_KEEPINTVL,
    TCP_MAXSEG,
    TCP_NODELAY,
    TCP_NOPUSH,
    TCP_QUICKACK,
    TCP_REASSDL,
    TCP_USER_TIMEOUT,
)
from uinet.splice import Splice, splice
from uinet.stack import Stack
from uinet.tcp.info import TcpInfo
from uinet.tcp.syn import Syn, Verdict
from uinet.version import __version__, compiled
from uinet.wire.addresses import ANY, L2Info, Mac, VlanTag
from uinet.wire.frame import Frame

__all__ = [
    "AF_INET",
    "AF_INET6",
    "AF_UNSPEC",
    "ANY",
    "EV_ACCEPT",
    "EV_CLOSED",
    "EV_CONNECTED",
    "EV_EOF",
    "EV_ERROR",
    "EV_READABLE",
    "EV_WRITABLE",
    "IPPROTO_IP",
    "IPPROTO_IPV6",
    "IPPROTO_TCP",
    "IPPROTO_UDP",
    "IPV6_TCLASS",
    "IPV6_UNICAST_HOPS",
    "IP_BINDANY",
    "IP_ORIGDSTADDR",
    "IP_SERIALNO",
    "IP_SYNFILTER",
    "IP_TOS",
    "IP_TTL",
    "MSG_DONTWAIT",
    "MSG_HOLE_BREAK",
    "MSG_PEEK",
    "SHUT_RD",
    "SHUT_RDWR",
    "SHUT_WR",
    "SOCK_DGRAM",
    "SOCK_STREAM",
    "SOL_SOCKET",
    "SO_ACCEPTCONN",
    "SO_BROADCAST",
    "SO_DOMAIN",
    "SO_ERROR",
    "SO_KEEPALIVE",
    "SO_L2INFO",
    "SO_LINGER",
    "SO_PASSIVE",
    "SO_PROMISC",
    "SO_PROTOCOL",
    "SO_RCVBUF",
    "SO_REUSEADDR",
    "SO_REUSEPORT",
    "SO_SETFIB",
    "SO_SNDBUF",
    "SO_TYPE",
    "SO_VLANS",
    "TCP_CORK",
    "TCP_INFO",
    "TCP_KEEPCNT",
    "TCP_KEEPIDLE",
    "TCP_KEEPINTVL",
    "TCP_MAXSEG",
    "TCP_NODELAY",
    "TCP_NOPUSH",
    "TCP_QUICKACK",
    "TCP_REASSDL",
    "TCP_USER_TIMEOUT",
    "AddressError",
    "AddressInUse",
    "AddressNotAvailable",
    "AlreadyConnected",
    "BadSocket",
    "BrokenPipe",
    "CaptureError",
    "ConnectionAborted",
    "ConnectionRefused",
    "ConnectionReset",
    "Device",
    "DeviceError",
    "DeviceGone",
    "DeviceURLError",
    "Driver",
    "Error",
    "Frame",
    "Host",
    "HostUnreachable",
    "InvalidArgument",
    "L2Info",
    "Mac",
    "MessageTooLong",
    "NetworkUnreachable",
    "NotConnected",
    "NotSupported",
    "PermissionDenied",
    "ProtocolUnreachable",
    "Socket",
    "Splice",
    "Stack",
    "Syn",
    "TcpInfo",
    "TimedOut",
    "Verdict",
    "VlanError",
    "VlanTag",
    "WouldBlock",
    "__version__",
    "aio",
    "compiled",
    "open_device",
    "sim",
    "splice",
]

if TYPE_CHECKING:
    from uinet import aio, sim
    from uinet.aio import Host
    from uinet.driver import Driver
    from uinet.link import Device, open_device

# what needs asyncio or opens devices is imported when it is first asked for: the engine alone needs neither
_LATER = {
    "Host": ("uinet.aio", "Host"),
    "Driver": ("uinet.driver", "Driver"),
    "Device": ("uinet.link", "Device"),
    "open_device": ("uinet.link", "open_device"),
    "aio": ("uinet.aio", None),
    "sim": ("uinet.sim", None),
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'uinet' has no attribute {name!r}")
    from importlib import import_module

    module, attribute = _LATER[name]
    value = import_module(module)
    if attribute is not None:
        value = getattr(value, attribute)
    globals()[name] = value
    return value
