"""Our stack as the machine under test: its sockets behind what a kernel's calls say and do."""

from __future__ import annotations

import errno
from collections.abc import Callable, Hashable
from typing import Any

from uinet import sockopt
from uinet.errors import Error, NotSupported
from uinet.sim.packetdrill.descriptors import failure
from uinet.sim.packetdrill.errors import Unsupported
from uinet.sim.packetdrill.personas import Persona
from uinet.sim.packetdrill.system import Address
from uinet.sim.packetdrill.tcp_info import linux_info
from uinet.socket import Socket
from uinet.stack import Stack
from uinet.tcp import calls
from uinet.tcp.keys import Md5Key
from uinet.tcp.state import CLOSED, ESTABLISHED

IGNORED_OPTIONS = {"SO_DEBUG", "SO_REUSEADDR", "SO_MARK", "SO_PRIORITY", "SO_NOSIGPIPE"}  # nothing here for them to do


class Handle:
    """One socket. `told`: its error has been told to the program, which is told each error once."""

    def __init__(self, sock: Socket, accepted: bool = False) -> None:
        self.sock = sock
        self.told = False
        self.connected = accepted
        self.accepted = accepted  # Fast Open may give it before it is established
        self.more = False  # what was sent last was sent with MSG_MORE
        self.edges = 0  # what edge-triggered polling tells
        self.set: dict[tuple[str, str], Any] = {}  # options that are kept here alone
        sock.on_event = self._event

    def _event(self, sock: Socket, events: int) -> None:
        self.edges += 1

    @property
    def error(self) -> int:
        """The errno that waits to be told; 0: none does."""
        failed = self.sock.error
        if failed is None or self.told:
            return 0
        return getattr(failed, "errno", 0) or errno.EIO

    def take_error(self) -> int:
        """The errno that waits to be told, and now is."""
        code = self.error
        if code:
            self.told = True
        return code


class StackSystem:
    """Sockets of a stack. `flush`: lets the stack send what a call has queued."""

    def __init__(self, stack: Stack, persona: Persona) -> None:
        self.stack = stack
        self.persona = persona
        self.client_fast_open = True  # the sysctls of kernels that switch Fast Open
        self.server_fast_open = True
        self.unasked_fast_open = False
        self.md5_key: tuple[bytes, bytes] | None = None  # of which peer, and the key; TCP_MD5SIG switches it on

    @property
    def send_waits(self) -> bool:
        return self.persona.name == "linux"

    def allow_fast_open(self, clients: bool, servers: bool, unasked: bool = False) -> None:
        """Whether sockets from now on may use Fast Open. `unasked`: listeners do so without TCP_FASTOPEN."""
        self.client_fast_open = clients
        self.server_fast_open = servers
        self.unasked_fast_open = unasked

    def socket(self, v6: bool, kind: str) -> Handle:
        number = sockopt.SOCK_STREAM if kind == "SOCK_STREAM" else sockopt.SOCK_DGRAM
        return Handle(self.stack.socket(sockopt.AF_UNSPEC, number))

    def bind(self, handle: Handle, address: Address) -> None:
        handle.sock.bind(address)

    def listen(self, handle: Handle, backlog: int) -> None:
        if self.server_fast_open and self.unasked_fast_open and not handle.set.get(("IPPROTO_TCP", "TCP_FASTOPEN")):
            handle.sock.setsockopt(sockopt.IPPROTO_TCP, sockopt.TCP_FASTOPEN, backlog)
        handle.sock.listen(backlog)

    def accept(self, handle: Handle) -> tuple[Handle, Address]:
        accepted = handle.sock.accept()
        ip, port = accepted.getpeername()
        made = Handle(accepted, accepted=True)
        made.set = dict(handle.set)
        self.persona.opened(accepted)
        return made, (str(ip), port)

    def connect(self, handle: Handle, address: Address) -> None:
        sock = handle.sock
        if sock.type == sockopt.SOCK_DGRAM or sock.tcb is None:
            if sock.type == sockopt.SOCK_STREAM:
                self.persona.opened(sock)
            sock.connect(address)
            if sock.tcb is not None and (sock.tcb.fast_open is None or not sock.tcb.fast_open.held):
                raise BlockingIOError(errno.EINPROGRESS, "EINPROGRESS")
            return
        code = handle.take_error()
        if code:
            raise failure(code)
        if self.connecting(handle):
            raise failure(errno.EALREADY)
        if sock.tcb.state == CLOSED and not handle.connected:
            raise failure(errno.ECONNABORTED)
        if handle.connected:
            raise failure(errno.EISCONN)
        handle.connected = True

    def connecting(self, handle: Handle) -> bool:
        """Whether an active open is under way; what Fast Open gives to accept is never one."""
        tcb = handle.sock.tcb
        return tcb is not None and not handle.accepted and CLOSED < tcb.state < ESTABLISHED

    def _check(self, handle: Handle) -> None:
        code = handle.take_error()
        if code:
            raise failure(code)

    def send(self, handle: Handle, data: bytes, flags: set[str], address: Address | None) -> int:
        sock = handle.sock
        if sock.type == sockopt.SOCK_DGRAM:
            connected = sock.endpoint is not None and bool(sock.endpoint.remote)
            return sock.send(data) if connected or address is None else sock.sendto(data, address)
        if "0x20000000" in flags:
            flags = flags - {"0x20000000"} | {"MSG_FASTOPEN"}
        if flags - {"MSG_DONTWAIT", "MSG_MORE", "MSG_FASTOPEN", "MSG_OOB"}:
            raise Unsupported(f"send() with {', '.join(sorted(flags))}")
        if "MSG_FASTOPEN" in flags or (sock.tcb is None and address is not None):
            return self._send_opening(handle, data, "MSG_FASTOPEN" in flags, address)
        if sock.tcb is None:
            raise failure(errno.ENOTCONN if address is None and self.persona.name == "freebsd" else errno.EPIPE)
        self._check(handle)
        if sock.error is not None:
            raise failure(errno.EPIPE)
        self.persona.sends(sock)
        more = "MSG_MORE" in flags
        if more and not handle.more:
            sock.setsockopt(sockopt.IPPROTO_TCP, sockopt.TCP_CORK, 1)
        count = sock.send(data, sockopt.MSG_OOB if "MSG_OOB" in flags else 0)
        if handle.more and not more:
            sock.setsockopt(sockopt.IPPROTO_TCP, sockopt.TCP_CORK, 0)
        handle.more = more
        return count

    def _send_opening(self, handle: Handle, data: bytes, asked: bool, address: Address | None) -> int:
        """A send that connects as well: Linux's with MSG_FASTOPEN, FreeBSD's on a socket that is not connected."""
        sock = handle.sock
        if sock.tcb is not None:
            if asked and self.connecting(handle):
                raise failure(errno.EALREADY)
            self._check(handle)
            return sock.send(data)
        if asked and not self.client_fast_open:
            raise failure(errno.EOPNOTSUPP)
        if not asked and self.persona.name == "linux":
            raise failure(errno.EPIPE)
        if address is None:
            raise failure(errno.EDESTADDRREQ)
        self.persona.opened(sock)
        if asked or (self.client_fast_open and handle.set.get(("IPPROTO_TCP", "TCP_FASTOPEN"))):
            sock.sendmsg([b""], flags=sockopt.MSG_FASTOPEN, address=address)
        else:
            sock.connect(address)
        tcb = sock.tcb
        assert tcb is not None
        if asked and (not data or tcb.fast_open is None or not tcb.fast_open.cookie):
            raise failure(errno.EINPROGRESS)  # as Linux: without a cookie the data is not taken
        return calls.send(tcb, data, 0, len(data))

    def recv(self, handle: Handle, limit: int, flags: set[str]) -> bytes:
        if flags - {"MSG_DONTWAIT", "MSG_PEEK"}:
            raise Unsupported(f"recv() with {', '.join(sorted(flags))}")
        number = sockopt.MSG_PEEK if "MSG_PEEK" in flags else 0
        sock = handle.sock
        try:
            return sock.recv(limit, number)
        except BlockingIOError:
            raise
        except Error:
            if sock.error is None:
                raise
            code = handle.take_error()
            if code:
                raise failure(code) from None
            return b""

    def shutdown(self, handle: Handle, how: str) -> None:
        if self.connecting(handle) and self.persona.name == "linux":
            handle.sock.abort()
            return
        handle.sock.shutdown(getattr(sockopt, how))

    def close(self, handle: Handle) -> None:
        handle.sock.close()

    # options

    def setsockopt(self, handle: Handle, level: str, name: str, value: Any) -> None:
        if name in IGNORED_OPTIONS:
            handle.set[level, name] = value
            return
        numbers = _numbers(level, name)
        special = SETTERS.get((level, name))
        if special is not None:
            value = special(value)
        elif name == "TCP_MD5SIG":
            value = self._md5(value)
        elif numbers is None:
            raise Unsupported(f"setsockopt({level}, {name})")
        elif not isinstance(value, int):
            raise failure(errno.EINVAL)
        assert numbers is not None
        if name in ("SO_RCVBUF", "SO_SNDBUF", "TCP_FASTOPEN"):
            handle.set[level, name] = value
        if name == "TCP_FASTOPEN" and not self.server_fast_open:
            return
        try:
            handle.sock.setsockopt(*numbers, value)
        except NotSupported:
            raise Unsupported(f"setsockopt({level}, {name})") from None

    def _md5(self, value: Any) -> Md5Key:
        """What TCP_MD5SIG takes in FreeBSD: whether segments are signed, with a key that is not in the call."""
        if self.md5_key is None or not isinstance(value, int):
            raise Unsupported("TCP_MD5SIG without --tcp_md5_secret, or with a struct")
        peer, key = self.md5_key
        return Md5Key(peer, key if value else b"")

    def getsockopt(self, handle: Handle, level: str, name: str) -> Any:
        if name in IGNORED_OPTIONS:
            return handle.set.get((level, name), 0)
        if name in ("SO_RCVBUF", "SO_SNDBUF"):
            return self.persona.buffer(handle.sock, name, handle.set.get((level, name)))
        numbers = _numbers(level, name)
        if numbers is None:
            raise Unsupported(f"getsockopt({level}, {name})")
        found = handle.sock.getsockopt(*numbers)
        if name == "SO_LINGER":
            return {"onoff": int(bool(found[0])), "linger": int(found[1])}
        return found

    def error(self, handle: Handle) -> int:
        code = handle.take_error()
        if not code and not self.connecting(handle) and handle.sock.tcb is not None:
            handle.connected = True
        return code

    def queued(self, handle: Handle, name: str) -> int:
        info = handle.sock.info()
        return {"SIOCINQ": info.unread, "SIOCOUTQ": info.unacked + info.unsent, "SIOCOUTQNSD": info.unsent}[name]

    # readiness

    def poll(self, handle: Handle) -> set[str]:
        sock = handle.sock
        events = set()
        if sock.readable:
            events.add("POLLIN")
        if sock.writable:
            events.add("POLLOUT")
        tcb = sock.tcb
        if handle.error:
            events |= {"POLLERR", "POLLIN", "POLLOUT"}
        if tcb is not None and (tcb.fin_received or tcb.state == CLOSED):
            events |= {"POLLRDHUP", "POLLIN"}
            if tcb.state == CLOSED or tcb.closing:
                events.add("POLLHUP")
        if sock.tcb is None and sock.listener is None and sock.endpoint is None:
            events |= {"POLLOUT", "POLLHUP"}
        return events

    def activity(self, handle: Handle) -> Hashable:
        return handle.edges

    def tcp_info(self, handle: Handle) -> dict[str, int]:
        return linux_info(handle.sock)


def _numbers(level: str, name: str) -> tuple[int, int] | None:
    """The stack's numbers of an option; None if it has no such option."""
    if not hasattr(sockopt, level) or not hasattr(sockopt, name):
        return None
    return getattr(sockopt, level), getattr(sockopt, name)


def _linger(value: Any) -> tuple[int, int]:
    if not isinstance(value, dict):
        raise failure(errno.EINVAL)
    return value.get("onoff", 0), value.get("linger", 0)


def _name(value: Any) -> str:
    return value.rstrip(b"\0").decode("latin-1") if isinstance(value, bytes) else str(value)


SETTERS: dict[tuple[str, str], Callable[[Any], Any]] = {
    ("SOL_SOCKET", "SO_LINGER"): _linger, ("IPPROTO_TCP", "TCP_CONGESTION"): _name,
}

