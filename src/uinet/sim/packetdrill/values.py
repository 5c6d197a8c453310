"""Arguments of system calls as Python values."""

from __future__ import annotations

import errno
from ipaddress import ip_address

from uinet.sim.packetdrill.errors import ScriptError, Unsupported
from uinet.sim.packetdrill.script import Anything, Apply, Either, Expression, Fields, Items, Name, Number, Text

# what a script may write for a number; Linux's values where systems differ
NUMBERS = {
    "NULL": 0, "AF_UNSPEC": 0, "AF_INET": 2, "AF_INET6": 10, "SHUT_RD": 0, "SHUT_WR": 1, "SHUT_RDWR": 2, "O_RDONLY": 0,
    "O_WRONLY": 1, "O_RDWR": 2, "O_NONBLOCK": 0x800, "IPTOS_LOWDELAY": 0x10, "IPTOS_THROUGHPUT": 8,
    "IPTOS_RELIABILITY": 4, "IPTOS_MINCOST": 2, "IP_PMTUDISC_DONT": 0, "IP_PMTUDISC_WANT": 1, "IP_PMTUDISC_DO": 2,
    "IP_PMTUDISC_PROBE": 3, "TCP_FASTOPEN_CONNECT": 30, "INADDR_ANY": 0,
}
NUMBERS.update({f"IPTOS_DSCP_CS{number}": number << 5 for number in range(8)})
LEVELS = {"SOL_TCP": "IPPROTO_TCP", "SOL_IP": "IPPROTO_IP", "SOL_IPV6": "IPPROTO_IPV6", "SOL_UDP": "IPPROTO_UDP"}
LEVEL_NUMBERS = {0: "IPPROTO_IP", 1: "SOL_SOCKET", 6: "IPPROTO_TCP", 17: "IPPROTO_UDP", 41: "IPPROTO_IPV6"}


def integer(value: Expression) -> int:
    """A number, given as one, as a constant or as several or'ed together. ScriptError, Unsupported."""
    if isinstance(value, Number):
        return value.value
    if isinstance(value, Name):
        if value.name in NUMBERS:
            return NUMBERS[value.name]
        code = getattr(errno, value.name, None)
        if isinstance(code, int):
            return code
        raise Unsupported(f"the constant {value.name}")
    if isinstance(value, Either):
        total = 0
        for part in value.parts:
            total |= integer(part)
        return total
    if isinstance(value, Apply) and value.function in ("htons", "htonl") and len(value.arguments) == 1:
        return integer(value.arguments[0])
    if isinstance(value, Items) and len(value.items) == 1:
        return integer(value.items[0])
    raise ScriptError(f"a number is wanted, not {value}")


def words(value: Expression) -> set[str]:
    """Names or'ed together; numbers among them as "0x..", 0 not at all."""
    parts = value.parts if isinstance(value, Either) else (value,)
    found: set[str] = set()
    for part in parts:
        if isinstance(part, Name):
            found.add(part.name)
        elif isinstance(part, Number):
            if part.value:
                found.add(hex(part.value))
        else:
            raise ScriptError(f"flags are wanted, not {part}")
    return found


def word(value: Expression) -> str:
    """A constant's name. ScriptError."""
    if isinstance(value, Name):
        return value.name
    raise ScriptError(f"a constant is wanted, not {value}")


def level(value: Expression) -> str:
    """The level of a socket option, by its IPPROTO name where there are two."""
    if isinstance(value, Number):
        return LEVEL_NUMBERS.get(value.value, str(value.value))
    return LEVELS.get(word(value), word(value))


def fields(value: Expression) -> dict[str, Expression]:
    """The fields of a struct; ScriptError if it is none."""
    if isinstance(value, Fields):
        return value.fields
    raise ScriptError(f"a struct is wanted, not {value}")


def items(value: Expression) -> tuple[Expression, ...]:
    """The elements of an array; ScriptError if it is none."""
    if isinstance(value, Items):
        return value.items
    raise ScriptError(f"an array is wanted, not {value}")


def address(value: Expression) -> tuple[str, int] | None:
    """(ip, port) of a sockaddr; None for ``...``. ScriptError."""
    if isinstance(value, Anything):
        return None
    parts = fields(value)
    port = integer(parts["sin_port"]) if "sin_port" in parts else 0
    text = ""
    for name in ("sin_addr", "sin6_addr"):
        where = parts.get(name)
        if isinstance(where, Apply) and where.arguments and isinstance(where.arguments[0], Text):
            text = where.arguments[0].value
        elif isinstance(where, Name) and where.name == "INADDR_ANY":
            text = "0.0.0.0"
    try:
        return str(ip_address(text)), port
    except ValueError:
        raise ScriptError(f"{value} is no address") from None


def error_number(name: str) -> int:
    """The number of an errno's name. ScriptError."""
    code = getattr(errno, name, None)
    if not isinstance(code, int):
        raise ScriptError(f"{name} is no error")
    return code


def error_name(code: int) -> str:
    """The name of an errno."""
    return errno.errorcode.get(code, str(code))
