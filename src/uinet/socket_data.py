"""The bytes and datagrams of sockets: what is sent, what is read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from uinet import sockopt
from uinet.errors import AddressError, BadSocket, BrokenPipe, InvalidArgument, WouldBlock
from uinet.socket_state import IpAddress, check_open, connection_of, kick
from uinet.tcp import calls
from uinet.tcp.calls import at_end
from uinet.tcp.calls import receive as take_received
from uinet.tcp.calls import receive_into as take_received_into
from uinet.tcp.calls import receive_piece as take_received_piece
from uinet.tcp.calls import send as queue_to_send
from uinet.tcp.fast_open import takes_early
from uinet.tcp.send import wants_output
from uinet.tcp.state import CLOSED, ESTABLISHED
from uinet.tcp.tcb import Tcb
from uinet.tcp.urgent import mark_urgent, urgent_left
from uinet.wire.addresses import L2Info, check_port, pack_address, unpack_address
from uinet.wire.kernels import take

if TYPE_CHECKING:
    from uinet.socket import Socket


def read_piece(sock: Socket, limit: int) -> bytes:
    """See `Socket.recv_piece`."""
    tcb = connection_of(sock)
    if tcb.rcv_buf is None or tcb.rcv_buf.length == 0 or sock.closed or tcb.urgent_in:
        return sock.recv(limit)
    return take_received_piece(tcb, limit)


def read(sock: Socket, limit: int, flags: int) -> bytes:
    """See `Socket.recv`, of a connection."""
    tcb = connection_of(sock)
    if limit < 0:
        raise InvalidArgument(f"{limit} is no number of bytes")
    if flags & sockopt.MSG_OOB:
        raise InvalidArgument("urgent data is read in line: Socket.urgent_left tells how much")
    queue = tcb.rcv_buf
    if queue is not None and queue.length and not sock.closed:
        if tcb.urgent_in and sock.config.oob_inline:
            limit = to_mark(tcb, limit)
        if not flags & sockopt.MSG_PEEK:
            return take_received(tcb, limit)
        limit = min(limit, queue.length)
        if limit == 0:
            return b""
        queue.locate(0, limit)
        return take(queue.source, queue.source_offset, limit)
    nothing_to_read(sock, tcb)
    return b""


def read_into(sock: Socket, view: memoryview) -> int:
    """See `Socket.recv_into`, of a connection."""
    tcb = connection_of(sock)
    if tcb.rcv_buf is not None and tcb.rcv_buf.length and not sock.closed:
        if tcb.urgent_in and sock.config.oob_inline:
            view = view[: to_mark(tcb, len(view))]
        return take_received_into(tcb, view)
    nothing_to_read(sock, tcb)
    return 0


def to_mark(tcb: Tcb, limit: int) -> int:
    """How much of `limit` bytes one read takes with SO_OOBINLINE: none crosses the mark (RFC 6093, 2)."""
    left = urgent_left(tcb)
    return min(limit, left - 1) if left > 1 else limit


def nothing_to_read(sock: Socket, tcb: Tcb) -> None:
    """Returns at the end of the stream, raises otherwise."""
    if sock.closed:
        raise BadSocket()
    if tcb.error is not None:
        raise calls.failure(tcb.error)
    if not at_end(tcb):
        if tcb.fast_open is not None and tcb.fast_open.held:
            tcb.fast_open.held = False  # nothing to wait for: the SYN goes
            wants_output(tcb)
        raise WouldBlock()


def send_datagram(
    sock: Socket, data: bytes, ancillary: Iterable[tuple[int, int, Any]], address: tuple[Any, int] | None
) -> int:
    """See `Socket.sendmsg`, of a datagram socket."""
    l2: L2Info | None = None
    source: tuple[bytes, int] = (b"", 0)
    for level, name, value in ancillary:
        if (level, name) == (sockopt.SOL_SOCKET, sockopt.SO_L2INFO):
            l2 = sockopt.check_l2(value)
        elif (level, name) == (sockopt.IPPROTO_IP, sockopt.IP_ORIGDSTADDR):
            source = pack_address(pair(value)[0]), check_port(value[1])
        else:
            raise InvalidArgument(f"({level}, {name}) is no ancillary data of a datagram")
    target: tuple[bytes, int] = (b"", 0)
    if address is not None:
        target = pack_address(pair(address)[0]), check_port(address[1])
    assert sock.endpoint is not None
    count = sock.stack.udp.send(sock.endpoint, data, *target, source=source[0], source_port=source[1], l2=l2)
    kick(sock)
    return count


def receive_datagram(
    sock: Socket, limit: int, flags: int
) -> tuple[bytes, list[tuple[int, int, Any]], int, tuple[IpAddress, int]]:
    """See `Socket.recvmsg`, of a datagram socket."""
    check_open(sock)
    assert sock.endpoint is not None
    datagram = sock.endpoint.peek() if flags & sockopt.MSG_PEEK else sock.endpoint.receive()
    destination = unpack_address(datagram.destination), datagram.destination_port
    ancillary: list[tuple[int, int, Any]] = [(sockopt.IPPROTO_IP, sockopt.IP_ORIGDSTADDR, destination)]
    if datagram.l2info is not None:
        ancillary.append((sockopt.SOL_SOCKET, sockopt.SO_L2INFO, datagram.l2info))
    if sock.config.timestamps:
        ancillary.append((sockopt.SOL_SOCKET, sockopt.SO_TIMESTAMPNS, datagram.captured))
    return datagram.data[:limit], ancillary, 0, (unpack_address(datagram.source), datagram.source_port)


def send_on(sock: Socket, data: bytes | bytearray | memoryview, flags: int) -> int:
    """See `Socket.send`."""
    if sock.place is not None and sock.place.endpoint is not None:
        return sock.sendmsg([data], flags=flags)
    check_open(sock)
    tcb = connection_of(sock)
    if tcb.error is not None:
        raise calls.failure(tcb.error)
    if tcb.closing or tcb.state == CLOSED:
        raise BrokenPipe()
    if tcb.state < ESTABLISHED and not takes_early(tcb):
        raise WouldBlock()
    if type(data) is not bytes and type(data) is not bytearray:
        data = bytes(memoryview(data))  # a subclass may do what it likes with its length; an int is no data
    if len(data) == 0:
        return 0
    if sock.config.not_sent_low and sock.unsent >= sock.config.not_sent_low:
        tcb.wants_write = True
        raise WouldBlock()
    count = queue_to_send(tcb, data, 0, len(data))
    if count == 0:
        raise WouldBlock()
    if flags & sockopt.MSG_OOB:
        mark_urgent(tcb)
    return count


def pair(address: Any) -> tuple[Any, Any]:
    """An (ip, port) pair; AddressError if it is none."""
    if not isinstance(address, (tuple, list)) or len(address) != 2:
        raise AddressError(f"an address is (ip, port), not {address!r}")
    return address[0], address[1]
