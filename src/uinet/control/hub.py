"""One control socket for several workers, each with a stack and a control socket of its own.

A request goes to all of them, over connections that belong to the client who asks, and their answers are joined (see
`joining`). While a client does not read, nobody reads the workers either, so that nothing piles up here.
"""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable, Sequence
from time import perf_counter_ns
from typing import Any

from uinet.control.door import CHUNK, Door
from uinet.control.joining import Joint, asked_of, joint_for
from uinet.control.protocol import OUTPUT_LIMIT, decode, encode
from uinet.control.requests import Requests
from uinet.errors import ControlError

HANDFUL = 64  # lines of workers in one step


class Branch:
    """The connection to one worker: what has come and is not looked at yet; `done` when its answer is complete.

    `ready`: there is something to look at or to receive. The selector does not watch it meanwhile: it would say so
    again and again while the client does not read.
    """

    def __init__(self, worker: int, connection: socket.socket, selector: selectors.BaseSelector) -> None:
        self.worker = worker
        self.connection = connection
        self.selector = selector
        self.input = bytearray()
        self.ready = False
        self.done = False
        self.wait()

    def wait(self) -> None:
        """Has the selector watch it."""
        self.ready = False
        self.selector.register(self.connection, selectors.EVENT_READ, self)

    def wake(self) -> None:
        """The selector says that it is readable."""
        self.ready = True
        self.selector.unregister(self.connection)

    def receive(self) -> None:
        """Takes what has come; ControlError if the worker is gone."""
        try:
            data = self.connection.recv(CHUNK)
        except BlockingIOError:
            self.wait()
            return
        except OSError as error:
            raise ControlError(f"worker {self.worker}: {error.strerror or error}") from None
        if not data:
            raise ControlError(f"worker {self.worker} has hung up")
        self.input += data

    def close(self) -> None:
        """Hangs up."""
        if not self.ready:
            self.selector.unregister(self.connection)
        self.connection.close()


class Relay(Requests):
    """What a client asks all workers: a conversation of a `Door`."""

    def __init__(self, paths: Sequence[str], selector: selectors.BaseSelector) -> None:
        super().__init__()
        self.paths = paths
        self.selector = selector
        self.branches: list[Branch] = []
        self._joint: Joint | None = None
        self._left: list[dict[str, Any]] = []  # joined rows that wait to be written
        self._answered = False  # all workers have; only `_left` is

    @property
    def busy(self) -> bool:
        """Whether a request is being answered."""
        return self._joint is not None

    @property
    def working(self) -> bool:
        """Whether `step` has something to do."""
        if self.over or len(self.output) >= OUTPUT_LIMIT:
            return False
        if self._joint is None:
            return b"\n" in self.input
        return self._answered or any(branch.ready for branch in self.branches)

    def step(self) -> None:
        """Does a little."""
        if not self.working:
            return
        try:
            if self._joint is None:
                self._begin()
            elif self._left:
                rows, self._left = self._left[:HANDFUL], self._left[HANDFUL:]
                self._pass(rows)
            elif self._answered:
                self._finish()
            else:
                self._relay(self._joint)
        except ControlError as error:
            self._fail(str(error))

    def _begin(self) -> None:
        request = self._next()
        if request is None:
            return
        request.pop("id", None)
        workers, request = asked_of(request, len(self.paths))
        self._joint, asked = joint_for(request, len(workers))
        data = encode(asked)
        for worker in workers:
            self._ask(worker, self.paths[worker], data)

    def _ask(self, worker: int, path: str, data: bytes) -> None:
        """Sends a worker the request, over a connection of its own."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(1.0)  # its backlog may be full for a moment
            connection.connect(path)
            connection.sendall(data)
            connection.setblocking(False)
        except OSError as error:
            connection.close()
            raise ControlError(f"worker {worker} does not answer: {error.strerror or error}") from None
        self.branches.append(Branch(worker, connection, self.selector))

    def _relay(self, joint: Joint) -> None:
        """Takes in what workers have said meanwhile."""
        for branch in self.branches:
            if branch.done or not branch.ready:
                continue
            if b"\n" not in branch.input:
                branch.receive()
            for _ in range(HANDFUL):
                line, newline, rest = branch.input.partition(b"\n")
                if not newline:
                    break
                branch.input = rest
                self._hear(branch, joint, decode(line))
                if branch.done or joint.enough:
                    break
        if joint.enough or all(branch.done for branch in self.branches):
            self._hang_up()
            self._left = joint.rest()
            self._answered = True

    def _hear(self, branch: Branch, joint: Joint, line: dict[str, Any]) -> None:
        if "error" in line:
            raise ControlError(str(line["error"]))
        if "row" in line:
            self._pass(joint.take(branch.worker, line["row"]))
        elif "end" in line:
            branch.done = True
        elif branch is self.branches[0]:
            self._say({"wait": self._rows})

    def _pass(self, rows: list[dict[str, Any]]) -> None:
        self._rows += len(rows)
        for row in rows:
            self._say({"row": row})

    def _finish(self) -> None:
        self._joint = None
        self._answered = False
        self._say({"end": {"rows": self._rows}})

    def _fail(self, why: str) -> None:
        self._abandon()
        self._say({"error": why})

    def _abandon(self) -> None:
        self._hang_up()
        self._joint = None
        self._answered = False
        self._left = []

    def _hang_up(self) -> None:
        """Lets go of the workers; one that is still answering stops."""
        for branch in self.branches:
            branch.close()
        self.branches = []


class Hub(Door):
    """The control socket at `path` of the workers that have theirs at `paths`."""

    def __init__(self, path: str, paths: Sequence[str], *, clock: Callable[[], int] = perf_counter_ns) -> None:
        self.paths = list(paths)
        super().__init__(path, self._relay, clock)

    def _relay(self) -> Relay:
        return Relay(self.paths, self.selector)
