"""The package under AddressSanitizer: builds it so, and runs the fuzz worlds of `tests.fuzz.world` (a
stack), `tests.fuzz.copies` (a follower, 20 captures a seed) and `tests.fuzz.rings` (netmap's) on it.

    python -m tests.fuzz.asan [SEEDS [STEPS]]     all extension modules; takes some minutes

Whatever it finds ends the run: a report of the sanitizer, or an exception out of the stack.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
FLAGS = "-O1 -g -fsanitize=address -fno-omit-frame-pointer"


def runtime() -> str | None:
    """The path of the sanitizer's runtime; None if gcc, or it, is not here."""
    compiler = shutil.which(os.environ.get("CC", "gcc"))
    if compiler is None:
        return None
    found = subprocess.run([compiler, "-print-file-name=libasan.so"], capture_output=True, text=True, timeout=60)
    path = Path(found.stdout.strip())
    return str(path.resolve()) if path.is_absolute() and path.exists() else None


def build(folder: Path, only: Sequence[str] = ()) -> Path:
    """Builds the package in `folder`, all modules or `only` some ("wire/kernels"); what to put on PYTHONPATH."""
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    ignore = shutil.ignore_patterns("*.so", "__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "src", folder / "src", ignore=ignore)
    package = folder / "src" / "uinet"
    for declarations in package.rglob("*.pxd"):
        if only and declarations.name != "__init__.pxd":
            if str(declarations.relative_to(package).with_suffix("")) not in only:
                declarations.unlink()
    environment = {**os.environ, "UINET_BUILD": "require", "UINET_CFLAGS": FLAGS, "LDFLAGS": "-fsanitize=address"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", "build", "--build-base", "build"], cwd=folder, env=environment,
        capture_output=True, text=True, timeout=1200,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return next((folder / "build").glob("lib.*"))


def run(library: Path, program: str, *arguments: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
    """Runs `program` (Python text) on the package in `library`, with the sanitizer loaded."""
    preload = runtime()
    assert preload is not None
    environment = {
        **os.environ, "PYTHONPATH": f"{library}{os.pathsep}{ROOT}", "LD_PRELOAD": preload, "PYTHONMALLOC": "malloc",
        "ASAN_OPTIONS": "detect_leaks=0",
    }
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=library, env=environment, capture_output=True, text=True,
        timeout=timeout,
    )


FUZZ = """
import sys
import uinet
from tests.fuzz import copies, rings
from tests.fuzz.world import attack
assert "site-packages" not in uinet.__file__, uinet.__file__
for seed in range(int(sys.argv[1])):
    print(seed, attack(seed, int(sys.argv[2]))[:40], flush=True)
    for number in range(20 * seed, 20 * seed + 20):
        copies.attack(number, every=1000)
    rings.attack(seed, 100)
"""


def main(arguments: Sequence[str]) -> int:
    """``asan.py [SEEDS [STEPS]]``; the exit status."""
    seeds, steps = (*arguments, *("100", "2500")[len(arguments) :])
    if runtime() is None:
        print("asan: gcc, or its libasan, is not here", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        library = build(Path(folder))
        done = run(library, FUZZ, seeds, steps, timeout=3600)
    print(done.stdout, done.stderr, sep="\n")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
