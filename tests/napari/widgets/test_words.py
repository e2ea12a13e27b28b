"""One word for each thing: what users read in the dock, its manifest and its page says no second one."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
OTHER_WORDS = {
    r"propagat\w*": "track",
    r"follow(s|ed)?": "track",
    r"prompts?": "click, box or mask",
    r"segment everything|search\w*": "find",
    r"scores?": "confidence, or doubt",
    r"(un)?lock(s|ed)?": "verify",
    r"cancel\w*": "stop",
    r"pictures?": "image",
    r"delet(e|es|ed)": "remove, or end",
}
"""Patterns of words that users do not read, and what they read instead, as CONTRIBUTING has it."""
CODE = re.compile(r"```.*?```|`[^`]*`|\[[^\]]*\]\([^)]*\)|!\[[^\]]*\]\([^)]*\)|<!--.*?-->", re.DOTALL)
NOT_OURS = re.compile(r"press Delete|DICOM-SEG|a layer was deleted|napari 0\.9\.2 deletes|Segment and track")
"""Words of napari, of formats, and the plugin's name."""


def strings_in(path: Path) -> Iterator[tuple[str, str]]:
    """Yield what a module may show: its texts of several words, docstrings left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    silent = {
        id(part.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) or hasattr(node, "orelse")
        for part in (node.body if isinstance(node.body, list) else [])
        if isinstance(part, ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            pieces = [part for part in node.values if isinstance(part, ast.Constant)]
            silent |= {id(part) for part in pieces}
            yield f"{path.name}:{node.lineno}", "{}".join(str(part.value) for part in pieces)
        elif isinstance(node, ast.Constant) and id(node) not in silent and " " in str(node.value).strip():
            yield f"{path.name}:{node.lineno}", str(node.value)


def texts() -> Iterator[tuple[str, str]]:
    for path in sorted((ROOT / "napari_plugin").rglob("*.py")):
        yield from strings_in(path)
    manifest = yaml.safe_load((ROOT / "napari_plugin/napari.yaml").read_text(encoding="utf-8"))[
        "contributions"
    ]
    for command in manifest["commands"]:
        yield command["id"], command["title"]
    for page in manifest["configurations"].values():
        for name, one in page["properties"].items():
            yield name, f"{one['title']}. {one['description']}"
    for number, line in enumerate(CODE.sub("", (ROOT / "docs/napari.md").read_text()).splitlines()):
        yield f"napari.md, about line {number}", line


def other_words(text: str) -> list[str]:
    said = NOT_OURS.sub("", text)
    return [
        f"{found.group()} ({instead})"
        for pattern, instead in OTHER_WORDS.items()
        for found in re.finditer(rf"\b({pattern})\b", said, re.IGNORECASE)
    ]


def test_users_read_one_word_for_each_thing() -> None:
    found = {f"{where}: {text}": words for where, text in texts() if (words := other_words(text))}
    assert found == {}


@pytest.mark.parametrize("text", ["The prompts are propagated", "Delete it", "Segment everything here"])
def test_other_words_are_found(text: str) -> None:
    assert other_words(text)


def test_the_glossary_names_what_users_read() -> None:
    glossary = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Glossary")[2]
    for words in OTHER_WORDS.values():
        for word in re.split(r", or |, | or ", words):
            assert f"**{word}**" in glossary, word
