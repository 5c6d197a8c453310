"""packetdrill's scripts, in process and on virtual time: ``uinet.sim.packetdrill.run(path)``."""

from __future__ import annotations

from uinet.sim.packetdrill.errors import Mismatch, ScriptError, Unsupported
from uinet.sim.packetdrill.parser import parse
from uinet.sim.packetdrill.personas import PERSONAS
from uinet.sim.packetdrill.runner import FAIL, PASS, SKIP, Result, find, run, run_many

__all__ = [
    "FAIL",
    "PASS",
    "PERSONAS",
    "SKIP",
    "Mismatch",
    "Result",
    "ScriptError",
    "Unsupported",
    "find",
    "parse",
    "run",
    "run_many",
]
