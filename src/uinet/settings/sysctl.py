"""The settings of one stack by name: ``stack.sysctl["net.inet.tcp.sack.enable"] = False``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from uinet.errors import InvalidArgument
from uinet.settings.interfaces import INTERFACE, PREFIX
from uinet.settings.ip import IP
from uinet.settings.kinds import short
from uinet.settings.registry import UNTIL_WATCHED, Setting
from uinet.settings.tcp import TCP
from uinet.tcp.settings import Settings

if TYPE_CHECKING:
    from uinet.stack import Stack

SETTINGS: dict[str, Setting] = {setting.name: setting for setting in sorted((*TCP, *IP), key=lambda one: one.name)}
"""All but those of interfaces, by name."""
OF_INTERFACES: dict[str, Setting] = {setting.attribute: setting for setting in INTERFACE}

HOLDERS: dict[str, Callable[[Any], Any]] = {  # of a stack
    "tcp": lambda stack: stack.tcp.settings,
    "passive": lambda stack: stack.tcp.settings.passive,
    "limits": lambda stack: stack.tcp.settings.passive.limits,
    "ip": lambda stack: stack.network.settings,
    "neighbors": lambda stack: stack.network.neighbors,
    "reassembler": lambda stack: stack.network.reassembler,
}


class Sysctl:
    """Settings by name, as what JSON has: durations are seconds. Iterating gives the names, sorted.

    What is set is checked first: InvalidArgument for a name that does not exist, and for a value out of range, with the
    range.
    """

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    def __getitem__(self, name: str) -> Any:
        setting, holder = self.find(name)
        return setting.kind.dump(getattr(holder, setting.attribute))

    def __setitem__(self, name: str, value: Any) -> None:
        self.set(name, value)

    def __contains__(self, name: str) -> bool:
        try:
            self.find(name)
        except InvalidArgument:
            return False
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(sorted([*SETTINGS, *self._of_interfaces()]))

    def __len__(self) -> int:
        return len(SETTINGS) + len(OF_INTERFACES) * len(self.stack.interfaces)

    def under(self, prefix: str) -> list[str]:
        """The names that are `prefix`, or begin with it and a dot; all of them for ""."""
        return [name for name in self if not prefix or name == prefix or name.startswith(f"{prefix}.")]

    def find(self, name: str) -> tuple[Setting, Any]:
        """The setting of that name, and the object that has its value."""
        setting = SETTINGS.get(name)
        if setting is not None:
            return setting, HOLDERS[setting.holder](self.stack)
        if name.startswith(PREFIX):  # an interface's name may have dots in it
            link, _, attribute = name[len(PREFIX) :].rpartition(".")
            for interface in self.stack.interfaces:
                if interface.name == link and attribute in OF_INTERFACES:
                    return OF_INTERFACES[attribute], interface
        raise InvalidArgument(f"there is no setting {short(name)}")

    def set(self, name: str, value: Any) -> tuple[Any, Any]:
        """Sets it; what it was before, and what it is now."""
        setting, holder = self.find(name)
        before = self[name]
        try:
            held = setting.kind.load(value)
            self._check_order(setting, holder, held)
            if setting.applies == UNTIL_WATCHED and self.stack.tcp.watch is not None:
                raise InvalidArgument("it is too late: connections are watched already")
        except InvalidArgument as error:
            raise InvalidArgument(f"{name}: {error}") from None
        self._put(setting, holder, held)
        return before, self[name]

    def text(self, name: str) -> str:
        """Its value as text that `set` takes."""
        setting, holder = self.find(name)
        return setting.kind.show(getattr(holder, setting.attribute))

    def range(self, name: str) -> str:
        """What it may be now, for people: as other settings bound it."""
        setting, holder = self.find(name)
        found = setting.kind.range
        for word, bound in (("at most", setting.at_most), ("at least", setting.at_least)):
            if bound:
                found += f", {word} {name_of(setting.holder, bound)}, {setting.kind.show(getattr(holder, bound))}"
        return found

    def describe(self, name: str) -> dict[str, Any]:
        """Everything about it: value, default, type, range, RFC, help, and what a change applies to."""
        setting = self.find(name)[0]
        kind = setting.kind
        return {
            "name": name, "value": self[name], "text": self.text(name), "type": kind.name,
            "default": default(setting), "range": self.range(name), "rfc": setting.rfc, "help": setting.help,
            "applies": setting.applies, "writable": kind.writable,
        }

    def _of_interfaces(self) -> list[str]:
        return [f"{PREFIX}{interface.name}.{attribute}" for interface in self.stack.interfaces
                for attribute in OF_INTERFACES]

    def _check_order(self, setting: Setting, holder: Any, held: Any) -> None:
        """InvalidArgument if another setting bounds this one."""
        if setting.at_most and held > getattr(holder, setting.at_most):
            word, bound = "at most", setting.at_most
        elif setting.at_least and held < getattr(holder, setting.at_least):
            word, bound = "at least", setting.at_least
        else:
            return
        kind = setting.kind
        limit = kind.show(getattr(holder, bound))
        raise InvalidArgument(
            f"{kind.show(held)} is out of range: want {kind.range}, and {word} {limit}, which is "
            f"{name_of(setting.holder, bound)}"
        )

    def _put(self, setting: Setting, holder: Any, held: Any) -> None:
        tcp = self.stack.tcp.settings
        if setting.holder == "passive":
            tcp.passive = replace(tcp.passive, **{setting.attribute: held})
        elif setting.holder == "limits":
            limits = replace(tcp.passive.limits, **{setting.attribute: held})
            tcp.passive = replace(tcp.passive, limits=limits)
        else:
            setattr(holder, setting.attribute, held)
            if setting.holder == "interface":
                self.stack.network.changed()  # routes look at what an interface is


def name_of(holder: str, attribute: str) -> str:
    """The dotted name of an attribute."""
    return next(one.name for one in SETTINGS.values() if (one.holder, one.attribute) == (holder, attribute))


def default(setting: Setting) -> Any:
    """What a new stack has, as JSON shows it; None for what is an interface's own."""
    from uinet.ip.neighbors import TABLE_LIMIT
    from uinet.ip.reassembly import MEMORY_LIMIT, SOURCE_LIMIT
    from uinet.ip.settings import IpSettings

    held: Any
    if setting.holder == "interface":
        return None
    if setting.holder == "neighbors":
        held = TABLE_LIMIT
    elif setting.holder == "reassembler":
        held = {"memory_limit": MEMORY_LIMIT, "source_limit": SOURCE_LIMIT}[setting.attribute]
    else:
        tcp = Settings()
        fresh = {"tcp": tcp, "passive": tcp.passive, "limits": tcp.passive.limits, "ip": IpSettings()}
        held = getattr(fresh[setting.holder], setting.attribute)
    return setting.kind.dump(held)
