"""What a script says, as values: its options and its events."""

from __future__ import annotations

from dataclasses import dataclass, field

from uinet.wire.tcp_options import Option

# expressions


@dataclass(frozen=True, slots=True)
class Anything:
    """``...``: whatever it is."""

    def __str__(self) -> str:
        return "..."


@dataclass(frozen=True, slots=True)
class Number:
    """An integer."""

    value: int

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True, slots=True)
class Name:
    """A symbolic constant."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Text:
    """A string. `open`: ``"..."...``, more may follow."""

    value: str
    open: bool = False

    def __str__(self) -> str:
        return f'"{self.value}"' + ("..." if self.open else "")


@dataclass(frozen=True, slots=True)
class Either:
    """``A | B``: constants or'ed together."""

    parts: tuple[Expression, ...]

    def __str__(self) -> str:
        return "|".join(str(part) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Apply:
    """``htons(80)``, ``inet_addr("1.2.3.4")``."""

    function: str
    arguments: tuple[Expression, ...]

    def __str__(self) -> str:
        return f"{self.function}({', '.join(str(part) for part in self.arguments)})"


@dataclass(frozen=True, slots=True)
class Items:
    """``[a, b]`` or ``{a, b}``."""

    items: tuple[Expression, ...]

    def __str__(self) -> str:
        return f"[{', '.join(str(item) for item in self.items)}]"


@dataclass(frozen=True, slots=True)
class Fields:
    """``{name=value, ...}``: a struct."""

    fields: dict[str, Expression] = field(hash=False)

    def __str__(self) -> str:
        return "{" + ", ".join(f"{name}={value}" for name, value in self.fields.items()) + "}"


Expression = Anything | Number | Name | Text | Either | Apply | Items | Fields


# times


@dataclass(frozen=True, slots=True)
class When:
    """The time of an event, ns. `relative`: to the event before. `anytime`: ``*``. `end`: of a range, or None."""

    start: int
    end: int | None = None
    relative: bool = False
    anytime: bool = False


# packets


@dataclass(frozen=True, slots=True)
class IpInfo:
    """What a script says of the IP header. `ecn`: the two bits, 3 for CE; "ect01" either ECT. None: nothing."""

    ecn: int | str | None = None
    tos: int | None = None
    dscp: int | None = None
    ttl: int | None = None
    flow_label: int | None = None


@dataclass(frozen=True, slots=True)
class OptionSpec:
    """One TCP option. `any_value`: TS val is not looked at. `absolute_echo`: ecr is not mapped.
    `signed`: an MD5 option that has to be valid."""

    option: Option
    any_value: bool = False
    absolute_echo: bool = False
    signed: bool = False


@dataclass(frozen=True, slots=True)
class TcpSpec:
    """A TCP segment. `ports`: (source, destination) if they are said. `options` None: not looked at.
    `ace`: the AccECN field if flags are written with one. `absolute`: the sequence number is taken as it is."""

    inbound: bool
    flags: str
    seq: int
    length: int
    ack: int = 0
    window: int | None = None
    urgent: int = 0
    options: tuple[OptionSpec, ...] | None = ()
    raw_options: bytes | None = None
    ip: IpInfo = IpInfo()
    ports: tuple[int, int] | None = None
    ace: int | None = None
    absolute: bool = False
    any_seq: bool = False


@dataclass(frozen=True, slots=True)
class UdpSpec:
    """A UDP datagram."""

    inbound: bool
    length: int
    ip: IpInfo = IpInfo()
    ports: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class IcmpSpec:
    """An ICMP message, most often an error about a packet of ours. `kind`, `code`: as words or numbers.
    `about`: ("tcp", seq, length), ("udp", 0, length), ("raw", 0, length) or None."""

    inbound: bool
    kind: str
    code: str | None
    mtu: int = 0
    echo_id: int = 0
    about: tuple[str, int, int] | None = None
    ip: IpInfo = IpInfo()


PacketSpec = TcpSpec | UdpSpec | IcmpSpec


# the other actions


@dataclass(frozen=True, slots=True)
class Call:
    """A system call. `end`: when a blocking one returns, ns, on the same scale as its start; None: at once.
    `error`: the errno's name if it fails."""

    name: str
    arguments: tuple[Expression, ...]
    result: Expression
    error: str | None = None
    end: int | None = None

    def __str__(self) -> str:
        arguments = ", ".join(str(argument) for argument in self.arguments)
        return f"{self.name}({arguments}) = {self.result}" + (f" {self.error}" if self.error else "")


@dataclass(frozen=True, slots=True)
class Command:
    """A shell command."""

    text: str


@dataclass(frozen=True, slots=True)
class Code:
    """A Python snippet."""

    text: str


Action = TcpSpec | UdpSpec | IcmpSpec | Call | Command | Code


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a script."""

    line: int
    when: When
    action: Action


@dataclass(slots=True)
class Script:
    """A whole script. `options`: (name, value, line), in order. `init`, `cleanup`: commands without a time."""

    options: list[tuple[str, str, int]] = field(default_factory=list)
    init: list[tuple[int, Command]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    cleanup: list[tuple[int, Command]] = field(default_factory=list)
