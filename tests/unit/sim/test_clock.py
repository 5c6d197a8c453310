from __future__ import annotations

import pytest

from uinet.sim.clock import START, Clock, SimulationError


def test_events_run_in_order_of_time_and_then_of_scheduling() -> None:
    clock = Clock()
    seen: list[tuple[str, int]] = []
    for name, delay in (("c", 20), ("a", 10), ("b", 10), ("d", 20)):
        clock.after(delay, lambda name=name: seen.append((name, clock.now - START)))
    while clock.step():
        pass
    assert seen == [("a", 10), ("b", 10), ("c", 20), ("d", 20)]


def test_an_event_in_the_past_happens_now_and_time_never_runs_backwards() -> None:
    clock = Clock()
    clock.advance(START + 100)
    seen: list[int] = []
    clock.at(START + 1, lambda: seen.append(clock.now))
    assert clock.step()
    assert seen == [START + 100]


def test_a_cancelled_event_does_not_happen_and_does_not_count() -> None:
    clock = Clock()
    seen: list[str] = []
    first = clock.after(1, seen.append, "first")
    clock.after(2, seen.append, "second")
    first.cancel()
    first.cancel()
    assert len(clock) == 1
    assert clock.next_time() == START + 2
    assert clock.step()
    assert not clock.step()
    assert seen == ["second"]


def test_many_cancelled_events_leave_the_heap() -> None:
    clock = Clock()
    kept = clock.after(5000, lambda: None)
    for event in [clock.after(i, lambda: None) for i in range(1000)]:
        event.cancel()
    assert len(clock) == 1
    assert len(clock._heap) < 200
    assert clock.next_time() == kept.time


def test_cancelling_what_has_happened_changes_nothing() -> None:
    clock = Clock()
    event = clock.after(1, lambda: None)
    clock.after(2, lambda: None)
    assert clock.step()
    event.cancel()
    assert len(clock) == 1
    assert "cancelled or past" in repr(event)


def test_advance_refuses_to_skip_an_event() -> None:
    clock = Clock()
    clock.after(10, lambda: None)
    with pytest.raises(SimulationError, match="skip"):
        clock.advance(START + 11)
    clock.advance(START + 10)
    assert clock.now == START + 10


def test_endless_events_in_one_instant_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uinet.sim.clock.SAME_INSTANT_LIMIT", 1000)
    clock = Clock()

    def again() -> None:
        clock.after(0, again)

    again()
    with pytest.raises(SimulationError, match="stands still"):
        while clock.step():
            pass
