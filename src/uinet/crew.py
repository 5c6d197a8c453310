"""Several workers, each with a stack of its own, on the same interfaces; see docs/workers.md.

A worker is a process, or, on a CPython without a GIL, a thread. All devices are opened here before any worker begins,
in the order of the workers, since that order numbers them (:mod:`uinet.link.sharing`): from then on the kernel gives a
flow always to the same worker. Workers share nothing. Each has a channel to the crew, over which reports and results
come and the word to stop goes.

When a worker ends, by itself or by an error, all are stopped, since nobody else owns its flows. The crew keeps its own
hold on every device until the last has ended: were one to vanish before, the others would get each other's flows.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, Self

from uinet.control.hub import Hub
from uinet.control.joining import add
from uinet.errors import DeviceError, Error, InvalidArgument, WorkerFailed
from uinet.link.device import Device
from uinet.link.sharing import open_shares

MAX_WORKERS = 256
GRACE = 10.0  # seconds that workers get to stop before their processes are killed
REPORT, RESULT, FAILURE = "report", "result", "failure"
STOP = "stop"

Work = Callable[["Worker"], Any]


def without_gil() -> bool:
    """Whether threads of this interpreter run at the same time."""
    return not getattr(sys, "_is_gil_enabled", lambda: True)()


class Worker:
    """What a worker gets: `index` of `count`, and its share of each interface in `devices`, open. `control`: where its
    stack is to open a control socket, if the crew has one; None otherwise."""

    def __init__(
        self, index: int, count: int, devices: list[Device], channel: Connection, control: str | None = None
    ) -> None:
        self.index = index
        self.count = count
        self.devices = devices
        self.control = control
        self._channel = channel
        self._stops = 0  # how often it was told to stop
        self._heard = 0  # and what `told_to_stop` has said of it
        self._alone = False

    def report(self, record: dict[str, Any]) -> None:
        """Tells the crew how it goes: the last record stands for this worker in its totals."""
        with contextlib.suppress(OSError):
            self._channel.send((REPORT, record))

    @property
    def stopping(self) -> bool:
        """Whether the worker has been told to stop, or the crew is gone."""
        while not self._alone and self._channel.poll():
            self._stops += 1
            try:
                self._channel.recv()
            except (EOFError, OSError):
                self._alone = True
        return self._stops > 0

    async def told_to_stop(self) -> int:
        """Returns when the worker is told to stop, on the running event loop. Later calls wait for it to be told again,
        which means to hurry. How often it has been told.
        """
        loop = asyncio.get_running_loop()
        told = asyncio.Event()
        descriptor = self._channel.fileno()
        loop.add_reader(descriptor, told.set)
        try:
            while not self.stopping or self._stops == self._heard:
                if self._alone:
                    loop.remove_reader(descriptor)  # at its end it would be readable for ever
                told.clear()
                await told.wait()
        finally:
            loop.remove_reader(descriptor)
        self._heard = self._stops
        return self._stops


class Crew:
    """`count` workers that run ``work(worker)`` on their shares of `devices`, which are URLs.

    `threads`: True or False; None for threads where there is no GIL, and processes otherwise. Use as a context manager:
    leaving it stops the workers and waits for them. `reports`: the last record of each worker. `results`: what their
    work has returned. `control`: path of a control socket that joins up those that the workers' stacks open at
    ``worker.control``; it is served while the crew waits. In processes, work and results are as for multiprocessing's
    fork: nothing else is shared.
    """

    def __init__(
        self, work: Work, count: int, devices: Sequence[str] = (), *, threads: bool | None = None,
        control: str | None = None,
    ) -> None:
        if not isinstance(count, int) or not 1 <= count <= MAX_WORKERS:
            raise InvalidArgument(f"{count!r} workers: want 1 to {MAX_WORKERS}")
        self.work = work
        self.count = count
        self.urls = list(devices)
        self.threads = without_gil() if threads is None else threads
        self.control = control
        self._hub: Hub | None = None
        self.reports: list[dict[str, Any]] = [{} for _ in range(count)]
        self.results: list[Any] = [None] * count
        self._error: BaseException | None = None
        self._channels: list[Connection] = []
        self._running: dict[Connection, int] = {}
        self._processes: list[BaseProcess] = []
        self._threads: list[threading.Thread] = []
        self._held: list[int] = []
        self._stopped = False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Opens the devices and starts the workers. What `open_device` raises; DeviceError where there is no fork."""
        if not self.threads and not hasattr(os, "fork"):
            raise DeviceError("workers are forked processes, which this system has not")
        shares = self._opened()
        self._held = [os.dup(device.fileno()) for devices in shares for device in devices]
        pairs = [multiprocessing.Pipe() for _ in range(self.count)]
        self._channels = [ours for ours, _ in pairs]
        self._running = {ours: index for index, ours in enumerate(self._channels)}
        workers = [
            Worker(index, self.count, [devices[index] for devices in shares], theirs, self._path_of(index))
            for index, (_, theirs) in enumerate(pairs)
        ]
        if self.threads:
            for worker in workers:
                thread = threading.Thread(target=_run, args=(self.work, worker), name=f"uinet worker {worker.index}")
                self._threads.append(thread)
                thread.start()
            self._open_hub()
            return
        context = multiprocessing.get_context("fork")
        for worker in workers:
            process = context.Process(
                target=_run_forked, args=(self.work, worker, workers, self._channels, self._held),
                name=f"uinet worker {worker.index}",
            )
            self._processes.append(process)
            process.start()
        for worker in workers:
            _leave(worker)
        self._open_hub()

    def _path_of(self, index: int) -> str | None:
        """Where a worker's own control socket is."""
        return None if self.control is None else f"{self.control}.{index}"

    def _open_hub(self) -> None:
        """After the workers have begun: they have nothing of it."""
        if self.control is not None:
            try:
                self._hub = Hub(self.control, [f"{self.control}.{index}" for index in range(self.count)])
            except BaseException:
                self.close()
                raise

    def _opened(self) -> list[list[Device]]:
        """For each interface the devices of all workers, receiving."""
        shares: list[list[Device]] = []
        try:
            for url in self.urls:
                shares += [open_shares(url, self.count)]
            for devices in shares:
                for device in devices:
                    device.begin()
        except BaseException:
            for devices in shares:
                for device in devices:
                    device.close()
            raise
        return shares

    def wait(self, timeout: float | None = None) -> bool:
        """Takes in what the workers say, for `timeout` seconds or until all have ended: whether they have."""
        end = None if timeout is None else time.monotonic() + timeout
        while self._running:
            left = None if end is None else max(0.0, end - time.monotonic())
            ready = self._look_after_hub(left)
            for channel in ready:
                assert isinstance(channel, Connection)
                self._hear(channel)
            if ready or (left is not None and left <= 0):
                break
        return not self._running

    def _look_after_hub(self, timeout: float | None) -> list[Any]:
        """Waits for channels with news, and serves the control socket meanwhile; for one event of it at most."""
        hub = self._hub
        if hub is None:
            return wait(list(self._running), timeout)
        deadline = hub.deadline()
        if deadline is not None:
            due = max(0.0, (deadline - time.monotonic_ns()) / 1e9)
            timeout = due if timeout is None else min(timeout, due)
        waiting: list[Any] = [*self._running, hub]
        ready: list[Any] = wait(waiting, timeout)
        hub.serve(time.monotonic_ns())
        return [channel for channel in ready if channel is not hub]

    def _hear(self, channel: Connection) -> None:
        index = self._running[channel]
        try:
            kind, value = channel.recv()
        except (EOFError, OSError):
            kind, value = FAILURE, WorkerFailed(f"worker {index} has died")
        if kind == REPORT:
            self.reports[index] = value
            return
        del self._running[channel]
        if kind == RESULT:
            self.results[index] = value
        elif self._error is None:
            self._error = value
        if not self._stopped:
            self.stop()

    def total(self) -> dict[str, Any]:
        """The workers' last reports, joined: numbers of the same name added up, within dictionaries too."""
        joined: dict[str, Any] = {}
        for report in self.reports:
            add(joined, report)
        return joined

    def stop(self) -> None:
        """Tells all workers to stop."""
        self._stopped = True
        for channel in self._running:
            with contextlib.suppress(OSError):
                channel.send(STOP)

    def close(self) -> None:
        """Stops the workers and waits for them; a process that takes longer than `GRACE` seconds is killed."""
        if not self._stopped:
            self.stop()
        if self._hub is not None:
            self._hub.close()
            self._hub = None
        for _ in range(100):
            if self.wait(GRACE / 100):
                break
        for process in self._processes:
            process.join(0.5 if self._running else GRACE)
            if process.is_alive():
                process.kill()
                process.join()
            process.close()
        for thread in self._threads:
            thread.join(GRACE)
        for channel in self._channels:
            channel.close()
        for descriptor in self._held:
            os.close(descriptor)
        self._held = []
        self._processes, self._threads, self._channels, self._running = [], [], [], {}

    def check(self) -> None:
        """Raises what the first worker that failed has raised, if one has."""
        if self._error is not None:
            raise self._error


def workers(
    work: Work,
    count: int | None = None,
    *,
    devices: Sequence[str] = (),
    threads: bool | None = None,
    on_report: Callable[[dict[str, Any]], object] | None = None,
    interval: float = 0.5,
    control: str | None = None,
) -> list[Any]:
    """Runs ``work(worker)`` in `count` workers (None: one for each processor) and answers what they return, in order.

    `devices`: URLs of interfaces, of which each worker gets a share: ``worker.devices``, in the same order.
    `on_report`: called every `interval` seconds, and at the end, with the sum of what the workers last reported. An
    exception in one of the workers stops all of them and is raised here; so does Ctrl-C. `control`: path of a control
    socket for all of them, see Crew.
    """
    if count is None:
        count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    crew = Crew(work, count, devices, threads=threads, control=control)
    with crew:
        while not crew.wait(interval):
            if on_report is not None:
                on_report(crew.total())
    if on_report is not None:
        on_report(crew.total())
    crew.check()
    return crew.results


def _run(work: Work, worker: Worker) -> None:
    """What a worker does, from its first to its last moment."""
    channel = worker._channel
    try:
        said = (RESULT, work(worker))
    except Error as error:
        said = (FAILURE, error)
    except BaseException as error:
        line = " ".join(f"{type(error).__name__}: {error}".split())
        said = (FAILURE, WorkerFailed(f"worker {worker.index}: {line}"))
    for device in worker.devices:
        device.close()
    try:
        channel.send(said)
    except Exception as error:  # a result that can't be pickled
        with contextlib.suppress(OSError):
            channel.send((FAILURE, WorkerFailed(f"worker {worker.index}: its result can't be sent: {error}")))
    channel.close()


def _run_forked(
    work: Work, worker: Worker, everyone: list[Worker], channels: list[Connection], held: list[int]
) -> None:
    """In the new process: lets go of what is the others', and works."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the crew gets it as well, and says so
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for channel in channels:
        channel.close()
    for descriptor in held:
        os.close(descriptor)
    for other in everyone:
        if other is not worker:
            _leave(other)
    _run(work, worker)


def _leave(worker: Worker) -> None:
    """Gives up this process's hold on what is now another's."""
    for device in worker.devices:
        device.forget()
    worker._channel.close()
