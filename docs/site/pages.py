"""Pages of the site: the repository's own, at their places, so that no link between them is rewritten.

mkdocs calls these functions (``hooks`` in ``mkdocs.yml``). Beside the pages in ``docs`` there are those at
the root, the tables of measured figures, and pages of names from docstrings. What a page links to is there.
"""

import ast
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
AT_THE_ROOT = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
MEASURED = ROOT / "benchmarks" / "results"
NAMES = {
    "docs/reference/engine.md": ("Predictions: `sam2_engine`", ("sam2_engine",)),
    "docs/reference/sessions.md": (
        "Work that is kept: `sam2_plugins`",
        ("sam2_plugins", "sam2_plugins.review", "sam2_plugins.measure", "sam2_plugins.storage"),
    ),
}
"""Pages that are made from docstrings: their titles, and the packages whose public names they hold."""
_LINK = re.compile(r"\]\(([^)\s#]+)[^)\s]*\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Replace what lies in ``docs`` by the repository's pages, pictures, and the code that pages link to."""
    of_theme = [file for file in files if file.src_dir != config.docs_dir]
    pages = [ROOT / name for name in AT_THE_ROOT]
    pages += sorted((ROOT / "docs").rglob("*.md")) + sorted(MEASURED.glob("*.md"))
    shown = {*pages, *(ROOT / "docs").glob("images/*.[ps][nv]g"), *(ROOT / "docs/site").glob("*.css")}
    for page in pages:
        targets = ((page.parent / link).resolve() for link in _LINK.findall(page.read_text(encoding="utf-8")))
        shown |= {target for target in targets if target.is_file()}
    found = [
        File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path))
        for path in sorted(shown)
    ]
    made = [File.generated(config, name, content=_names_page(*parts)) for name, parts in NAMES.items()]
    return Files([*of_theme, *map(_placed, found + made)])


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Part lists from the line above them, as only GitHub does by itself; the first page lists no others."""
    if page.is_homepage:
        page.meta["hide"] = ["navigation"]
    return re.sub(r"^(?![-*#|>`\s\d])(.+)\n(?=- )", r"\1\n\n", markdown, flags=re.MULTILINE)


def on_page_content(html: str, **_: Any) -> str:
    """Leave out what Sphinx alone reads: ``:func:`` and the like before a name in a docstring."""
    return re.sub(r":(?:attr|class|data|func|meth|mod):(?=<code>)", "", html)


def _placed(file: File) -> File:
    """Take ``docs`` out of the address of a page."""
    file.dest_uri = file.dest_uri.removeprefix("docs/")
    return file


def _names_page(title: str, packages: tuple[str, ...]) -> str:
    """Return a page that asks for the docstrings of all public names of some packages."""
    parts = [f"# {title}\n"]
    for package in packages:
        if len(packages) > 1:
            parts.append(f"## `{package}`\n")
        parts += [
            f"::: {package}.{name}\n    options: {{heading_level: 3}}\n" for name in _public_names(package)
        ]
    return "\n".join(parts)


def _public_names(package: str) -> list[str]:
    """Return functions, then classes, then constants."""
    tree = ast.parse((ROOT / package.replace(".", "/") / "__init__.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return sorted(ast.literal_eval(node.value), key=lambda name: (not name.islower(), name.isupper()))
    raise ValueError(f"{package} has no __all__")
