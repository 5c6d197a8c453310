"""Device URLs: ``SCHEME:NAME?option=value&...``, from text to an open device.

Paths and option values may hold percent escapes (``%26`` for ``&``, ``%3F`` for ``?``); interface names may
not.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import unquote

from uinet.errors import AddressError, DeviceError, DeviceURLError, InvalidArgument
from uinet.link.capture import Capture
from uinet.link.device import Device, check_mtu
from uinet.link.faults import DIRECTIONS, Faults
from uinet.link.memory import MemoryRegistry
from uinet.link.packet import PacketDevice
from uinet.link.pcap_file import PACES, PcapDevice
from uinet.link.sharing import Share
from uinet.link.stamping import TIMESTAMPS
from uinet.link.tap import TapDevice
from uinet.link.unix import UnixDatagramDevice, UnixStreamDevice
from uinet.link.xdp import MODES, XdpDevice
from uinet.units import MICROSECOND, MILLISECOND, SECOND
from uinet.wire.addresses import Mac, parse_prefix

T = TypeVar("T")

EXAMPLES = "memory:NAME, tap:NAME, tun:NAME, packet:IFNAME, xdp:IFNAME, pcap:PATH or unix:PATH"
SHARED = ("packet", "tap", "tun", "xdp")
NOT_HERE = {"netmap": "netmap"}

_NUMBER = r"(\d{1,15}(?:\.\d*)?|\.\d+)"
_PROBABILITY = re.compile(_NUMBER + r"(%?)")
_DURATION = re.compile(_NUMBER + r"(ns|us|ms|s)")
_SCALED = re.compile(_NUMBER + r"([kKMG]?)")
_TIME_UNITS = {"ns": 1, "us": MICROSECOND, "ms": MILLISECOND, "s": SECOND}
_SCALES = {"": 1, "k": 1_000, "K": 1_000, "M": 1_000_000, "G": 1_000_000_000}
_FLAGS = {
    **dict.fromkeys(("1", "yes", "true", "on"), True),
    **dict.fromkeys(("0", "no", "false", "off"), False),
}


def open_device(
    url: str,
    *,
    registry: MemoryRegistry | None = None,
    mtu: int | None = None,
    mac: Mac | str | bytes | None = None,
    share: Share | None = None,
) -> Device:
    """The device that `url` names, open, wrapped in the faults and the capture that its options ask for.

    ``memory:NAME[?queue=FRAMES&layer=2|3]``, ``tap:NAME`` and
    ``tun:NAME[?ip=10.7.0.1/24,...&up=1&offload=1&busy_poll=50us]``,
    ``packet:IFNAME[?promisc=1&offload=1&fanout=N&buffer=8M&ring=64M&busy_poll=50us&timestamps=hardware|software]``,
    ``xdp:IFNAME[?queue=N&mode=auto|native|generic&copy=0&promisc=1&busy_poll=50us]``,
    ``pcap:PATH[?out=PATH&pace=fast|capture]``,
    ``unix:PATH[?mode=stream|dgram&listen=1&local=PATH&layer=2|3]``. All of them: ``mtu=N``, ``mac=MAC``;
    ``drop``, ``corrupt``, ``reorder``, ``duplicate`` (``0.01`` or ``1%``), ``delay``, ``jitter`` (``5ms``,
    ``1.5s``, ``200us``), ``rate`` (bits per second: ``10M``), ``limit=FRAMES``, ``direction=both|in|out``,
    ``seed=N`` (see Faults); ``capture=PATH``, of what the stack sees; ``coalesce=0`` (see Device).

    `registry`: where memory links meet. `mtu`, `mac`: instead of those of the URL. `share`: one worker's (see
    open_shares); a capture is then called after its number too. DeviceURLError names the
    part that is wrong; DeviceError, PermissionDenied, DeviceGone and CaptureError as the device says.
    """
    scheme, colon, rest = url.partition(":")
    if not colon:
        raise DeviceURLError(f"{url!r} is no device URL: want {EXAMPLES}")
    name, _, query = rest.partition("?")
    if scheme in NOT_HERE:
        missing = NOT_HERE[scheme]
        raise DeviceURLError(f"{url!r}: {missing} is not supported in this version; use packet:IFNAME")
    if scheme not in _OPENERS:
        raise DeviceURLError(f"{url!r}: no device is called {scheme!r}: want {EXAMPLES}")
    options = Options(url, query)
    if not name:
        raise DeviceURLError(f"{url!r}: a name is missing after the colon")
    if share is not None and scheme not in SHARED:
        raise DeviceURLError(f"{url!r}: {scheme} devices can't be shared by several workers: {', '.join(SHARED)} can")
    common = Common(options.take("mtu", _mtu, None), options.take("mac", Mac, None), registry, share)
    if mtu is not None:
        common.mtu = check_mtu(mtu)
    if mac is not None:
        common.mac = Mac(mac)
    faults = _fault_options(options)
    coalesces = options.take("coalesce", _flag, True)
    capture = options.take("capture", _path, "")
    if capture and share is not None:
        stem, suffix = os.path.splitext(capture)
        capture = f"{stem}-{share.index}{suffix}"
    open_base = _OPENERS[scheme](name, options, common)
    options.finish(scheme)
    base = open_base()
    base.coalesces = coalesces
    return _wrapped(base, faults, capture)


class Options:
    """The query of a URL, taken option by option; what is left over at the end is an error."""

    def __init__(self, url: str, query: str) -> None:
        self._url = url
        self._known: list[str] = []
        self._values: dict[str, str] = {}
        for part in query.split("&") if query else ():
            key, equals, value = part.partition("=")
            if not equals or not key:
                raise DeviceURLError(f"{url!r}: option {part!r}: want NAME=VALUE")
            if key in self._values:
                raise DeviceURLError(f"{url!r}: option {key!r} is there twice")
            self._values[key] = unquote(value)

    def take(self, name: str, parse: Callable[[str], T], default: T) -> T:
        """The value of option `name`, or the default; DeviceURLError if `parse` does not like it."""
        self._known.append(name)
        value = self._values.pop(name, None)
        if value is None:
            return default
        try:
            return parse(value)
        except (AddressError, InvalidArgument) as error:
            raise DeviceURLError(f"{self._url!r}: option {name}: {error}") from None
        except ValueError as error:
            raise DeviceURLError(f"{self._url!r}: option {name}={value}: want {error}") from None

    def finish(self, scheme: str) -> None:
        """DeviceURLError if there are options that nobody has taken."""
        if self._values:
            unknown = next(iter(self._values))
            known = ", ".join(sorted(self._known))
            raise DeviceURLError(f"{self._url!r}: {scheme} has no option {unknown!r}: there are {known}")


class Common:
    """What all kinds of devices take."""

    def __init__(
        self, mtu: int | None, mac: Mac | None, registry: MemoryRegistry | None, share: Share | None = None
    ) -> None:
        self.mtu = mtu
        self.mac = mac
        self.registry = registry
        self.share = share


# one function a scheme: takes its options, and returns what opens the device, once all options are known to
# be right

Opener = Callable[[], Device]


def _memory(name: str, options: Options, common: Common) -> Opener:
    queue = options.take("queue", _positive, 1024)
    layer = options.take("layer", _layer, 2)
    registry = common.registry
    if registry is None:
        raise DeviceURLError(f"memory:{name} needs a registry, in which its two ends meet")
    return lambda: registry.open(name, layer=layer, mtu=common.mtu or 1500, mac=common.mac, queue=queue)


def _tap(name: str, options: Options, common: Common, layer: int = 2) -> Opener:
    none: tuple[str, ...] = ()
    addresses = options.take("ip", _prefixes, none)
    up = options.take("up", _flag, True)
    offload = options.take("offload", _flag, True)
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
    promisc = options.take("promisc", _flag, True)
    offload = options.take("offload", _flag, True)
    fanout = options.take("fanout", _fanout, None)
    buffer = options.take("buffer", _buffer, 8 << 20)
    ring = options.take("ring", _buffer, 0)
    busy_poll = options.take("busy_poll", parse_duration, 0)
    timestamps = options.take("timestamps", _one_of(TIMESTAMPS), "")
    return lambda: PacketDevice(
        name, mtu=common.mtu, mac=common.mac, promisc=promisc, offload=offload, fanout=fanout, buffer=buffer,
        ring=ring, busy_poll=busy_poll, timestamps=timestamps, share=common.share,
    )


def _xdp(name: str, options: Options, common: Common) -> Opener:
    queue = options.take("queue", _queue, None)
    mode = options.take("mode", _one_of(MODES), "auto")
    copy = options.take("copy", _flag, False)
    promisc = options.take("promisc", _flag, True)
    busy_poll = options.take("busy_poll", parse_duration, 0)
    return lambda: XdpDevice(
        name, queue=queue, mode=mode, copy=copy, mtu=common.mtu, mac=common.mac, promisc=promisc,
        busy_poll=busy_poll, share=common.share,
    )


def _pcap(name: str, options: Options, common: Common) -> Opener:
    out = options.take("out", _path, "")
    pace = options.take("pace", _one_of(PACES), "fast")
    return lambda: PcapDevice(unquote(name), out=out, pace=pace, mtu=common.mtu or 1500, mac=common.mac)


def _unix(name: str, options: Options, common: Common) -> Opener:
    path = unquote(name)
    mode = options.take("mode", _one_of(("stream", "dgram")), "stream")
    listen = options.take("listen", _flag, False)
    layer = options.take("layer", _layer, 2)
    mtu, mac = common.mtu or 1500, common.mac
    if mode == "stream":
        return lambda: UnixStreamDevice(path, listen=listen, layer=layer, mtu=mtu, mac=mac)
    local = options.take("local", _path, "")
    return lambda: UnixDatagramDevice(path, listen=listen, local=local, layer=layer, mtu=mtu, mac=mac)


_OPENERS: dict[str, Callable[[str, Options, Common], Opener]] = {
    "memory": _memory,
    "tap": _tap,
    "tun": _tun,
    "packet": _packet,
    "xdp": _xdp,
    "pcap": _pcap,
    "unix": _unix,
}


def _fault_options(options: Options) -> Callable[[Device], Device] | None:
    """What wraps a device in the faults that are asked for; None if there are none."""
    drop = options.take("drop", parse_probability, 0.0)
    corrupt = options.take("corrupt", parse_probability, 0.0)
    reorder = options.take("reorder", parse_probability, 0.0)
    duplicate = options.take("duplicate", parse_probability, 0.0)
    delay = options.take("delay", parse_duration, 0)
    jitter = options.take("jitter", parse_duration, 0)
    rate = options.take("rate", parse_rate, 0.0)
    limit = options.take("limit", _positive, 10_000)
    direction = options.take("direction", _one_of(DIRECTIONS), "both")
    seed = options.take("seed", _integer, 0)
    if not (drop or corrupt or reorder or duplicate or delay or jitter or rate):
        return None
    return lambda inner: Faults(
        inner,
        drop=drop,
        corrupt=corrupt,
        reorder=reorder,
        duplicate=duplicate,
        delay=delay,
        jitter=jitter,
        rate=rate or None,
        seed=seed,
        direction=direction,
        limit=limit,
    )


def _wrapped(base: Device, faults: Callable[[Device], Device] | None, capture: str) -> Device:
    """`base` in its wrappers; closed if one of them can't be made."""
    device = base
    try:
        if faults is not None:
            device = faults(device)
        if capture and isinstance(base, PcapDevice):
            device = Capture(device, capture, clock=lambda: base.time)
        elif capture:
            device = Capture(device, capture)
    except DeviceError:
        device.close()
        raise
    except InvalidArgument as error:
        device.close()
        raise DeviceURLError(f"{base.name}: {error}") from None
    return device


# values: each parser says in its ValueError what is wanted


def parse_probability(text: str) -> float:
    match = _PROBABILITY.fullmatch(text)
    value = float(match[1]) / (100 if match[2] else 1) if match else -1.0
    if not 0 <= value <= 1:
        raise ValueError("a probability from 0 to 1, or a percentage like 1%")
    return value


def parse_duration(text: str) -> int:
    match = _DURATION.fullmatch(text)
    if match:
        return round(float(match[1]) * _TIME_UNITS[match[2]])
    if text == "0":
        return 0
    raise ValueError("a time with its unit, like 5ms, 1.5s or 200us")


def parse_rate(text: str) -> float:
    match = _SCALED.fullmatch(text)
    value = float(match[1]) * _SCALES[match[2]] if match else 0.0
    if value <= 0:
        raise ValueError("bits per second, like 64k, 10M or 1.5G")
    return value


def _buffer(text: str) -> int:
    match = _SCALED.fullmatch(text)
    value = round(float(match[1]) * _SCALES[match[2]]) if match else 0
    if not 1 <= value < 1 << 30:
        raise ValueError("bytes, like 8M, less than 1G")
    return value


def _integer(text: str) -> int:
    if not re.fullmatch(r"-?\d{1,18}", text):
        raise ValueError("an integer")
    return int(text)


def _positive(text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text) or int(text) < 1:
        raise ValueError("an integer of 1 or more")
    return int(text)


def _fanout(text: str) -> int | None:
    if not re.fullmatch(r"\d{1,5}", text) or int(text) > 0xFFFF:
        raise ValueError("a number from 0 to 65535")
    return int(text)


def _queue(text: str) -> int | None:
    if not re.fullmatch(r"\d{1,5}", text):
        raise ValueError("the number of a queue, from 0")
    return int(text)


def _mtu(text: str) -> int | None:
    return check_mtu(_positive(text))


def _layer(text: str) -> int:
    if text not in ("2", "3"):
        raise ValueError("2 (Ethernet) or 3 (IP)")
    return int(text)


def _flag(text: str) -> bool:
    if text.lower() not in _FLAGS:
        raise ValueError("1 or 0")
    return _FLAGS[text.lower()]


def _path(text: str) -> str:
    if not text or "\0" in text:
        raise ValueError("a path")
    return text


def _prefixes(text: str) -> tuple[str, ...]:
    prefixes = tuple(text.split(","))
    for prefix in prefixes:
        parse_prefix(prefix)
        if "/" not in prefix:
            raise ValueError("addresses with their prefix length, like 10.7.0.1/24")
    return prefixes


def _one_of(choices: tuple[str, ...]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(" or ".join(choices))
        return text

    return parse
