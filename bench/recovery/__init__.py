"""Loss recovery: uinet and the kernel sending through the same emulated link, with the same seeds."""

from __future__ import annotations


def main(runs: int = 3, options: list[str] | None = None) -> None:
    from bench.recovery.benchmark import main as run  # late: the modules here are programs too

    run(runs, options or [])
