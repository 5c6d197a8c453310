"""The command line: ``uinet``.

Everything but ``uinet --version`` needs click and rich, which the library itself does without.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from uinet.version import __version__, compiled

NEEDS = "uinet: the command line needs click and rich: pip install click rich"


def version() -> str:
    """``uinet 0.1.0 (compiled)``, or that it runs interpreted."""
    build = "compiled" if compiled() else "pure: interpreted, slow"
    return f"uinet {__version__} ({build})"


def open_standard_streams() -> None:
    """Opens the null device for those of descriptors 0 to 2 that are closed (``uinet ... >&-``): a device that got
    such a number would be sent what is printed."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            try:
                os.fstat(number)
            except OSError:
                os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line; the exit status: 0 done, 1 the work failed, 2 usage, 130 interrupted."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    open_standard_streams()
    if arguments == ["--version"]:
        try:
            print(version(), flush=True)
        except OSError as error:
            print(f"uinet: {error.strerror}", file=sys.stderr)
            return 1
        return 0
    try:
        import click  # noqa: F401
        import rich  # noqa: F401
    except ImportError:
        print(NEEDS, file=sys.stderr)
        return 2
    from uinet.cli.group import run

    return run(arguments)
