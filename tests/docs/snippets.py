"""Commands and blocks of Python that the pages show."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```|(?<=\n\n)((?: {4}\S[^\n]*\n)+)", re.MULTILINE | re.DOTALL)
_HERE_DOCUMENT = re.compile(r"<<(\w+)\n.*?^\1$", re.MULTILINE | re.DOTALL)


class Snippet(NamedTuple):
    """One command, or one block of Python."""

    line: int
    is_python: bool
    text: str


def snippets(page: Path) -> Iterator[Snippet]:
    """Yield what a page shows to be run, in its order; a block of another language, and ``text``, is not."""
    text = page.read_text(encoding="utf-8")
    for block in _BLOCK.finditer(text):
        line = text.count("\n", 0, block.start()) + 1
        language, body = block[1] or "", block[2] or block[3]
        if language == "python":
            yield Snippet(line, True, body)
        elif language in ("", "bash", "sh"):
            yield from (Snippet(line, False, command) for command in _commands(body))


def _commands(block: str) -> Iterator[str]:
    """Yield the commands of a block; where one follows a ``$``, lines without it are what it prints."""
    lines = [line.strip() for line in _HERE_DOCUMENT.sub("", block).replace("\\\n", " ").splitlines()]
    if any(line.startswith("$ ") for line in lines):
        lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    yield from (line for line in lines if line and not line.startswith("#"))
