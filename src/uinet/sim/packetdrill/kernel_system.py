"""The host's kernel as the machine under test: Python's sockets, none of which ever blocks."""

from __future__ import annotations

import errno
import fcntl
import select
import socket as inet
import struct
from collections.abc import Hashable
from typing import Any

from uinet.sim.packetdrill.descriptors import failure
from uinet.sim.packetdrill.errors import Unsupported
from uinet.sim.packetdrill.kernel_info import unpack_info
from uinet.sim.packetdrill.system import Address

REQUESTS = {"SIOCINQ": 0x541B, "SIOCOUTQ": 0x5411, "SIOCOUTQNSD": 0x894B}
POLL_BITS = {
    "POLLIN": select.POLLIN, "POLLOUT": select.POLLOUT, "POLLRDHUP": 0x2000, "POLLHUP": select.POLLHUP,
    "POLLERR": select.POLLERR, "POLLPRI": select.POLLPRI,
}
# options that Python's socket module does not name
NUMBERS = {
    "TCP_THIN_LINEAR_TIMEOUTS": 16, "TCP_THIN_DUPACK": 17, "TCP_TIMESTAMP": 24, "TCP_FASTOPEN_CONNECT": 30,
    "TCP_FASTOPEN_KEY": 33, "TCP_FASTOPEN_NO_COOKIE": 34, "TCP_INQ": 36, "TCP_TX_DELAY": 37, "SO_ZEROCOPY": 60,
    "IP_FREEBIND": 15, "IP_MTU_DISCOVER": 10, "IP_RECVERR": 11, "IP_MTU": 14, "MSG_FASTOPEN": 0x20000000,
    "MSG_ZEROCOPY": 0x4000000, "SO_MAX_PACING_RATE": 47, "SO_MEMINFO": 55,
}


def number(name: str) -> int:
    """The kernel's number of a constant. Unsupported."""
    found = getattr(inet, name, NUMBERS.get(name))
    if isinstance(found, int):
        return int(found)
    if name.startswith("0x"):
        return int(name, 16)
    raise Unsupported(f"the constant {name}")


class KernelSystem:
    """Sockets of the host, in the network namespace of this thread."""

    send_waits = True

    def __init__(self, mapped: bool) -> None:
        self.mapped = mapped  # IPv4 through sockets of IPv6
        self.sockets: list[inet.socket] = []
        self._accepted: set[int] = set()  # numbers; with Fast Open they are in SYN-RECEIVED and can send

    def _address(self, sock: inet.socket, address: Address) -> Address:
        if sock.family == inet.AF_INET6 and "." in address[0] and ":" not in address[0]:
            return f"::ffff:{address[0]}", address[1]
        return address

    def _keep(self, sock: inet.socket) -> inet.socket:
        sock.setblocking(False)
        self.sockets.append(sock)
        return sock

    def socket(self, v6: bool, kind: str) -> inet.socket:
        family = inet.AF_INET6 if v6 else inet.AF_INET
        return self._keep(inet.socket(family, inet.SOCK_STREAM if kind == "SOCK_STREAM" else inet.SOCK_DGRAM))

    def bind(self, handle: inet.socket, address: Address) -> None:
        handle.bind(self._address(handle, address))

    def listen(self, handle: inet.socket, backlog: int) -> None:
        handle.listen(backlog)

    def accept(self, handle: inet.socket) -> tuple[inet.socket, Address]:
        sock, peer = handle.accept()
        ip = str(peer[0]).removeprefix("::ffff:") if self.mapped else str(peer[0])
        self._accepted.add(sock.fileno())
        return self._keep(sock), (ip, int(peer[1]))

    def connect(self, handle: inet.socket, address: Address) -> None:
        code = handle.connect_ex(self._address(handle, address))
        if code:
            raise failure(code)

    def connecting(self, handle: inet.socket) -> bool:
        if handle.type != inet.SOCK_STREAM or handle.fileno() in self._accepted:
            return False
        state = handle.getsockopt(inet.IPPROTO_TCP, inet.TCP_INFO, 1)[0]
        return state in (2, 3)  # SYN-SENT, SYN-RECEIVED

    def send(self, handle: inet.socket, data: bytes, flags: set[str], address: Address | None) -> int:
        bits = inet.MSG_NOSIGNAL
        for name in flags:
            bits |= number(name)
        if address is not None:
            return handle.sendto(data, bits, self._address(handle, address))
        return handle.send(data, bits)

    def recv(self, handle: inet.socket, limit: int, flags: set[str]) -> bytes:
        bits = 0
        for name in flags:
            bits |= number(name)
        return handle.recv(limit, bits)

    def shutdown(self, handle: inet.socket, how: str) -> None:
        handle.shutdown(number(how))

    def close(self, handle: inet.socket) -> None:
        self.sockets.remove(handle)
        self._accepted.discard(handle.fileno())
        handle.close()

    def setsockopt(self, handle: inet.socket, level: str, name: str, value: Any) -> None:
        if isinstance(value, dict):
            if name != "SO_LINGER":
                raise Unsupported(f"the struct that {name} takes")
            value = struct.pack("ii", value.get("onoff", 0), value.get("linger", 0))
        if isinstance(value, int):
            value = struct.pack("i", value if value < 1 << 31 else value - (1 << 32))
        handle.setsockopt(number(level), number(name), value)

    def getsockopt(self, handle: inet.socket, level: str, name: str) -> Any:
        found = handle.getsockopt(number(level), number(name), 64)
        if name == "SO_LINGER":
            on, seconds = struct.unpack("ii", found)
            return {"onoff": on, "linger": seconds}
        return struct.unpack("i", found)[0] if len(found) == 4 else found

    def error(self, handle: inet.socket) -> int:
        code: int = handle.getsockopt(inet.SOL_SOCKET, inet.SO_ERROR)
        return code

    def queued(self, handle: inet.socket, name: str) -> int:
        found: int = struct.unpack("i", fcntl.ioctl(handle, REQUESTS[name], bytes(4)))[0]
        return found

    def poll(self, handle: inet.socket) -> set[str]:
        poller = select.poll()
        poller.register(handle, sum(POLL_BITS.values()))
        bits = 0
        for _, ready in poller.poll(0):
            bits |= ready
        return {name for name, bit in POLL_BITS.items() if bits & bit}

    def activity(self, handle: inet.socket) -> Hashable:
        return frozenset(self.poll(handle)), self.queued(handle, "SIOCINQ")

    def tcp_info(self, handle: inet.socket) -> dict[str, int]:
        try:
            return unpack_info(handle.getsockopt(inet.IPPROTO_TCP, inet.TCP_INFO, 512))
        except OSError as error:
            raise failure(error.errno or errno.EINVAL) from None
