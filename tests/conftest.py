"""What all tests share: which build is under test, and where captures with known contents are."""

from __future__ import annotations

import gc
import os

import pytest
from hypothesis import HealthCheck, settings

import uinet

# how long an example takes, or its making, is the machine's business, and what else it has to do
settings.register_profile("uinet", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("uinet")


def pytest_report_header() -> str:
    build = "compiled" if uinet.compiled() else "pure (interpreted)"
    return f"uinet {uinet.__version__}, {build}, from {os.path.dirname(uinet.__file__)}"


def pytest_configure(config: pytest.Config) -> None:
    """The build under test has to be the one that was asked for."""
    expected = os.environ.get("UINET_EXPECT")
    if expected is None and os.environ.get("UINET_BUILD") == "require":
        expected = "compiled"
    if expected is not None and uinet.compiled() != (expected == "compiled"):
        pytest.exit(f"the tests run on {uinet.__file__}, which is not the {expected} build", returncode=3)


def pytest_collection_finish() -> None:
    """Thousands of collected tests are nobody's garbage: those that look for leaks, with many a full collection, need
    not walk over them."""
    gc.collect()
    gc.freeze()
