"""``uinet pkt``: packetdrill scripts, against our stack on virtual time or against the host's kernel."""

from __future__ import annotations

import os
from pathlib import Path

import click

from uinet.cli.common import json_option, print_json
from uinet.cli.group import DONE, FAILED
from uinet.sim.packetdrill.config import IP_VERSIONS
from uinet.sim.packetdrill.personas import PERSONAS
from uinet.sim.packetdrill.runner import BACKENDS, FAIL, PASS, SKIP, Result, find, run

SCREEN = 30  # lines of the record that are shown of a script that fails


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option(
    "-p", "--persona", type=click.Choice(sorted(PERSONAS)), default="none", show_default=True,
    help="Whose defaults to start from, and to be exact about.",
)
@click.option("-b", "--backend", type=click.Choice(BACKENDS), default="stack", show_default=True)
@click.option("--ip-version", type=click.Choice(IP_VERSIONS), help="Where a script does not say.")
@click.option("-D", "--define", "defines", multiple=True, metavar="NAME[=VALUE]", help="A symbol for the scripts.")
@click.option("--leftovers/--no-leftovers", default=True, help="Whether packets that no script expects are wrong.")
@click.option("-v", "--verbose", is_flag=True, help="Show what happens in each script.")
@json_option
def command(
    paths: tuple[Path, ...], persona: str, backend: str, ip_version: str | None, defines: tuple[str, ...],
    leftovers: bool, verbose: bool, as_json: bool,
) -> int:
    """Run the packetdrill scripts in PATHS: files, or folders with *.pkt files in them.

    Scripts are programs: their Python snippets run with all your rights. Exit status 0: none failed, 1: some did.
    """
    if backend == "kernel" and os.geteuid() != 0:
        raise click.UsageError("--backend kernel needs root: it makes a network namespace")
    symbols = dict(_define(text) for text in defines)
    counts = {PASS: 0, FAIL: 0, SKIP: 0}
    for path in find(paths):
        result = run(
            path, persona=persona, backend=backend, ip_version=ip_version, defines=symbols, leftovers=leftovers
        )
        counts[result.verdict] += 1
        if as_json:
            print_json(result.as_dict())
        else:
            show(result, verbose)
    if sum(counts.values()) == 0:
        raise click.UsageError("there are no *.pkt files there")
    if not as_json:
        print(f"{counts[PASS]} passed, {counts[FAIL]} failed, {counts[SKIP]} skipped")
    return FAILED if counts[FAIL] else DONE


def _define(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    return name, value if equals else "1"


def show(result: Result, verbose: bool) -> None:
    """The verdict on a script, and with `verbose` what happened, a screen at most where it fails."""
    if verbose:
        lines = result.record
        if result.verdict == FAIL and len(lines) > SCREEN:
            print(f"... {len(lines) - SCREEN} lines before")
            lines = lines[-SCREEN:]
        for line in lines:
            print(line)
    print(result, flush=True)
    if verbose and result.verdict == FAIL:
        for title, text in (("expected", result.expected), ("found", result.found)):
            for line in text.splitlines():
                print(f"  {title:9}{line}")


