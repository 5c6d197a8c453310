"""Scripts in, verdicts out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from uinet.errors import Error, InvalidArgument
from uinet.sim.packetdrill.backend import Backend
from uinet.sim.packetdrill.backend_stack import StackBackend
from uinet.sim.packetdrill.config import Config, configure
from uinet.sim.packetdrill.errors import Mismatch, ScriptError, Unsupported
from uinet.sim.packetdrill.parser import parse
from uinet.sim.packetdrill.personas import Persona, persona_of
from uinet.sim.packetdrill.script import Script
from uinet.sim.packetdrill.session import Session

PASS, FAIL, SKIP = "PASS", "FAIL", "SKIP"
BACKENDS = ("stack", "kernel")


@dataclass
class Result:
    """What became of a script. `verdict`: PASS, FAIL or SKIP. `reason`, `line`: why not PASS, and where; "" and 0 if
    there is nothing to say. `expected`, `found`: what was wanted and what came, as text. `record`: what happened."""

    path: str
    verdict: str
    reason: str = ""
    line: int = 0
    expected: str = ""
    found: str = ""
    record: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether the script passed."""
        return self.verdict == PASS

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        return f"{self.verdict} {self.path}" + (f" ({where}{self.reason})" if self.reason else "")

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def run(
    script: str | Path, *, persona: str | None = None, backend: str = "stack", ip_version: str | None = None,
    defines: Mapping[str, str] | None = None, leftovers: bool = True, path: str | None = None,
    offload: bool = False,
) -> Result:
    """Runs a script, its text or the path of its file, and tells what became of it; no script makes it raise.

    `persona`: whose habits it was written for: "linux", "freebsd", "rfc", or None. `backend`: "stack", on virtual time,
    or "kernel", the host's (root). `ip_version`: "ipv4", "ipv6" or "ipv4-mapped-ipv6" where the script does not say.
    `defines`: symbols for the script, as ``--define`` in it; TFO_COOKIE is what it writes for a good Fast Open cookie.
    `leftovers`: packets that it does not expect are wrong. `path`: what to call a text. `offload`: the stack hands
    large frames to a device that cuts them into segments, as network cards do. InvalidArgument for arguments that are
    not valid; OSError if the file can't be read.
    """
    who = persona_of(persona)
    if backend not in BACKENDS:
        raise InvalidArgument(f"{backend!r} is no backend: want one of {', '.join(BACKENDS)}")
    if isinstance(script, Path):
        text = script.read_text(encoding="utf-8", errors="replace")
    else:
        text = script
    result = Result(path or (str(script) if isinstance(script, Path) else "<text>"), PASS)
    try:
        symbols = {**who.defines, **(defines or {})}
        parsed = parse(text, symbols)
        config = configure(parsed, who.rules, ip_version)
        config.offload = offload
        folder = script.parent if isinstance(script, Path) else Path()
        _run(parsed, config, who, backend, folder, leftovers, _cookie(symbols), result)
    except ScriptError as error:
        result.verdict, result.reason, result.line = FAIL, error.message, error.line or result.line
    except Unsupported as error:
        result.verdict, result.reason = SKIP, str(error)
    except Mismatch as error:
        result.verdict, result.reason = FAIL, error.message
        result.expected, result.found = error.expected, error.found
    return result


def _cookie(symbols: Mapping[str, str]) -> bytes:
    """The Fast Open cookie that is good, in the script: what the symbol TFO_COOKIE stands for."""
    try:
        return bytes.fromhex(symbols.get("TFO_COOKIE", ""))
    except ValueError:
        raise InvalidArgument(f"TFO_COOKIE={symbols['TFO_COOKIE']}: want bytes in hex") from None


def _run(
    script: Script, config: Config, persona: Persona, backend: str, folder: Path, leftovers: bool, cookie: bytes,
    result: Result,
) -> None:
    machine = _machine(backend, config, persona, folder)
    session = Session(script, config, machine, result.record.append, leftovers)
    session.connections.valid_cookie = cookie
    try:
        session.run()
        session.finish()
    except (Mismatch, ScriptError, Unsupported):
        result.line = session.line
        raise
    except Error as error:
        result.line = session.line
        raise Mismatch(f"the stack raises {type(error).__name__}: {error}") from None
    finally:
        machine.close()


def _machine(backend: str, config: Config, persona: Persona, folder: Path) -> Backend:
    if backend == "stack":
        return StackBackend(config, persona)
    from uinet.sim.packetdrill.backend_kernel import KernelBackend

    return KernelBackend(config, folder)


def run_many(paths: Iterable[str | Path], **options: object) -> list[Result]:
    """Runs the scripts in files; folders stand for the scripts in them. Options as of `run`."""
    return [run(path, **options) for path in find(paths)]  # type: ignore[arg-type]


def find(paths: Iterable[str | Path]) -> list[Path]:
    """The files of scripts: those given, and all *.pkt in the folders given."""
    found: list[Path] = []
    for entry in paths:
        path = Path(entry)
        found += sorted(path.rglob("*.pkt")) if path.is_dir() else [path]
    return found
