"""Which version this is, and which build of it runs."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

try:
    __version__ = version("uinet")
except PackageNotFoundError:  # run from a source tree that is not installed
    __version__ = "0.1.0"


def compiled() -> bool:
    """Whether the compiled build runs; the interpreted one is some hundred times slower."""
    specs = [find_spec(module) for module in ("uinet.wire.kernels", "uinet.tcp.arrive")]  # found, not loaded
    return all(spec is not None and not str(spec.origin).endswith(".py") for spec in specs)
