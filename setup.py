"""Builds the extension modules: every ``.py`` of the package that has a ``.pxd`` beside it, and the kernels.

``UINET_BUILD`` chooses the mode (see docs/building.md):

``require``
    a compile error is an error (CI, wheels);
``auto``
    the default: where compiling fails the package is installed interpreted, and says so;
``pure``
    nothing is compiled.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent
SOURCE = ROOT / "src"
MODE = os.environ.get("UINET_BUILD", "auto")
if MODE not in ("require", "auto", "pure"):
    sys.exit(f"UINET_BUILD is {MODE!r}: want require, auto or pure")

DIRECTIVES = {
    "language_level": 3,
    "annotation_typing": False,
    "boundscheck": True,
    "wraparound": True,
    "cdivision": True,
    "initializedcheck": False,
    "embedsignature": True,
    "freethreading_compatible": True,  # one thread uses a stack; the modules share nothing that changes
}


def sources() -> list[tuple[str, str]]:
    """(module name, path) of everything that is compiled."""
    found = []
    for pxd in sorted(SOURCE.rglob("*.pxd")):
        pyx = pxd.with_suffix(".pyx")
        path = pyx if pyx.exists() else pxd.with_suffix(".py")
        if pxd.name == "__init__.pxd":
            continue
        name = ".".join(pxd.relative_to(SOURCE).with_suffix("").parts)
        found.append((name, str(path.relative_to(ROOT))))
    return found


def extensions() -> list[Extension]:
    """The cythonized extensions; an empty list in pure mode or, in auto mode, without a working Cython."""
    if MODE == "pure":
        return []
    flags = os.environ.get("UINET_CFLAGS", "-O2 -g0").split()
    try:
        from Cython.Build import cythonize

        modules = [Extension(name, [path], extra_compile_args=flags) for name, path in sources()]
        return list(cythonize(
            modules,
            build_dir="build/cython",
            compiler_directives=DIRECTIVES,
            annotate=bool(os.environ.get("UINET_ANNOTATE")),
            nthreads=os.cpu_count() or 1,
            quiet=True,
        ))
    except Exception as error:
        if MODE == "require":
            raise
        print(f"uinet: not compiled ({error}); the interpreted build works, slowly", file=sys.stderr)
        return []


class BuildExt(build_ext):
    """Compiles all or nothing: a half-compiled package would be a third build that nobody tests."""

    def finalize_options(self) -> None:
        super().finalize_options()
        if self.parallel is None:
            self.parallel = os.cpu_count() or 1

    def run(self) -> None:
        try:
            super().run()
        except Exception as error:
            if MODE == "require":
                raise
            print(f"uinet: not compiled ({error}); the interpreted build works, slowly", file=sys.stderr)
            for output in self.get_outputs():
                Path(output).unlink(missing_ok=True)
            self.extensions = []



if __name__ == "__main__":
    setup(ext_modules=extensions(), cmdclass={"build_ext": BuildExt})
