"""The documents keep their word: their examples run and print what they say, and what is generated is up to date."""

from __future__ import annotations

import contextlib
import io
import os
import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from uinet.errors import InvalidArgument

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
GENERATED = {
    "tcp-states.md": "draw_states.py", "counters.md": "list_counters.py", "settings.md": "list_settings.py",
}

# an example that runs stands behind "<!-- run -->"; the block behind "<!-- prints -->" is what it prints
EXAMPLE = re.compile(
    r"^<!-- run -->\n+```python\n(.*?)^```\n(?:\n*<!-- prints -->\n+```text\n(.*?)^```\n)?", re.M | re.S
)
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)\s]*)?\)")


class Example(NamedTuple):
    """One block of a page: `line` is that of its first line of code."""

    page: Path
    line: int
    code: str
    prints: str | None

    @property
    def name(self) -> str:
        """``docs/proxy.md:30``."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def examples() -> list[Example]:
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in EXAMPLE.finditer(text):
            line = text.count("\n", 0, match.start(1)) + 1
            found.append(Example(page, line, match.group(1), match.group(2)))
    return found


EXAMPLES = examples()


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.name for example in EXAMPLES])
def test_example_runs_and_prints_what_the_page_says(
    example: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    printed = io.StringIO()
    code = compile("\n" * (example.line - 1) + example.code, str(example.page), "exec")
    with contextlib.redirect_stdout(printed):
        exec(code, {"__name__": "__main__"})
    if example.prints is not None:
        assert printed.getvalue() == example.prints


def test_readme_and_every_guide_have_examples_that_run() -> None:
    pages = {example.page.name for example in EXAMPLES}
    guides = {"README.md", "promiscuous.md", "proxy.md", "asyncio.md", "simulation.md", "pipes.md", "engine.md",
              "follow.md", "passive.md", "congestion.md", "event-loops.md"}
    assert guides <= pages


def test_no_marker_is_left_without_its_block() -> None:
    for page in PAGES:
        text = page.read_text()
        matches = list(EXAMPLE.finditer(text))
        assert len(re.findall("^<!-- run -->$", text, re.M)) == len(matches), page
        printed = sum(match.group(2) is not None for match in matches)
        assert len(re.findall("^<!-- prints -->$", text, re.M)) == printed, page


def test_readme_shows_a_runnable_example_within_its_first_forty_lines() -> None:
    first = next(example for example in EXAMPLES if example.page.name == "README.md")
    assert first.line + first.code.count("\n") <= 40


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_between_pages_lead_to_files(page: Path) -> None:
    missing = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("page", sorted(GENERATED))
def test_generated_page_is_up_to_date(page: str) -> None:
    script = ROOT / "docs" / GENERATED[page]
    made = runpy.run_path(str(script))["page"]()
    assert (ROOT / "docs" / page).read_text() == made, f"run: python docs/{GENERATED[page]}"


def test_source_files_that_pages_name_exist() -> None:
    named = re.compile(r"`((?:src/uinet|examples|bench|tests|docs)/[\w./-]+?\.\w+)`")
    short = re.compile(r"`((?:tcp|ip|udp|wire|link|aio|sim|proxy|cli|passive|following)/[\w/]+\.(?:py|pxd|pyx))\b")
    for page in PAGES:
        text = page.read_text()
        missing = [name for name in named.findall(text) if not (ROOT / name).exists()]
        missing += [name for name in short.findall(text) if not (ROOT / "src" / "uinet" / name).exists()]
        assert missing == [], page


def test_pages_of_the_documents_are_all_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text()
    pages = [os.fspath(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")]
    assert [page for page in pages if page not in navigation] == []


def test_functions_that_pages_name_beside_their_file_exist() -> None:
    code = re.compile(r"`([a-z_]+(?:/[a-z_]+)*\.pyx?)`: ((?:`[\w.]+`(?:, )?)+)")  # `file.py`: `function`, `function`
    plain = re.compile(r"`([a-z_]+(?:/[a-z_]+)*\.pyx?)`: (\w+(?:, \w+)*) \|")  # `file.py`: function, function |
    missing = []
    for page in PAGES:
        text = page.read_text()
        for path, functions in code.findall(text) + plain.findall(text):
            source = (ROOT / "src" / "uinet" / path).read_text()
            for function in re.findall(r"[\w.]+", functions):
                last = function.rpartition(".")[2]
                if not re.search(rf"^\s*(?:async )?(?:def|class|cpdef [\w ]+?|cdef [\w ]+?) ?{last}\b", source, re.M):
                    missing.append(f"{page.name}: {path}: {function}")
    assert missing == []


def test_tests_that_pages_name_exist() -> None:
    tests = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.M)
    }
    missing = [
        f"{page.name}: {name}" for page in PAGES for name in re.findall(r"`(test_\w+)`", page.read_text())
        if name not in tests
    ]
    assert missing == []


def test_each_of_the_72_cases_of_passive_receive_has_its_row_and_its_test() -> None:
    rows = re.findall(r"^\| (\d+) \| `test_\w+` \|", (ROOT / "docs" / "rebuilding.md").read_text(), re.M)
    assert [int(number) for number in rows] == list(range(1, 73))


def commands(page: Path) -> Iterator[list[str]]:
    """The arguments of the `uinet` commands that a page names, in blocks for a shell and within its sentences."""
    text = page.read_text()
    lines = [line for block in re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S) for line in block.splitlines()]
    found = [rest for line in lines for rest in re.findall(r"(?:^|[\s|&;$])uinet (.*)", line)]
    found += re.findall(r"`uinet ([^`]*)`", text)
    for line in found:
        words = shlex.split(line, comments=True)
        ends = [place for place, word in enumerate(words) if word in ("|", "&", "&&", ">", "2>", "...")]
        yield words[: ends[0] if ends else None]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_have_the_options_that_the_page_gives_them(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    click = pytest.importorskip("click")
    from uinet.cli.group import COMMANDS, group

    monkeypatch.setenv("UINET_CONTROL", "/run/none")
    for words in commands(page):
        if not words or words[0] not in COMMANDS:
            continue
        command = group.get_command(click.Context(group), words[0])
        assert command is not None
        try:
            command.make_context(words[0], words[1:])
        except click.NoSuchOption as error:
            pytest.fail(f"uinet {' '.join(words)}: {error.message}")
        except click.UsageError as error:  # a page may leave arguments out, or say N for one
            assert "unexpected extra argument" not in error.message, words
        except (click.exceptions.Exit, InvalidArgument):
            pass
