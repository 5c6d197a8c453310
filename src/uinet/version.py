"""Which version this is, and which build of it runs."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from uinet.tcp import arrive
from uinet.wire import kernels

try:
    __version__ = version("uinet")
except PackageNotFoundError:  # run from a source tree that is not installed
    __version__ = "0.1.0"


def compiled() -> bool:
    """Whether the compiled build runs; the interpreted one is some hundred times slower."""
    return all(not str(module.__file__).endswith(".py") for module in (kernels, arrive))
