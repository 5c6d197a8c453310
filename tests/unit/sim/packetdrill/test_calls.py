"""System calls: what they return, and that another result is found out."""

from __future__ import annotations

import pytest

from tests.unit.sim.packetdrill.scripts import CLIENT, SERVER, fails, passes
from uinet.sim.packetdrill import SKIP, run

NONBLOCKING = "+0 fcntl(4, F_SETFL, O_RDWR|O_NONBLOCK) = 0\n"
DATA = "+0 < P. 1:101(100) ack 1 win 257\n+0 > . 1:1(0) ack 101\n"


@pytest.mark.parametrize(("call", "reason"), [
    ("close(4) = 0", None),
    ("close(4) = -1 EBADF (Bad file descriptor)", "close() returns 0, not -1 EBADF"),
    ("close(9) = -1 EBADF (Bad file descriptor)", None),
    ("close(9) = 0", "close() returns -1 EBADF, not 0"),
    ("read(4, ..., 10) = -1 EAGAIN (Resource temporarily unavailable)", None),
    ("read(4, ..., 10) = -1 EWOULDBLOCK (Operation would block)", None),
    ("read(4, ..., 10) = 0", "read() returns -1 EAGAIN, not 0"),
    ("read(9, ..., 10) = -1 EBADF (Bad file descriptor)", None),
    ("write(4, ..., 10) = 10", None),
    ("write(4, ..., 10) = 9", "write() returns 10, not 9"),
    ("write(4, ..., 10) = ...", None),
    ('send(4, "hello", 5, 0) = 5', None),
    ('send(4, "hello", 5, MSG_NOSIGNAL) = 5', None),
    ('send(4, "hello", 5, MSG_OOB) = 5\n+0 > P.U 1:6(5) ack 1 urg 5', None),
    (
        'setsockopt(4, SOL_TCP, TCP_CONGESTION, "bbr", 3) = 0\n'
        '+0 getsockopt(4, SOL_TCP, TCP_CONGESTION, ["bbr"], [3]) = 0',
     None),
    ('setsockopt(4, SOL_TCP, TCP_CONGESTION, "plan9", 5) = -1 EINVAL (Invalid argument)', None),
    ("shutdown(4, SHUT_WR) = 0", None),
    ("shutdown(4, 7) = -1 EINVAL (Invalid argument)", None),
    ("shutdown(3, SHUT_WR) = -1 ENOTCONN (Transport endpoint is not connected)", None),
    ("fcntl(4, F_GETFL) = 0x802 (flags O_RDWR|O_NONBLOCK)", None),
    ("fcntl(4, F_GETFL) = 6 (FreeBSD's number)", None),
    ("fcntl(4, F_GETFL) = 2", "fcntl() returns 2050, not 2"),
    ("getsockopt(4, SOL_SOCKET, SO_ERROR, [0], [4]) = 0", None),
    ("getsockopt(4, SOL_SOCKET, SO_ERROR, [ECONNRESET], [4]) = 0", "SO_ERROR is 0, not ECONNRESET"),
    ("setsockopt(4, SOL_TCP, TCP_NODELAY, [1], 4) = 0\n+0 getsockopt(4, IPPROTO_TCP, TCP_NODELAY, [1], [4]) = 0", None),
    ("setsockopt(4, SOL_TCP, TCP_NODELAY, [1], 4) = 0\n+0 getsockopt(4, SOL_TCP, TCP_NODELAY, [0], [4]) = 0",
     "TCP_NODELAY is 1, not 0"),
    ("setsockopt(4, SOL_SOCKET, SO_LINGER, {onoff=1, linger=5}, 8) = 0\n"
     "+0 getsockopt(4, SOL_SOCKET, SO_LINGER, {onoff=1, linger=5}, [8]) = 0", None),
    ("getsockopt(4, SOL_SOCKET, SO_LINGER, {onoff=1, linger=5}, [8]) = 0", "SO_LINGER is"),
    ("getsockopt(4, SOL_TCP, TCP_KEEPIDLE, [7200], [4]) = 0", None),
    ("setsockopt(4, SOL_TCP, TCP_KEEPCNT, [1000], 4) = -1 EINVAL (Invalid argument)", None),
    ("ioctl(4, SIOCINQ, [0]) = 0", None),
    ("ioctl(4, FIONREAD, [5]) = 0", "SIOCINQ is 0, not 5"),
    ("writev(4, [{..., 3}, {..., 4}], 2) = 7", None),
    ("readv(4, [{..., 3}], 1) = -1 EAGAIN (Resource temporarily unavailable)", None),
    ("sendmsg(4, {msg_name(...)=..., msg_iov(2)=[{..., 3}, {..., 4}], msg_flags=0}, 0) = 7", None),
    ("recvmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., 3}], msg_flags=0}, 0) = -1 EAGAIN (nothing)", None),
    ("socket(..., SOCK_STREAM, IPPROTO_UDP) = -1 EPROTONOSUPPORT (Protocol not supported)", None),
    ("connect(4, ..., ...) = -1 EISCONN (Transport endpoint is already connected)", None),
    ("accept(3, ..., ...) = 5", "accept() blocks"),
    ("accept(4, ..., ...) = -1 EINVAL (Invalid argument)", None),
    ("listen(4, 1) = -1 EINVAL (Invalid argument)", None),
    ("read(4) = 0", "at least 3 arguments"),
    ("shutdown(4, [1, 2]) = 0", "a number is wanted"),
    ("close(4) = -1 ENOSUCH (No such error)", "ENOSUCH is no error"),
])
def test_call_on_a_connection(call: str, reason: str | None) -> None:
    script = SERVER + NONBLOCKING + "+0 " + call + "\n"
    if reason is None:
        passes(script)
    else:
        assert fails(script, reason).line >= 11


@pytest.mark.parametrize("call", [
    "fork() = 0", "splice(4, NULL, 6, NULL, 99, 0) = 99", "setsockopt(4, SOL_TCP, TCP_INQ, [1], 4) = 0",
    "write(4, NULL, 5) = -1 EFAULT (Bad address)", "ioctl(4, SIOCATMARK, [0]) = 0", "fcntl(4, F_SETOWN, 1) = 0",
    "setsockopt(4, SOL_SOCKET, SO_SNDTIMEO, NO_SUCH_CONSTANT, 4) = 0",
    "recvmsg(4, {msg_iov(1)=[{..., 3}], msg_flags=0}, MSG_ERRQUEUE) = 0",
])
def test_what_the_stack_has_not_skips_the_script(call: str) -> None:
    assert run(SERVER + "+0 " + call + "\n").verdict == SKIP


def test_reads_are_checked_byte_by_byte() -> None:
    passes(SERVER + DATA + "+0 read(4, ..., 30) = 30\n+0 recv(4, ..., 30, MSG_PEEK) = 30\n+0 read(4, ..., 100) = 70\n")


def test_what_is_read_and_was_not_sent_is_found_out() -> None:
    from uinet.sim.packetdrill.calls import Calls
    from uinet.sim.packetdrill.descriptors import Descriptor
    from uinet.sim.packetdrill.errors import Mismatch
    from uinet.sim.packetdrill.flow import Flow, pattern
    from uinet.sim.packetdrill.script import Anything

    flow = Flow("tcp")
    descriptor = Descriptor(4, "SOCK_STREAM", object(), flow=flow)
    calls = Calls.__new__(Calls)
    calls._received(descriptor, pattern(0, 10), set(), Anything())
    calls._received(descriptor, pattern(10, 10), {"MSG_PEEK"}, Anything())
    with pytest.raises(Mismatch, match="byte 10 of the stream"):
        calls._received(descriptor, pattern(11, 10), set(), Anything())


def test_queues_are_told_by_ioctl() -> None:
    passes(SERVER + DATA + "+0 ioctl(4, SIOCINQ, [100]) = 0\n+0 write(4, ..., 50) = 50\n"
           "+0 > P. 1:51(50) ack 101\n+0 ioctl(4, SIOCOUTQ, [50]) = 0\n+0 ioctl(4, SIOCOUTQNSD, [0]) = 0\n")


def test_reset_is_told_once() -> None:
    reset = SERVER + "+0 < R. 1:1(0) ack 1 win 257\n"
    passes(reset + "+0 read(4, ..., 10) = -1 ECONNRESET (Connection reset by peer)\n+0 read(4, ..., 10) = 0\n"
           "+0 write(4, ..., 10) = -1 EPIPE (Broken pipe)\n")
    passes(reset + "+0 getsockopt(4, SOL_SOCKET, SO_ERROR, [ECONNRESET], [4]) = 0\n"
           "+0 getsockopt(4, SOL_SOCKET, SO_ERROR, [0], [4]) = 0\n")
    fails(reset + "+0 read(4, ..., 10) = 0\n", "read() returns -1 ECONNRESET")


def test_connect_goes_through_its_states() -> None:
    connecting = CLIENT[: CLIENT.index("+.1 <")]
    passes(connecting + "+0 connect(3, ..., ...) = -1 EALREADY (Operation already in progress)\n")
    passes(CLIENT + "+0 connect(3, ..., ...) = 0\n+0 connect(3, ..., ...) = -1 EISCONN (already connected)\n")
    refused = connecting + "+.1 < R. 0:0(0) ack 1 win 0\n"
    passes(refused + "+0 connect(3, ..., ...) = -1 ECONNREFUSED (Connection refused)\n")
    passes(refused + "+0 getsockopt(3, SOL_SOCKET, SO_ERROR, [ECONNREFUSED], [4]) = 0\n")
    fails(refused + "+0 connect(3, ..., ...) = 0\n", "connect() returns -1 ECONNREFUSED, not 0")


def test_addresses_may_be_named() -> None:
    script = """
    0  socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
    +0 bind(3, {{sa_family = AF_INET, sin_port = htons(8081), sin_addr = inet_addr("{ip}")}}, ...) = {result}
    """
    passes(script.format(ip="192.168.0.1", result="0"))
    passes(script.format(ip="9.9.9.9", result="-1 EADDRNOTAVAIL (Cannot assign requested address)"))
    fails(script.format(ip="9.9.9", result="0"), "is no address")


# readiness


def test_poll() -> None:
    poll = "+0{end} poll([{{fd=4, events=POLLIN|POLLOUT, revents={revents}}}], 1, {wait}) = {count}\n"
    passes(SERVER + poll.format(end="", revents="POLLOUT", wait=0, count=1))
    fails(SERVER + poll.format(end="", revents="POLLIN|POLLOUT", wait=0, count=1), "poll() says POLLOUT")
    passes(SERVER + DATA + poll.format(end="", revents="POLLIN|POLLOUT", wait=0, count=1))
    only_in = "+0{end} poll([{{fd=4, events=POLLIN, revents={revents}}}], 1, {wait}) = {count}\n"
    passes(SERVER + only_in.format(end="...0.1", revents="0", wait=100, count=0))
    fails(SERVER + only_in.format(end="...0.2", revents="0", wait=100, count=0), "poll() returns at 0.2")
    passes(SERVER + only_in.format(end="...0.1", revents="POLLIN", wait=-1, count=1) + "+.1 < P. 1:2(1) ack 1 win 257\n"
           "+0 > . 1:1(0) ack 2\n")
    passes(SERVER + "+0 poll([{fd=9, events=POLLIN, revents=POLLNVAL}], 1, 0) = 1\n")
    passes(SERVER + "+0 < F. 1:1(0) ack 1 win 257\n+0 > . 1:1(0) ack 2\n"
           "+0 poll([{fd=4, events=POLLIN|POLLRDHUP, revents=POLLIN|POLLRDHUP}], 1, 0) = 1\n")


def test_epoll_level_and_edge() -> None:
    add = "+0 epoll_create(1) = 5\n+0 epoll_ctl(5, EPOLL_CTL_ADD, 4, {{events={events}, fd=4}}) = 0\n"
    ready = "+0 epoll_wait(5, {events=EPOLLIN, fd=4}, 1, 0) = 1\n"
    none = "+0 epoll_wait(5, {events=0, ptr=0}, 1, 0) = 0\n"
    more = "+0 < P. 101:201(100) ack 1 win 257\n+0 > . 1:1(0) ack 201\n"
    passes(SERVER + DATA + add.format(events="EPOLLIN") + ready + ready)
    edge = SERVER + DATA + add.format(events="EPOLLIN|EPOLLET") + ready
    passes(edge + none + more + ready + none)
    fails(edge + ready, "epoll_wait() returns 0, not 1")
    once = SERVER + DATA + add.format(events="EPOLLIN|EPOLLONESHOT") + ready + none
    passes(once + "+0 epoll_ctl(5, EPOLL_CTL_MOD, 4, {events=EPOLLIN|EPOLLONESHOT, fd=4}) = 0\n" + ready)
    passes(SERVER + add.format(events="EPOLLIN") + "+0 epoll_ctl(5, EPOLL_CTL_DEL, 4, {events=0, fd=4}) = 0\n" + none)
    fails(SERVER + DATA + add.format(events="EPOLLIN") + ready.replace("fd=4", "fd=7"), "gives fd=4, not 7")
    fails(SERVER + DATA + add.format(events="EPOLLIN|EPOLLOUT") + ready, "EPOLLIN|EPOLLOUT, not EPOLLIN")


def test_epoll_says_what_is_wrong() -> None:
    passes(SERVER + """
    +0 epoll_create1(0) = 5
    +0 epoll_ctl(5, EPOLL_CTL_MOD, 4, {events=EPOLLIN, fd=4}) = -1 ENOENT (No such file or directory)
    +0 epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLIN, fd=4}) = 0
    +0 epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLIN, fd=4}) = -1 EEXIST (File exists)
    +0 epoll_ctl(5, EPOLL_CTL_ADD, 9, {events=EPOLLIN, fd=9}) = -1 EBADF (Bad file descriptor)
    +0 epoll_ctl(4, EPOLL_CTL_ADD, 3, {events=EPOLLIN, fd=3}) = -1 EINVAL (Invalid argument)
    """)


# Fast Open


def test_fast_open_without_a_cookie_asks_for_one_and_sends_nothing() -> None:
    script = """
    0  socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
    +0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
    +0 sendto(3, ..., 100, MSG_FASTOPEN, ..., ...) = -1 EINPROGRESS (Operation now in progress)
    +0 > S 0:0(0) <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 8,FO,nop,nop>
    +.1 < S. 123:123(0) ack 1 win 5840 <mss 1040,nop,nop,sackOK,nop,wscale 6,FO abcd1234,nop,nop>
    +0 > . 1:1(0) ack 1
    +0 close(3) = 0
    +0 > F. 1:1(0) ack 1
    +.1 < F. 1:1(0) ack 2 win 92
    +0 > . 2:2(0) ack 2
    +1 socket(..., SOCK_STREAM, IPPROTO_TCP) = 4
    +0 fcntl(4, F_SETFL, O_RDWR|O_NONBLOCK) = 0
    +0 sendto(4, ..., 100, MSG_FASTOPEN, ..., ...) = 100
    +0 > S 0:100(100) <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 8,FO {cookie},nop,nop>
    +.1 < S. 1234:1234(0) ack 101 win 5840 <mss 940,nop,nop,sackOK,nop,wscale 6>
    +0 > . 101:101(0) ack 1
    """
    passes(script.format(cookie="abcd1234"))
    fails(script.format(cookie="abcd1235"), "option is FO abcd1234")


def test_fast_open_data_is_read_before_the_handshake_is_over() -> None:
    script = """
    0  socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
    +0 bind(3, ..., ...) = 0
    +0 listen(3, 1) = 0
    +0 setsockopt(3, SOL_TCP, TCP_FASTOPEN, [2], 4) = 0
    +0 < S 0:10(10) win 32792 <mss 1460,FO 0102030405060708,nop,nop>
    +0 > S. 0:0(0) ack 11 <mss 1460>
    +0 accept(3, ..., ...) = 4
    +0 read(4, ..., 100) = 10
    """
    passes(script, defines={"TFO_COOKIE": "0102030405060708"})


def test_fast_open_server_takes_the_cookie_that_the_script_calls_good() -> None:
    script = """
    0  socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
    +0 bind(3, ..., ...) = 0
    +0 listen(3, 1) = 0
    +0 setsockopt(3, SOL_TCP, TCP_FASTOPEN, [2], 4) = 0
    +0 < S 0:10(10) win 32792 <mss 1460,sackOK,nop,nop,FO 0102030405060708,nop,nop>
    +0 > S. 0:0(0) ack {ack} <mss 1460,nop,nop,sackOK>
    """
    passes(script.format(ack=11), defines={"TFO_COOKIE": "0102030405060708"})
    fails(script.format(ack=11), "ACK number is 1")
