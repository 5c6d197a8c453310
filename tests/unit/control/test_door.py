"""The socket itself: who may, how many may, and what rubbish does to it (nothing)."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import uinet
from uinet.control import door
from uinet.control.client import Client
from uinet.control.protocol import OUTPUT_LIMIT, REQUEST_LIMIT
from uinet.control.server import Server
from uinet.units import MILLISECOND, SECOND

HELLO = b'{"command":"hello"}\n'


class Clock:
    """Time that passes as it is looked at: `step` ns each time."""

    def __init__(self, step: int = 0) -> None:
        self.time = 0
        self.step = step

    def __call__(self) -> int:
        self.time += self.step
        return self.time


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "control")


@pytest.fixture
def server(path: str) -> Iterator[Server]:
    server = Server(uinet.Stack(b"door"), path, clock=Clock())
    yield server
    server.close()


@pytest.fixture
def dial(path: str) -> Iterator[Any]:
    """Connects to the socket."""
    with contextlib.ExitStack() as everyone:

        def connect() -> socket.socket:
            made = everyone.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            made.connect(path)
            made.setblocking(False)
            return made

        yield connect


def heard(client: socket.socket) -> list[dict[str, Any]]:
    """The lines that have come so far."""
    data = b""
    with contextlib.suppress(BlockingIOError):
        while more := client.recv(1 << 20):
            data += more
    return [json.loads(line) for line in data.splitlines()]


def hung_up(client: socket.socket) -> bool:
    """Whether the server has closed it, which it does once everything was read."""
    try:
        return client.recv(1 << 20) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def serve(server: Server, now: int = 0, rounds: int = 4) -> None:
    for _ in range(rounds):
        server.serve(now)


def test_only_its_owner_may_use_it(server: Server, path: str) -> None:
    assert stat.S_IMODE(os.lstat(path).st_mode) == 0o600 and stat.S_ISSOCK(os.lstat(path).st_mode)


def test_it_is_never_open_to_others_not_even_for_a_moment(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[int] = []
    monkeypatch.setattr(door.os, "chmod", lambda where, mode: modes.append(stat.S_IMODE(os.lstat(where).st_mode)))
    before = os.umask(0)
    try:
        Server(uinet.Stack(b"m"), path).close()
    finally:
        os.umask(before)
    assert modes == [0o600]


def test_a_request_is_answered_and_the_descriptor_says_when_to_serve(server: Server, dial: Any) -> None:
    import select

    def readable() -> bool:
        return bool(select.select([server], [], [], 0)[0])

    assert not readable() and server.deadline() is None
    client = dial()
    assert readable()
    serve(server)
    assert not readable()
    client.send(HELLO)
    assert readable()
    serve(server)
    assert not readable() and server.deadline() is None
    assert heard(client)[0]["row"]["uinet"] == uinet.__version__


def test_closing_hangs_up_and_takes_the_socket_away(server: Server, path: str, dial: Any) -> None:
    client = dial()
    serve(server)
    server.close()
    assert not os.path.exists(path) and hung_up(client)
    server.close()
    server.serve(0)


def test_a_socket_of_somebody_else_at_the_path_stays(server: Server, path: str) -> None:
    os.unlink(path)
    with Closing(Server(uinet.Stack(b"other"), path)):
        server.close()
        assert os.path.exists(path)


class Closing(contextlib.closing[Server]):
    """Closes a server in the end."""


def test_what_a_program_that_died_has_left_is_replaced(path: str) -> None:
    left = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    left.bind(path)
    left.close()
    with Closing(Server(uinet.Stack(b"new"), path)), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(path)


def test_a_path_that_is_taken_is_refused(server: Server, path: str, tmp_path: Path) -> None:
    with pytest.raises(uinet.AddressInUse, match="is in use"):
        Server(uinet.Stack(b"second"), path)
    file = tmp_path / "file"
    file.write_text("precious")
    with pytest.raises(uinet.AddressInUse):
        Server(uinet.Stack(b"third"), str(file))
    assert file.read_text() == "precious"


@pytest.mark.parametrize("bad", ["", "@abstract", "x" * 108, "a\0b"])
def test_what_is_no_path_is_refused(bad: str) -> None:
    with pytest.raises(uinet.InvalidArgument, match="control socket"):
        Server(uinet.Stack(b"bad"), bad)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(uinet.ControlError, match="No such file"):
        Server(uinet.Stack(b"no"), str(tmp_path / "nowhere" / "control"))


@pytest.mark.parametrize("rubbish", [
    b"\n\nhello\n", b"[1,2]\n", b"null\n", b"\xff\xfe\x00\n", b"[" * 10_000 + b"\n", b'{"command":5}\n', b"{}\n",
    b'{"command":"stat","id":[1]}\n', b'{"command":"hello","id":{}}\n', b'{"a":NaN,"command":"hello"}\n',
    b"1" * 10_000 + b"\n", b"x" * (REQUEST_LIMIT + 1), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
])
def test_rubbish_is_answered_with_an_error_and_a_hang_up(server: Server, dial: Any, rubbish: bytes) -> None:
    client = dial()
    client.send(rubbish)
    serve(server, rounds=8)
    (line,) = heard(client)
    assert list(line) == ["error"] and hung_up(client)
    assert server.clients == []
    assert heard(talk(server, dial(), HELLO))


def talk(server: Server, client: socket.socket, data: bytes, now: int = 0) -> socket.socket:
    """Sends something, and has it served."""
    client.send(data)
    serve(server, now)
    return client


def test_requests_that_are_wrong_are_refused_and_the_next_is_answered(server: Server, dial: Any) -> None:
    client = talk(server, dial(), b'{"command":"explode"}\n{"command":"stat","id":2}\n' + HELLO)
    first, second, third, fourth = heard(client)
    assert "there is no command explode: there are hello" in first["error"]
    assert second["id"] == 2 and "there is no table" in second["error"]
    assert "row" in third and fourth == {"end": {"rows": 1}}


def test_random_bytes_never_raise(server: Server, dial: Any) -> None:
    draw = random.Random(5)
    for _ in range(200):
        client = dial()
        words = [
            draw.randbytes(draw.randrange(200)), b'{"command":"', b"stat", b'","what":', b'"routes"', b"}\n", b"[",
            b"\n",
        ]
        client.send(b"".join(draw.choice(words) for _ in range(draw.randrange(1, 12))))
        serve(server, rounds=2)
        client.close()
        serve(server, rounds=2)
    assert len(server.clients) == 0
    assert heard(talk(server, dial(), HELLO))


def test_who_hangs_up_in_the_middle_of_an_answer_is_forgotten(server: Server, dial: Any) -> None:
    endless(server)
    client = dial()
    client.send(b'{"command":"endless"}\n')
    serve(server)
    client.close()
    serve(server, rounds=50)
    assert server.clients == [] and server.deadline() is None


def endless(server: Server) -> list[int]:
    """Adds a command without an end; how many rows it has made."""
    made: list[int] = []

    def rows(served: object, request: dict[str, object]) -> Any:
        while True:
            made.append(1)
            yield [{"x": "y" * 1000}]

    server.add_command("endless", rows)
    return made


def test_who_never_reads_costs_a_bounded_buffer_and_no_time(path: str, dial: Any) -> None:
    with Closing(Server(uinet.Stack(b"slow"), path, clock=Clock(20_000))) as server:
        made = endless(server)
        client = dial()
        client.send(b'{"command":"endless"}\n')
        for now in range(0, 3 * SECOND, 2 * MILLISECOND):
            server.serve(now)
        assert len(server.clients[0].talk.output) < OUTPUT_LIMIT + 2000
        assert server.deadline() is None
        count = len(made)
        server.serve(4 * SECOND)
        assert len(made) == count < 1000
        assert heard(talk(server, dial(), HELLO, 5 * SECOND))  # others are served
        assert client.recv(1 << 20)
        server.serve(9 * SECOND)
        server.serve(9 * SECOND)
        assert len(made) > count  # it reads again, and goes on


def test_who_sends_without_end_is_hung_up_on(server: Server, dial: Any) -> None:
    endless(server)
    client = dial()
    client.send(b'{"command":"endless"}\n')
    serve(server)
    for _ in range(3):
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            client.send(HELLO * 1000)
        serve(server)
    data = b""
    while server.clients:
        with contextlib.suppress(BlockingIOError):
            data += client.recv(1 << 20)
        serve(server)
    while more := client.recv(1 << 20):
        data += more
    assert json.loads(data.splitlines()[-1]) == {"error": f"more than {REQUEST_LIMIT} bytes of requests that wait"}


def test_clients_by_the_hundred_take_the_place_of_the_silent(server: Server, dial: Any) -> None:
    watching = dial()
    everyone = []
    for number in range(300):
        everyone.append(dial())
        assert len(heard(talk(server, watching, HELLO, number * MILLISECOND))) == 2
    assert len(server.clients) <= door.MOST_CLIENTS
    assert heard(everyone[0]) == [{"error": "too many clients"}] and hung_up(everyone[0])
    assert heard(talk(server, everyone[-1], HELLO, SECOND))


def test_clients_that_are_all_being_answered_keep_their_places_unless_they_are_stuck(server: Server, dial: Any) -> None:
    made = endless(server)
    for _ in range(door.MOST_CLIENTS):
        talk(server, dial(), b'{"command":"endless"}\n')
    serve(server, now=1, rounds=40)
    late = dial()
    serve(server, now=2)
    assert heard(late) == [{"error": "too many clients"}] and hung_up(late)
    for now in range(3, 400):  # until they stop: none of them reads
        server.serve(now)
    assert made and server.deadline() is None
    later = dial()
    serve(server, now=400 + door.STUCK)
    later.send(HELLO)
    serve(server, now=400 + door.STUCK)
    assert heard(later)[0]["row"]


def test_an_answer_takes_a_slice_and_then_the_stack_has_as_long(path: str, dial: Any) -> None:
    with Closing(Server(uinet.Stack(b"slice"), path, clock=Clock(100_000))) as server:
        made = endless(server)
        client = dial()
        client.send(b'{"command":"endless"}\n')
        server.serve(0)
        server.serve(1)
        before = len(made)
        deadline = server.deadline()
        assert deadline is not None and deadline - 1 == 2 * door.SLICE
        server.serve(deadline - 1)
        assert len(made) == before  # it rests
        server.serve(deadline)
        assert 1 <= len(made) - before <= door.SLICE // 100_000


def test_slices_are_shared_fairly(path: str, dial: Any) -> None:
    with Closing(Server(uinet.Stack(b"fair"), path, clock=Clock(300_000))) as server:
        counts = {"a": 0, "b": 0, "c": 0}

        def rows(served: object, request: dict[str, Any]) -> Any:
            while True:
                counts[request["who"]] += 1
                yield []

        server.add_command("count", rows)
        for who in counts:
            dial().send(b'{"command":"count","who":"%s"}\n' % who.encode())
        for number in range(300):
            server.serve(number * SECOND)
        assert min(counts.values()) > 0.8 * max(counts.values()) > 20


def test_who_shuts_its_sending_side_is_still_answered(server: Server, dial: Any) -> None:
    client = dial()
    client.send(HELLO + HELLO)
    client.shutdown(socket.SHUT_WR)
    serve(server, rounds=8)
    assert len(heard(client)) == 4 and hung_up(client) and server.clients == []


def test_adopted_connections_are_served_without_a_path() -> None:
    ours, theirs = socket.socketpair()
    with Closing(Server(uinet.Stack(b"adopt"), clock=Clock())) as server, ours:
        server.adopt(theirs)
        ours.send(HELLO)
        serve(server)
        assert heard_blocking(ours)


def heard_blocking(client: socket.socket) -> list[dict[str, Any]]:
    client.setblocking(False)
    return heard(client)


def test_a_client_says_why_there_is_no_answer(tmp_path: Path) -> None:
    with pytest.raises(uinet.ControlError, match="no program has it open"):
        Client(str(tmp_path / "nothing"))
    ours, theirs = socket.socketpair()
    with theirs, Client(connection=ours, timeout=0.01) as client:
        with pytest.raises(uinet.ControlError, match="no answer in time"):
            client.one("hello")
        theirs.send(b'{"id":2,"row":{"a":1}}\n{"id":2,"end":{"rows":1}}\n{"id":9,"row":{}}\nrubbish\n')
        assert client.one("hello") == {"a": 1}
        with pytest.raises(uinet.ControlError, match="not asked"):
            client.one("hello")
        with pytest.raises(uinet.ControlError, match="no JSON"):
            client.one("hello")
        theirs.close()
        with pytest.raises(uinet.ControlError, match=r"hung up|Broken pipe|reset"):
            client.one("hello")


def test_descriptors_are_all_given_back(path: str) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        server = Server(uinet.Stack(b"fd"), path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.connect(path)
            serve(server)
        server.close()
        with pytest.raises(uinet.InvalidArgument):
            Server(uinet.Stack(b"fd"), "x" * 200)
    assert len(os.listdir("/proc/self/fd")) == before


def test_when_descriptors_run_out_it_is_deaf_for_a_second_and_does_not_spin(server: Server, dial: Any) -> None:
    import resource
    import select

    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    client = dial()
    client.send(HELLO)
    used = max(int(name) for name in os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used, limits[1]))
    try:
        fill = []
        with contextlib.suppress(OSError):
            while True:
                fill.append(os.dup(0))
        serve(server, now=5)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for descriptor in fill:
            os.close(descriptor)
    assert select.select([server], [], [], 0)[0] == [] and server.deadline() == 5 + SECOND
    serve(server, now=6)
    assert server.clients == []
    serve(server, now=5 + SECOND)
    assert heard(client) and server.deadline() is None
