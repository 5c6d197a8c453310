"""A hook of mkdocs: the site has no tests in it, so links to them become their names."""

from __future__ import annotations

import re


def on_page_markdown(markdown: str, **_: object) -> str:
    """Takes the links to files of tests out of a page."""
    return re.sub(r"\[(`[^`\n]*`)\]\((?:\.\./)+tests/[^)\n]*\)", r"\1", markdown)
