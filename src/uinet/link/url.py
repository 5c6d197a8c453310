"""Device URLs: ``SCHEME:NAME?option=value&...``, from text to an open device.

Paths and option values may hold percent escapes (``%26`` for ``&``, ``%3F`` for ``?``); interface names may
not.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from uinet.errors import DeviceError, DeviceURLError, InvalidArgument
from uinet.link.capture import Capture
from uinet.link.device import Device, check_mtu
from uinet.link.faults import DIRECTIONS, Faults
from uinet.link.memory import MemoryRegistry
from uinet.link.options import (
    Common,
    Options,
    one_of,
    parse_duration,
    parse_flag,
    parse_integer,
    parse_mtu,
    parse_path,
    parse_positive,
    parse_probability,
    parse_rate,
)
from uinet.link.pcap_file import PcapDevice
from uinet.link.schemes import EXAMPLES, SHARED, added, find_scheme, is_device_url
from uinet.link.sharing import Share
from uinet.wire.addresses import Mac

__all__ = ["Options", "is_device_url", "open_device", "parse_duration", "parse_probability", "parse_rate"]


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
    ``netmap:PORT[?lend=BUFFERS&promisc=1&busy_poll=50us]``, ``utun:NAME``,
    ``pcap:PATH[?out=PATH&pace=fast|capture]``, ``vde:PATH[?port=N&listen=1]``,
    ``unix:PATH[?mode=stream|dgram&listen=1&reconnect=1s&local=PATH&layer=2|3]``, and those of other packages (entry
    points of the group ``uinet.devices``). All of them: ``mtu=N``, ``mac=MAC``;
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
    found = find_scheme(scheme)
    if found is None:
        more = "".join(f"; {other}:" for other in sorted(added()))
        raise DeviceURLError(f"{url!r}: no device is called {scheme!r}: want {EXAMPLES}{more}")
    options = Options(url, query)
    if not name:
        raise DeviceURLError(f"{url!r}: a name is missing after the colon")
    if share is not None and scheme not in SHARED:
        raise DeviceURLError(f"{url!r}: {scheme} devices can't be shared by several workers: {', '.join(SHARED)} can")
    common = Common(options.take("mtu", parse_mtu, None), options.take("mac", Mac, None), registry, share)
    if mtu is not None:
        common.mtu = check_mtu(mtu)
    if mac is not None:
        common.mac = Mac(mac)
    faults = _fault_options(options)
    coalesces = options.take("coalesce", parse_flag, True)
    capture = options.take("capture", parse_path, "")
    if capture and share is not None:
        stem, suffix = os.path.splitext(capture)
        capture = f"{stem}-{share.index}{suffix}"
    open_base = found(name, options, common)
    options.finish(scheme)
    base = open_base()
    base.coalesces = coalesces
    return _wrapped(base, faults, capture)


def _fault_options(options: Options) -> Callable[[Device], Device] | None:
    """What wraps a device in the faults that are asked for; None if there are none."""
    drop = options.take("drop", parse_probability, 0.0)
    corrupt = options.take("corrupt", parse_probability, 0.0)
    reorder = options.take("reorder", parse_probability, 0.0)
    duplicate = options.take("duplicate", parse_probability, 0.0)
    delay = options.take("delay", parse_duration, 0)
    jitter = options.take("jitter", parse_duration, 0)
    rate = options.take("rate", parse_rate, 0.0)
    limit = options.take("limit", parse_positive, 10_000)
    direction = options.take("direction", one_of(DIRECTIONS), "both")
    seed = options.take("seed", parse_integer, 0)
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
