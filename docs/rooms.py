"""Tables of all folders and files in ``architecture.md``, from the docstrings of their modules.

``python docs/rooms.py`` writes them between the page's markers; a test holds the page to the tree.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

__all__ = ["PACKAGES", "PAGE", "first_line", "modules", "written_anew"]

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "architecture.md"
PACKAGES = ("sam2_engine", "sam2_plugins", "napari_plugin", "labelstudio_backend")
_BEGIN, _END = "<!-- {}: written by docs/rooms.py -->", "<!-- end -->"


def modules() -> list[Path]:
    """Return the modules of the four packages, folder by folder."""
    found = (path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return sorted(
        found, key=lambda path: (PACKAGES.index(path.relative_to(ROOT).parts[0]), path.parent, path)
    )


def first_line(module: Path) -> str:
    """Return the first line of a module's docstring."""
    return (ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or "").partition("\n")[0]


def written_anew(page: str) -> str:
    """Return the page with the tables of the tree as it is."""
    for name, table in (("folders", _folders()), ("files", _files())):
        begin = _BEGIN.format(name)
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(_END)}", re.DOTALL)
        block = "\n".join([begin, *table, _END])
        page, count = pattern.subn(lambda _, block=block: block, page)
        if count != 1:
            raise ValueError(f"{PAGE.name} has no place for the {name}: it begins with {begin}")
    return page


def _folders() -> Iterator[str]:
    """Yield one row per folder: what its package says of itself."""
    yield from ("| folder | |", "|---|---|")
    for module in modules():
        if module.name == "__init__.py":
            yield _row(f"{_name(module.parent)}/", module)


def _files() -> Iterator[str]:
    """Yield one table per folder: what its modules say of themselves."""
    folder = None
    for module in modules():
        if module.parent != folder:
            folder = module.parent
            yield from ("", f"**`{_name(folder)}/`**", "", "| file | |", "|---|---|")
        if module.name != "__init__.py":
            yield _row(module.name, module)
    yield ""


def _row(name: str, module: Path) -> str:
    return f"| `{name}` | {first_line(module).replace('``', '`').replace('|', chr(92) + '|')} |"


def _name(folder: Path) -> str:
    return folder.relative_to(ROOT).as_posix()


if __name__ == "__main__":
    PAGE.write_text(written_anew(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
