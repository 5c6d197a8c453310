"""uinet: a TCP/IP stack as a library, in user space.

It can be anyone on the wire, and listen without being anyone. See README.md and docs/.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
    "EV_SOFT_ERROR",
    "EV_URGENT",
    "EV_WRITABLE",
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
    "TCP_MAXSEG",
    "TCP_MD5SIG",
    "TCP_MTU_PROBING",
    "TCP_NODELAY",
    "TCP_NOPUSH",
    "TCP_NOTSENT_LOWAT",
    "TCP_QUICKACK",
    "TCP_REASSDL",
    "TCP_USER_TIMEOUT",
    "TCP_UTO",
    "TCP_WINDOW_CLAMP",
    "AddressConflict",
    "AddressError",
    "AddressInUse",
    "AddressNotAvailable",
    "AlreadyConnected",
    "AoInfo",
    "AoKey",
    "BadSocket",
    "BrokenPipe",
    "CaptureError",
    "CongestionControl",
    "ConnectionAborted",
    "ConnectionRefused",
    "ConnectionReset",
    "ControlError",
    "Device",
    "DeviceError",
    "DeviceGone",
    "DeviceURLError",
    "Driver",
    "Error",
    "FilterError",
    "Frame",
    "Hole",
    "Host",
    "HostUnreachable",
    "InvalidArgument",
    "L2Info",
    "LinkEvent",
    "Mac",
    "Md5Key",
    "MessageTooLong",
    "NetworkUnreachable",
    "NotConnected",
    "NotSupported",
    "PassiveInfo",
    "PassiveSocket",
    "PermissionDenied",
    "ProtocolUnreachable",
    "Socket",
    "Splice",
    "SpoolError",
    "Stack",
    "Syn",
    "TcpInfo",
    "TimedOut",
    "Unsafe",
    "Verdict",
    "VlanError",
    "VlanTag",
    "WorkerFailed",
    "WouldBlock",
    "__version__",
    "aio",
    "bridge",
    "compiled",
    "follow",
    "open_device",
    "sim",
    "splice",
    "workers",
]

if TYPE_CHECKING:
    from uinet import aio, sim
    from uinet.aio import Host
    from uinet.crew import workers
    from uinet.driver import Driver
    from uinet.errors import (
        AddressConflict,
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
        ControlError,
        DeviceError,
        DeviceGone,
        DeviceURLError,
        Error,
        FilterError,
        HostUnreachable,
        InvalidArgument,
        MessageTooLong,
        NetworkUnreachable,
        NotConnected,
        NotSupported,
        PermissionDenied,
        ProtocolUnreachable,
        SpoolError,
        TimedOut,
        Unsafe,
        VlanError,
        WorkerFailed,
        WouldBlock,
    )
    from uinet.events import (
        EV_ACCEPT,
        EV_CLOSED,
        EV_CONNECTED,
        EV_EOF,
        EV_ERROR,
        EV_READABLE,
        EV_SOFT_ERROR,
        EV_URGENT,
        EV_WRITABLE,
    )
    from uinet.following.api import follow
    from uinet.ip.notice import LinkEvent
    from uinet.link import Device, open_device
    from uinet.passive_socket import Hole, PassiveInfo, PassiveSocket
    from uinet.proxy.api import bridge
    from uinet.socket import Socket
    from uinet.sockopt import (
        AF_INET,
        AF_INET6,
        AF_UNSPEC,
        IP_ADD_MEMBERSHIP,
        IP_BINDANY,
        IP_DROP_MEMBERSHIP,
        IP_MTU,
        IP_MTU_DISCOVER,
        IP_MULTICAST_IF,
        IP_MULTICAST_LOOP,
        IP_MULTICAST_TTL,
        IP_ORIGDSTADDR,
        IP_PMTUDISC_DO,
        IP_PMTUDISC_DONT,
        IP_PMTUDISC_PROBE,
        IP_PMTUDISC_WANT,
        IP_RECVERR,
        IP_SERIALNO,
        IP_SYNFILTER,
        IP_TOS,
        IP_TTL,
        IPPROTO_IP,
        IPPROTO_IPV6,
        IPPROTO_TCP,
        IPPROTO_UDP,
        IPV6_JOIN_GROUP,
        IPV6_LEAVE_GROUP,
        IPV6_MTU,
        IPV6_MTU_DISCOVER,
        IPV6_MULTICAST_HOPS,
        IPV6_MULTICAST_IF,
        IPV6_MULTICAST_LOOP,
        IPV6_RECVERR,
        IPV6_TCLASS,
        IPV6_UNICAST_HOPS,
        MSG_DONTWAIT,
        MSG_FASTOPEN,
        MSG_HOLE_BREAK,
        MSG_OOB,
        MSG_PEEK,
        SHUT_RD,
        SHUT_RDWR,
        SHUT_WR,
        SO_ACCEPTCONN,
        SO_ACTIVE_RESET,
        SO_BROADCAST,
        SO_DOMAIN,
        SO_ERROR,
        SO_KEEPALIVE,
        SO_L2INFO,
        SO_LINGER,
        SO_MAX_PACING_RATE,
        SO_OOBINLINE,
        SO_PASSIVE,
        SO_PROMISC,
        SO_PROTOCOL,
        SO_RCVBUF,
        SO_RCVLOWAT,
        SO_REUSEADDR,
        SO_REUSEPORT,
        SO_SETFIB,
        SO_SNDBUF,
        SO_TYPE,
        SO_VLANS,
        SOCK_DGRAM,
        SOCK_STREAM,
        SOL_SOCKET,
        TCP_AO_ADD_KEY,
        TCP_AO_DEL_KEY,
        TCP_AO_GET_KEYS,
        TCP_AO_INFO,
        TCP_CONGESTION,
        TCP_CORK,
        TCP_DEFER_ACCEPT,
        TCP_FASTOPEN,
        TCP_FASTOPEN_CONNECT,
        TCP_FASTOPEN_KEY,
        TCP_HOLE,
        TCP_INFO,
        TCP_KEEPCNT,
        TCP_KEEPIDLE,
        TCP_KEEPINTVL,
        TCP_MAXSEG,
        TCP_MD5SIG,
        TCP_MTU_PROBING,
        TCP_NODELAY,
        TCP_NOPUSH,
        TCP_NOTSENT_LOWAT,
        TCP_QUICKACK,
        TCP_REASSDL,
        TCP_USER_TIMEOUT,
        TCP_UTO,
        TCP_WINDOW_CLAMP,
    )
    from uinet.splicing import Splice, splice
    from uinet.stack import Stack
    from uinet.tcp.congestion.base import CongestionControl
    from uinet.tcp.info import TcpInfo
    from uinet.tcp.keys import (
        AoInfo,
        AoKey,
        Md5Key,
    )
    from uinet.tcp.syn import Syn, Verdict
    from uinet.version import __version__, compiled
    from uinet.wire.addresses import ANY, L2Info, Mac, VlanTag
    from uinet.wire.frame import Frame

# A name is imported when it is first asked for: who only follows captures does not wait for the stack.
_MODULES = {
    "uinet.aio": "Host",
    "uinet.crew": "workers",
    "uinet.driver": "Driver",
    "uinet.errors": (
        "AddressConflict AddressError AddressInUse AddressNotAvailable AlreadyConnected BadSocket BrokenPipe "
        "CaptureError ConnectionAborted ConnectionRefused ConnectionReset ControlError DeviceError DeviceGone "
        "DeviceURLError Error "
        "FilterError HostUnreachable InvalidArgument MessageTooLong NetworkUnreachable NotConnected "
        "NotSupported PermissionDenied ProtocolUnreachable SpoolError TimedOut Unsafe VlanError "
        "WorkerFailed WouldBlock"
    ),
    "uinet.events": "EV_ACCEPT EV_CLOSED EV_CONNECTED EV_EOF EV_ERROR EV_READABLE EV_SOFT_ERROR EV_URGENT EV_WRITABLE",
    "uinet.following.api": "follow",
    "uinet.ip.notice": "LinkEvent",
    "uinet.link": "Device open_device",
    "uinet.proxy.api": "bridge",
    "uinet.passive_socket": "Hole PassiveInfo PassiveSocket",
    "uinet.socket": "Socket",
    "uinet.sockopt": (
        "AF_INET AF_INET6 AF_UNSPEC IPPROTO_IP IPPROTO_IPV6 IPPROTO_TCP IPPROTO_UDP IPV6_JOIN_GROUP "
        "IPV6_LEAVE_GROUP IPV6_MTU IPV6_MTU_DISCOVER IPV6_MULTICAST_HOPS IPV6_MULTICAST_IF IPV6_MULTICAST_LOOP "
        "IPV6_RECVERR IPV6_TCLASS IPV6_UNICAST_HOPS IP_ADD_MEMBERSHIP IP_BINDANY IP_DROP_MEMBERSHIP IP_MTU "
        "IP_MTU_DISCOVER IP_MULTICAST_IF IP_MULTICAST_LOOP IP_MULTICAST_TTL IP_ORIGDSTADDR IP_PMTUDISC_DO "
        "IP_PMTUDISC_DONT IP_PMTUDISC_PROBE IP_PMTUDISC_WANT IP_RECVERR IP_SERIALNO IP_SYNFILTER IP_TOS IP_TTL "
        "MSG_DONTWAIT MSG_FASTOPEN MSG_HOLE_BREAK MSG_OOB MSG_PEEK SHUT_RD SHUT_RDWR SHUT_WR SOCK_DGRAM "
        "SOCK_STREAM SOL_SOCKET SO_ACCEPTCONN SO_ACTIVE_RESET SO_BROADCAST SO_DOMAIN SO_ERROR SO_KEEPALIVE "
        "SO_L2INFO SO_LINGER "
        "SO_MAX_PACING_RATE SO_OOBINLINE SO_PASSIVE SO_PROMISC SO_PROTOCOL SO_RCVBUF SO_RCVLOWAT SO_REUSEADDR "
        "SO_REUSEPORT SO_SETFIB SO_SNDBUF SO_TYPE SO_VLANS TCP_AO_ADD_KEY TCP_AO_DEL_KEY TCP_AO_GET_KEYS "
        "TCP_AO_INFO TCP_CONGESTION TCP_CORK TCP_DEFER_ACCEPT TCP_FASTOPEN TCP_FASTOPEN_CONNECT TCP_FASTOPEN_KEY "
        "TCP_HOLE TCP_INFO TCP_KEEPCNT TCP_KEEPIDLE TCP_KEEPINTVL TCP_MAXSEG TCP_MD5SIG TCP_MTU_PROBING "
        "TCP_NODELAY TCP_NOPUSH TCP_NOTSENT_LOWAT TCP_QUICKACK TCP_REASSDL TCP_USER_TIMEOUT TCP_UTO "
        "TCP_WINDOW_CLAMP"
    ),
    "uinet.splicing": "Splice splice",
    "uinet.stack": "Stack",
    "uinet.tcp.congestion.base": "CongestionControl",
    "uinet.tcp.keys": "AoInfo AoKey Md5Key",
    "uinet.tcp.info": "TcpInfo",
    "uinet.tcp.syn": "Syn Verdict",
    "uinet.version": "__version__ compiled",
    "uinet.wire.addresses": "ANY L2Info Mac VlanTag",
    "uinet.wire.frame": "Frame",
}
_PACKAGES = ("aio", "sim")
_PLACES = {name: module for module, names in _MODULES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _PACKAGES:
        return import_module(f"uinet.{name}")
    if name not in _PLACES:
        raise AttributeError(f"module 'uinet' has no attribute {name!r}")
    value = getattr(import_module(_PLACES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
