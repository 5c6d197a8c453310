"""The commands of docs/talk.md run, and print what the page says. (Its Python is run by test_docs.py.)"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "talk.md"

# a block that runs stands behind "<!-- runs -->"; each line of the block behind "<!-- shows -->" is in what it prints
BLOCK = re.compile(r"^<!-- runs -->\n+```sh\n(.*?)^```\n\n*<!-- shows -->\n+```text\n(.*?)^```\n", re.M | re.S)
BLOCKS = BLOCK.findall(PAGE.read_text())


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder in which `uinet`, `python` and `examples/` are what they should be."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "python").symlink_to(sys.executable)
    command = f"#!{sys.executable}\nimport sys\nfrom uinet.cli import main\nsys.exit(main())\n"
    (programs / "uinet").write_text(command)
    (programs / "uinet").chmod(0o755)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "examples").symlink_to(ROOT / "examples")
    return folder


@pytest.mark.parametrize(("commands", "shown"), BLOCKS, ids=[block[0].splitlines()[0] for block in BLOCKS])
def test_commands_run_and_show_what_the_page_says(place: Path, commands: str, shown: str) -> None:
    # the symbolic link to the interpreter would hide the virtual environment that it belongs to
    paths = [path for path in sys.path if path and os.path.isdir(path)]
    environment = {
        **os.environ, "PATH": f"{place.parent / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": os.pathsep.join(paths),
        "COLUMNS": "200", "PYTHONWARNINGS": "",
    }  # fmt: skip
    done = subprocess.run(
        ["sh", "-e", "-c", commands], cwd=place, env=environment, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr or done.stdout
    assert "Traceback" not in done.stderr
    said = re.sub(r" +", " ", done.stdout + done.stderr)
    missing = [line for line in shown.splitlines() if re.sub(r" +", " ", line.strip()) not in said]
    assert missing == []


def test_no_block_is_left_out() -> None:
    text = PAGE.read_text()
    assert len(BLOCKS) == text.count("<!-- runs -->") == text.count("<!-- shows -->") >= 6


def test_tests_and_benchmarks_that_the_page_names_exist() -> None:
    text = PAGE.read_text()
    named = {path for words in re.findall(r"`python -m pytest ([^`]+)`", text) for path in words.split()}
    assert named and [path for path in named if not (ROOT / path).exists()] == []
    benchmarks = set(re.findall(r"`python -m bench (\w+)", text))
    assert benchmarks and [name for name in benchmarks if not (ROOT / "bench" / f"{name}.py").exists()] == []
