"""Workers without devices: what they say is heard, added up, and what goes wrong is told."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from typing import Any

import pytest

import uinet
from uinet.crew import Crew, Worker, add
from uinet.errors import DeviceError, InvalidArgument, WorkerFailed

KINDS = [pytest.param(True, id="threads")]
if hasattr(os, "fork"):
    KINDS.append(pytest.param(False, id="processes"))
kinds = pytest.mark.parametrize("threads", KINDS)
pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


@kinds
def test_results_come_in_the_order_of_the_workers(threads: bool) -> None:
    def work(worker: Worker) -> tuple[int, int, int]:
        return worker.index, worker.count, threading.get_ident() if threads else os.getpid()

    results = uinet.workers(work, 3, threads=threads)
    assert [result[:2] for result in results] == [(0, 3), (1, 3), (2, 3)]
    if not threads:
        assert len({result[2] for result in results} | {os.getpid()}) == 4


@kinds
def test_reports_are_added_up(threads: bool) -> None:
    def work(worker: Worker) -> None:
        worker.report({"frames": 1, "name": "first"})
        worker.report({"frames": 10 * (worker.index + 1), "ended": {"closed": worker.index}, "name": "x"})

    totals: list[dict[str, Any]] = []
    uinet.workers(work, 2, threads=threads, on_report=totals.append, interval=0.01)
    assert totals[-1] == {"frames": 30, "ended": {"closed": 1}, "name": "x"}


@kinds
def test_an_error_in_one_stops_all_and_is_raised(threads: bool) -> None:
    def work(worker: Worker) -> None:
        if worker.index == 1:
            raise ValueError("two\nlines")
        while not worker.stopping:
            time.sleep(0.001)

    with pytest.raises(WorkerFailed, match="worker 1: ValueError: two lines"):
        uinet.workers(work, 3, threads=threads)


@kinds
def test_an_error_of_ours_stays_what_it_is(threads: bool) -> None:
    def work(worker: Worker) -> None:
        raise uinet.DeviceGone("packet:eth0 was deleted")

    with pytest.raises(uinet.DeviceGone, match="packet:eth0 was deleted"):
        uinet.workers(work, 2, threads=threads)


@kinds
def test_one_that_returns_stops_the_others(threads: bool) -> None:
    async def wait_for_the_word(worker: Worker) -> int:
        return await worker.told_to_stop()

    def work(worker: Worker) -> Any:
        return "done" if worker.index == 0 else asyncio.run(wait_for_the_word(worker))

    assert uinet.workers(work, 3, threads=threads) == ["done", 1, 1]


@kinds
def test_stopping_twice_means_to_hurry(threads: bool) -> None:
    async def both(worker: Worker) -> list[int]:
        first = await worker.told_to_stop()
        worker.report({"told": 1})
        return [first, await worker.told_to_stop()]

    crew = Crew(lambda worker: asyncio.run(both(worker)), 2, threads=threads)
    with crew:
        crew.stop()
        while crew.total().get("told") != 2:
            crew.wait(0.05)
        crew.stop()
        while not crew.wait(0.05):
            pass
    crew.check()
    assert crew.results == [[1, 2], [1, 2]]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes")
def test_process_that_dies_is_told() -> None:
    def work(worker: Worker) -> None:
        if worker.index == 0:
            os._exit(3)
        while not worker.stopping:
            time.sleep(0.001)

    with pytest.raises(WorkerFailed, match="worker 0 has died"):
        uinet.workers(work, 2, threads=False)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes")
def test_result_that_cannot_be_sent_is_told() -> None:
    with pytest.raises(WorkerFailed, match="worker 0: its result can't be sent"):
        uinet.workers(lambda worker: lambda: None, 1, threads=False)


def test_wrong_numbers_and_devices_are_refused() -> None:
    for count in (0, -1, 257, "two"):
        with pytest.raises(InvalidArgument, match="workers: want 1 to 256"):
            uinet.workers(lambda worker: None, count)  # type: ignore[arg-type]
    with pytest.raises(DeviceError, match="memory devices can't be shared"):
        uinet.workers(lambda worker: None, 2, devices=["memory:a"])


def test_what_is_no_number_is_kept_from_the_first() -> None:
    joined: dict[str, Any] = {}
    for record in ({"n": 1, "ok": True, "deep": {"a": 0.5}}, {"n": 2, "ok": False, "deep": {"a": 1, "b": 3}}):
        add(joined, record)
    assert joined == {"n": 3, "ok": True, "deep": {"a": 1.5, "b": 3}}
