"""The interpreted twin of a compiled module, whichever of the two is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

SOURCE = Path(__file__).resolve().parents[3] / "src"


def interpreted(module: ModuleType) -> ModuleType:
    """A second, interpreted, copy of `module`."""
    path = (SOURCE / module.__name__.replace(".", "/")).with_suffix(".py")
    spec = importlib.util.spec_from_file_location(f"interpreted_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def compiled(module: ModuleType) -> bool:
    """Whether `module` itself is the compiled one."""
    return not str(module.__file__).endswith(".py")
