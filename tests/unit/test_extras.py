"""What says who imports a part of the package whose own requirements are not installed."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("name", ["trio", "anyio", "gevent"])
def test_import_without_the_library_says_what_to_install(name: str) -> None:
    code = f"import sys; sys.modules[{name!r}] = None; import uinet.{name}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"ImportError: uinet.{name} needs {name}: pip install 'uinet[{name}]'"


@pytest.mark.parametrize("name", ["trio", "gevent"])
def test_import_brings_no_asyncio_of_ours(name: str) -> None:
    code = f"import sys, uinet.{name}; sys.exit('uinet.aio' in sys.modules or 'uinet.anyio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
