"""The pages for people hold what they say: files, names and links are there, rooms are those of the tree."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md"))]
FOR_DEVELOPERS = [ROOT / "docs/architecture.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]
FULL_FOLDER = 20
FULLER_FOLDERS = {"tests/labelstudio/data/requests": "requests as Label Studio sends them, one a file"}
NOT_OURS = (".md", ".npy", ".pt", ".safetensors")
"""Endings of files that pages name as what a user has."""


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


rooms = _load(ROOT / "docs/rooms.py")
commands = _load(ROOT / "docs/reference/write_commands.py")
models = _load(ROOT / "docs/reference/write_models.py")
MODULES = {path.relative_to(ROOT).as_posix(): path for path in rooms.modules()}


def test_the_rooms_are_those_of_the_tree() -> None:
    page = rooms.PAGE.read_text(encoding="utf-8")
    assert page == rooms.written_anew(page), "run: python docs/rooms.py"


def test_every_option_stands_in_the_reference_and_the_reverse() -> None:
    written = commands.PAGE.read_text(encoding="utf-8")
    assert written == commands.written(), "run: python docs/reference/write_commands.py"


def test_every_model_stands_in_the_reference_and_the_reverse() -> None:
    written = models.PAGE.read_text(encoding="utf-8")
    assert written == models.written(), "run: python docs/reference/write_models.py"


NO_NOUN_PHRASE = re.compile(
    r"(How|What|Where|Whether|Which|Who|Whose|Why|When|In which|This|These|It|If|We|You) "
    r"|(Adapt|Bring|Convert|Do|Draw|Find|Follow|Get|Give|Keep|Load|Make|Open|Put|Read|Run|Save|See|Segment|Show"
    r"|Take|Teach|Tell|Track|Train|Turn|Use|Write) (?!of )"
)
"""First words of a question, a sentence or an order."""


@pytest.mark.parametrize("name", MODULES)
def test_a_module_begins_with_one_noun_phrase(name: str) -> None:
    line = rooms.first_line(MODULES[name])
    assert line.endswith("."), "one line, with its full stop"
    assert not re.search(r"[.!?] [A-Z]", line), "one phrase; more belongs into the lines below"
    assert not NO_NOUN_PHRASE.match(line), "what it is, as a noun phrase: “Memories of one object.”"


def test_no_folder_is_full() -> None:
    counts: dict[str, int] = {}
    for top in (*rooms.PACKAGES, "tests", "docs", "benchmarks"):
        for path in (ROOT / top).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                folder = path.parent.relative_to(ROOT).as_posix()
                counts[folder] = counts.get(folder, 0) + 1
    assert {folder for folder, count in counts.items() if count > FULL_FOLDER} == set(FULLER_FOLDERS)


# ---------------------------------------------------------------------- links


def _anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.+)$", _without_code_blocks(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _without_code_blocks(page: Path) -> str:
    return re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", _without_code_blocks(page)):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in _anchors(target)):
            dead.append(link)
    assert dead == []


# ---------------------------------------------------------------------- names of files and of what is in them


def _quoted(page: Path) -> set[str]:
    """Return what a page has in backticks, outside of its code blocks and of what is written by a script."""
    written_by_hand = re.sub(
        r"<!-- \w+: written by.*?<!-- end -->", "", _without_code_blocks(page), flags=re.DOTALL
    )
    return set(re.findall(r"`([^`\n]+)`", written_by_hand))


@pytest.mark.parametrize("page", FOR_DEVELOPERS, ids=lambda page: page.name)
def test_files_that_a_page_names_are_there(page: Path) -> None:
    named = {name for name in _quoted(page) if re.fullmatch(r"[\w.\-]+(/[\w.\-]+)+/?", name)}
    written = {name for name in named if name.startswith("build/")}  # by make, where somebody called it
    assert {name for name in named - written if not (ROOT / name).exists()} == set()


@pytest.mark.parametrize("page", FOR_DEVELOPERS, ids=lambda page: page.name)
def test_names_that_a_page_uses_are_in_the_code(page: Path) -> None:
    files = [*MODULES.values(), *(ROOT / "tests").rglob("*.py"), ROOT / "Makefile", ROOT / "pyproject.toml"]
    known = set(re.findall(r"\w+", "\n".join(path.read_text(encoding="utf-8") for path in files)))
    known |= {path.name for path in files} | {path.parent.name for path in files}
    named = {name for name in _quoted(page) if re.fullmatch(r"[A-Za-z_][\w.]*(\(\))?", name)}
    named = {name.removesuffix("()") for name in named if not name.endswith(NOT_OURS)}
    assert {name for name in named if name not in known and name.rpartition(".")[2] not in known} == set()


def test_commands_of_the_makefile_that_a_page_names_are_there() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {
        target
        for page in (ROOT / "README.md", *FOR_DEVELOPERS)
        for target in re.findall(r"(?:^|`)make ([a-z][\w-]*)", page.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert named <= targets


def test_tests_that_the_comparison_names_are_there() -> None:
    named = set(
        re.findall(r"`(\w+(?:/\w+)*/test_\w+)`", (ROOT / "docs/peers.md").read_text(encoding="utf-8"))
    )
    assert named
    assert {name for name in named if not (ROOT / "tests" / f"{name}.py").exists()} == set()
