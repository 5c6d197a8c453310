"""What a run is set up with: addresses, tolerances and what is compared, from a script's options and a persona."""

from __future__ import annotations

from dataclasses import dataclass, field

from uinet.errors import InvalidArgument
from uinet.sim.packetdrill.errors import ScriptError, Unsupported
from uinet.sim.packetdrill.script import Script
from uinet.units import MICROSECOND
from uinet.wire.addresses import pack_address

IP_VERSIONS = ("ipv4", "ipv6", "ipv4-mapped-ipv6")

# options that say how packetdrill itself runs, or on which machines
IGNORED = {
    "verbose", "debug", "dry_run", "init_scripts", "non_fatal", "speed", "code_command", "code_format", "code_sockopt",
    "persistent_tun_dev", "tun_dev", "use_expect", "netmask_ip", "prefix", "is_anyip", "log", "send_omit_free",
}


@dataclass
class Rules:
    """What of a packet is compared exactly. What is not is fixed by no RFC, and each stack's own choice.

    `window`: the window field (otherwise only whether it is zero). `scale`: the window scale. `order`: the order of
    options. `padding`: NOPs and ends of the list. `push`: the PSH flag. `buffers`: buffer sizes that getsockopt tells.
    `acks`: when data in order is acknowledged, and how many segments by one ACK (otherwise: within 500 ms, RFC 9293
    MUST-58, and any number). `last_push`: that PSH is on the last bytes that were written (RFC 9293 MUST-61).
    """

    window: bool = False
    scale: bool = False
    order: bool = False
    padding: bool = False
    push: bool = False
    buffers: bool = False
    acks: bool = False
    last_push: bool = True


@dataclass
class Config:
    """One run. Addresses packed, times in ns."""

    ip_version: str = "ipv4"
    local: bytes = b""
    remote: bytes = b""
    gateway: bytes = b""
    mtu: int = 0
    mss: int = 0
    tolerance: int = 4000 * MICROSECOND
    percent: float = 12.5
    tick: int = 0  # of the timestamp clock, ns; 0: TS val is not compared
    strict_segments: bool = False
    bind_port: int = 8080
    connect_port: int = 8080
    md5_secret: bytes | None = None
    offload: bool = False
    rules: Rules = field(default_factory=Rules)

    @property
    def v6(self) -> bool:
        """Whether IPv6 is on the wire."""
        return self.ip_version == "ipv6"

    @property
    def headers(self) -> int:
        """Bytes of an IP and a TCP header without options."""
        return 60 if self.v6 else 40


DEFAULTS = {
    False: ("192.168.0.1", "192.0.2.1", "192.168.0.2"),
    True: ("fd3d:fa7b:d17d::1", "2001:db8::1", "fd3d:fa7b:d17d::2"),
}


def configure(script: Script, rules: Rules, ip_version: str | None = None, **defaults: int) -> Config:
    """The configuration that a script's options ask for. `ip_version`: what the caller wants where the script does
    not say. `defaults`: fields of Config that the script may set otherwise. ScriptError, Unsupported."""
    config = Config(rules=rules)
    for field_name, number in defaults.items():
        setattr(config, field_name, number)
    addresses: dict[str, bytes] = {}
    asked = ""
    for name, value, line in script.options:
        if name == "ip_version":
            if value not in IP_VERSIONS:
                raise ScriptError(f"--ip_version={value}: want one of {', '.join(IP_VERSIONS)}", line)
            asked = value
        elif name in ("local_ip", "remote_ip", "gateway_ip"):
            addresses[name] = _address(value, line)
        else:
            _option(config, name, value, line)
    sample = next(iter(addresses.values()), b"")
    config.ip_version = asked or ip_version or ("ipv6" if len(sample) == 16 else "ipv4")
    if config.v6 and not asked and not sample and not config.mtu:
        config.mtu = 1520  # a script that names no version counts with IPv4's MSS of 1460: packetdrill's own custom
    config.mtu = config.mtu or 1500
    local, remote, gateway = (pack_address(text) for text in DEFAULTS[config.v6])
    config.local = addresses.get("local_ip", local)
    config.remote = addresses.get("remote_ip", remote)
    config.gateway = addresses.get("gateway_ip", gateway)
    if len({len(config.local), len(config.remote), len(config.gateway)}) != 1 and "gateway_ip" in addresses:
        raise ScriptError("the addresses of the options are of different families")
    if len(config.local) != len(config.remote):
        raise ScriptError("--local_ip and --remote_ip are of different families")
    return config


def _address(value: str, line: int) -> bytes:
    try:
        return pack_address(value.partition("/")[0])
    except InvalidArgument as error:
        raise ScriptError(str(error), line) from None


def _option(config: Config, name: str, value: str, line: int) -> None:
    if name == "tolerance_usecs":
        config.tolerance = _number(name, value, line) * MICROSECOND
    elif name == "tolerance_percent":
        config.percent = float(_number(name, value.partition(".")[0], line))
    elif name in ("mtu", "mss", "bind_port", "connect_port"):
        setattr(config, name, _number(name, value, line))
    elif name == "tcp_ts_tick_usecs":
        config.tick = _number(name, value, line) * MICROSECOND
    elif name == "strict_segments":
        config.strict_segments = True
    elif name == "tcp_md5_secret":
        config.md5_secret = value.encode()
    elif name == "tcp_ts_ecr_scaled":
        pass  # an echo that no segment of ours had is always scaled
    elif name == "udp_encapsulation" or name.startswith(("wire_", "psp")):
        raise Unsupported(f"--{name}")
    elif name not in IGNORED:
        raise ScriptError(f"--{name} is no option", line)


def _number(name: str, value: str, line: int) -> int:
    if not value.isdigit() or int(value) > 1 << 40:
        raise ScriptError(f"--{name}={value}: want a number", line)
    return int(value)
