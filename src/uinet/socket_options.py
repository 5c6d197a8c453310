"""The options of sockets: what setting one changes, and where the value of one is.

Which there are, and which values they take, is in `sockopt.py`; what many sockets have in common they share (`Config`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uinet import multicast, sockopt
from uinet.errors import Error, InvalidArgument, NotConnected
from uinet.placement import pin, tx_interface
from uinet.tcp import keys as ao_keys
from uinet.tcp.config import configure
from uinet.tcp.congestion.choice import make
from uinet.tcp.copying import check_target
from uinet.tcp.cork import pull
from uinet.tcp.discovery import packet_size, path_mtu
from uinet.tcp.send import wants_output
from uinet.tcp.state import CLOSED, ESTABLISHED
from uinet.tcp.timers import rearm, start_keepalive
from uinet.tcp.window import set_pacing, use
from uinet.units import SECOND
from uinet.wire.addresses import ANY, vids

if TYPE_CHECKING:
    from uinet.socket import Socket
    from uinet.tcp.tcb import Tcb
    from uinet.udp.endpoint import UdpEndpoint

# options whose value, while they are not set, is a setting of the stack: (setting, its unit in the option's)
DEFAULTS = {
    sockopt.TCP_KEEPIDLE: ("keepalive_idle", SECOND), sockopt.TCP_KEEPINTVL: ("keepalive_interval", SECOND),
    sockopt.TCP_KEEPCNT: ("keepalive_count", 1), sockopt.TCP_LINGER2: ("fin_wait_2_timeout", SECOND),
}


def set_option(sock: Socket, level: int, name: int, value: Any) -> None:
    """Sets an option of an open socket (see `uinet.sockopt`). InvalidArgument, NotSupported."""
    if (level, name) in multicast.OPTIONS:
        multicast.set_option(sock, level, name, value)
        return
    if (level, name) in sockopt.BEFORE_BIND and is_placed(sock, name):
        raise InvalidArgument("this option says where a socket belongs: set it before bind, listen and connect")
    if (level, name) == (sockopt.IPPROTO_TCP, sockopt.TCP_AO_INFO):
        ao_keys.choose(sock.tcb, value)
        return
    if (level, name) == (sockopt.SOL_SOCKET, sockopt.SO_L2INFO):
        sock.placed().l2 = sockopt.check_l2(value)
        if sock.endpoint is not None:
            sock.endpoint.l2 = sock.l2
        return
    value = checked(sock, level, name, value)
    variant = sockopt.variant(sock.config, level, name, value) if sock.shared else None
    if variant is not None:
        sock.config = variant
    elif sock.shared:
        sock.config = sock.config.copy()
        sock.shared = False
    if sock.listener is not None:
        sock.listener.config = sock.config
    if (level, name) in sockopt.KEY_CHANGES:
        change_keys(sock, level, name, value)
        return
    if variant is None:
        sockopt.apply(sock.config, level, name, value)
    take_effect(sock, sockopt.SETTABLE[level, name][0])


def change_keys(sock: Socket, level: int, name: int, value: Any) -> None:
    """Sets one of the options with which segments are signed; if the connection can't have it, nothing has changed."""
    before = sock.config.keys
    sockopt.apply(sock.config, level, name, value)
    sock.stack.tcp.keyed = True
    if sock.tcb is not None:
        try:
            ao_keys.changed(sock.tcb, sock.config.keys)
        except Error:
            sock.config.keys = before
            raise


def take_effect(sock: Socket, attribute: str) -> None:
    """One attribute of the socket's Config has changed: what the socket is for follows."""
    if sock.listener is not None:
        sock.listener.syn_filter = sock.config.syn_filter
        sock.listener.reuse = sock.config.reuse_port
    if sock.endpoint is not None:
        configure_endpoint(sock, sock.endpoint)
    tcb = sock.tcb
    if attribute.startswith("copy_"):
        choose_copies(sock, tcb, attribute)
    if tcb is None or tcb.state == CLOSED:
        return
    configure(tcb, sock.config)
    if attribute == "tx_interface":
        pin(tcb, sock.config)
    if attribute in ("keepalive", "keep_idle") and tcb.state >= ESTABLISHED:
        start_keepalive(tcb)
        rearm(tcb)
    if attribute == "cork" and not sock.config.cork:
        pull(tcb)
    if attribute == "max_segment" and tcb.max_segment:
        tcb.mss = min(tcb.mss, tcb.max_segment)
        tcb.peer_mss = min(tcb.peer_mss, tcb.max_segment)
    flight = tcb.flight
    if attribute == "congestion" and flight is not None:
        use(tcb, sock.config.congestion)
    elif attribute == "max_pacing_rate" and flight is not None:
        set_pacing(tcb, flight)
    wants_output(tcb)


def checked(sock: Socket, level: int, name: int, value: Any) -> Any:
    """The values of options that are for this stack to judge."""
    if (level, name) == (sockopt.IPPROTO_IP, sockopt.IP_TXIF):
        return tx_interface(sock.stack, sock.config, value)
    if (level, name) == (sockopt.IPPROTO_IP, sockopt.IP_COPY_TARGET):
        return check_target(sock.stack.network, value)
    if (level, name) == (sockopt.IPPROTO_TCP, sockopt.TCP_TRIVIAL_ISN) and value == 1 and not sock.stack.simulated:
        raise InvalidArgument(
            "TCP_TRIVIAL_ISN makes ISNs that anybody can guess: in simulations only, or with TCP_TRIVIAL_ISN_FORCE"
        )
    return value


def choose_copies(sock: Socket, tcb: Tcb | None, attribute: str) -> None:
    """One of the options of copies has changed."""
    copies = sock.stack.copies()
    if tcb is not None and tcb.state != CLOSED:
        copies.choose(tcb, sock.config, attribute, tcb.serial, bool(tcb.passive_open))


def is_placed(sock: Socket, name: int) -> bool:
    """Whether it is too late for an option that says where this socket belongs."""
    if sock.endpoint is not None:
        return sock.endpoint.bound and name != sockopt.SO_L2INFO  # each datagram may go another way
    return sock.listener is not None or sock.tcb is not None


def get_option(sock: Socket, level: int, name: int) -> Any:
    """The value of an option. NotSupported."""
    if level == sockopt.SOL_SOCKET:
        if name == sockopt.SO_L2INFO:
            return sock.l2info
        if name == sockopt.SO_SETFIB:
            return sock.cdom
        if name == sockopt.SO_TYPE:
            return sock.type
        if name == sockopt.SO_DOMAIN:
            return sock.family
        if name == sockopt.SO_PROTOCOL:
            return sock.proto
        if name == sockopt.SO_ACCEPTCONN:
            return int(sock.listener is not None)
        if name == sockopt.SO_ERROR:
            return getattr(sock.error, "errno", 0) or 0
        if sock.tcb is not None and name == sockopt.SO_SNDBUF:
            return sock.tcb.snd_limit
        if sock.tcb is not None and name == sockopt.SO_RCVBUF:
            return sock.tcb.rcv_limit
    if (level, name) in multicast.OPTIONS:
        return multicast.get_option(sock, level, name)
    if (level, name) == (sockopt.IPPROTO_TCP, sockopt.TCP_INFO):
        return sock.info()
    if (level, name) == (sockopt.IPPROTO_TCP, sockopt.TCP_AO_INFO):
        return ao_keys.info(sock.tcb)
    if (level, name) == (sockopt.IPPROTO_TCP, sockopt.TCP_MAXSEG):
        return sock.tcb.mss if sock.tcb is not None else sock.config.max_segment
    if (level, name) == (sockopt.IPPROTO_TCP, sockopt.TCP_CONGESTION):
        return congestion_name(sock)
    if (level, name) in ((sockopt.IPPROTO_IP, sockopt.IP_MTU), (sockopt.IPPROTO_IPV6, sockopt.IPV6_MTU)):
        if sock.tcb is None:
            raise NotConnected()
        return packet_size(sock.tcb) if sock.tcb.path is not None else path_mtu(sock.tcb)
    if (level, name) == (sockopt.IPPROTO_IP, sockopt.IP_SERIALNO):
        return sock.serialno
    if (level, name) == (sockopt.IPPROTO_IP, sockopt.IP_COPY_MODE) and sock.tcb is not None:
        copies = sock.stack.tcp.copies
        return copies.mode_of(sock.tcb) if copies is not None else sockopt.IP_COPY_MODE_OFF
    value = sockopt.read(sock.config, level, name)
    if not value and level == sockopt.IPPROTO_TCP and name in DEFAULTS:
        setting, unit = DEFAULTS[name]
        value = getattr(sock.stack.tcp.settings, setting) // unit  # not set: what the stack does
    return value


def congestion_name(sock: Socket) -> str:
    """The name of the congestion control that is in use, or will be once there is something to send."""
    if sock.tcb is not None and sock.tcb.congestion is not None:
        return sock.tcb.congestion.name
    chosen = sock.config.congestion
    return make(sock.stack.tcp.settings.congestion if chosen is None else chosen).name


def configure_endpoint(sock: Socket, endpoint: UdpEndpoint) -> None:
    """Gives what takes datagrams the options of its socket."""
    config = sock.config
    endpoint.reuse_port = config.reuse_port
    endpoint.broadcast = config.broadcast
    endpoint.ttl = config.ttl if config.ttl != 64 else None
    endpoint.tos = config.tos
    endpoint.receive_limit = config.receive_buffer
    endpoint.l2 = sock.l2
    endpoint.dont_fragment = config.mtu_discover >= sockopt.IP_PMTUDISC_DO
    endpoint.tx_interface = config.tx_interface
    endpoint.fragments = config.mtu_discover == sockopt.IP_PMTUDISC_DONT
    endpoint.probes = config.mtu_discover == sockopt.IP_PMTUDISC_PROBE
    if not endpoint.bound:
        endpoint.cdom = config.cdom
        endpoint.vids = None if config.vlans is ANY else vids(config.vlans)  # type: ignore[arg-type]
