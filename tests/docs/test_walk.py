"""A new user's twenty questions are answered one step from the first page."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WALK = ROOT / "docs/guides/walk.md"
ROWS = re.findall(
    r"^\| (\d+) \| (.+?) \| \[[^\]]+\]\((\S+)\) \| (.+) \|$", WALK.read_text(encoding="utf-8"), re.M
)
FIRST_PAGE = (ROOT / "README.md").read_text(encoding="utf-8")


def anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def section(page: str, wanted: str) -> str:
    """Return what stands below a heading, as one line; all of the page without one."""
    if not wanted:
        return " ".join(page.split())
    parts = re.split(r"^#+ +(.+)$", page, flags=re.MULTILINE)
    found = dict(zip(map(anchor, parts[1::2]), parts[2::2], strict=True))
    return " ".join(found[wanted].split())


def test_they_are_twenty() -> None:
    assert [int(number) for number, *_ in ROWS] == list(range(1, 21))


@pytest.mark.parametrize(
    ("question", "link", "answer"), [row[1:] for row in ROWS], ids=[row[1] for row in ROWS]
)
def test_the_answer_is_one_step_from_the_first_page(question: str, link: str, answer: str) -> None:
    path, _, heading = link.partition("#")
    page = (WALK.parent / path).resolve()
    assert answer in section(page.read_text(encoding="utf-8"), heading)
    leads = {(ROOT / found).resolve() for found in re.findall(r"\]\(([^)#\s]+)", FIRST_PAGE)}
    assert page in leads, "README.md has no link to it"
    if heading:
        assert f"{page.relative_to(ROOT)}#{heading}" in FIRST_PAGE
