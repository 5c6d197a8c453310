"""Passive receive: streams rebuilt from captures, beside others who do the same. README.md here says how."""

from __future__ import annotations


def main(runs: int = 5, options: list[str] | None = None) -> None:
    from bench.passive.benchmark import main as run  # late: the modules here are programs too

    run(runs, options)
