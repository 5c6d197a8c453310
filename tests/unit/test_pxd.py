"""What a `.pxd` makes a C variable can't be imported from its module any more: the interpreted build would not
notice."""

from __future__ import annotations

import ast
import re
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src"
CONSTANTS = re.compile(r"^cdef (?:[A-Za-z][\w.]*\s+)+([A-Z_][A-Z0-9_]*(?:\s*,\s*[A-Z_][A-Z0-9_]*)*)\s*$", re.MULTILINE)


def hidden() -> dict[str, set[str]]:
    """For each compiled module the names that it defines and its `.pxd` types."""
    found = {}
    for pxd in SOURCE.rglob("*.pxd"):
        source = pxd.with_suffix(".py")
        if not source.exists():
            continue
        typed = {name.strip() for match in CONSTANTS.findall(pxd.read_text()) for name in match.split(",")}
        own = {
            target.id
            for node in ast.parse(source.read_text()).body
            if isinstance(node, (ast.Assign, ast.AnnAssign))
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
            if isinstance(target, ast.Name)
        }
        found[".".join(source.relative_to(SOURCE).with_suffix("").parts)] = typed & own
    return found


def test_nobody_imports_what_a_pxd_hides() -> None:
    names = hidden()
    assert any(names.values()), "the pattern finds nothing"
    wrong = []
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module in names:
                wrong += [f"{path.name}: {node.module}.{alias.name}" for alias in node.names
                          if alias.name in names[node.module]]
    assert not wrong, "make them constants of a module without a .pxd, or with none of these names in it"
