"""The system calls of scripts, on whatever machine is under test.

One that may block is a generator: it yields while it does (the time, in ns of the script, at which it has to be asked
again at the latest, or None) and returns its result. Whether that is what the script says is
judged in one place, `Calls.run`.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Generator
from typing import Protocol

from uinet.sim.packetdrill.descriptors import Descriptor, Descriptors, failure
from uinet.sim.packetdrill.errors import Mismatch, ScriptError, Unsupported
from uinet.sim.packetdrill.flow import Flow, pattern
from uinet.sim.packetdrill.options_of_sockets import expected_option, option_value, same_option
from uinet.sim.packetdrill.polling import Polling
from uinet.sim.packetdrill.script import Anything, Call, Expression, Fields, Items, Name, Number, Text
from uinet.sim.packetdrill.system import Address, System
from uinet.sim.packetdrill.values import address, error_name, error_number, fields, integer, items, level, word, words

Steps = Generator[int | None, None, int]
O_RDWR, O_NONBLOCK = 2, 0x800
IGNORED_FLAGS = {"MSG_NOSIGNAL"}
OURS = 100  # where in the pattern our own stream begins


class Connections(Protocol):
    """What calls tell of connections, and ask of the session."""

    @property
    def now(self) -> int:
        """The time, ns."""

    def opened(self, protocol: str) -> Flow:
        """There is a new socket."""

    def listens(self, flow: Flow, port: int) -> None:
        """It listens."""

    def connects(self, flow: Flow, address: Address) -> None:
        """It begins to connect."""

    def accepted(self, peer: Address) -> Flow | None:
        """A connection has been accepted."""

    def local(self) -> Address:
        """Where ``bind(3, ..., ...)`` binds."""

    def remote(self) -> Address:
        """Where ``connect(3, ..., ...)`` connects."""

    def exact_buffers(self) -> bool:
        """Whether buffer sizes are compared."""


class Calls:
    """System calls on one machine."""

    def __init__(self, system: System, connections: Connections, v6: bool) -> None:
        self.system = system
        self.connections = connections
        self.v6 = v6
        self.descriptors = Descriptors()
        self.polling = Polling(system, self.descriptors, lambda: connections.now)

    def run(self, call: Call) -> Generator[int | None, None, None]:
        """Makes a call and checks what comes back. Mismatch, ScriptError, Unsupported."""
        handler = HANDLERS.get(call.name)
        if handler is None:
            raise Unsupported(f"the system call {call.name}()")
        if len(call.arguments) < ARGUMENTS.get(call.name, 1):
            raise ScriptError(f"{call.name}() has at least {ARGUMENTS.get(call.name, 1)} arguments")
        code = 0
        try:
            made = handler(self, call)
            value = made if isinstance(made, int) else (yield from made)
        except OSError as error:
            value, code = -1, error.errno or 0
        self._judge(call, value, code)

    def _judge(self, call: Call, value: int, code: int) -> None:
        found = f"{value} {error_name(code)}" if value < 0 else str(value)
        wanted = f"{call.result} {call.error}" if call.error else str(call.result)
        if call.error is not None:
            wanted_code = error_number(call.error)
            right = value < 0 and code == wanted_code
        elif isinstance(call.result, Anything):
            right = True
        else:
            right = value == integer(call.result) and (value >= 0 or not code)
            if value < 0 and integer(call.result) == value:
                right = True
        if not right:
            raise Mismatch(f"{call.name}() returns {found}, not {wanted}", str(call), f"{call.name}(...) = {found}")

    # helpers

    def _socket(self, call: Call) -> Descriptor:
        descriptor = self.descriptors.get(integer(call.arguments[0]))
        if descriptor.handle is None:
            raise failure(errno.ENOTSOCK)
        return descriptor

    def _result_number(self, call: Call) -> int:
        """The number that the script has for a new descriptor."""
        return integer(call.result)

    def _until(self, descriptor: Descriptor, flags: set[str], attempt: Callable[[], int]) -> Steps:
        """Does it, as soon as it can be done where the call may block."""
        while True:
            try:
                return attempt()
            except BlockingIOError:
                if descriptor.nonblocking or "MSG_DONTWAIT" in flags:
                    raise
            yield None

    # making and ending sockets

    def socket(self, call: Call) -> int:
        """socket(family, type, protocol)"""
        kinds = words(call.arguments[1])
        protocol = word(call.arguments[2]) if isinstance(call.arguments[2], Name) else "0"
        kind = next((name for name in ("SOCK_STREAM", "SOCK_DGRAM") if name in kinds), None)
        if kind is None or protocol not in ("IPPROTO_TCP", "IPPROTO_UDP", "IPPROTO_IP", "0"):
            raise Unsupported(f"sockets of type {call.arguments[1]}, {call.arguments[2]}")
        if protocol == ("IPPROTO_UDP" if kind == "SOCK_STREAM" else "IPPROTO_TCP"):
            raise failure(errno.EPROTONOSUPPORT)
        v6 = self.v6
        if isinstance(call.arguments[0], Name):
            v6 = word(call.arguments[0]) == "AF_INET6"
        number = self._result_number(call)
        flow = self.connections.opened("tcp" if kind == "SOCK_STREAM" else "udp")
        descriptor = Descriptor(number, kind, self.system.socket(v6, kind), v6, "SOCK_NONBLOCK" in kinds, flow)
        self.descriptors.add(descriptor)
        return number

    def bind(self, call: Call) -> int:
        """bind(fd, address, length)"""
        descriptor = self._socket(call)
        where = address(call.arguments[1]) or self.connections.local()
        self.system.bind(descriptor.handle, where)
        assert descriptor.flow is not None
        descriptor.flow.local = (b"", where[1])
        return 0

    def listen(self, call: Call) -> int:
        """listen(fd, backlog)"""
        descriptor = self._socket(call)
        self.system.listen(descriptor.handle, integer(call.arguments[1]))
        assert descriptor.flow is not None
        self.connections.listens(descriptor.flow, descriptor.flow.local[1])
        return 0

    def accept(self, call: Call) -> Steps:
        """accept(fd, address, length)"""
        descriptor = self._socket(call)
        number = self._result_number(call) if call.error is None else -1
        flags = words(call.arguments[3]) if len(call.arguments) > 3 else set()

        def attempt() -> int:
            handle, peer = self.system.accept(descriptor.handle)
            flow = self.connections.accepted(peer)
            nonblocking = "SOCK_NONBLOCK" in flags
            self.descriptors.add(Descriptor(number, descriptor.kind, handle, descriptor.v6, nonblocking, flow))
            return number

        return (yield from self._until(descriptor, set(), attempt))

    def connect(self, call: Call) -> Steps:
        """connect(fd, address, length)"""
        descriptor = self._socket(call)
        where = None if isinstance(call.arguments[1], Name) else address(call.arguments[1])
        return (yield from self._connect(descriptor, where or self.connections.remote()))

    def _connect(self, descriptor: Descriptor, where: Address) -> Steps:
        assert descriptor.flow is not None
        if not self.system.connecting(descriptor.handle):
            self.connections.connects(descriptor.flow, where)
        try:
            self.system.connect(descriptor.handle, where)
        except BlockingIOError as error:
            if descriptor.nonblocking or error.errno != errno.EINPROGRESS:
                raise
            while self.system.connecting(descriptor.handle):
                yield None
            code = self.system.error(descriptor.handle)
            if code:
                raise failure(code) from None
            try:
                self.system.connect(descriptor.handle, where)  # so that the next one says EISCONN
            except OSError as again:
                if again.errno != errno.EISCONN:
                    raise
        return 0

    def shutdown(self, call: Call) -> int:
        """shutdown(fd, how)"""
        how = call.arguments[1]
        name = word(how) if isinstance(how, Name) else {0: "SHUT_RD", 1: "SHUT_WR", 2: "SHUT_RDWR"}.get(integer(how))
        if name not in ("SHUT_RD", "SHUT_WR", "SHUT_RDWR"):
            raise failure(errno.EINVAL)
        self.system.shutdown(self._socket(call).handle, name)
        return 0

    def close(self, call: Call) -> int:
        """close(fd)"""
        descriptor = self.descriptors.remove(integer(call.arguments[0]))
        self.polling.forget(descriptor.number)
        if descriptor.handle is not None:
            self.system.close(descriptor.handle)
        return 0

    # data

    def write(self, call: Call) -> Steps:
        """write(fd, buffer, length), send(fd, buffer, length, flags)"""
        flags = words(call.arguments[3]) if len(call.arguments) > 3 else set()
        return (yield from self._send(self._socket(call), self._outgoing(call), flags, None))

    def sendto(self, call: Call) -> Steps:
        """sendto(fd, buffer, length, flags, address, length)"""
        descriptor = self._socket(call)
        flags = words(call.arguments[3])
        where = call.arguments[4]
        target: Address | None = None
        if isinstance(where, Anything):
            target = self.connections.remote()
        elif isinstance(where, Fields):
            target = address(where)
        return (yield from self._send(descriptor, self._outgoing(call), flags, target))

    def _outgoing(self, call: Call) -> bytes:
        """The bytes to write: the script's own, or a pattern. `NULL` is an address that none can be read from."""
        length = integer(call.arguments[2])
        buffer = call.arguments[1]
        if length < 0:
            raise Unsupported("a negative length")
        if isinstance(buffer, Text):
            return buffer.value.encode("latin-1")[:length].ljust(length, b"\0")
        if isinstance(buffer, Name) and length:
            raise Unsupported("a bad address")
        flow = self._socket(call).flow
        return pattern(OURS + (len(flow.written) if flow is not None else 0), length)

    def _send(self, descriptor: Descriptor, data: bytes, flags: set[str], target: Address | None) -> Steps:
        flow = descriptor.flow
        flags = flags - IGNORED_FLAGS
        assert flow is not None
        if descriptor.kind == "SOCK_DGRAM":
            if target is not None:
                self.connections.connects(flow, target)
            count = self.system.send(descriptor.handle, data, flags, target)
            flow.datagrams.append(data)
            return count
        if target is not None and not self._begun(descriptor):
            self.connections.connects(flow, target)
        sent = 0
        while True:
            try:
                count = self.system.send(descriptor.handle, data[sent:], flags, target if not sent else None)
                flow.written += data[sent : sent + count]
                sent += count
            except BlockingIOError:
                if descriptor.nonblocking or "MSG_DONTWAIT" in flags:
                    if sent:
                        return sent
                    raise
            except OSError:
                if sent:
                    return sent
                raise
            if sent == len(data):
                blocks = not descriptor.nonblocking and "MSG_DONTWAIT" not in flags
                waits = blocks and ("MSG_FASTOPEN" in flags or self.system.send_waits)
                return (yield from self._opened(descriptor, sent)) if waits else sent
            if descriptor.nonblocking or "MSG_DONTWAIT" in flags:
                return sent
            yield None

    def _opened(self, descriptor: Descriptor, sent: int) -> Steps:
        """A blocking send that connects as well (Fast Open) returns when the handshake is over."""
        if not self.system.connecting(descriptor.handle):
            return sent
        while self.system.connecting(descriptor.handle):
            yield None
        code = self.system.error(descriptor.handle)
        if code:
            raise failure(code)
        return sent

    def _begun(self, descriptor: Descriptor) -> bool:
        """Whether the socket is connected, or connects."""
        flow = descriptor.flow
        return flow is not None and flow.remote[1] != 0

    def read(self, call: Call) -> Steps:
        """read(fd, buffer, length), recv(fd, buffer, length, flags), recvfrom(..., address, length)"""
        descriptor = self._socket(call)
        flags = words(call.arguments[3]) if len(call.arguments) > 3 else set()
        length = integer(call.arguments[2])
        if isinstance(call.arguments[1], Name) and length:
            raise Unsupported("a bad address")

        def attempt() -> int:
            data = self.system.recv(descriptor.handle, length, flags)
            self._received(descriptor, data, flags, call.arguments[1])
            return len(data)

        return (yield from self._until(descriptor, flags, attempt))

    def _received(self, descriptor: Descriptor, data: bytes, flags: set[str], wanted: Expression) -> None:
        """Checks what was read against what the peer has sent, byte by byte."""
        flow = descriptor.flow
        if flow is None:
            return
        offset = 0 if descriptor.kind == "SOCK_DGRAM" else flow.read
        if data != pattern(offset, len(data)):
            raise Mismatch(f"what is read at byte {offset} of the stream is not what the peer has sent there")
        if "MSG_PEEK" not in flags and descriptor.kind == "SOCK_STREAM":
            flow.read += len(data)

    def writev(self, call: Call) -> Steps:
        """writev(fd, [{..., n}, ...], count)"""
        length = sum(self._vector(call.arguments[1]))
        data = self._outgoing(Call("write", (call.arguments[0], Anything(), Number(length)), call.result))
        return (yield from self._send(self._socket(call), data, set(), None))

    def readv(self, call: Call) -> Steps:
        """readv(fd, [{..., n}, ...], count)"""
        length = sum(self._vector(call.arguments[1]))
        return (yield from self.read(Call("read", (call.arguments[0], Anything(), Number(length)), call.result)))

    def _vector(self, vector: Expression) -> list[int]:
        """The lengths of an array of buffers."""
        lengths = []
        for entry in items(vector):
            if isinstance(entry, Items) and len(entry.items) == 2:
                lengths.append(integer(entry.items[1]))
            elif isinstance(entry, Fields) and "iov_len" in entry.fields:
                lengths.append(integer(entry.fields["iov_len"]))
            else:
                raise ScriptError(f"{entry} is no buffer: want {{..., length}}")
        return lengths

    def sendmsg(self, call: Call) -> Steps:
        """sendmsg(fd, {msg_name(...)=..., msg_iov(n)=[...], msg_flags=0}, flags)"""
        message = fields(call.arguments[1])
        flags = words(call.arguments[2])
        if message.get("msg_control") not in (None, Items(())):
            raise Unsupported("ancillary data")
        length = sum(self._vector(message.get("msg_iov", Items(()))))
        descriptor = self._socket(call)
        data = self._outgoing(Call("write", (call.arguments[0], Anything(), Number(length)), call.result))
        target = self.connections.remote() if "MSG_FASTOPEN" in flags else None
        return (yield from self._send(descriptor, data, flags, target))

    def recvmsg(self, call: Call) -> Steps:
        """recvmsg(fd, {msg_name(...)=..., msg_iov(n)=[...], msg_flags=0}, flags)"""
        message = fields(call.arguments[1])
        flags = words(call.arguments[2])
        if message.get("msg_control") not in (None, Items(())):
            raise Unsupported("ancillary data")
        if "MSG_ERRQUEUE" in flags:
            raise Unsupported("the error queue of a socket")
        length = sum(self._vector(message.get("msg_iov", Items(()))))
        read = Call("recv", (call.arguments[0], Anything(), Number(length), call.arguments[2]), call.result)
        return (yield from self.read(read))

    # options and controls

    def setsockopt(self, call: Call) -> int:
        """setsockopt(fd, level, name, value, length)"""
        descriptor = self._socket(call)
        value = option_value(call.arguments[3])
        self.system.setsockopt(descriptor.handle, level(call.arguments[1]), word(call.arguments[2]), value)
        return 0

    def getsockopt(self, call: Call) -> int:
        """getsockopt(fd, level, name, value, length)"""
        descriptor = self._socket(call)
        where, name = level(call.arguments[1]), word(call.arguments[2])
        wanted = expected_option(call.arguments[3])
        found: object
        if name == "SO_ERROR":
            found = self.system.error(descriptor.handle)
        else:
            found = self.system.getsockopt(descriptor.handle, where, name)
        if name in ("SO_RCVBUF", "SO_SNDBUF") and not self.connections.exact_buffers():
            return 0
        if wanted is not None and not same_option(wanted, found):
            if name == "SO_ERROR":
                wanted, found = error_name(int(str(wanted))), error_name(int(str(found)))
            raise Mismatch(f"{name} is {found!s}, not {wanted!s}", str(call), f"getsockopt(...) gives [{found!s}]")
        return 0

    def fcntl(self, call: Call) -> int:
        """fcntl(fd, command, flags)"""
        descriptor = self.descriptors.get(integer(call.arguments[0]))
        command = word(call.arguments[1])
        if command == "F_GETFL":
            flags = O_RDWR | (O_NONBLOCK if descriptor.nonblocking else 0)
            wanted = call.result.value if isinstance(call.result, Number) else flags
            if descriptor.nonblocking and wanted == O_RDWR | 4:
                return wanted  # BSD's O_NONBLOCK
            return flags
        if command == "F_SETFL":
            descriptor.nonblocking = "O_NONBLOCK" in words(call.arguments[2])
        elif command not in ("F_SETFD", "F_GETFD"):
            raise Unsupported(f"fcntl({command})")
        return 0

    def ioctl(self, call: Call) -> int:
        """ioctl(fd, request, [value])"""
        descriptor = self._socket(call)
        request = {"FIONREAD": "SIOCINQ", "TIOCOUTQ": "SIOCOUTQ"}.get(word(call.arguments[1]), word(call.arguments[1]))
        if request not in ("SIOCINQ", "SIOCOUTQ", "SIOCOUTQNSD"):
            raise Unsupported(f"ioctl({request})")
        found = self.system.queued(descriptor.handle, request)
        wanted = expected_option(call.arguments[2])
        if wanted is not None and wanted != found:
            raise Mismatch(f"{request} is {found}, not {wanted!s}", str(call), f"ioctl(...) gives [{found}]")
        return 0

    # readiness

    def poll(self, call: Call) -> Steps:
        """poll([{fd=, events=, revents=}, ...], count, milliseconds)"""
        return (yield from self.polling.poll(call))

    def epoll_create(self, call: Call) -> int:
        """epoll_create(size), epoll_create1(flags)"""
        number = self._result_number(call)
        self.descriptors.add(Descriptor(number, "epoll"))
        return number

    def epoll_ctl(self, call: Call) -> int:
        """epoll_ctl(epfd, operation, fd, {events=, fd=})"""
        return self.polling.control(call)

    def epoll_wait(self, call: Call) -> Steps:
        """epoll_wait(epfd, {events=, fd=}, count, milliseconds)"""
        return (yield from self.polling.wait(call))


HANDLERS: dict[str, Callable[[Calls, Call], Steps | int]] = {
    "socket": Calls.socket, "bind": Calls.bind, "listen": Calls.listen, "accept": Calls.accept, "accept4": Calls.accept,
    "connect": Calls.connect, "shutdown": Calls.shutdown, "close": Calls.close, "write": Calls.write,
    "send": Calls.write, "sendto": Calls.sendto, "read": Calls.read, "recv": Calls.read, "recvfrom": Calls.read,
    "writev": Calls.writev, "readv": Calls.readv, "sendmsg": Calls.sendmsg, "recvmsg": Calls.recvmsg,
    "setsockopt": Calls.setsockopt, "getsockopt": Calls.getsockopt, "fcntl": Calls.fcntl, "ioctl": Calls.ioctl,
    "poll": Calls.poll, "epoll_create": Calls.epoll_create, "epoll_create1": Calls.epoll_create,
    "epoll_ctl": Calls.epoll_ctl, "epoll_wait": Calls.epoll_wait,
}
ARGUMENTS = {
    "socket": 3, "bind": 3, "listen": 2, "accept": 3, "accept4": 4, "connect": 3, "shutdown": 2, "write": 3, "send": 4,
    "sendto": 6, "read": 3, "recv": 4, "recvfrom": 6, "writev": 3, "readv": 3, "sendmsg": 3, "recvmsg": 3,
    "setsockopt": 5, "getsockopt": 5, "fcntl": 2, "ioctl": 3, "poll": 3, "epoll_ctl": 4, "epoll_wait": 4,
}
