"""The schemes of device URLs: those built in, and those of other packages, by entry points of ``uinet.devices``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote

from uinet.errors import DeviceError, DeviceURLError, Error
from uinet.link.device import Device
from uinet.link.netmap import MOST_LENT, NetmapDevice
from uinet.link.options import (
    Common,
    Options,
    one_of,
    parse_duration,
    parse_fanout,
    parse_flag,
    parse_layer,
    parse_number,
    parse_path,
    parse_positive,
    parse_prefixes,
    parse_queue,
    parse_size,
)
from uinet.link.packet import PacketDevice
from uinet.link.pcap_file import PACES, PcapDevice
from uinet.link.stamping import TIMESTAMPS
from uinet.link.tap import TapDevice
from uinet.link.unix import UnixDatagramDevice, UnixStreamDevice
from uinet.link.utun import UtunDevice
from uinet.link.vde import MOST_PORTS, VdeDevice, VdeSwitchDevice
from uinet.link.xdp import MODES, XdpDevice

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")

GROUP = "uinet.devices"  # of entry points: the scheme -> a function like those below
SHARED = ("netmap", "packet", "tap", "tun", "xdp")
EXAMPLES = (
    "memory:NAME, tap:NAME, tun:NAME, utun:NAME, packet:IFNAME, xdp:IFNAME, netmap:PORT, pcap:PATH, unix:PATH "
    "or vde:PATH"
)

# one function a scheme: takes its options, and returns what opens the device, once all options are known to
# be right

Opener = Callable[[], Device]
Scheme = Callable[[str, Options, Common], Opener]


def _memory(name: str, options: Options, common: Common) -> Opener:
    queue = options.take("queue", parse_positive, 1024)
    layer = options.take("layer", parse_layer, 2)
    registry = common.registry
    if registry is None:
        raise DeviceURLError(f"memory:{name} is a cable within one program, whose `registry` joins its ends")
    return lambda: registry.open(name, layer=layer, mtu=common.mtu or 1500, mac=common.mac, queue=queue)


def _tap(name: str, options: Options, common: Common, layer: int = 2) -> Opener:
    none: tuple[str, ...] = ()
    addresses = options.take("ip", parse_prefixes, none)
    up = options.take("up", parse_flag, True)
    offload = options.take("offload", parse_flag, True)
    busy_poll = options.take("busy_poll", parse_duration, 0)
    share = common.share
    if share is not None:
        name = share.name or name
        up = up and share.index == share.count - 1  # with fewer queues packets would go to others than their owners
        addresses = addresses if share.index == 0 else ()
    return lambda: TapDevice(
        name, layer=layer, mtu=common.mtu, mac=common.mac, up=up, addresses=addresses, offload=offload,
        busy_poll=busy_poll, share=share,
    )


def _tun(name: str, options: Options, common: Common) -> Opener:
    return _tap(name, options, common, layer=3)


def _packet(name: str, options: Options, common: Common) -> Opener:
    promisc = options.take("promisc", parse_flag, True)
    offload = options.take("offload", parse_flag, True)
    fanout = options.take("fanout", parse_fanout, None)
    buffer = options.take("buffer", parse_size, 8 << 20)
    ring = options.take("ring", parse_size, 0)
    busy_poll = options.take("busy_poll", parse_duration, 0)
    timestamps = options.take("timestamps", one_of(TIMESTAMPS), "")
    return lambda: PacketDevice(
        name, mtu=common.mtu, mac=common.mac, promisc=promisc, offload=offload, fanout=fanout, buffer=buffer,
        ring=ring, busy_poll=busy_poll, timestamps=timestamps, share=common.share,
    )


def _xdp(name: str, options: Options, common: Common) -> Opener:
    queue = options.take("queue", parse_queue, None)
    mode = options.take("mode", one_of(MODES), "auto")
    copy = options.take("copy", parse_flag, False)
    promisc = options.take("promisc", parse_flag, True)
    busy_poll = options.take("busy_poll", parse_duration, 0)
    return lambda: XdpDevice(
        name, queue=queue, mode=mode, copy=copy, mtu=common.mtu, mac=common.mac, promisc=promisc,
        busy_poll=busy_poll, share=common.share,
    )


def _netmap(name: str, options: Options, common: Common) -> Opener:
    lend = options.take("lend", parse_number(MOST_LENT), 0)
    promisc = options.take("promisc", parse_flag, True)
    busy_poll = options.take("busy_poll", parse_duration, 0)
    return lambda: NetmapDevice(
        name, mtu=common.mtu, mac=common.mac, lend=lend, promisc=promisc, busy_poll=busy_poll, share=common.share
    )


def _utun(name: str, options: Options, common: Common) -> Opener:
    return lambda: UtunDevice(name, mtu=common.mtu)


def _pcap(name: str, options: Options, common: Common) -> Opener:
    out = options.take("out", parse_path, "")
    pace = options.take("pace", one_of(PACES), "fast")
    return lambda: PcapDevice(unquote(name), out=out, pace=pace, mtu=common.mtu or 1500, mac=common.mac)


def _unix(name: str, options: Options, common: Common) -> Opener:
    path = unquote(name)
    mode = options.take("mode", one_of(("stream", "dgram")), "stream")
    listen = options.take("listen", parse_flag, False)
    reconnect = options.take("reconnect", parse_duration, 0)
    layer = options.take("layer", parse_layer, 2)
    mtu, mac = common.mtu or 1500, common.mac
    if listen and reconnect:
        raise DeviceURLError(f"unix:{path}: reconnect= is for who connects; the one that listens waits anyway")
    if mode == "stream":
        return lambda: UnixStreamDevice(path, listen=listen, reconnect=reconnect, layer=layer, mtu=mtu, mac=mac)
    local = options.take("local", parse_path, "")
    return lambda: UnixDatagramDevice(
        path, listen=listen, local=local, wait=reconnect > 0, layer=layer, mtu=mtu, mac=mac
    )


def _vde(name: str, options: Options, common: Common) -> Opener:
    port = options.take("port", parse_number(MOST_PORTS - 1), 0)
    path, mtu, mac = unquote(name), common.mtu or 1500, common.mac
    if options.take("listen", parse_flag, False):
        return lambda: VdeSwitchDevice(path, mtu=mtu, mac=mac)
    return lambda: VdeDevice(path, port=port, mtu=mtu, mac=mac)


BUILT_IN: dict[str, Scheme] = {
    "memory": _memory,
    "netmap": _netmap,
    "packet": _packet,
    "pcap": _pcap,
    "tap": _tap,
    "tun": _tun,
    "unix": _unix,
    "utun": _utun,
    "vde": _vde,
    "xdp": _xdp,
}


def added() -> dict[str, EntryPoint]:
    """The schemes of other packages that are installed here, by name; a built-in one is never replaced."""
    from importlib.metadata import entry_points  # which takes longer to import than all devices together

    return {point.name: point for point in entry_points(group=GROUP) if point.name not in BUILT_IN}


def find_scheme(name: str) -> Scheme | None:
    """What opens the devices of a scheme, None if there is no such scheme.

    DeviceError if the package that adds it can't be imported.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    point = added().get(name)
    if point is None:
        return None
    try:
        found: Scheme = point.load()
    except Exception as error:
        of = f" of {point.dist.name}" if point.dist is not None else ""
        raise DeviceError(f"{name}: the device{of} can't be loaded: {type(error).__name__}: {error}") from error
    if not callable(found):
        raise DeviceError(f"{name}: {point.value} is no function that makes devices")
    return partial(_guarded, found)


def _guarded(scheme: Scheme, name: str, options: Options, common: Common) -> Opener:
    """A scheme of another package, whose mistakes are errors of its device."""

    def open_it(opener: Opener) -> Device:
        device = _tried(name, opener)
        if not isinstance(device, Device):
            raise DeviceError(f"{name}: made a {type(device).__name__}, which is no uinet.link.Device")
        return device

    return partial(open_it, _tried(name, lambda: scheme(name, options, common)))


def _tried(name: str, call: Callable[[], T]) -> T:
    try:
        return call()
    except Error:
        raise
    except Exception as error:
        raise DeviceError(f"{name}: {type(error).__name__}: {error}") from error


def is_device_url(text: str) -> bool:
    """Whether `text` begins with a scheme that there is here: a path seldom does."""
    scheme, colon, _ = text.partition(":")
    return bool(colon) and (scheme in BUILT_IN or scheme in added())
